# SPDX-License-Identifier: Apache-2.0
"""Requests and responses travel unchanged, in order, in every framing that HTTP/1.1 has."""
import os
import pathlib
import select
import threading
import time

import pytest
from harness import http
from harness.configs import forward
from harness.waiting import PATIENCE_S, wait_for

REQUEST_ADDED = {"via", "x-request-id", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"}
RESPONSE_ADDED = {"x-request-id"}


def kept(message, added):
    """The fields that came from the other side, in order."""
    return [(n, v) for n, v in message.fields if n.lower() not in added]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE", "M-SEARCH"])
def test_method_target_fields_and_body_arrive_as_sent(start, upstream, connect, method):
    server = upstream()
    client = connect(start(forward(server)))
    fields = [("x-lower", "1"), ("X-MIXED-case", "a  b\tc"), ("Accept", "*/*"), ("accept", "text/html"), ("X-Empty", ""),
              ("X-Latin", "caf\xe9"), ("Authorization", "SDK-HMAC-SHA256 Access=AK, SignedHeaders=host, Signature=00"),
              ("X-Auth-Token", "t" * 5000), ("Cookie", "a=1; b=2")]
    body = b"\x00\r\n\r\nGET / HTTP/1.1\r\n" if method in ("POST", "PUT", "PATCH", "DELETE") else None
    target = "/a%2Db//c?q=%zz&x=[1]&y=a;b"
    reply = client.ask(method, target, fields, body, host="images.example.com:8080")
    assert reply.status == 200 and reply.body == b"hello from upstream\n"
    (seen,) = server.requests
    assert (seen.method, seen.target, seen.minor) == (method, target, 1)
    expected = [("Host", "images.example.com:8080"), *fields]
    if body is not None:
        expected.append(("Content-Length", str(len(body))))
    # Content-Length may be written where the proxy likes; everything else keeps its place.
    assert sorted(kept(seen, REQUEST_ADDED)) == sorted(expected)
    assert [f for f in kept(seen, REQUEST_ADDED) if f[0] != "Content-Length"] == \
        [f for f in expected if f[0] != "Content-Length"]
    assert seen.body == (body or b"")


@pytest.mark.parametrize("behind", ["nothing", "body", "request"])
def test_heads_of_any_length(start, upstream, connect, behind):
    """What is read first has room for 7,168 bytes; with a usual head what the server is told is written behind it in place."""
    server = upstream()
    proxy = start(forward(server))
    client = connect(proxy)
    body = b"b" * 300 if behind == "body" else None
    bare = len(http.request("POST", "/first", [("X-Filler", "")], body)) - len(body or b"")
    count = 0
    for length in [200, 4096, 6800, *range(7164, 7173), 8192, 9000]:
        filler = "".join(chr(ord("a") + i % 26) for i in range(length - bare))
        sent = http.request("POST", "/first", [("X-Filler", filler)], body)
        assert len(sent) - len(body or b"") == length
        client.send(sent + (http.request("GET", "/second", [("X-Mark", "2")]) if behind == "request" else b""))
        for target in ["/first", "/second"][:2 if behind == "request" else 1]:
            reply = client.read()
            assert reply.status == 200 and reply.body == b"hello from upstream\n"
            seen = server.requests[count]
            count += 1
            assert seen.target == target and seen["Via"] == "1.1 sluice" and seen["X-Request-Id"] == reply["X-Request-Id"]
            first = target == "/first"
            assert (seen["X-Filler"], seen["X-Mark"], seen.body) == ((filler, None, body or b"") if first else (None, "2", b""))
            assert seen["X-Forwarded-Host"] == "test.local" and proxy.line_of(reply)["path"] == target
    assert len(server.requests) == count


@pytest.mark.parametrize("method, target, path", [
    ("GET", "http://test.local", "/"), ("GET", "http://test.local?a=b", "/?a=b"), ("OPTIONS", "http://test.local", "*")])
def test_absolute_target_without_a_path(start, upstream, connect, method, target, path):
    """RFC 9112 sections 3.2.2 and 3.2.4: the path that the target lacks is none of the client's bytes."""
    server = upstream()
    config = forward(server)
    del config["routes"][0]["prefix"]  # "*" has none
    proxy = start(config)
    client = connect(proxy)
    for _ in range(3):
        reply = client.ask(method, target)
        assert reply.status == 200
        assert proxy.line_of(reply)["path"] == path.split("?")[0]
    assert [(r.method, r.target) for r in server.requests] == [(method, path)] * 3


def test_added_request_fields(start, upstream, connect):
    server = upstream()
    client = connect(start(forward(server)))
    reply = client.ask("GET", "/", [("X-Forwarded-For", "10.1.1.1"), ("X-Forwarded-Proto", "https"), ("Forwarded", "for=1.2.3.4"),
                                    ("X-Real-IP", "1.2.3.4"), ("X-Forwarded-Host", "evil")], host="a.example:81")
    (seen,) = server.requests
    assert seen["X-Forwarded-For"] == "127.0.0.1"
    assert seen["X-Forwarded-Proto"] == "http"
    assert seen["X-Forwarded-Host"] == "a.example:81"
    assert seen["Forwarded"] is None and seen["X-Real-IP"] is None
    assert seen["Via"] == "1.1 sluice" and reply["Via"] is None
    assert seen["X-Request-Id"] == reply["X-Request-Id"]


def test_hop_by_hop_fields_stay_on_their_hop(start, upstream, connect):
    def answer(_):
        return http.response(fields=[("Connection", "keep-alive, X-Secret"), ("X-Secret", "1"), ("Keep-Alive", "timeout=5"),
                                     ("X-Stays", "2"), ("Proxy-Authenticate", "Basic")], body=b"x")

    server = upstream(answer=answer)
    client = connect(start(forward(server)))
    reply = client.ask("GET", "/", [("Connection", "x-drop-me, keep-alive"), ("X-Drop-Me", "1"), ("Keep-Alive", "timeout=9"),
                                    ("Proxy-Connection", "keep-alive"), ("TE", "trailers"), ("X-Kept", "2")])
    names = server.requests[0].names()
    for name in ("x-drop-me", "keep-alive", "proxy-connection"):
        assert name not in names
    assert "x-kept" in names
    names = reply.names()
    assert "x-secret" not in names and "keep-alive" not in names
    assert reply["X-Stays"] == "2" and reply.body == b"x"


def test_response_passes_byte_for_byte(start, upstream, connect):
    fields = [("x-odd-SPELLING", "v"), ("Set-Cookie", "a=1"), ("set-cookie", "b=2"), ("X-Subject-Token", "MII" * 2000),
              ("Content-Type", "application/json"), ("ETag", '"x"'), ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("X-Latin", "\xfc")]
    body = bytes(range(256)) * 3
    server = upstream(answer=lambda _: http.response(299, "Sort of  OK", fields, body))
    client = connect(start(forward(server)))
    reply = client.ask("GET", "/")
    assert (reply.status, reply.reason, reply.body) == (299, "Sort of  OK", body)
    got = kept(reply, RESPONSE_ADDED)
    assert [f for f in got if f[0].lower() != "content-length"] == fields
    assert reply["Content-Length"] == str(len(body))


def test_empty_reason_phrase(start, upstream, connect):
    server = upstream(answer=lambda _: b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok")
    reply = connect(start(forward(server))).ask()
    assert (reply.status, reply.reason, reply.body) == (200, "", b"ok")


def test_keep_alive_reuses_one_upstream_connection(start, upstream, connect):
    server = upstream()
    client = connect(start(forward(server)))
    for count in range(50):
        assert client.ask("GET", f"/{count}").status == 200
    assert [r.target for r in server.requests] == [f"/{n}" for n in range(50)]
    assert server.connections == 1


def test_connection_close_is_obeyed(start, upstream, connect):
    server = upstream()
    client = connect(start(forward(server)))
    reply = client.ask("GET", "/", [("Connection", "close")])
    assert reply.status == 200 and reply["Connection"] == "close"
    client.expect_end()
    # It was the client's wish, not the server's: the pooled connection lives.
    assert server.requests[0]["Connection"] != "close"


def test_pipelined_requests_are_answered_in_order(start, upstream, connect):
    def answer(message):
        return http.response(fields=[("X-Target", message.target)], body=message.target.encode() * 50)

    server = upstream(answer=answer)
    client = connect(start(forward(server)))
    burst = b"".join(http.request("POST" if n % 3 else "GET", f"/{n}", body=b"b" * n if n % 3 else None) for n in range(60))
    client.send(burst)
    for n in range(60):
        reply = client.read()
        assert reply["X-Target"] == f"/{n}" and reply.body == f"/{n}".encode() * 50
    assert [r.target for r in server.requests] == [f"/{n}" for n in range(60)]
    assert [len(r.body) for r in server.requests] == [n if n % 3 else 0 for n in range(60)]


def test_request_is_the_same_wherever_it_is_cut(start, upstream, connect):
    server = upstream()
    proxy = start(forward(server))
    message = http.request("POST", "/cut?x=1", [("X-A", "1")], chunks=[b"hello", b"w" * 20])
    whole = connect(proxy)
    whole.send(message)
    assert whole.read().status == 200
    client = connect(proxy)
    for at in range(1, len(message)):
        client.send(message[:at])
        # The rest goes out only when the first part has been read by the proxy or sits in its receive queue alone.
        client.send(message[at:])
        assert client.read().status == 200
    assert len(server.requests) == len(message)
    first = server.requests[0]
    for seen in server.requests[1:]:
        assert (seen.method, seen.target, seen.body) == (first.method, first.target, b"hello" + b"w" * 20)
        assert kept(seen, REQUEST_ADDED) == kept(first, REQUEST_ADDED)


def test_one_byte_at_a_time_both_ways(start, upstream, connect):
    def serve(link):
        while (message := link.read_request()) is not None:
            reply = http.response(fields=[("Transfer-Encoding", "chunked"), ("X-T", message.target)],
                                  body=http.chunked([b"abc", b"defgh"], [("X-Sum", "8")]), length=False)
            for at in range(len(reply)):
                link.send(reply[at:at + 1])

    server = upstream(serve)
    client = connect(start(forward(server)))
    for turn in range(3):
        client.send_bytewise(http.request("POST", f"/{turn}", chunks=[b"12", b"345"]))
        reply = client.read()
        assert reply["X-T"] == f"/{turn}" and reply.body == b"abcdefgh" and reply.trailers == [("X-Sum", "8")]
        assert server.requests[turn].body == b"12345"


# -- framing

def test_chunked_request_stays_chunked_and_keeps_its_trailers(start, upstream, connect):
    server = upstream()
    client = connect(start(forward(server)))
    body = http.chunked([b"a" * 10, b"b" * 70000, b"c"], [("X-Checksum", "abc"), ("X-Two", "2")])
    client.send(http.request("POST", "/", [("Transfer-Encoding", "chunked"), ("Trailer", "X-Checksum")]) + body)
    assert client.read().status == 200
    (seen,) = server.requests
    assert seen["Transfer-Encoding"] == "chunked" and seen["Content-Length"] is None
    assert seen.body == b"a" * 10 + b"b" * 70000 + b"c"
    assert seen.trailers == [("X-Checksum", "abc"), ("X-Two", "2")]


def test_chunk_extensions_are_not_forwarded(start, upstream, connect):
    server = upstream()
    client = connect(start(forward(server)))
    client.send(http.request("POST", "/", [("Transfer-Encoding", "chunked")]) +
                b'3;a=b;c="d e"\r\nabc\r\n003\r\ndef\r\n0;last\r\n\r\n')
    assert client.read().status == 200
    assert server.requests[0].body == b"abcdef"
    assert b"a=b" not in server.requests[0].raw_body


def test_chunked_response_with_trailers(start, upstream, connect):
    def answer(_):
        return http.response(fields=[("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")],
                             body=http.chunked([b"one", b"x" * 100000], [("X-Sum", "9")]), length=False)

    client = connect(start(forward(upstream(answer=answer))))
    for _ in range(3):
        reply = client.ask()
        assert reply.body == b"one" + b"x" * 100000 and reply.trailers == [("X-Sum", "9")]
        assert reply["Transfer-Encoding"] == "chunked"


def test_response_that_ends_with_its_connection(start, upstream, connect):
    def serve(link):
        link.read_request()
        link.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil ")
        link.send(b"the end")

    server = upstream(serve)
    proxy = start(forward(server))
    client = connect(proxy)
    for _ in range(3):
        reply = client.ask()
        assert (reply.status, reply.body) == (200, b"until the end")
        assert reply["Transfer-Encoding"] == "chunked", "a 1.1 client learns where it ends"
    assert server.connections == 3
    old = connect(proxy)
    reply = old.ask(minor=0)
    assert reply.body == b"until the end" and reply["Transfer-Encoding"] is None and reply["Content-Length"] is None
    old.expect_end()


def test_head(start, upstream, connect):
    def answer(message):
        if message.target == "/chunked":
            return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        if message.target == "/none":
            return b"HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n"
        return b"HTTP/1.1 200 OK\r\nContent-Length: 123456\r\n\r\n"

    server = upstream(answer=answer)
    client = connect(start(forward(server)))
    reply = client.ask("HEAD", "/length")
    assert reply["Content-Length"] == "123456" and reply.body == b""
    assert client.ask("HEAD", "/chunked")["Content-Length"] is None
    assert client.ask("HEAD", "/none")["Content-Length"] is None
    assert client.ask("HEAD", "/length").status == 200
    assert server.connections == 1


@pytest.mark.parametrize("status, fields", [(204, []), (304, []), (304, [("Content-Length", "99"), ("ETag", '"a"')])])
def test_bodiless_statuses(start, upstream, connect, status, fields):
    server = upstream(answer=lambda _: http.response(status, "Quiet", fields, length=False))
    client = connect(start(forward(server)))
    for _ in range(2):
        reply = client.ask()
        assert reply.status == status and kept(reply, RESPONSE_ADDED | {"date"}) == fields
    assert server.connections == 1


def test_post_without_body_gets_no_chunked_framing(start, upstream, connect):
    server = upstream()
    client = connect(start(forward(server)))
    client.send(http.request("POST", "/"))
    assert client.read().status == 200
    client.ask("POST", "/", body=b"")
    assert server.requests[0]["Transfer-Encoding"] is None
    assert server.requests[0]["Content-Length"] in (None, "0")
    assert server.requests[1]["Content-Length"] == "0"


def test_http_1_0_clients(start, upstream, connect):
    def answer(message):
        if message.target == "/chunked":
            return http.response(fields=[("Transfer-Encoding", "chunked")], body=http.chunked([b"ab", b"cd"]), length=False)
        return http.response(body=b"four")

    server = upstream(answer=answer)
    proxy = start(forward(server))
    client = connect(proxy)
    reply = client.ask(minor=0)
    assert reply.body == b"four"
    client.expect_end()
    client = connect(proxy)
    for _ in range(2):
        reply = client.ask("GET", "/", [("Connection", "keep-alive")], minor=0)
        assert reply.body == b"four" and reply["Connection"].lower() == "keep-alive"
    # A 1.0 client does not know chunks: the body ends with the connection.
    reply = client.ask("GET", "/chunked", [("Connection", "keep-alive")], minor=0)
    assert reply.body == b"abcd" and reply["Transfer-Encoding"] is None
    client.expect_end()
    # HTTP/1.0 may come without a Host; what goes upstream is HTTP/1.1.
    client = connect(proxy)
    assert client.ask(host=None, minor=0).status == 200
    assert all(r.minor == 1 for r in server.requests)


# -- interim and early responses

def test_interim_responses_pass(start, upstream, connect):
    def serve(link):
        while link.read_request() is not None:
            link.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
            link.send(b"HTTP/1.1 102 Processing\r\n\r\n")
            link.send(http.response(body=b"done"))

    client = connect(start(forward(upstream(serve))))
    for _ in range(2):
        reply = client.ask()
        assert [(i.status, i["Link"]) for i in reply.interim] == [(103, "</a.css>; rel=preload"), (102, None)]
        assert reply.body == b"done"


def test_interim_responses_are_not_sent_to_http_1_0(start, upstream, connect):
    server = upstream(answer=lambda _: b"HTTP/1.1 103 Early Hints\r\n\r\n" + http.response(body=b"done"))
    reply = connect(start(forward(server))).ask(minor=0)
    assert reply.interim == [] and reply.body == b"done"


def test_expect_continue_is_the_servers_decision(start, upstream, connect):
    def serve(link):
        while (message := link.read_request_head()) is not None:
            assert message["Expect"] == "100-continue"
            if message.target == "/no":
                link.send(http.response(401, "Unauthorized", [("Connection", "close")]))
                return
            link.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            link.reader.body(message, False, False)
            link.send(http.response(body=message.body.upper()))

    proxy = start(forward(upstream(serve)))
    client = connect(proxy)
    head = http.request("POST", "/yes", [("Expect", "100-continue"), ("Content-Length", "5")])
    for _ in range(2):
        client.send(head)
        interim = client.reader.response_head()
        assert interim.status == 100
        client.send(b"hello")
        assert client.read().body == b"HELLO"
    client = connect(proxy)
    client.send(http.request("POST", "/no", [("Expect", "100-continue"), ("Content-Length", "5")]))
    reply = client.read()
    assert reply.status == 401 and reply.interim == []
    # The body was never sent, so nobody knows what would come next.
    client.expect_gone()


def test_early_response_while_the_body_is_still_coming(start, upstream, connect):
    """The server refuses an upload after its head and closes; the client gets the refusal, not an error."""

    def serve(link):
        link.read_request_head()
        link.send(http.response(413, "Too Large", [("Connection", "close")], b"too large\n"))
        link.end_output()
        link.wait_for_end()

    server = upstream(serve)
    proxy = start(forward(server))
    client = connect(proxy)
    client.send(http.request("POST", "/", [("Content-Length", str(10 << 20))]) + b"x" * 1000)
    reply = client.read()
    assert (reply.status, reply.body) == (413, b"too large\n")
    line = proxy.requests(1)[0]
    assert line["status"] == 413


@pytest.mark.parametrize("how", ["close", "reset"])
def test_early_response_in_front_of_a_reset_that_our_write_meets(start, upstream, connect, how):
    """What the server said is read after a write has failed, to its last byte; the next request has another connection."""
    leaves_bytes, may_answer, has_left = threading.Event(), threading.Event(), threading.Event()
    refusal = os.urandom(60000)  # more than one record of TLS

    def serve(link):
        message = link.read_request_head()
        if message.method == "GET":
            link.send(http.response(body=b"next"))
            return
        select.select([link.sock], [], [])  # what is left unread makes a reset of a mere close
        leaves_bytes.set()
        assert may_answer.wait(PATIENCE_S)
        link.send(http.response(413, "Too Large", [("Connection", "close")], refusal))
        getattr(link, how)()
        has_left.set()

    server = upstream(serve)
    proxy = start({**forward(server), "workers": 1})
    client = connect(proxy)
    client.send(http.request("POST", "/", [("Content-Length", str(10 << 20))]))
    server.wait_for_requests(1)
    client.send(b"x" * 1000)
    assert leaves_bytes.wait(PATIENCE_S)
    with proxy.frozen():
        client.send(b"y" * 1000)  # ahead of the answer: what is written comes before what is read
        may_answer.set()
        assert has_left.wait(PATIENCE_S)
        wait_for(lambda: all(remote != server.port for _, remote in proxy.connected_sockets()), "the reset has come")
    reply = client.read()
    assert (reply.status, reply.body) == (413, refusal)
    line = proxy.requests(1)[0]
    assert (line["status"], line["end"]) == (413, "ok")
    assert connect(proxy).ask().body == b"next"
    assert server.connections == 2


def test_early_response_and_then_the_rest_of_the_body(start, upstream, connect):
    """The server answers before it has read the body: the client has the answer, and its connection either goes on as
    if nothing had happened or ends; what follows is never mistaken for a request."""

    def serve(link):
        while (message := link.read_request_head()) is not None:
            link.send(http.response(body=b"early"))
            try:
                link.reader.body(message, False, False)
            except http.Ended:
                return

    server = upstream(serve)
    proxy = start(forward(server))
    client = connect(proxy)
    client.send(http.request("POST", "/1", [("Content-Length", "90")]) + b"1234")
    assert client.read().body == b"early"
    try:
        client.send(http.request("GET", "/inside-the-body").ljust(86) + http.request("POST", "/2", body=b"x"))
        assert client.read().body == b"early"
    except (http.Ended, OSError):
        pass
    assert [r.target for r in server.requests] in (["/1"], ["/1", "/2"])
    assert connect(proxy).ask("POST", "/3", body=b"y").body == b"early"


# -- endings

def test_client_that_leaves_aborts_the_server(start, upstream, connect):
    ended = threading.Event()

    def serve(link):
        link.read_request()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
        link.wait_for_end()
        ended.set()

    proxy = start(forward(upstream(serve)))
    for leave in ("close", "reset"):
        ended.clear()
        client = connect(proxy)
        client.send(http.request("GET", f"/{leave}"))
        assert client.reader.response_head().status == 200
        getattr(client, leave)()
        assert ended.wait(PATIENCE_S), f"the server still waits after the client's {leave}"
    assert [line["end"] for line in proxy.requests(2)] == ["client_abort"] * 2


def test_client_that_leaves_before_any_response(start, upstream, connect):
    ended = threading.Event()

    def serve(link):
        link.read_request()
        link.wait_for_end()
        ended.set()

    server = upstream(serve)
    proxy = start(forward(server))
    client = connect(proxy)
    client.send(http.request())
    server.wait_for_requests(1)
    client.reset()
    assert ended.wait(PATIENCE_S)
    (line,) = proxy.requests(1)
    assert line["end"] == "client_abort" and line.get("status", 0) in (0, 499)


def test_client_that_leaves_in_the_middle_of_its_body(start, upstream, connect):
    ended = threading.Event()

    def serve(link):
        link.read_request_head()
        link.wait_for_end()
        ended.set()

    server = upstream(serve)
    proxy = start(forward(server))
    client = connect(proxy)
    client.send(http.request("POST", "/", [("Content-Length", "1000")]) + b"x" * 10)
    server.wait_for_requests(1)
    client.close()
    assert ended.wait(PATIENCE_S), "a half body must not look like a whole request"


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("is_kept", [False, True], ids=["first", "kept"])
def test_a_client_that_leaves_right_behind_its_body_is_given_up(start, upstream, connect, framing, is_kept):
    """Its end is there before the server is connected, so no event tells of it once the body has gone."""

    def serve(link):
        message = link.read_request()
        if message.target == "/warm":
            link.send(http.response(fields=[("Connection", "close")]))
        else:
            link.wait_for_end()

    server = upstream(serve)
    proxy = start({**forward(server), "workers": 1})
    fields, body = ([("Content-Length", "10")], b"0123456789") if framing == "length" else ([("Transfer-Encoding", "chunked")], b"3\r\nabc\r\n0\r\n\r\n")
    client = connect(proxy)
    if is_kept:
        assert client.ask("GET", "/warm").status == 200
    with proxy.frozen():
        client.send(http.request("POST", "/", fields) + body)
        client.close()
    assert proxy.requests(1 + is_kept)[-1]["end"] == "client_abort", "a server must not work for nobody"


@pytest.mark.parametrize("method, fields, body", [("GET", [], b""), ("POST", [("Content-Length", "10")], b"0123456789"),
                                                  ("POST", [("Transfer-Encoding", "chunked")], b"3\r\nabc\r\n0\r\n\r\n")],
                         ids=["none", "length", "chunked"])
@pytest.mark.parametrize("is_late", [False, True], ids=["at_once", "late"])
def test_a_client_that_resets_right_behind_its_request_is_given_up(start, upstream, connect, method, fields, body, is_late):
    """The kernel tells the reset once, together with the last bytes of the request: no later event comes."""

    def serve(link):
        if link.read_request().target == "/warm":
            link.send(http.response(fields=[("Connection", "close")]))
        link.wait_for_end()

    proxy = start({**forward(upstream(serve)), "workers": 1})
    client = connect(proxy)
    assert client.ask("GET", "/warm").status == 200
    said = http.request(method, "/", fields) + body
    if is_late and body:
        client.send(said[:-1])
        time.sleep(0.7)  # older than the two ticks in which requests are looked at
        said = said[-1:]
    with proxy.frozen():
        client.send(said)
        client.reset()
    assert proxy.requests(2)[-1]["end"] == "client_abort", "a server must not work for nobody"


def unreachable_messages():
    """That this machine's kernel has had."""
    names, values = [line.split()[1:] for line in pathlib.Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Icmp:")]
    return int(values[names.index("InDestUnreachs")])


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone may speak as a router")
def test_a_path_that_is_away_for_a_moment_ends_no_request(start, upstream, connect):
    """What routers say stays with the socket until somebody asks; it is not a reset."""
    may_answer = threading.Event()

    def serve(link):
        link.read_request()
        assert may_answer.wait(PATIENCE_S)
        link.send(http.response(body=b"late"))

    proxy = start({**forward(upstream(serve)), "workers": 1})
    client = connect(proxy)
    client.send(http.request("GET", "/"))
    before = unreachable_messages()
    client.say_unreachable()
    wait_for(lambda: unreachable_messages() > before, "the kernel has taken the message")
    time.sleep(0.7)  # older than the two ticks in which requests are looked at
    may_answer.set()
    assert client.read().body == b"late"


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("way", ["end_output", "reset"])
def test_server_that_breaks_off_is_seen_by_the_client(start, upstream, connect, framing, way):
    def serve(link):
        link.read_request()
        if framing == "length":
            link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 50)
        else:
            link.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n32\r\n" + b"x" * 50 + b"\r\n5\r\nabc")
        link.server.half.wait(PATIENCE_S)
        getattr(link, way)()

    server = upstream(serve)
    server.half = threading.Event()
    proxy = start(forward(server))
    client = connect(proxy)
    client.send(http.request())
    assert client.reader.response_head().status == 200
    client.reader.until(b"x" * 50)
    server.half.set()
    rest = client.expect_gone()
    assert b"0\r\n\r\n" not in rest, "a broken body must not look whole"
    assert len(rest) < 50
    (line,) = proxy.requests(1)
    assert line["status"] == 200 and line["end"] == "upstream_abort"


def test_upstream_connection_close_is_obeyed(start, upstream, connect):
    def serve(link):
        link.read_request()
        link.send(http.response(fields=[("Connection", "close")], body=b"bye"))

    server = upstream(serve)
    client = connect(start(forward(server)))
    for count in range(5):
        reply = client.ask()
        assert reply.body == b"bye" and reply["Connection"] != "close", "the client's connection is its own"
        assert server.connections == count + 1


def test_unasked_bytes_from_the_server_never_reach_the_next_client(start, upstream, connect):
    def answer(message):
        extra = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nSTOLEN" if message.target == "/first" else b""
        return http.response(body=message.target.encode()) + extra

    server = upstream(answer=answer)
    proxy = start(forward(server))
    client = connect(proxy)
    for _ in range(10):
        assert client.ask("GET", "/first").body == b"/first"
        assert client.ask("GET", "/second").body == b"/second"
        assert connect(proxy).ask("GET", "/third").body == b"/third"


def test_round_robin_over_servers(start, upstream, connect):
    servers = [upstream(answer=lambda _, n=n: http.response(body=b"%d" % n)) for n in range(3)]
    client = connect(start(forward(*servers, workers=1)))
    bodies = [client.ask().body for _ in range(30)]
    assert sorted(bodies) == [b"0"] * 10 + [b"1"] * 10 + [b"2"] * 10
    assert bodies[:3] == bodies[3:6]
