# SPDX-License-Identifier: Apache-2.0
"""A caller that a quota has refused and that asks again, in the same words or in others: it is told and logged what it was told the
first time, what it asks for is judged as ever, and it is nobody else."""
import collections
import re
import threading

import pytest
from harness import http
from harness.configs import forward
from harness.replies import trio_of
from harness.waiting import wait_for_next_window, wait_for_room

both_stores = pytest.mark.usefixtures("each_store")
IDENTITIES = {"user": {"from": ["header:X-User"]}, "site": {"from": ["host"]}, "asked": {"from": ["query:who"]},
              "machine": {"from": ["ip"]}, "session": {"from": ["cookie:sid"]}}
FIELDS = [("X-User", "alice"), ("Cookie", "a=b; sid=%41bc"), ("Accept", "application/xml;q=0.1, */*")]
CHANGING = {"seq", "ts", "id", "retry_after"}
MORE = 8  # repetitions: known from the third refusal on, as long as the second lasts


def config_of(server, key, windows=None, **more):
    return forward(server, quotas={"q": {"key": key, "limits": windows or {"day": 1}}}, identities=IDENTITIES, subject_secret="test", **more)


def without_ids(reply):
    """All that is said but the request's id, the date and the seconds to wait."""
    body = re.sub(rb"[0-9a-f]{32}", b"-", reply.body)
    return reply.status, [(name, value) for name, value in reply.fields if name.lower() not in ("x-request-id", "date", "retry-after")], body


def without_times(line):
    for quota in line["quotas"]:
        quota.pop("reset_s", None)
    return {name: value for name, value in line.items() if name not in CHANGING and not name.startswith("t_")}


@both_stores
@pytest.mark.parametrize("key", [["user"], ["site"], ["asked"], ["machine"], ["session"], ["machine", "user"]])
def test_it_is_told_and_logged_the_same(start, upstream, connect, key):
    proxy = start(config_of(upstream(), key))
    client = connect(proxy)
    wait_for_room(86400, 10)
    asks = {"target": "/a/b?who=me&token=secret", "fields": FIELDS}
    assert client.ask(**asks).status == 200
    replies = [client.ask(**asks) for _ in range(MORE)]
    assert all(reply.status == 429 for reply in replies)
    assert [without_ids(reply) for reply in replies] == [without_ids(replies[0])] * MORE
    assert len({reply["X-request-id"] for reply in replies}) == MORE
    lines = proxy.requests(1 + MORE)[1:]
    # the first refusal is Redis's, the others are of what was learned from it
    assert [without_times(line) for line in lines[1:]] == [without_times(lines[1])] * (MORE - 1)
    for reply, line in zip(replies, lines):
        assert int(reply["Retry-After"]) == line["retry_after"]
        assert reply["X-request-id"].startswith(line["id"]) and line["path"] == "/a/b" and "secret" not in str(line)


@both_stores
def test_it_goes_to_the_server_whole_when_there_is_room_again(start, upstream, connect):
    server = upstream()
    client = connect(start(config_of(server, ["user"], {"2 seconds": 2}, limits={"requests_per_connection": 1000000})))
    wait_for_next_window(2)
    asks = {"target": "/x?y=1", "fields": FIELDS}
    statuses = []
    while statuses.count(200) < 6:
        statuses.append(client.ask(**asks).status)
    assert set(statuses) == {200, 429} and statuses.count(429) > MORE
    first = server.requests[0]
    for request in server.requests[1:]:
        assert (request.target, request.method) == (first.target, first.method)
        assert [field for field in request.fields if field[0].lower() != "x-request-id"] == [
            field for field in first.fields if field[0].lower() != "x-request-id"]


@both_stores
def test_another_of_the_same_length_is_another(start, upstream, connect):
    client = connect(start(config_of(upstream(), ["user"])))
    wait_for_room(86400, 5)
    names = [f"user-{number}" for number in range(4)]
    for name in names:
        assert client.ask("GET", "/", [("X-User", name)]).status == 200
        assert [client.ask("GET", "/", [("X-User", name)]).status for _ in range(4)] == [429] * 4
    for name in names:
        assert client.ask("GET", "/", [("X-User", name)]).status == 429
    assert client.ask("GET", "/", [("X-User", "user-9")]).status == 200


@both_stores
def test_another_client_that_sends_it_is_another(start, upstream, connect):
    proxy = start(config_of(upstream(), ["machine"]))
    wait_for_room(86400, 5)
    for source in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
        client = connect(proxy, source=source)
        assert [client.ask("GET", "/").status for _ in range(5)] == [200] + [429] * 4
    asked = collections.Counter(line["client_ip"] for line in proxy.requests(15))
    assert asked == {f"127.0.0.{number}": 5 for number in (1, 2, 3)}


@both_stores
def test_other_limits_count_at_once(start, upstream, connect, verb, tmp_path):
    proxy = start(config_of(upstream(), ["user"], admin={"address": f"unix:{tmp_path}/admin.sock"}))
    client = connect(proxy)
    wait_for_room(86400, 10)
    assert [client.ask("GET", "/", FIELDS).status for _ in range(6)] == [200] + [429] * 5
    proxy.config["quotas"]["q"]["limits"] = {"day": 3}
    proxy.write_config(proxy.config)
    assert verb("reload", "-c", proxy.file).returncode == 0
    replies = [client.ask("GET", "/", FIELDS) for _ in range(6)]
    assert [reply.status for reply in replies] == [200, 200] + [429] * 4
    assert trio_of(replies[-1]) == (3, 0, "day")


@both_stores
def test_head_and_pipelines(start, upstream, connect):
    client = connect(start(config_of(upstream(), ["user"])))
    wait_for_room(86400, 5)
    assert client.ask("GET", "/", FIELDS).status == 200
    for _ in range(4):
        reply = client.ask("HEAD", "/", FIELDS)
        assert reply.status == 429 and reply.body == b"" and int(reply["Content-Length"]) > 0
    one = http.request("GET", "/", FIELDS)
    for _ in range(4):
        client.send(one)
        assert client.read().status == 429
    client.send(one * 5)
    for _ in range(5):
        assert client.read().status == 429
    for cut in (1, len(one) // 2, len(one) - 1):
        client.send(one[:cut])
        client.send(one[cut:])
        assert client.read().status == 429


@both_stores
def test_a_connection_still_ends_after_its_requests(start, upstream, connect):
    client = connect(start(config_of(upstream(), ["user"], limits={"requests_per_connection": 8})))
    wait_for_room(86400, 5)
    replies = [client.ask("GET", "/", FIELDS) for _ in range(8)]
    assert [reply.status for reply in replies] == [200] + [429] * 7
    assert [reply["Connection"] for reply in replies] == [None] * 7 + ["close"]
    client.expect_end()


def ask_all(client, wishes):
    return [client.ask(**wish) for wish in wishes]


@both_stores
def test_each_request_is_logged_as_it_was(start, upstream, connect):
    proxy = start(config_of(upstream(), ["user"]))
    client = connect(proxy)
    wait_for_room(86400, 10)
    assert client.ask("GET", "/", FIELDS).status == 200
    wishes = [{"method": method, "target": f"/{number}?k{number}=v", "fields": [*FIELDS, ("X-Request-Id", f"mine-{number}")]}
              for number, method in enumerate(["GET", "DELETE", "GET", "OPTIONS", "BREW", "GET", "GET"])]
    replies = ask_all(client, wishes)
    assert {reply.status for reply in replies} == {429}
    lines = proxy.requests(1 + len(wishes))[1:]
    for wish, reply, line in zip(wishes, replies, lines):
        assert (line["method"], line["path"]) == (wish["method"], wish["target"].split("?")[0])
        assert line["query"] == [wish["target"].split("?")[1].split("=")[0]] and line["parent_id"] == dict(wish["fields"])["X-Request-Id"]
        assert reply["X-request-id"].startswith(line["id"]) and line["id"].encode() in reply.body
        assert (line["bytes_in"], line["bytes_out"]) == (len(http.request(**wish)), len(reply.raw))


def test_what_is_malformed_or_not_for_it_is_no_refusal_by_quota(start, upstream, connect):
    """Behind refusals by a quota each check still comes first."""
    config = config_of(upstream(), ["user"])
    config["routes"] = [{"path": "/closed", "upstream": "app", "quotas": ["q"], "deny": ["127.0.0.1"]}, {"path": "/free", "upstream": "app"},
                        {"prefix": "/a", "upstream": "app", "quotas": ["q"]}]
    proxy = start(config)
    wait_for_room(86400, 20)
    expected = {"/closed": 403, "/free": 200, "/nowhere": 404, "/a/%2e%2e/b": 400, "/a//x": 429, "/a/%41": 429}
    for target, status in expected.items():
        client = connect(proxy)
        assert {client.ask("GET", "/a/b", FIELDS).status for _ in range(5)} <= {200, 429}
        assert client.ask("GET", target, FIELDS).status == status
    for fields, status in (([*FIELDS, ("X_User", "bob")], 400), ([*FIELDS, ("X-User", "bob")], 400), ([("X-User", "carol")], 200),
                           ([*FIELDS, ("Connection", "X-User")], 400), ([*FIELDS, ("Content-Length", "2")], 429)):
        client = connect(proxy)
        assert {client.ask("GET", "/a/b", FIELDS).status for _ in range(5)} == {429}
        body = b"ab" if fields[-1][0] == "Content-Length" else b""
        client.send(http.request("GET", "/a/b", fields) + body)
        assert client.read().status == status


def test_who_asks_to_close_is_heeded(start, upstream, connect):
    proxy = start(config_of(upstream(), ["user"]))
    wait_for_room(86400, 10)
    for request in (http.request("GET", "/", [*FIELDS, ("Connection", "close")]), b"GET / HTTP/1.0\r\nHost: a\r\nX-User: alice\r\n\r\n"):
        client = connect(proxy)
        assert {client.ask("GET", "/", FIELDS).status for _ in range(5)} <= {200, 429}
        client.send(request)
        assert client.read().status == 429
        client.expect_end()


@pytest.mark.parametrize("more", [{"quota": {"charge": {"on": ["2xx"]}}}, {"cost": {"estimate": 1, "max": 5, "response_header": "X-Cost"}}])
def test_what_a_response_gives_back_is_there_at_once(start, upstream, connect, more):
    """Refused while the only place is taken by a request in flight; its response gives the place back."""
    may_answer = threading.Event()

    def answer(message):
        if message.target == "/slow":
            assert may_answer.wait(30)
            return http.response(503 if "quota" in more else 200, "x", [("X-Cost", "0")], b"x")
        return http.response(fields=[("X-Cost", "1")], body=b"x")

    server = upstream(answer=answer)
    config = config_of(server, ["user"])
    config["quotas"]["q"] |= more.get("quota", {})
    config["routes"][0] |= {"cost": more["cost"]} if "cost" in more else {}
    proxy = start(config)
    wait_for_room(86400, 10)
    waiting, client = connect(proxy), connect(proxy)
    waiting.send(http.request("GET", "/slow", FIELDS))
    server.wait_for_requests(1)
    assert [client.ask("GET", "/", FIELDS).status for _ in range(5)] == [429] * 5
    may_answer.set()
    assert waiting.read().status in (200, 503)
    assert client.ask("GET", "/", FIELDS).status == 200


def test_a_client_that_takes_nothing_is_read_no_further(start, upstream, connect):
    """Refusals that the client does not take hold up those behind them; in the end it has one for each request."""
    asks, count = http.request("GET", "/", FIELDS), 40000
    proxy = start(config_of(upstream(), ["user"], limits={"requests_per_connection": "unlimited"}))
    wait_for_room(86400, 20)
    client = connect(proxy, receive_buffer=4096)
    assert [client.ask("GET", "/", FIELDS).status for _ in range(4)] == [200] + [429] * 3
    sending = threading.Thread(target=client.send, args=(asks * count,), daemon=True)
    sending.start()
    proxy.requests(1000)  # the kernel takes thousands, and Sluice itself holds no more than 1 MiB of the 20
    ids = set()
    for _ in range(count):
        reply = client.read()
        assert reply.status == 429
        ids.add(reply["X-request-id"])
    assert len(ids) == count
    sending.join(10)
    assert client.ask("GET", "/", FIELDS).status == 429


def test_a_client_that_never_takes_it_is_given_up(start, upstream, connect):
    """Held up between requests, it has the time of keepalive."""
    proxy = start(config_of(upstream(), ["user"], limits={"requests_per_connection": "unlimited", "keepalive": "1s", "write_stall": "1s"}))
    wait_for_room(86400, 20)
    client = connect(proxy)
    assert [client.ask("GET", "/", FIELDS).status for _ in range(4)] == [200] + [429] * 3
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        client.send(http.request("GET", "/", FIELDS) * 100000)
