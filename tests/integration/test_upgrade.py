# SPDX-License-Identifier: Apache-2.0
"""Who may leave HTTP on a connection, what goes on to the server, and which 101 is believed: nobody gets a tunnel
that the server did not open, and no byte behind a handshake is taken for anything but what it is."""
import threading

import pytest
from harness import http
from harness.replies import check_error, request_id_of, trio_of
from harness.upgrade import (ACCEPT, HANDSHAKE, KEY, changed, echo, handshake, opened, received, switching, tunnel,
                             upgrading, without)
from harness.waiting import PATIENCE_S, wait_for, wait_for_room

SMUGGLED = http.request("GET", "/smuggled", [("X-Attack", "yes")])


def answering(*answers):
    """Each connection: one answer per request, as bytes or made of the request."""

    def serve(link):
        for answer in answers:
            message = link.read_request()
            if message is None:
                return
            link.send(answer(message) if callable(answer) else answer)
        link.wait_for_end()

    return serve


def paths(server):
    return [message.target for message in server.requests]


# ---- what is asked for

def test_the_handshake_goes_on(start, upstream, connect):
    server = upstream(tunnel(echo))
    proxy = start(upgrading(server))
    client, reply = opened(connect, proxy, HANDSHAKE + [("Sec-WebSocket-Protocol", "chat"), ("Cookie", "a=b")])

    (asked,) = server.wait_for_requests(1)
    assert asked["Connection"] == "upgrade" and asked["Upgrade"] == "websocket"
    assert asked["Sec-WebSocket-Key"] == KEY and asked["Sec-WebSocket-Version"] == "13"
    assert asked["Sec-WebSocket-Protocol"] == "chat" and asked["Cookie"] == "a=b"

    assert reply.reason == "Switching Protocols"
    assert reply["Connection"] == "upgrade" and reply["Upgrade"] == "websocket"
    assert reply["Sec-WebSocket-Accept"] == ACCEPT
    assert request_id_of(reply) == request_id_of(asked)
    assert reply["Content-Length"] is None and reply["Transfer-Encoding"] is None
    client.send(b"\x00\xff\r\n\r\n")
    assert client.reader.take(6) == b"\x00\xff\r\n\r\n"


ORDINARY = {
    "no Connection": without("Connection"),
    "Connection without upgrade": changed("Connection", "keep-alive"),
    "two Upgrade fields": HANDSHAKE + [("Upgrade", "websocket")],
    "no list of protocols": changed("Upgrade", "websocket; q=1"),
    "an empty list": changed("Upgrade", ""),
    "unlisted": changed("Upgrade", "chat/2"),
    "listed, of a version": changed("Upgrade", "websocket/13"),
    "h2c": [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA")],
    "another version": changed("Sec-WebSocket-Version", "8"),
    "another version, and no key": without("Sec-WebSocket-Key", changed("Sec-WebSocket-Version", "777")),
}


@pytest.mark.parametrize("fields", ORDINARY.values(), ids=ORDINARY)
def test_what_asks_for_nothing_is_an_ordinary_request(start, upstream, connect, fields):
    server = upstream()
    proxy = start(upgrading(server))
    client = connect(proxy)
    client.send(handshake(fields) + http.request("GET", "/next"))
    assert [client.read().body, client.read().body] == [b"hello from upstream\n"] * 2
    assert paths(server) == ["/chat", "/next"]
    asked = server.requests[0]
    assert asked["Connection"] is None and asked.all("Upgrade") == [] and asked["HTTP2-Settings"] is None
    assert asked["Sec-WebSocket-Version"] == dict(fields).get("Sec-WebSocket-Version")


@pytest.mark.parametrize("request_bytes", [
    http.request("POST", "/chat", HANDSHAKE),
    http.request("HEAD", "/chat", HANDSHAKE),
    http.request("GET", "/chat", HANDSHAKE, body=b"hello"),
    http.request("GET", "/chat", HANDSHAKE, chunks=[b"hello"]),
    http.request("GET", "/chat", HANDSHAKE, minor=0),
], ids=["POST", "HEAD", "length", "chunked", "HTTP/1.0"])
def test_only_a_bodiless_get_of_http_1_1_asks(start, upstream, connect, request_bytes):
    server = upstream()
    proxy = start(upgrading(server))
    client = connect(proxy)
    client.send(request_bytes)
    assert client.read("HEAD" if request_bytes.startswith(b"HEAD") else "GET").status == 200
    assert server.requests[0].all("Upgrade") == [] and server.requests[0]["Connection"] is None


def test_a_route_that_lists_nothing_drops_it(start, upstream, connect):
    server = upstream()
    config = upgrading(server)
    del config["routes"][0]["upgrade"]
    proxy = start(config)
    client = connect(proxy)
    client.send(handshake())
    assert client.read().status == 200
    assert server.requests[0].all("Upgrade") == []


def test_only_listed_protocols_go_on_in_the_clients_order(start, upstream, connect):
    server = upstream(answering(lambda message: switching(message, [("Upgrade", "CHAT/2"), ("Connection", "x, Upgrade")])))
    proxy = start(upgrading(server, "websocket", "irc", "chat/2"))
    client = connect(proxy)
    client.send(handshake(changed("Upgrade", "h2c, Chat/2,, foo, WebSocket , chat/2, TLS/1.0")))
    reply = client.read()
    assert server.requests[0]["Upgrade"] == "chat/2, websocket"
    assert reply.status == 101 and reply["Upgrade"] == "CHAT/2" and reply["Connection"] == "upgrade"


def test_another_version_of_websocket_leaves_the_other_protocols(start, upstream, connect):
    server = upstream()
    proxy = start(upgrading(server, "websocket", "chat"))
    client = connect(proxy)
    client.send(handshake(changed("Upgrade", "websocket, chat", changed("Sec-WebSocket-Version", "14"))))
    assert client.read().status == 200
    assert server.requests[0]["Upgrade"] == "chat"


MALFORMED = {
    "no key": without("Sec-WebSocket-Key"),
    "two keys": HANDSHAKE + [("Sec-WebSocket-Key", KEY)],
    "short key": changed("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25j"),
    "no base64": changed("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZ-=="),
    "17 bytes": changed("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZXg="),
    "no version": without("Sec-WebSocket-Version"),
    "two versions": HANDSHAKE + [("Sec-WebSocket-Version", "13")],
}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED)
def test_malformed_handshakes_are_refused(start, upstream, connect, fields):
    server = upstream()
    proxy = start(upgrading(server, quotas={"ip": {"key": ["ip"], "limits": {"day": 5}}}))
    client = connect(proxy)
    client.send(handshake(fields) + SMUGGLED)
    reply = client.read()
    check_error(reply, 400, "0201", "API request error.", "Bad Request")
    assert reply["Connection"] == "close" and trio_of(reply) is None
    client.expect_gone()
    line = proxy.line_of(reply)
    assert line["reason"] == "bad_websocket" and line["end"] == "bad_request"
    assert server.connections == 0


def test_every_cut_of_the_handshake(start, upstream, connect):
    """The client sends the first n bytes, then the rest; or it leaves there: no server hears of it."""
    server = upstream(tunnel(echo))
    proxy = start(upgrading(server))
    whole = handshake()
    for cut in range(1, len(whole)):
        with connect(proxy) as client:
            client.send(whole[:cut])
            if cut % 2:
                client.reset()
    assert server.requests == []
    for cut in range(1, len(whole)):
        client = connect(proxy)
        client.send(whole[:cut])
        client.send(whole[cut:] + b"ping")
        assert client.read().status == 101
        assert client.reader.take(4) == b"ping"
        client.end_output()
        client.expect_end()
    assert len(server.requests) == len(whole) - 1
    assert {line["end"] for line in proxy.requests(len(whole) - 1)} == {"ok"}


# ---- what is believed

GOOD = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", ACCEPT)]
UNBELIEVED = {
    "no Connection": (without("Connection", GOOD), "unexpected_upgrade"),
    "Connection without upgrade": (changed("Connection", "close", GOOD), "unexpected_upgrade"),
    "no Upgrade": (without("Upgrade", GOOD), "unexpected_upgrade"),
    "two Upgrade fields": (GOOD + [("Upgrade", "websocket")], "unexpected_upgrade"),
    "two protocols": (changed("Upgrade", "websocket, irc", GOOD), "unexpected_upgrade"),
    "a protocol not asked for": (changed("Upgrade", "irc", GOOD), "unexpected_upgrade"),
    "an unlisted protocol": (changed("Upgrade", "h2c", GOOD), "unexpected_upgrade"),
    "no accept": (without("Sec-WebSocket-Accept", GOOD), "bad_websocket_accept"),
    "two accepts": (GOOD + [("Sec-WebSocket-Accept", ACCEPT)], "bad_websocket_accept"),
    "wrong accept": (changed("Sec-WebSocket-Accept", "t3pPLMBiTxaQ9kYGzzhZRbK+xOo=", GOOD), "bad_websocket_accept"),
    "accept in another case": (changed("Sec-WebSocket-Accept", ACCEPT.lower(), GOOD), "bad_websocket_accept"),
    "a length": (GOOD + [("Content-Length", "5")], "bad_content_length"),
    "chunked": (GOOD + [("Transfer-Encoding", "chunked")], "bad_transfer_encoding"),
}


def check_disbelieved(proxy, server, client, fault):
    reply = client.read()
    check_error(reply, 502, "0201", "Backend unavailable.", "Bad Gateway")
    assert reply["Connection"] == "close"
    assert client.expect_gone() == b""
    line = proxy.line_of(reply)
    assert (line["end"], line["reason"]) == ("upstream_bad_response", fault)
    assert "/smuggled" not in paths(server)
    wait_for(lambda: not server.links, "the server's connection is closed")


@pytest.mark.parametrize("fields, fault", UNBELIEVED.values(), ids=UNBELIEVED)
def test_a_101_that_does_not_fit(start, upstream, connect, fields, fault):
    server = upstream(answering(lambda message: switching(message, fields) + b"HTTP/1.1 200 OK\r\n\r\n"))
    proxy = start(upgrading(server, "websocket", "irc"))
    client = connect(proxy)
    client.send(handshake() + SMUGGLED)
    check_disbelieved(proxy, server, client, fault)


def test_a_101_of_http_1_0(start, upstream, connect):
    server = upstream(answering(lambda message: switching(message).replace(b"HTTP/1.1", b"HTTP/1.0")))
    proxy = start(upgrading(server))
    client = connect(proxy)
    client.send(handshake() + SMUGGLED)
    check_disbelieved(proxy, server, client, "unexpected_upgrade")


@pytest.mark.parametrize("fields", [[], without("Connection"), changed("Sec-WebSocket-Version", "777"),
                                    changed("Upgrade", "h2c")],
                         ids=["plain", "not asked", "another version", "unlisted"])
def test_a_101_that_nobody_asked_for(start, upstream, connect, fields):
    """A server in league with the client, or one that ignores what it does not see: no tunnel either way."""
    server = upstream(answering(lambda message: switching(message, GOOD)))
    proxy = start(upgrading(server))
    client = connect(proxy)
    client.send(handshake(fields) + SMUGGLED)
    check_disbelieved(proxy, server, client, "unexpected_upgrade")


def test_an_answer_with_one_length_of_zero(start, upstream, connect):
    """Some servers say so although a 1xx has no length; the client does not see it."""
    server = upstream(tunnel(echo))
    server.serve = answering(lambda message: switching(message, GOOD + [("Content-Length", "0")]) + b"hi")
    proxy = start(upgrading(server))
    client, reply = opened(connect, proxy)
    assert reply["Content-Length"] is None
    assert client.reader.take(2) == b"hi"


# ---- other answers

REFUSALS = {
    "426": http.response(426, "Upgrade Required", [("Upgrade", "websocket"), ("Connection", "Upgrade"),
                                                   ("Sec-WebSocket-Version", "13")], b"no"),
    "200": http.response(body=b"hello"),
    "403": http.response(403, "Forbidden", body=b"no"),
    "204": http.response(204, "No Content", length=False),
}


@pytest.mark.parametrize("answer", REFUSALS.values(), ids=REFUSALS)
def test_what_follows_a_refused_handshake_is_the_next_request(start, upstream, connect, answer):
    """Smuggling through a handshake that was refused: the bytes behind it are judged like any request."""
    server = upstream(answering(answer, http.response(body=b"second"), http.response(body=b"third")))
    proxy = start(upgrading(server, quotas={"ip": {"key": ["ip"], "limits": {"day": 5}}}))
    client = connect(proxy)
    client.send(handshake() + SMUGGLED)
    reply = client.read()
    assert reply.status == int(answer[9:12])
    assert reply["Upgrade"] is None and reply["Connection"] is None
    second = client.read()
    assert second.body == b"second" and trio_of(second)[1] == 3
    client.send(http.request("GET", "/third"))
    assert client.read().body == b"third"
    assert paths(server) == ["/chat", "/smuggled", "/third"]
    assert server.connections == 1 and server.requests[1].all("Upgrade") == []
    assert [line["status"] for line in proxy.requests(3)] == [reply.status, 200, 200]


def test_garbage_behind_a_refused_handshake(start, upstream, connect):
    server = upstream(answering(REFUSALS["426"]))
    proxy = start(upgrading(server))
    client = connect(proxy)
    client.send(handshake() + b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\r\n\r\n" + SMUGGLED)
    assert client.read().status == 426
    check_error(client.read(), 400, "0201", "API request error.", "Bad Request")
    client.expect_gone()
    assert paths(server) == ["/chat"]


def test_interim_responses_before_the_101(start, upstream, connect):
    def serve(link):
        message = link.read_request()
        link.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + switching(message))
        echo(link)

    proxy = start(upgrading(upstream(serve)))
    _, reply = opened(connect, proxy)
    assert [hint.status for hint in reply.interim] == [103]


def test_a_server_that_leaves_before_it_answers(start, upstream, connect):
    server = upstream(lambda link: link.read_request())
    proxy = start(upgrading(server))
    client = connect(proxy)
    client.send(handshake())
    check_error(client.read(), 502, "0201", "Backend unavailable.", "Bad Gateway")


# ---- counting

@pytest.mark.parametrize("named, second_left", [(["2xx"], 2), (["2xx", "101"], 1), (["1xx"], 1)], ids=str)
def test_a_101_is_no_2xx(start, upstream, connect, named, second_left):
    """What a tunnel costs depends on whether its quota names the status, and is settled when the tunnel begins."""
    proxy = start(upgrading(upstream(tunnel(echo)), quotas={"ip": {"key": ["ip"], "limits": {"hour": 3}, "charge": {"on": named}}}))
    wait_for_room(3600, 5)
    tunnels = [opened(connect, proxy) for _ in range(2)]
    assert [trio_of(reply) for _, reply in tunnels] == [(3, 2, "hour"), (3, second_left, "hour")]
    for client, _ in tunnels:
        client.end_output()
        client.expect_end()
    assert [line["quotas"][0].get("refunded", 0) for line in proxy.requests(2)] == [second_left - 1] * 2


def test_quota_is_charged_once_and_refuses_before_the_handshake(start, upstream, connect):
    server = upstream(tunnel(echo))
    proxy = start(upgrading(server, quotas={"ip": {"key": ["ip"], "limits": {"day": 2}}}))
    wait_for_room(86400, 5)
    for left in (1, 0):
        client, reply = opened(connect, proxy)
        assert trio_of(reply) == (2, left, "day")
        for _ in range(3):
            client.send(b"x" * 100)
            assert client.reader.take(100) == b"x" * 100
        client.end_output()
        client.expect_end()
    client = connect(proxy)
    client.send(handshake())
    reply = client.read()
    assert reply.status == 429 and trio_of(reply) == (2, 0, "day")
    assert reply["Upgrade"] is None
    assert len(server.requests) == 2
    lines = proxy.requests(3)
    assert [line["status"] for line in lines if line["status"] == 101] == [101, 101]
    assert [line["quotas"][0]["charged"] for line in sorted(lines, key=lambda line: line["status"])] == [1, 1, 0]


def test_a_servers_limits_do_not_show(start, upstream, connect):
    server = upstream(answering(lambda message: switching(message, GOOD + [("X-ratelimit", "1"), ("X-request-id", "mine")])))
    proxy = start(upgrading(server, quotas={"ip": {"key": ["ip"], "limits": {"day": 9}}}))
    _, reply = opened(connect, proxy)
    assert trio_of(reply) == (9, 8, "day")
    assert request_id_of(reply)


# ---- connections

def test_a_pooled_connection_may_be_upgraded_and_never_comes_back(start, upstream, connect):
    def serve(link):
        while (message := link.read_request()) is not None:
            if message["Upgrade"]:
                link.send(switching(message))
                echo(link)
                return
            link.send(http.response(body=b"plain"))

    server = upstream(serve)
    proxy = start({**upgrading(server), "workers": 1})
    plain = connect(proxy)
    assert plain.ask().body == b"plain"
    client, _ = opened(connect, proxy)
    assert [message.connection for message in server.requests] == [0, 0]
    client.send(b"ping")
    assert client.reader.take(4) == b"ping"
    client.end_output()
    client.expect_end()
    wait_for(lambda: not server.links, "the tunnel's connection is closed")
    assert plain.ask().body == b"plain"
    assert server.requests[2].connection == 1


def test_a_dead_pooled_connection_is_tried_again(start, upstream, connect):
    """The first connection dies with the handshake unread; the second is upgraded."""
    second = threading.Event()

    def serve(link):
        message = link.read_request()
        if link.number == 0:
            link.send(http.response(body=b"plain"))
            second.wait(PATIENCE_S)
            link.sock.recv(1, 2)  # MSG_PEEK: it has come
            link.reset()
            return
        link.send(switching(message))
        echo(link)

    server = upstream(serve)
    proxy = start({**upgrading(server), "workers": 1})
    assert connect(proxy).ask().body == b"plain"
    second.set()
    client, _ = opened(connect, proxy)
    client.send(b"ping")
    assert client.reader.take(4) == b"ping"
    assert server.requests[1]["Upgrade"] == "websocket"


def test_bytes_behind_the_handshake_wait_for_the_101(start, upstream, connect):
    """They are nobody's until the server has agreed, and then the tunnel's, whatever they look like."""
    go_on, seen = threading.Event(), []

    def serve(link):
        message = link.read_request()
        go_on.wait(PATIENCE_S)
        link.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            link.sock.recv(1)
        link.sock.settimeout(PATIENCE_S)
        link.send(switching(message) + b"first from the server")
        while len(b"".join(seen)) < len(SMUGGLED):
            seen.append(received(link))

    server = upstream(serve)
    proxy = start(upgrading(server))
    client = connect(proxy)
    client.send(handshake() + SMUGGLED)
    server.wait_for_requests(1)
    go_on.set()
    assert client.read().status == 101
    assert client.reader.take(21) == b"first from the server"
    wait_for(lambda: b"".join(seen) == SMUGGLED, "the server has what the client sent")
    assert paths(server) == ["/chat"]
