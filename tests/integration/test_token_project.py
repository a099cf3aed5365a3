# SPDX-License-Identifier: Apache-2.0
"""The token flow: a 201 with X-Subject-Token tells the project of a token, and all tokens of a project share its quota."""
import copy
import gzip
import json
import os
import signal
import threading
import time

import pytest
from harness import http
from harness.configs import forward
from harness.metrics import scrape
from harness.ports import take_port
from harness.replies import trio_of
from harness.waiting import wait_for, wait_for_room

HOUR = 3600


def instant(seconds, form="%Y-%m-%dT%H:%M:%S.000000Z"):
    return time.strftime(form, time.gmtime(time.time() + seconds))


def token_of(project, life_s=HOUR, **more):
    """The body that Keystone sends with a token."""
    token = {"methods": ["password"], "user": {"domain": {"id": "default", "name": "Default"}, "id": "u1", "name": "admin"},
             "audit_ids": ["ZzZwkUflQfygX7pdYDBCQQ"], "expires_at": instant(life_s), "issued_at": instant(0),
             "project": {"domain": {"id": "default", "name": "Default"}, "id": project, "name": "p-" + project},
             "is_domain": False, "roles": [{"id": "r1", "name": "admin"}],
             "catalog": [{"endpoints": [{"url": "http://a/v3", "id": "e1"}], "type": "identity", "id": "c1"}], **more}
    return {"token": token}


class Issuer:
    """Answers POST /v3/auth/tokens as it is told to, everything else with 200."""

    def __init__(self, upstream):
        self.issued = None
        self.server = upstream(answer=self.answer)

    def answer(self, message):
        if message.method == "POST":
            return self.issued
        return http.response(fields=[("Content-Type", "text/plain")], body=b"here\n")

    def issue(self, token, body, status=201, fields=None, chunks=None, reason="Created"):
        """The next response: with a length, or in chunks of so many bytes."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        fields = [("X-Subject-Token", token), ("Content-Type", "application/json")] if fields is None else fields
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        head = f"HTTP/1.1 {status} {reason}\r\n{lines}"
        if chunks is None:
            self.issued = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
            return
        parts = [body[at:at + chunks] for at in range(0, len(body), chunks)]
        coded = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
        self.issued = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + coded + b"0\r\n\r\n"


def config_of(server, store=None, sources=("token_project",), **more):
    config = forward(server, quotas={"project": {"key": ["who"], "limits": {"hour": 100}, "accuracy": "exact"}}, subject_secret="test",
                     identities={"who": {"from": list(sources), "missing": "shared"}}, **more)
    config["routes"].insert(0, {"name": "tokens", "methods": ["POST"], "path": "/v3/auth/tokens", "upstream": "app", "learns": "token_project"})
    if store is not None:
        config["store"] = {"type": "redis", "servers": [store.address], "fleet_size": 2, "decision_timeout": "250ms"}
    return config


def log_in(client):
    reply = client.ask("POST", "/v3/auth/tokens", [("Content-Type", "application/json")], body=b'{"auth": {}}')
    return reply


def left(client, token):
    """What is left to whoever the token counts as."""
    trio = trio_of(client.ask("GET", "/", [("X-Auth-Token", token)]))
    return trio[1]


def is_stranger(proxy, client, token):
    return proxy.line_of(client.ask("GET", "/", [("X-Auth-Token", token)]))["subjects"]["who"] == "shared"


@pytest.mark.parametrize("store", ["memory", "redis"])
def test_two_tokens_of_a_project_share_one_quota(start, upstream, connect, redis, store):
    issuer = Issuer(upstream)
    proxy = start(config_of(issuer.server, redis if store == "redis" else None))
    client = connect(proxy)
    wait_for_room(HOUR, 10)
    for token, project in (("token-1", "alpha"), ("token-2", "alpha"), ("token-3", "beta")):
        issuer.issue(token, token_of(project))
        reply = log_in(client)
        assert reply.status == 201 and reply["X-Subject-Token"] == token and json.loads(reply.body)["token"]["project"]["id"] == project
    assert [left(client, "token-1"), left(client, "token-2"), left(client, "token-1")] == [99, 98, 97]
    assert left(client, "token-3") == 99
    assert left(client, "token-unknown") == 99, "a stranger is counted as one whose identity is missing"
    lines = proxy.requests(8)
    names = [line["subjects"]["who"] for line in lines[3:]]
    assert len(names[0]) == 22 and names[0] == names[1] == names[2] != names[3] and names[4] == "shared"


def test_a_token_counts_on_every_proxy(start, upstream, connect, redis):
    issuer = Issuer(upstream)
    proxies = [start(config_of(issuer.server, redis)) for _ in range(2)]
    one, other = [connect(proxy) for proxy in proxies]
    wait_for_room(HOUR, 10)
    issuer.issue("issued-by-one", token_of("alpha"))
    log_in(one)
    assert left(one, "issued-by-one") == 99
    wait_for(lambda: redis.client.keys("sluice:t:*"), "the token is in Redis")
    assert left(other, "issued-by-one") == 98
    # One that was asked for before it was issued.
    assert is_stranger(proxies[1], other, "issued-later")
    issuer.issue("issued-later", token_of("alpha"))
    log_in(one)
    began = time.monotonic()
    wait_for(lambda: not is_stranger(proxies[1], other, "issued-later"), "the other proxy finds out")
    assert time.monotonic() - began < 3


def test_what_is_kept_in_redis(start, upstream, connect, redis):
    issuer = Issuer(upstream)
    client = connect(start(config_of(issuer.server, redis)))
    issuer.issue("a-secret-token", token_of("alpha", 100))
    log_in(client)
    keys = wait_for(lambda: redis.client.keys("sluice:t:*"), "the token is in Redis")
    assert len(keys) == 1 and len(keys[0]) == len("sluice:t:{}") + 22
    until, project = redis.client.get(keys[0]).split(b" ")
    assert project == b"alpha" and 95 <= int(until) - time.time() <= 101
    assert 90 <= redis.client.ttl(keys[0]) <= 100
    issuer.issue("a-long-token", token_of("alpha", 365 * 24 * HOUR))
    log_in(client)
    long_key = wait_for(lambda: [key for key in redis.client.keys("sluice:t:*") if key not in keys], "the other one, too")
    assert 604700 <= redis.client.ttl(long_key[0]) <= 604800, "a week at most"


@pytest.mark.parametrize("store", ["memory", "redis"])
def test_a_token_ends(start, upstream, connect, redis, store):
    issuer = Issuer(upstream)
    proxy = start(config_of(issuer.server, redis if store == "redis" else None))
    client = connect(proxy)
    issuer.issue("short", token_of("alpha", 4))
    log_in(client)
    assert not is_stranger(proxy, client, "short")
    wait_for(lambda: is_stranger(proxy, client, "short"), "the token has ended")


def test_tokens_stand_nowhere(start, upstream, connect, redis):
    issuer = Issuer(upstream)
    proxy = start(config_of(issuer.server, redis, log={"level": "debug"}))
    client = connect(proxy)
    secret = "MIIsecretsecretsecret"
    issuer.issue(secret, token_of("alpha"))
    log_in(client)
    left(client, secret)
    proxy.requests(2)
    wait_for(lambda: redis.client.keys("sluice:t:*"), "the token is in Redis")
    for file in (proxy.access_log, proxy.error_log):
        assert secret not in file.read_text() and "alpha" not in file.read_text()
    for name in redis.client.keys("*"):
        assert secret.encode() not in name and (redis.client.type(name) != b"string" or secret.encode() not in redis.client.get(name))


def test_a_learned_token_outlives_the_child(start, upstream, connect):
    issuer = Issuer(upstream)
    proxy = start(config_of(issuer.server))
    client = connect(proxy)
    issuer.issue("kept", token_of("alpha"))
    log_in(client)
    before = left(client, "kept")
    child = proxy.child
    os.kill(child, signal.SIGKILL)
    wait_for(lambda: proxy.child not in (None, child), "another child")
    proxy.wait_until_serving()
    assert left(connect(proxy), "kept") == before - 1


BODY = json.dumps(token_of("alpha")).encode()
COMPRESSED = gzip.compress(BODY)
TOKEN, JSON = ("X-Subject-Token", "T"), ("Content-Type", "application/json")


def padded(size):
    body = copy.deepcopy(token_of("alpha"))
    body["token"]["x"] = ""
    body["token"]["x"] = "x" * (size - len(json.dumps(body)))
    return json.dumps(body).encode()


def without(name):
    body = token_of("alpha")
    del body["token"][name]
    return body


def project(value):
    body = token_of("alpha")
    body["token"]["project"] = value
    return body


# name, body, what else is different, what is counted
RESPONSES = [
    ("as Keystone", BODY, {}, "learned"),
    ("in chunks of one byte", BODY, {"chunks": 1}, "learned"),
    ("in chunks", BODY, {"chunks": 100}, "learned"),
    ("names in any case", BODY, {"fields": [("x-subject-token", "T"), ("content-type", "APPLICATION/JSON ; charset=utf-8")]}, "learned"),
    ("identity coding", BODY, {"fields": [TOKEN, JSON, ("Content-Encoding", "identity")]}, "learned"),
    ("64 KiB", padded(65536), {}, "learned"),
    ("64 KiB in chunks", padded(65536), {"chunks": 5000}, "learned"),
    ("offset", token_of("alpha", expires_at=instant(HOUR, "%Y-%m-%dT%H:%M:%S+00:00")), {}, "learned"),
    ("more than 64 KiB", padded(65537), {}, "unreadable"),
    ("more than 64 KiB in chunks", padded(65537), {"chunks": 5000}, "unreadable"),
    ("a million bytes", padded(1000000), {}, "unreadable"),
    ("compressed", COMPRESSED, {"fields": [TOKEN, JSON, ("Content-Encoding", "gzip")]}, "unreadable"),
    ("compressed, not said", COMPRESSED, {}, "unreadable"),
    ("coded twice", BODY, {"fields": [TOKEN, JSON, ("Content-Encoding", "identity"), ("Content-Encoding", "gzip")]}, "unreadable"),
    ("two tokens", BODY, {"fields": [TOKEN, ("X-Subject-Token", "U"), JSON]}, "unreadable"),
    ("an empty token", BODY, {"fields": [("X-Subject-Token", ""), JSON]}, "unreadable"),
    ("no type", BODY, {"fields": [TOKEN]}, "unreadable"),
    ("another type", BODY, {"fields": [TOKEN, ("Content-Type", "application/json-seq")]}, "unreadable"),
    ("two types", BODY, {"fields": [TOKEN, JSON, JSON]}, "unreadable"),
    ("cut", BODY[:-1], {}, "unreadable"),
    ("more behind it", BODY + b"{}", {}, "unreadable"),
    ("a name twice", b'{"token": {}, ' + BODY[1:], {}, "unreadable"),
    ("a NUL", BODY.replace(b'"alpha"', b'"al\\u0000pha"'), {}, "unreadable"),
    ("a project with a line's end", project({"id": "a\r\nb"}), {}, "unreadable"),
    ("a long project", project({"id": "a" * 65}), {}, "unreadable"),
    ("a project that is a number", project({"id": 7}), {}, "unreadable"),
    ("no end", without("expires_at"), {}, "unreadable"),
    ("over already", token_of("alpha", -5), {}, "unreadable"),
    ("no time", token_of("alpha", expires_at="tomorrow"), {}, "unreadable"),
    ("a deep body", b'{"token":' * 3000 + b"1" + b"}" * 3000, {}, "unreadable"),
    ("unscoped", without("project"), {}, "no_project"),
    ("of a domain", {"token": {**without("project")["token"], "domain": {"id": "default"}}}, {}, "no_project"),
    ("not 201", BODY, {"status": 200, "reason": "OK"}, None),
    ("no token", BODY, {"fields": [JSON]}, None),
]


@pytest.mark.parametrize("body, how, result", [row[1:] for row in RESPONSES], ids=[row[0] for row in RESPONSES])
def test_which_responses_are_believed(start, upstream, connect, body, how, result):
    port = take_port()
    issuer = Issuer(upstream)
    proxy = start(config_of(issuer.server, admin={"metrics": f"127.0.0.1:{port}"}))
    client = connect(proxy)
    issuer.issue("T", body, **how)
    reply = log_in(client)
    assert reply.body == (body if isinstance(body, bytes) else json.dumps(body).encode()), "what the client gets is the server's own"
    numbers = {name: value for name, value in scrape(port).items() if name.startswith("sluice_tokens_total") and value}
    assert numbers == ({} if result is None else {f'sluice_tokens_total{{result="{result}"}}': 1})
    assert is_stranger(proxy, client, "T") == (result != "learned")


def test_a_body_cut_at_every_byte(start, upstream, connect):
    port = take_port()
    issuer = Issuer(upstream)
    body = json.dumps({"token": {"expires_at": instant(HOUR), "project": {"id": "alpha"}}}).encode()

    def serve(link):
        for cut in range(len(body)):
            if link.read_request() is None:
                return
            link.send(f"HTTP/1.1 201 Created\r\nX-Subject-Token: T{cut}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body[:cut])
            arrived[cut].wait(20)
            link.send(body[cut:])

    arrived = [threading.Event() for _ in range(len(body))]
    issuer.server.serve = serve
    proxy = start(config_of(issuer.server, admin={"metrics": f"127.0.0.1:{port}"}))
    client = connect(proxy)
    for cut in range(len(body)):
        client.send(b"POST /v3/auth/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        head = client.reader.response_head()
        assert head.status == 201
        assert client.reader.take(cut) == body[:cut], "what is there is passed on at once"
        arrived[cut].set()
        assert client.reader.take(len(body) - cut) == body[cut:]
    assert scrape(port)['sluice_tokens_total{result="learned"}'] == len(body)


def test_a_response_that_breaks_off_teaches_nothing(start, upstream, connect):
    issuer = Issuer(upstream)

    def serve(link):
        message = link.read_request()
        if message.method != "POST":
            link.send(http.response(body=b"x"))
            return
        link.send(b"HTTP/1.1 201 Created\r\nX-Subject-Token: T\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n" + BODY)

    issuer.server.serve = serve
    proxy = start(config_of(issuer.server))
    client = connect(proxy)
    client.send(b"POST /v3/auth/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    client.expect_gone()
    assert is_stranger(proxy, connect(proxy), "T")


def test_only_routes_that_say_so_learn(start, upstream, connect):
    issuer = Issuer(upstream)
    config = config_of(issuer.server)
    config["routes"][0]["path"] = "/v3/other"
    proxy = start(config)
    client = connect(proxy)
    issuer.issue("T", BODY)
    log_in(client)
    assert is_stranger(proxy, client, "T")


def test_alternatives_and_two_tokens_in_a_request(start, upstream, connect):
    issuer = Issuer(upstream)
    config = config_of(issuer.server, sources=("token_project", "header:X-Auth-Token"))
    proxy = start(config)
    client = connect(proxy)
    issuer.issue("T", BODY)
    log_in(client)
    issuer.issue("T2", BODY)
    log_in(client)
    wait_for_room(HOUR, 5)
    assert [left(client, token) for token in ("T", "T2", "stranger", "stranger", "another")] == [99, 98, 99, 98, 99]
    reply = client.ask("GET", "/", [("X-Auth-Token", "T"), ("X-Auth-Token", "T2")])
    assert reply.status == 400


def test_a_learned_token_while_redis_is_away(start, upstream, connect, redis):
    """What is learned meanwhile counts here at once, and everywhere once Redis is back."""
    issuer = Issuer(upstream)
    proxies = [start(config_of(issuer.server, redis)) for _ in range(2)]
    one, other = [connect(proxy) for proxy in proxies]
    assert is_stranger(proxies[0], one, "x") and is_stranger(proxies[1], other, "x")
    redis.kill()
    wait_for(lambda: proxies[0].events("store_lost"), "the loss is noticed")
    issuer.issue("T", BODY)
    log_in(one)
    assert not is_stranger(proxies[0], one, "T")
    assert is_stranger(proxies[1], other, "T")
    redis.start()
    wait_for(lambda: not is_stranger(proxies[0], one, "T") and redis.client.keys("sluice:t:*"), "the fleet is told")
    wait_for(lambda: not is_stranger(proxies[1], other, "T"), "the other proxy knows")


def test_a_flood_of_made_up_tokens_drives_nothing_out(start, upstream, connect, redis):
    issuer = Issuer(upstream)
    proxy = start(config_of(issuer.server, redis))
    client = connect(proxy)
    issuer.issue("T", BODY)
    log_in(client)
    for n in range(5000):
        client.ask("GET", "/", [("X-Auth-Token", f"made-up-{n}")])
    assert redis.client.dbsize() < 10, "nothing that a client makes up is kept in Redis"
    redis.pause()
    try:
        assert not is_stranger(proxy, connect(proxy), "T")
    finally:
        redis.resume()


def test_values_that_are_not_ours(start, upstream, connect, redis):
    issuer = Issuer(upstream)
    proxy = start(config_of(issuer.server, redis))
    client = connect(proxy)
    issuer.issue("T", BODY)
    log_in(client)
    name = wait_for(lambda: redis.client.keys("sluice:t:*"), "the token is in Redis")[0]
    later = int(time.time()) + HOUR
    for value in (b"", b"alpha", b"x alpha", b"12", b"99999999999999999999999 alpha", b"1 alpha", f"{later} ".encode(), f"{later} {'a' * 65}".encode(), b"\0" * 70000):
        redis.client.set(name, value)
        fresh = start(config_of(issuer.server, redis))
        assert is_stranger(fresh, connect(fresh), "T"), value
        fresh.stop()


def check(verb, tmp_path, change):
    config = {**config_of("127.0.0.1:9000"), "listen": [{"address": "127.0.0.1:18080"}]}
    change(config)
    (tmp_path / "c.json").write_text(json.dumps(config))
    return verb("check", "-c", tmp_path / "c.json")


def test_what_check_says(verb, tmp_path):
    done = check(verb, tmp_path, lambda c: None)
    assert done.returncode == 0 and "made up" not in done.stderr and "make up" not in done.stderr, done.stderr
    done = check(verb, tmp_path, lambda c: c["routes"][0].update(learns="tokens"))
    assert done.returncode == 3 and '/routes/0/learns: "tokens": only "token_project" can be learned' in done.stderr, done.stderr
    done = check(verb, tmp_path, lambda c: c["routes"][0].pop("learns"))
    assert done.returncode == 0 and "no route learns tokens" in done.stderr
    done = check(verb, tmp_path, lambda c: c["identities"]["who"].update({"from": ["bearer"]}))
    assert done.returncode == 0 and '/routes/0/learns: no quota counts by "token_project"' in done.stderr
    done = check(verb, tmp_path, lambda c: (c["routes"][0].pop("upstream"), c["routes"][0].update(respond={"status": 200})))
    assert done.returncode == 3 and '"learns" and "respond" cannot stand together' in done.stderr


def test_explain_and_hash(start, upstream, connect, verb):
    issuer = Issuer(upstream)
    proxy = start(config_of(issuer.server))
    client = connect(proxy)
    issuer.issue("T", BODY)
    log_in(client)
    shown = proxy.line_of(client.ask("GET", "/", [("X-Auth-Token", "T")]))["subjects"]["who"]
    assert verb("hash", "who", "alpha", "-c", proxy.file).stdout.strip() == shown, "an operator can name a project in members and exempt"
    text = verb("explain", "GET", "http://a/", "-H", "X-Auth-Token: T", "-c", proxy.file).stdout
    assert "who: token_project is looked up in the store; here it is missing" in text
    told = json.loads(verb("explain", "--json", "GET", "http://a/", "-c", proxy.file).stdout)
    assert told["subjects"][0]["token_project"] == "looked up in the store"
