# SPDX-License-Identifier: Apache-2.0
"""A broken configuration stops the start with everything that is wrong, where it is, and what was meant."""
import json
import pathlib
import re

import pytest
from harness.configs import forward, respond

CONF = pathlib.Path(__file__).resolve().parents[2] / "conf"

GOOD = """{
  // a comment, and a trailing comma below
  "listen": [{ "address": "127.0.0.1:18080" }],
  "upstreams": { "app": { "servers": ["127.0.0.1:9000"] } },
  /* a block
     comment */
  "quotas": { "ip": { "key": ["ip"], "limits": { "minute": 100 } } },
  "routes": [
    { "prefix": "/", "quotas": ["ip"], "upstream": "app" },
  ],
}
"""

MESSAGE = re.compile(r"^(?P<file>[^:\n]+):(?P<line>\d+):(?P<column>\d+): error: (?P<pointer>/[^:\n]*): (?P<text>.*)$", re.MULTILINE)

# what to replace, by what, the line it stands on, the pointer, words of the message
BROKEN = [
    ('"limits": { "minute": 100 }', '"limits": { "minutes": 100 }', 7, "/quotas/ip/limits/minutes", ["minutes", 'did you mean "minute"']),
    ('"limits": { "minute": 100 }', '"limits": { "minute": "100" }', 7, "/quotas/ip/limits/minute", []),
    ('"limits": { "minute": 100 }', '"limits": { "minute": -1 }', 7, "/quotas/ip/limits/minute", []),
    ('"limits": { "minute": 100 }', '"limits": { "minute": 2147483648 }', 7, "/quotas/ip/limits/minute", []),
    ('"limits": { "minute": 100 }', '"limits": { "minute": 1.5 }', 7, "/quotas/ip/limits/minute", []),
    ('"limits": { "minute": 100 }', '"limits": {}', 7, "/quotas/ip/limits", []),
    ('"limits": { "minute": 100 }', '"limits": { "minute": 1, "hour": 2, "minute": 3 }', 7, "/quotas/ip/limits/minute", ["twice"]),
    ('"limits": { "minute": 100 }', '"limit": { "minute": 100 }', 7, "/quotas/ip/limit", ['did you mean "limits"']),
    ('"key": ["ip"]', '"key": ["ipp"]', 7, "/quotas/ip/key/0", ["ipp", 'did you mean "ip"']),
    ('"key": ["ip"]', '"key": []', 7, "/quotas/ip/key", []),
    ('"key": ["ip"], ', '', 7, "/quotas/ip", ["key"]),
    ('"quotas": ["ip"]', '"quotas": ["ap"]', 9, "/routes/0/quotas/0", ["ap", 'did you mean "ip"']),
    ('"upstream": "app"', '"upstream": "ap"', 9, "/routes/0/upstream", ["ap", 'did you mean "app"']),
    ('"upstream": "app"', '"upstrem": "app"', 9, "/routes/0/upstrem", ['did you mean "upstream"']),
    (', "upstream": "app"', '', 9, "/routes/0", ["upstream", "respond"]),
    ('"upstream": "app"', '"upstream": "app", "upgrade": ["websocket", "h2c"]', 9, "/routes/0/upgrade/1", ["h2c", "upgrade to HTTP"]),
    ('"upstream": "app"', '"respond": {}, "upgrade": ["websocket"]', 9, "/routes/0/upgrade", ["respond", "cannot stand together"]),
    ('"upstream": "app"', '"upstream": "app", "buffer_request": "2GiB"', 9, "/routes/0/buffer_request", ["1GiB"]),
    ('"upstream": "app"', '"respond": {}, "buffer_request": "1MiB"', 9, "/routes/0/buffer_request", ["respond", "cannot stand together"]),
    ('"servers": ["127.0.0.1:9000"]', '"servers": ["127.0.0.1:9000"], "proxy_protocol": true', 4, "/upstreams/app/proxy_protocol", ["v1", "v2"]),
    ('"servers": ["127.0.0.1:9000"]', '"servers": ["127.0.0.1:9000"], "proxy_protocol": "v3"', 4, "/upstreams/app/proxy_protocol", ['did you mean "v']),
    ('"routes": [', '"limits": { "body_memory": "1KiB" }, "routes": [', 8, "/limits/body_memory", []),
    ('"prefix": "/"', '"prefix": "x"', 9, "/routes/0/prefix", []),
    ('"prefix": "/"', '"path": "/a/{b}{c}"', 9, "/routes/0/path", []),
    ('"prefix": "/"', '"prefix": "/", "path": "/a"', 9, "/routes/0/path", ["prefix"]),
    ('"127.0.0.1:18080"', '"127.0.0.1"', 3, "/listen/0/address", []),
    ('"127.0.0.1:18080"', '"127.0.0.1:99999"', 3, "/listen/0/address", []),
    ('"127.0.0.1:18080"', '8080', 3, "/listen/0/address", []),
    ('"servers": ["127.0.0.1:9000"]', '"servers": []', 4, "/upstreams/app/servers", []),
    ('"listen"', '"lisen"', 3, "/lisen", ['did you mean "listen"']),
    ('"routes": [', '"limits": { "body": "12 apples" }, "routes": [', 8, "/limits/body", []),
    ('"routes": [', '"limits": { "keepalive": "5 parsecs" }, "routes": [', 8, "/limits/keepalive", []),
    ('"routes": [', '"trusted_proxies": ["10.0.0.0/33"], "routes": [', 8, "/trusted_proxies/0", []),
    ('"routes": [', '"store": { "type": "redis" }, "routes": [', 8, "/store", ["servers"]),
    ('"routes": [', '"store": { "type": "etcd" }, "routes": [', 8, "/store/type", []),
    ('"routes": [', '"subject_secret": { "env": "SURELY_NOT_SET" }, "routes": [', 8, "/subject_secret/env", ["SURELY_NOT_SET"]),
    ('"routes": [', '"subject_secret": { "file": "no-such-file" }, "routes": [', 8, "/subject_secret/file", ["no-such-file"]),
    ('"routes": [', '"workers": 0, "routes": [', 8, "/workers", []),
    ('"key": ["ip"]', '"key": ["ip"], "accuracy": "exakt"', 7, "/quotas/ip/accuracy", ['did you mean "exact"']),
    ('"key": ["ip"]', '"key": ["ip"], "algorithm": "gcra"', 7, "/quotas/ip/algorithm", ["token_bucket"]),
    ('"key": ["ip"]', '"key": ["ip"], "burst": 5', 7, "/quotas/ip/burst", ["token_bucket"]),
    ('"key": ["ip"]', '"key": ["ip"], "algorithm": "token_bucket", "burst": 0', 7, "/quotas/ip/burst", []),
    ('"key": ["ip"]', '"key": ["ip"], "mode": "shade"', 7, "/quotas/ip/mode", ['did you mean "shadow"']),
    ('"key": ["ip"]', '"key": ["ip"], "charge": { "on": ["2xx", "6xx"] }', 7, "/quotas/ip/charge/on/1", ["2xx", "404"]),
    ('"key": ["ip"]', '"key": ["ip"], "charge": { "on": ["404", "404"] }', 7, "/quotas/ip/charge/on/1", ["twice"]),
    ('"key": ["ip"]', '"key": ["ip"], "charge": { "on": [] }', 7, "/quotas/ip/charge/on", []),
    ('"key": ["ip"]', '"key": ["ip"], "exempt": { "addresses": ["10.0.0.0/33"] }', 7, "/quotas/ip/exempt/addresses/0", []),
    ('"key": ["ip"]', '"key": ["ip"], "exempt": { "subjects": ["hash:abc"] }', 7, "/quotas/ip/exempt/subjects/0", ["22"]),
    ('"routes": [', '"errors": { "default": "ivaa" }, "routes": [', 8, "/errors/default", ["ivaa", 'did you mean "iva"']),
    ('"routes": [', '"errors": { "dialects": { "a": { "template": ["${cod}"] } } }, "routes": [', 8, "/errors/dialects/a/template/0",
     ["${cod}", 'did you mean "code"']),
    ('"routes": [', '"headers": { "retry_after_jitter": "ten" }, "routes": [', 8, "/headers/retry_after_jitter", ["10%"]),
    ('"upstream": "app"', '"upstream": "app", "errors": "problm"', 9, "/routes/0/errors", ["problm", 'did you mean "problem"']),
    ('"routes": [', '"tiers": [], "routes": [', 8, "/tiers", ["expected an object"]),
]


def check(verb, tmp_path, text, *options):
    file = tmp_path / "c.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return verb("check", "-c", file, *options)


def test_good_file_passes_quietly(verb, tmp_path):
    done = check(verb, tmp_path, GOOD)
    assert done.returncode == 0, done


@pytest.mark.parametrize("old, new, line, pointer, words", BROKEN, ids=[f"{row[3]} {row[1][:40]}" for row in BROKEN])
def test_broken_file(verb, tmp_path, old, new, line, pointer, words):
    assert old in GOOD
    text = GOOD.replace(old, new)
    done = check(verb, tmp_path, text)
    # A secret that cannot be had is not a fault of the file.
    assert done.returncode == (5 if "secret" in pointer else 3), done
    message = done.stdout + done.stderr
    found = [m for m in MESSAGE.finditer(message) if m["pointer"] == pointer and int(m["line"]) == line]
    assert found, message
    for word in words:
        assert any(word in m["text"] for m in found), message
    source = text.splitlines()[line - 1]
    assert source.strip() in message, "the line itself is shown"
    assert re.search(r"\^~*$", message, re.MULTILINE), "a caret points at it"
    column = int(found[0]["column"])
    assert 1 <= column <= len(source) and not source[column - 1].isspace()


def test_every_error_in_one_run(verb, tmp_path):
    text = GOOD
    for old, new in (('"minute": 100', '"minutes": 100'), ('"upstream": "app"', '"upstream": "ap"'), ('"listen"', '"lisen"')):
        text = text.replace(old, new)
    done = check(verb, tmp_path, text)
    pointers = {m["pointer"] for m in MESSAGE.finditer(done.stdout + done.stderr)}
    assert {"/quotas/ip/limits/minutes", "/lisen"} <= pointers and done.returncode == 3
    assert re.search(r"^\d+ errors", done.stdout + done.stderr, re.MULTILINE)


SYNTAX = [
    b"", b"   ", b"{", b"[]", b"null", b'"text"', b"{} {}", GOOD[:-30].encode(), GOOD.encode() + b"x", b'{"a": tru}', b'{"a": 01}',
    b'{"a": "\xff\xfe"}', b'{"a": "\\ud800"}', b'{"a": "x\ny"}', b'{"a": "\\q"}', b"{'a': 1}", b'{"a": 1 "b": 2}', b"\x00", b'{"a": /* never ends',
    b'{"a":' * 3000 + b"1" + b"}" * 3000, b"[" * 100000, b'{"listen": [' + b'{"address": "127.0.0.1:1"},' * 5000 + b"]}",
    GOOD.encode("utf-16"), b"\xef\xbb\xbf" + b"{",
]


@pytest.mark.parametrize("data", SYNTAX, ids=[repr(d[:24]) for d in SYNTAX])
def test_syntax_errors_have_a_position(verb, tmp_path, data):
    done = check(verb, tmp_path, data)
    assert done.returncode == 3, done
    assert re.search(r"^[^:\n]+:\d+:\d+: error: ", done.stdout + done.stderr, re.MULTILINE), done


def test_every_prefix_of_a_good_file_is_refused_not_fatal(verb, tmp_path):
    for end in range(0, len(GOOD) - 2, 17):
        done = check(verb, tmp_path, GOOD[:end])
        assert done.returncode == 3, (GOOD[:end], done)


def test_run_refuses_what_check_refuses(verb, tmp_path):
    file = tmp_path / "c.json"
    file.write_text(GOOD.replace("minute", "minutes"))
    done = verb("run", "-c", file)
    assert done.returncode == 3 and "/quotas/ip/limits/minutes" in done.stderr


def test_missing_file(verb, tmp_path):
    for word in ("check", "run"):
        done = verb(word, "-c", tmp_path / "absent.json")
        assert done.returncode == 3 and "absent.json" in done.stderr


def test_warnings_do_not_stop(verb, tmp_path):
    text = GOOD.replace('"upstream": "app" },', '"upstream": "app" },\n    { "name": "late", "prefix": "/v1/", "upstream": "app" },')
    done = check(verb, tmp_path, text)
    assert done.returncode == 0
    message = done.stdout + done.stderr
    assert "warning" in message and "can never match" in message and "late" in message


LIMITS = [
    # limits of one quota, the limit that says nothing, why; None: each may bind
    ({"minute": 100, "hour": 50}, "minute", "100 per minute can never bind: 50 per hour is reached first"),
    ({"minute": 50, "hour": 50}, "minute", "50 per minute can never bind: 50 per hour is reached first"),
    ({"hour": 50, "minute": 100}, "minute", "100 per minute can never bind"),
    ({"minute": 60, "hour": 3601}, "hour", "3601 per hour can never bind: 60 per minute let at most 3600 through"),
    ({"minute": 60, "hour": 3600}, None, None),
    ({"minute": 60, "hour": 3599}, None, None),
    ({"second": 1, "day": 100000}, "day", "100000 per day can never bind: 1 per second let at most 86400 through"),
    ({"minute": 60, "day": 5000}, None, None),
    ({"40 seconds": 10, "minute": 31}, "minute", "31 per minute can never bind: 10 per 40 second let at most 30 through"),
    ({"40 seconds": 10, "minute": 30}, None, None),
    ({"minute": 2147483647, "day": 2147483647}, "minute", "is reached first"),
    ({"minute": 0, "hour": 5}, None, None),
    ({"minute": 5, "hour": 0}, None, None),
    ({"minute": 5}, None, None),
]


@pytest.mark.parametrize("limits, where, words", LIMITS, ids=[json.dumps(row[0]) for row in LIMITS])
@pytest.mark.parametrize("is_tier", [False, True], ids=["quota", "tier"])
def test_a_limit_that_can_never_bind(verb, tmp_path, limits, where, words, is_tier):
    config = forward("127.0.0.1:9000", listen=[{"address": "127.0.0.1:18080"}], quotas={"q": {"key": ["ip"], "limits": limits}})
    if is_tier:
        config["tiers"] = {"t": limits}
        config["quotas"]["q"].update(limits="tier", default_tier="t")
    done = check(verb, tmp_path, json.dumps(config))
    assert done.returncode == 0
    found = re.findall(r"warning: (/\S+): (.* can never bind.*)$", done.stderr, re.MULTILINE)
    assert [pointer for pointer, _ in found] == ([] if where is None else [f"/tiers/t/{where}" if is_tier else f"/quotas/q/limits/{where}"])
    assert where is None or words in found[0][1]


@pytest.mark.parametrize("identity, more, is_told", [
    ({"from": ["header:X-Key"], "missing": "skip"}, [], True),
    ({"from": ["header:X-Key"], "missing": "ip"}, [], False),
    ({"from": ["header:X-Key"], "missing": "refuse"}, [], False),
    ({"from": ["header:X-Key"], "missing": "shared"}, [], False),
    ({"from": ["header:X-Key", "ip"], "missing": "skip"}, [], False),
    ({"from": ["header:X-Key"], "missing": "skip"}, ["ip"], False),
    ({"from": ["header:X-Key"], "missing": "skip"}, ["route"], False),
], ids=str)
def test_a_way_past_all_quotas(verb, tmp_path, identity, more, is_told):
    quotas = {"q": {"key": ["who"], "limits": {"hour": 5}}, **{name: {"key": [name], "limits": {"hour": 5}} for name in more}}
    config = forward("127.0.0.1:9000", listen=[{"address": "127.0.0.1:18080"}], quotas=quotas, identities={"who": identity})
    done = check(verb, tmp_path, json.dumps(config))
    words = '/routes/0/quotas: a request without identity "who" is counted by no quota of this route'
    assert done.returncode == 0 and (words in done.stderr) == is_told, done.stderr


def test_plain_secret_is_warned_about(verb, tmp_path):
    done = check(verb, tmp_path, GOOD.replace('"routes"', '"subject_secret": "in the open", "routes"'))
    message = done.stdout + done.stderr
    assert done.returncode == 0 and "warning" in message and "/subject_secret" in message
    assert "in the open" not in message, "the line that is shown hides the secret"


def test_json_report(verb, tmp_path):
    done = check(verb, tmp_path, GOOD.replace("minute", "minutes"), "--json")
    assert done.returncode == 3
    report = json.loads(done.stdout)
    assert "/quotas/ip/limits/minutes" in json.dumps(report)


@pytest.mark.parametrize("store, key, other", [
    ({"username": "proxy"}, "username", "password"),
    ({"topology": "sentinel", "master": "m", "password": {"env": "SECRET"}, "sentinel_username": "u"}, "sentinel_username", "sentinel_password")])
def test_a_user_without_a_password_is_nobody(verb, tmp_path, store, key, other):
    """Nobody would log in as it: the default user would do what this one may not."""
    file = tmp_path / "c.json"
    store = {"type": "redis", "servers": ["127.0.0.1:6379"], **store}
    file.write_text(GOOD.replace('"routes"', f'"store": {json.dumps(store)}, "routes"'))
    done = verb("check", "-c", file, env={"SECRET": "x"})
    assert done.returncode == 3
    assert f'error: /store/{key}: "{other}" is missing: without it nobody logs in as this user' in done.stderr


def test_dump_is_the_effective_configuration(verb, tmp_path):
    text = GOOD.replace('"routes"', '"subject_secret": { "env": "SECRET" }, "routes"')
    file = tmp_path / "c.json"
    file.write_text(text)
    done = verb("check", "-c", file, "--dump", env={"SECRET": "hush-hush"})
    assert done.returncode == 0, done
    dump = json.loads(done.stdout)
    assert dump["limits"]["header_timeout"] == "10s" and dump["limits"]["body"] == "unlimited"
    assert dump["upstreams"]["app"]["timeouts"] == {"connect": "1s", "first_byte": "30s", "read_idle": "60s", "pool_idle": "4s", "tunnel_idle": "1h"}
    assert dump["store"]["type"] == "memory"
    assert dump["quotas"]["ip"]["limits"] == {"minute": 100}
    assert "hush-hush" not in done.stdout + done.stderr


def test_dump_hides_what_header_rules_say(verb, tmp_path):
    """Credentials for servers stand there, and a dump is what somebody shows to others."""
    rules = {"request_headers": {"set": {"Authorization": "Bearer hush-hush"}, "remove": ["X-Debug"]}}
    done = check(verb, tmp_path, json.dumps(forward("127.0.0.1:9", route=rules, listen=[{"address": "127.0.0.1:1"}])), "--dump")
    assert done.returncode == 0 and "hush-hush" not in done.stdout + done.stderr, done
    assert json.loads(done.stdout)["routes"][0]["request_headers"] == {"set": {"Authorization": "***"}, "remove": ["X-Debug"]}


def test_dump_is_itself_a_configuration(verb, tmp_path):
    first = check(verb, tmp_path, GOOD, "--dump")
    second = check(verb, tmp_path, first.stdout, "--dump")
    assert second.returncode == 0, second
    assert json.loads(first.stdout) == json.loads(second.stdout)


def test_schema_agrees_with_check(verb, tmp_path):
    """What the loader accepts the schema accepts; structural errors are refused by both."""
    jsonschema = pytest.importorskip("jsonschema")
    done = verb("schema")
    assert done.returncode == 0
    schema = json.loads(done.stdout)
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    judge = validator(schema)
    plain = re.sub(r"//[^\n\"]*$|/\*.*?\*/", "", GOOD, flags=re.DOTALL | re.MULTILINE)
    good = json.loads(re.sub(r",(\s*[\]}])", r"\1", plain))
    assert not list(judge.iter_errors(good))
    errors = {"default": "a", "accept": True, "dialects": {"a": {"like": "iva", "prefix": "OCR", "request_id": False},
                                                           "b": {"template": {"x": ["${code}", 1]}, "content_type": "text/x"}}}
    dialects = {"dialects": ["ietf", "github"], "retry_after_jitter": "10%"}
    for config in (forward("127.0.0.1:1", listen=[{"address": "127.0.0.1:1"}]),
                   respond(listen=[{"address": "127.0.0.1:1"}], errors=errors, headers=dialects),
                   respond(listen=[{"address": "unix:/tmp/x"}])):
        assert not list(judge.iter_errors(config)), config
    structural = [
        {**good, "lisen": []}, {**good, "listen": []}, {**good, "routes": "x"}, {**good, "workers": "many"}, {"listen": good["listen"]},
        {**good, "quotas": {"ip": {"key": ["ip"], "limits": {"minutes": 1}}}}, {**good, "quotas": {"ip": {"limits": {"minute": 1}}}},
        {**good, "errors": {"dialects": {"a": {"like": "ive"}}}}, {**good, "errors": {"dialects": {"a": {"prefix": "X"}}}},
        {**good, "headers": {"dialects": ["itef"]}}, {**good, "headers": {"retry_after_jitter": "ten"}},
        {**good, "routes": [{"prefix": "/", "upstrem": "app"}]}, {**good, "upstreams": {"app": {"servers": [1]}}},
    ]
    for config in structural:
        assert list(judge.iter_errors(config)), config
        assert check(verb, tmp_path, json.dumps(config)).returncode == 3, config


@pytest.mark.parametrize("path", sorted(CONF.glob("*.json")), ids=lambda p: p.name)
def test_shipped_configurations_are_good(verb, path):
    done = verb("check", "-c", path)
    assert done.returncode == 0, done


def test_check_opens_no_socket(verb, start):
    """With the very port in use, check still says yes: it never binds."""
    proxy = start(respond())
    done = verb("check", "-c", proxy.file)
    assert done.returncode == 0, done


# -- the command line

def test_verbs_and_their_help(verb):
    done = verb("version")
    assert done.returncode == 0 and re.match(r"sluice \d+\.\d+\.\d+", done.stdout)
    for words in (["--help"], ["help"], ["run", "--help"], ["check", "--help"], ["status", "--help"], ["reload", "--help"]):
        done = verb(*words)
        assert done.returncode == 0 and "--help" in done.stdout, (words, done)


@pytest.mark.parametrize("words, hint", [(["chek"], "check"), (["check", "--dmp"], "--dump"), (["run", "--nonsense"], "nonsense"), ([], "usage"),
                                         (["run", "-c"], "-c"), (["version", "extra"], "extra")])
def test_wrong_usage_is_exit_2_with_a_hint(verb, words, hint):
    done = verb(*words)
    assert done.returncode == 2, done
    assert hint in (done.stdout + done.stderr).lower() or hint == "-c", done


def test_status_and_reload_without_an_instance(verb, tmp_path):
    for word in ("status", "reload"):
        done = verb(word, "-s", tmp_path / "nobody.sock")
        assert done.returncode == 6, done
        assert "nobody.sock" in done.stderr
