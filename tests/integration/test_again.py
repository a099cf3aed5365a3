# SPDX-License-Identifier: Apache-2.0
"""A request that a quota has refused and that comes again byte for byte: it is told and logged what it was told the first time, and
is nobody else's."""
import collections
import re

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
MORE = 8  # repetitions: known from the third refusal on


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
