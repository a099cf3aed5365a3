# SPDX-License-Identifier: Apache-2.0
"""`sluice hash` prints what logs call a subject, and what a list of members may call him."""
import base64
import json
import subprocess

import pytest
from harness.configs import forward
from harness.proxy import BINARY, environment
from harness.replies import trio_of

IDENTITIES = {"one": {"from": ["header:X-Key"]}, "two": {"from": ["bearer", "header:X-Key"], "missing": "skip"},
              "address": {"from": ["ip"], "ipv4_prefix": 24}}


def config(server, **more):
    return forward(server, subject_secret={"env": "TEST_SECRET"}, identities=IDENTITIES, **more,
                   quotas={name: {"key": [name], "limits": {"hour": 100}} for name in IDENTITIES})


ENV = {"TEST_SECRET": "the secret of the fleet"}


def stdin(tmp_path, words, text):
    return subprocess.run([BINARY, *map(str, words)], input=text, env=environment(tmp_path, ENV), capture_output=True, timeout=20, check=False)


def test_the_hash_is_what_the_log_shows(start, upstream, connect, verb, tmp_path):
    proxy = start(config(upstream()), env=ENV)
    connect(proxy).ask(fields=[("X-Key", "k-1 \xe9"), ("Authorization", "Bearer tok")])
    subjects = proxy.requests(1)[0]["subjects"]
    value = b"k-1 \xe9"
    for name in ("one", "header:X-Key", "header:x-kEY"):
        done = verb("hash", "-c", proxy.file, name, value.decode("utf-8", "surrogateescape"), env=ENV)
        assert (done.returncode, done.stdout, done.stderr) == (0, subjects["one"] + "\n", ""), done
    for text in (value, value + b"\n", value + b"\r\n"):
        for words in (["one"], ["one", "-"]):
            assert stdin(tmp_path, ["hash", "-c", proxy.file, *words], text).stdout.decode() == subjects["one"] + "\n"
    lines = verb("hash", "two", "tok", "-c", proxy.file, env=ENV).stdout.splitlines()
    assert lines[0] == subjects["two"] + "  bearer" and lines[1].endswith("  header:x-key") and len(lines) == 2
    done = json.loads(verb("hash", "two", "tok", "--json", "-c", proxy.file, env=ENV).stdout)
    assert done == {"hashes": [{"source": "bearer", "hash": subjects["two"]}, {"source": "header:x-key", "hash": lines[1][:22]}]}


def test_addresses_are_masked_as_the_identity_says(verb, tmp_path):
    (tmp_path / "c.json").write_text(json.dumps(config("127.0.0.1:9000", listen=[{"address": "127.0.0.1:18080"}])))

    def hashed(name, value):
        return verb("hash", "-c", tmp_path / "c.json", name, value, env=ENV).stdout

    assert hashed("address", "203.0.113.7") == hashed("address", "203.0.113.0/24") == hashed("address", "::ffff:203.0.113.9")
    assert hashed("address", "203.0.113.7") != hashed("ip", "203.0.113.7")
    assert hashed("ip", "2001:db8::1") == hashed("ip", "2001:db8::2") != hashed("ip", "2001:db8:0:1::")


def test_the_secret_decides(verb, tmp_path):
    (tmp_path / "c.json").write_text(json.dumps(config("127.0.0.1:9000", listen=[{"address": "127.0.0.1:18080"}])))
    seen = {verb("hash", "-c", tmp_path / "c.json", "one", "v", env={"TEST_SECRET": secret}).stdout for secret in ("a", "b", "a")}
    assert len(seen) == 2 and all(len(base64.urlsafe_b64decode(text.strip() + "==")) == 16 for text in seen)


def test_a_hashed_member_gets_the_tier(start, upstream, connect, verb, tmp_path):
    base = config("127.0.0.1:9000", listen=[{"address": "127.0.0.1:18080"}])
    (tmp_path / "c.json").write_text(json.dumps(base))
    shown = verb("hash", "-c", tmp_path / "c.json", "one", "token", env=ENV).stdout.strip()
    more = config(upstream(), tiers={"free": {"hour": 3}, "pro": {"hour": 9}})
    more["quotas"] = {"q": {"key": ["one"], "limits": "tier", "default_tier": "free", "members": {"pro": ["hash:" + shown]}}}
    more["routes"][0]["quotas"] = ["q"]
    client = connect(start(more, env=ENV))
    assert trio_of(client.ask(fields=[("X-Key", "token")]))[0] == 9
    assert trio_of(client.ask(fields=[("X-Key", "Token")]))[0] == 3


@pytest.mark.parametrize("words, exit_code, message", [
    ([], 2, "needs an IDENTITY"),
    (["nobody", "x"], 2, 'no identity has the name "nobody"'),
    (["header", "x"], 2, "this source needs a name"),
    (["address", "alice"], 2, "can have this value: not an address"),
    (["one", ""], 2, "must not be empty"),
    (["one"], 2, "the standard input has no value"),
    (["one", "a", "b"], 2, 'unexpected argument "b"'),
], ids=str)
def test_what_is_refused(verb, tmp_path, words, exit_code, message):
    (tmp_path / "c.json").write_text(json.dumps(config("127.0.0.1:9000", listen=[{"address": "127.0.0.1:18080"}])))
    done = verb("hash", "-c", tmp_path / "c.json", *words, env=ENV)
    assert done.returncode == exit_code and message in done.stderr and done.stdout == "", done


def test_a_broken_file_and_an_absent_secret(verb, tmp_path):
    (tmp_path / "c.json").write_text(json.dumps(config("127.0.0.1:9000", listen=[{"address": "127.0.0.1:18080"}])))
    assert verb("hash", "-c", tmp_path / "c.json", "one", "x").returncode == 5
    assert verb("hash", "-c", tmp_path / "none.json", "one", "x").returncode == 3
    (tmp_path / "c.json").write_text("{}")
    done = verb("hash", "-c", tmp_path / "c.json", "one", "x")
    assert done.returncode == 3 and "is missing" in done.stderr
