# SPDX-License-Identifier: Apache-2.0
"""What a client sees of Sluice itself: request ids, the rate headers, and errors it can parse."""
import socket
import time

from harness import http
from harness.configs import forward
from harness.replies import REQUEST_ID, check_error, request_id_of, trio_of
from harness.waiting import wait_for_room


def test_one_id_in_header_body_upstream_and_log(start, upstream, connect):
    server = upstream()
    proxy = start(forward(server))
    client = connect(proxy)
    before = int(time.time() * 1000)
    replies = [client.ask() for _ in range(3)]
    after = int(time.time() * 1000)
    ids = [request_id_of(reply) for reply in replies]
    assert len(set(ids)) == 3
    for reply, seen, line in zip(replies, server.requests, proxy.requests(3)):
        match = REQUEST_ID.fullmatch(reply["X-request-id"])
        assert seen["X-request-id"] == reply["X-request-id"]
        assert line["id"] == match[1]
        assert before - 1 <= int(match[2]) <= after + 1
        assert match[3] == socket.gethostname()[:64]
        assert b"X-request-id: " in reply.raw_head, "the documented spelling"


def test_client_ids_are_replaced_and_logged_unless_trusted(start, upstream, connect):
    server = upstream()
    own = "0123456789abcdef0123456789abcdef"
    proxy = start(forward(server))
    reply = connect(proxy).ask(fields=[("X-Request-Id", own)])
    assert request_id_of(reply) != own
    assert proxy.requests(1)[0]["parent_id"] == own

    trusting = start(forward(server, trusted_proxies=["127.0.0.1"]))
    client = connect(trusting)
    assert request_id_of(client.ask(fields=[("X-Request-Id", own)])) == own
    assert request_id_of(client.ask(fields=[("X-Request-Id", f"{own}-1700000000000-front")])) == own
    odd = client.ask(fields=[("X-Request-Id", "not an id")])
    assert request_id_of(odd) != own
    lines = trusting.requests(3)
    assert [line["id"] for line in lines[:2]] == [own, own]
    assert lines[2]["parent_id"] == "not an id"


def test_upstreams_id_is_replaced_and_logged(start, upstream, connect):
    server = upstream(answer=lambda _: http.response(fields=[("X-Request-ID", "backend-7")], body=b"x"))
    proxy = start(forward(server))
    request_id_of(connect(proxy).ask())
    assert proxy.requests(1)[0]["upstream_id"] == "backend-7"


def test_short_id_and_host_override(start, upstream, connect):
    proxy = start(forward(upstream(), headers={"request_id": "short"}))
    value = connect(proxy).ask()["X-request-id"]
    assert len(value) == 32 and int(value, 16) >= 0
    proxy = start(forward(upstream(), headers={"request_id_host": "edge-1"}))
    assert connect(proxy).ask()["X-request-id"].endswith("-edge-1")


def test_no_route(start, upstream, connect):
    server = upstream()
    proxy = start(forward(server, route={"prefix": "/api/"}))
    client = connect(proxy)
    message = "The API does not exist or has not been published in the environment."
    check_error(client.ask("GET", "/other"), 404, "0101", message, "Not Found")
    assert client.ask("GET", "/api/x").status == 200, "a wrong path does not cost the connection"
    reply = client.ask("HEAD", "/other")
    assert reply.status == 404 and reply.body == b"" and int(reply["Content-Length"]) > 0
    assert [line["end"] for line in proxy.requests(3)] == ["no_route", "ok", "no_route"]


def test_consumed_is_an_option(start, upstream, connect):
    quotas = {"ip": {"key": ["ip"], "limits": {"hour": 5}}}
    wait_for_room(3600, 10)
    client = connect(start(forward(upstream(), quotas=quotas, headers={"used": "consumed"})))
    assert [trio_of(client.ask()) for _ in range(2)] == [(5, 1, "hour"), (5, 2, "hour")]


def test_headers_can_be_switched_off_for_a_route(start, upstream, connect):
    quotas = {"ip": {"key": ["ip"], "limits": {"hour": 1}}}
    client = connect(start(forward(upstream(), quotas=quotas, route={"headers": {"dialects": []}})))
    assert trio_of(client.ask()) is None
    reply = client.ask()
    assert reply.status == 429 and trio_of(reply) is None and int(reply["Retry-After"]) >= 1


def test_spelling_and_place_of_the_trio(start, upstream, connect):
    quotas = {"ip": {"key": ["ip"], "limits": {"hour": 5}}}
    client = connect(start(forward(upstream(), quotas=quotas)))
    head = client.ask().raw_head
    for line in (b"\r\nX-ratelimit: 5\r\n", b"\r\nX-ratelimit-used: 4\r\n", b"\r\nX-ratelimit-window: hour\r\n"):
        assert head.count(line) == 1, head


def test_respond_route(start, connect):
    config = {"routes": [
        {"name": "json", "path": "/ping", "respond": {"status": 200, "json": {"ok": True}}},
        {"name": "text", "path": "/gone", "respond": {"status": 410, "text": "no more\n"}}]}
    proxy = start(config)
    client = connect(proxy)
    reply = client.ask("GET", "/ping")
    assert (reply.status, reply["Content-Type"]) == (200, "application/json; charset=UTF-8")
    assert reply.body.strip() in (b'{"ok":true}', b'{"ok": true}')
    request_id_of(reply)
    reply = client.ask("POST", "/gone", body=b"x" * 100000)
    assert (reply.status, reply.reason, reply.body) == (410, "Gone", b"no more\n")
    assert reply["Content-Type"] == "text/plain; charset=UTF-8"
    assert client.ask("HEAD", "/gone").body == b""


def test_429_with_an_unread_body_keeps_the_messages_apart(start, upstream, connect):
    """The body of a refused request is read away or the connection is closed; it is never taken for a request."""
    quotas = {"ip": {"key": ["ip"], "limits": {"hour": 1}}}
    server = upstream()
    proxy = start(forward(server, quotas=quotas))
    client = connect(proxy)
    assert client.ask().status == 200
    inner = http.request("GET", "/smuggled")
    client.send(http.request("POST", "/", body=inner) + http.request("GET", "/next"))
    assert client.read().status == 429
    try:
        assert client.read().status == 429
    except (http.Ended, ConnectionResetError):
        pass
    assert all(line["path"] != "/smuggled" for line in proxy.requests(2))
    assert len(server.requests) == 1
