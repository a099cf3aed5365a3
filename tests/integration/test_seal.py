# SPDX-License-Identifier: Apache-2.0
"""Sealed secrets: made by `sluice seal`, opened with the key of SLUICE_KEY_FILE, and refused when anything is wrong."""
import base64
import json
import subprocess

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from harness.configs import forward
from harness.proxy import BINARY, environment

SECRET = b"the secret of \xc3\xa4 fleet"


def run(tmp_path, *words, text=b"", env=None):
    return subprocess.run([BINARY, *map(str, words)], input=text, env=environment(tmp_path, env), capture_output=True, timeout=20, check=False)


@pytest.fixture
def key(tmp_path):
    """A new key file; gives the environment that names it."""
    made = run(tmp_path, "seal", "--new-key")
    assert made.returncode == 0 and len(base64.b64decode(made.stdout, validate=False)) == 32
    (tmp_path / "key").write_bytes(made.stdout)
    return {"SLUICE_KEY_FILE": str(tmp_path / "key")}


def sealed(tmp_path, env, secret=SECRET):
    done = run(tmp_path, "seal", text=secret, env=env)
    assert done.returncode == 0, done
    return json.loads(done.stdout)


def config(server, secret, **more):
    return forward(server, quotas={"q": {"key": ["who"], "limits": {"hour": 50}}}, identities={"who": {"from": ["header:X-Key"]}},
                   subject_secret=secret, **more)


def test_a_sealed_secret_is_that_secret(start, upstream, connect, key, tmp_path):
    server = upstream()
    hashes = []
    (tmp_path / "plain").write_bytes(SECRET + b"\n")
    for secret in (sealed(tmp_path, key), sealed(tmp_path, key, SECRET + b"\n"), {"file": "plain"}):
        proxy = start(config(server, secret), env=key)
        connect(proxy).ask(fields=[("X-Key", "v")])
        hashes.append(proxy.requests(1)[0]["subjects"]["who"])
    assert len(hashes[0]) == 22 and hashes == hashes[:1] * 3


def test_two_sealings_differ_and_a_reload_sees_no_change(start, upstream, verb, key, tmp_path):
    one, other = sealed(tmp_path, key), sealed(tmp_path, key)
    assert one != other
    proxy = start(config(upstream(), one, admin={"address": f"unix:{tmp_path}/admin.sock"}), env=key)
    proxy.config["subject_secret"] = other
    proxy.write_config(proxy.config)
    done = verb("reload", "-c", proxy.file)
    assert done.returncode == 0, done
    proxy.config["subject_secret"] = sealed(tmp_path, key, b"another")
    proxy.write_config(proxy.config)
    done = verb("reload", "-c", proxy.file)
    assert done.returncode == 8 and "subject_secret cannot change in a running process" in done.stdout + done.stderr


def check(tmp_path, text, env, *options):
    (tmp_path / "c.json").write_text(json.dumps(config("127.0.0.1:9000", {"sealed": text}, listen=[{"address": "127.0.0.1:18080"}])))
    return run(tmp_path, "check", "-c", tmp_path / "c.json", *options, env=env)


def test_what_is_wrong_is_told(key, tmp_path):
    text = sealed(tmp_path, key)["sealed"]
    assert check(tmp_path, text, key).returncode == 0
    assert SECRET not in check(tmp_path, text, key, "--dump").stdout and text.encode() not in check(tmp_path, text, key, "--dump").stdout
    data = bytearray(base64.b64decode(text))
    data[-1] ^= 1
    (tmp_path / "other").write_bytes(run(tmp_path, "seal", "--new-key").stdout)
    (tmp_path / "broken").write_text("password")
    rows = [
        (base64.b64encode(data).decode(), key, 3, "the sealed secret was changed after it was sealed"),
        (text, {"SLUICE_KEY_FILE": str(tmp_path / "other")}, 3, "sealed with another key"),
        (text[:-4], key, 3, "the sealed secret was changed after it was sealed"),
        ("secret", key, 3, "not what `sluice seal` prints"),
        (text, {}, 5, "SLUICE_KEY_FILE is not set"),
        (text, {"SLUICE_KEY_FILE": "key"}, 5, "must be an absolute path"),
        (text, {"SLUICE_KEY_FILE": str(tmp_path / "none")}, 5, "cannot be read"),
        (text, {"SLUICE_KEY_FILE": str(tmp_path / "broken")}, 5, "holds no key"),
    ]
    for wrong, env, code, words in rows:
        done = check(tmp_path, wrong, env)
        assert done.returncode == code and words in done.stderr.decode(), (words, done)
        assert b"/subject_secret/sealed: " in done.stderr and SECRET not in done.stderr


def test_seal_refuses(key, tmp_path):
    rows = [(b"", key, 2, "a secret of 1 to 4096 bytes"), (b"\n", key, 2, "a secret of 1 to 4096 bytes"),
            (b"x" * 4097, key, 2, "a secret of 1 to 4096 bytes"), (b"x", {}, 5, "absolute path"),
            (b"x", {"SLUICE_KEY_FILE": str(tmp_path / "none")}, 5, "cannot be read")]
    for text, env, code, words in rows:
        done = run(tmp_path, "seal", text=text, env=env)
        assert done.returncode == code and words in done.stderr.decode() and done.stdout == b"", done
    assert run(tmp_path, "seal", text=b"x" * 4096 + b"\n", env=key).returncode == 0
    assert run(tmp_path, "seal", "a-secret", env=key).returncode == 2, "no secret in the list of processes"


def test_any_tool_can_open_it(key, tmp_path):
    """The format is that of the page: nonce, ciphertext and tag of AES-256-GCM behind five bytes."""
    data = base64.b64decode(sealed(tmp_path, key)["sealed"])
    cipher = AESGCM(base64.b64decode((tmp_path / "key").read_bytes()))
    assert cipher.decrypt(data[5:17], data[17:], data[:17]) == SECRET
