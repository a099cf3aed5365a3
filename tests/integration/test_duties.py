# SPDX-License-Identifier: Apache-2.0
"""What RFC 9110 asks of an intermediary: fields for one hop, Max-Forwards, TE, Date, Expect, and order whatever happens."""
import contextlib
import re
import threading

import pytest
from harness import http
from harness.configs import forward
from harness.ports import take_port
from harness.replies import trio_of
from harness.waiting import wait_for

DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")
OLD_DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
ADDED = {"via", "x-request-id", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "host"}


def sent(message, added=frozenset(ADDED)):
    return [(n, v) for n, v in message.fields if n.lower() not in added]


def ask_raw(client, lines, method="GET", version="1.1"):
    client.send(f"{method} / HTTP/{version}\r\nHost: test.local\r\n{''.join(line + chr(13) + chr(10) for line in lines)}\r\n".encode("latin-1"))
    return client.read(method)


# -- fields for one hop, of requests: (lines sent, lines that arrive)

REQUESTS = [
    (["Connection: close"], []),
    (["Connection: keep-alive"], []),
    (["Connection: close, keep-alive"], []),
    (["Connection: keep-alive", "Connection: close"], []),
    (["Connection: X-One", "connection: x-two,X-THREE", "X-One: 1", "x-Two: 2", "X-Three: 3", "X-Four: 4"], ["X-Four: 4"]),
    (["Connection: ,, X-One ,", "X-One: 1", "X-One: 2", "X-OneMore: 3"], ["X-OneMore: 3"]),
    (["Connection: absent", "X: 1"], ["X: 1"]),
    (["X-One: 1", "X-Kept: 2", "Connection: x-one"], ["X-Kept: 2"]),
    (["Keep-Alive: timeout=5, max=100"], []),
    (["Connection: Keep-Alive", "Keep-Alive: timeout=5"], []),
    (["Proxy-Connection: keep-alive"], []),
    (["Proxy-Authorization: Basic eDp5"], []),
    (["Proxy-Authenticate: Basic"], []),
    (["Upgrade: websocket", "Connection: Upgrade"], []),
    (["Upgrade: h2c, x/1", "HTTP2-Settings: AAMAAABk", "Connection: Upgrade, HTTP2-Settings"], []),
    (["Trailer: X-Sum"], ["Trailer: X-Sum"]),
    (["Connection: trailer", "Trailer: X-Sum", "X: 1"], ["X: 1"]),
    (["TE: trailers"], ["TE: trailers", "Connection: TE"]),
    (["TE: trailers", "Connection: TE"], ["TE: trailers", "Connection: TE"]),
    (["Connection: te, close", "TE: gzip;q=0.5 , TRAILERS"], ["TE: trailers", "Connection: TE"]),
    (["TE: deflate", "TE: trailers"], ["TE: trailers", "Connection: TE"]),
    (["TE: gzip, chunked"], []),
    (["TE:"], []),
    (["TE: trailers;q=1"], []),
    (["Max-Forwards: 0"], ["Max-Forwards: 0"]),
    (["Max-Forwards: x", "Max-Forwards: -1"], ["Max-Forwards: x", "Max-Forwards: -1"]),
    (["Cache-Control: no-cache", "Warning: 199 - x", "Age: 3"], ["Cache-Control: no-cache", "Warning: 199 - x", "Age: 3"]),
    (["Date: " + OLD_DATE], ["Date: " + OLD_DATE]),
]


def test_request_fields_of_one_hop(start, upstream, connect):
    server = upstream()
    proxy = start(forward(server))
    for index, (lines, expected) in enumerate(REQUESTS):
        client = connect(proxy)
        assert ask_raw(client, lines).status == 200, lines
        seen = server.requests[index]
        assert [f"{n}: {v}" for n, v in sent(seen)] == expected, lines
        assert seen["Via"] == "1.1 sluice"
        client.close()


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Cookie", "Authorization", "X-Auth-Token", "X-Forwarded-For", "X-Real-IP", "Forwarded",
                                  "X-Request-Id", "Via", "Date", "Max-Forwards", "Expect", "Cache-Control", "Content-Type"])
def test_request_may_not_nominate_what_is_for_the_server(start, upstream, connect, name):
    server = upstream()
    client = connect(start(forward(server)))
    reply = ask_raw(client, [f"Connection: close, {name.lower()}"])
    assert reply.status == 400
    client.expect_end()
    assert server.requests == []


def test_via_is_appended_and_forwarding_fields_are_ours(start, upstream, connect):
    server = upstream()
    fields = [("Via", "1.0 fred, 1.1 p.example (Apache)"), ("X-Forwarded-For", "192.0.2.9"), ("X-Forwarded-Proto", "https"),
              ("X-Forwarded-Host", "evil"), ("Forwarded", "for=192.0.2.9"), ("X-Real-IP", "192.0.2.9"), ("X-Request-Id", "a" * 32)]
    for minor in (1, 0):
        client = connect(start(forward(server)))
        client.ask("GET", "/", fields, minor=minor)
        seen = server.requests[-1]
        assert seen.all("via") == ["1.0 fred, 1.1 p.example (Apache)", f"1.{minor} sluice"]
        assert [seen[n] for n in ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host")] == ["127.0.0.1", "http", "test.local"]
        assert seen["Forwarded"] is None and seen["X-Real-IP"] is None and seen["X-Request-Id"] != "a" * 32
    client = connect(start(forward(server, trusted_proxies=["127.0.0.0/8"])))
    client.ask("GET", "/", fields)
    seen = server.requests[-1]
    assert seen["X-Forwarded-For"] == "192.0.2.9, 127.0.0.1" and seen["X-Forwarded-Proto"] == "https" and seen["X-Forwarded-Host"] == "evil"
    assert seen["Forwarded"] == "for=192.0.2.9" and seen["X-Real-IP"] == "192.0.2.9" and seen["X-Request-Id"].startswith("a" * 32)


# -- and of responses: (lines sent, lines that arrive but for X-request-id); "DATE" is one that Sluice made

DATED = "Date: " + OLD_DATE
RESPONSES = [
    ([DATED], [DATED]),
    ([], ["DATE"]),
    (["X: 1"], ["X: 1", "DATE"]),
    (["date: " + OLD_DATE, "X: 1"], ["date: " + OLD_DATE, "X: 1"]),
    (["Date:"], ["Date:"]),
    (["Connection: Date", DATED, "X: 1"], ["X: 1", "DATE"]),
    (["Connection: close, keep-alive", DATED, "Keep-Alive: timeout=3"], [DATED]),
    (["Connection: keep-alive", "Connection: close", DATED], [DATED]),
    (["Connection: X-A", "X-A: 1", "x-b: 2", "connection: ,x-B,", DATED], [DATED]),
    (["Connection: Set-Cookie, Retry-After", "Set-Cookie: a=1", "Retry-After: 9", "Set-Cookie: b=2", DATED, "X: 1"], [DATED, "X: 1"]),
    (["Connection: X-Request-Id", "X-Request-Id: theirs", DATED], [DATED]),
    (["X-Request-Id: theirs", "x-request-ID: again", DATED], [DATED]),
    (["Connection: transfer-encoding, host", DATED], [DATED]),
    (["Proxy-Authenticate: Basic", "Proxy-Connection: close", "Keep-Alive: 1", "TE: trailers", "Upgrade: h2c", DATED], [DATED]),
    (["Trailer: X-Sum", DATED], ["Trailer: X-Sum", DATED]),
    (["Via: 1.1 inner", "Server: s/1", "Age: 5", DATED], ["Via: 1.1 inner", "Server: s/1", "Age: 5", DATED]),
    (["Retry-After: 7", "Set-Cookie: a=1", "Set-Cookie: b=2", DATED], ["Retry-After: 7", "Set-Cookie: a=1", "Set-Cookie: b=2", DATED]),
]


def serve_lines(rows):
    """Answers request number n with the lines of row n and a body, framed by Content-Length, which one row even nominates."""
    def answer(message):
        lines = rows[int(message.target[1:])][0]
        return "".join(line + "\r\n" for line in ["HTTP/1.1 200 OK", *lines, "Content-Length: 4"]).encode() + b"\r\nbody"
    return answer


def test_response_fields_of_one_hop(start, upstream, connect):
    server = upstream(answer=serve_lines(RESPONSES))
    client = connect(start(forward(server)))
    for index, (lines, expected) in enumerate(RESPONSES):
        reply = client.ask("GET", f"/{index}")
        assert reply.body == b"body", lines
        got = [f"{n}: {v}".rstrip() for n, v in sent(reply, {"x-request-id", "content-length"})]
        got = ["DATE" if DATE.fullmatch(line[6:]) and OLD_DATE not in line else line for line in got]
        assert got == expected, lines
        assert reply["X-Request-Id"] not in (None, "theirs") and reply["Content-Length"] == "4"


def test_nominated_length_still_frames(start, upstream, connect):
    server = upstream(answer=lambda _: b"HTTP/1.1 200 OK\r\nConnection: Content-Length, x\r\nContent-Length: 4\r\nX: 1\r\n\r\nbody")
    client = connect(start(forward(server)))
    for _ in range(2):
        reply = client.ask()
        assert (reply.body, reply["Content-Length"], reply["X"]) == (b"body", "4", None)
    assert server.connections == 1


def test_chunked_response_that_nominates_its_framing(start, upstream, connect):
    data = b"HTTP/1.1 200 OK\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
    server = upstream(answer=lambda _: data)
    client = connect(start(forward(server)))
    for _ in range(2):
        assert client.ask().body == b"body"


# -- Date

@pytest.mark.parametrize("head", [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\n\r\n", b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
                                  b"HTTP/1.1 103 Early Hints\r\nX: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
def test_every_final_response_has_one_date(start, upstream, connect, head):
    client = connect(start(forward(upstream(answer=lambda _: head))))
    for _ in range(2):
        reply = client.ask()
        assert DATE.fullmatch(reply["Date"])
        assert [i["Date"] for i in reply.interim] == [None] * len(reply.interim)


# -- framing fields where none may be

@pytest.mark.parametrize("head, method, length", [
    (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "GET", None),
    (b"HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "GET", None),
    (b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", "GET", "0"),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", "GET", "7"),
    (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", None),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", "HEAD", "7"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD", None),
    (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "HEAD", None),
])
def test_bodiless_responses_keep_the_connections(start, upstream, connect, head, method, length):
    server = upstream(answer=lambda _: head)
    client = connect(start(forward(server)))
    for _ in range(3):
        reply = client.ask(method, "/")
        assert (reply.body, reply["Content-Length"], reply["Transfer-Encoding"]) == (b"", length, None)
        assert [i["Content-Length"] for i in reply.interim] == [None] * len(reply.interim)
    assert server.connections == 1


@pytest.mark.parametrize("head", [
    b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n", b"HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 205 Reset Content\r\nContent-Length: 5\r\n\r\n", b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
])
def test_impossible_framing_is_502(start, upstream, connect, head):
    server = upstream(answer=lambda _: head + b"5\r\nhello\r\n0\r\n\r\n")
    proxy = start(forward(server))
    for _ in range(2):
        assert connect(proxy).ask().status == 502
    assert server.connections == 2
    assert [line["end"] for line in proxy.requests(2)] == ["upstream_bad_response"] * 2


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_body_of_a_response_to_head_is_nobodys(start, upstream, connect, head):
    server = upstream(answer=lambda m: head + b"EVIL" if m.method == "HEAD" else http.response(body=b"good"))
    client = connect(start(forward(server, workers=1)))
    for _ in range(3):
        reply = client.ask("HEAD", "/")
        assert reply.status == 200 and reply.body == b""
        assert client.ask("GET", "/").body == b"good"


# -- Max-Forwards

def test_max_forwards_counts_down_and_ends_here(start, upstream, connect):
    server = upstream()
    proxy = start(forward(server, quotas={"ip": {"key": ["ip"], "limits": {"hour": 8}}}))
    client = connect(proxy)
    for count, (method, value, arrives) in enumerate([("OPTIONS", "1", "0"), ("TRACE", "10", "9"), ("OPTIONS", "007", "6"), ("OPTIONS", "999999999", "999999998")]):
        assert client.ask(method, "/x", [("A", "1"), ("max-FORWARDS", value), ("B", "2")]).status == 200
        assert server.requests[count]["Max-Forwards"] == arrives
        assert ("A", "1") in server.requests[count].fields and ("B", "2") in server.requests[count].fields
    reply = client.ask("OPTIONS", "/x", [("Max-Forwards", "0")])
    assert (reply.status, reply.body, reply["Content-Length"], reply["Connection"]) == (200, b"", "0", None)
    assert trio_of(reply) == (8, 3, "hour"), "charged like any request of its route"
    reply = client.ask("OPTIONS", "/y", [("Max-Forwards", "0")], body=b"hello")
    assert (reply.status, reply["Content-Length"]) == (200, "0")
    secret = ("Cookie", "secret=1")
    reply = client.ask("TRACE", "/x", [("Max-Forwards", "0"), secret])
    assert (reply.status, reply["Allow"], reply["Connection"]) == (405, "OPTIONS", None)
    assert b"secret" not in reply.body + reply.raw_head and trio_of(reply) == (8, 1, "hour")
    assert client.ask("GET", "/x", [("Max-Forwards", "0")]).status == 200
    assert client.ask("OPTIONS", "/x", [("Max-Forwards", "0")]).status == 429
    assert [r.method for r in server.requests] == ["OPTIONS", "TRACE", "OPTIONS", "OPTIONS", "GET"]
    ends = [(line["method"], line["end"]) for line in proxy.requests(9)]
    assert ends.count(("TRACE", "method_refused")) == 1 and ends.count(("OPTIONS", "ok")) == 5


@pytest.mark.parametrize("lines", [["Max-Forwards:"], ["Max-Forwards: -1"], ["Max-Forwards: +1"], ["Max-Forwards: 1.5"], ["Max-Forwards: 0x1"],
                                   ["Max-Forwards: 1, 2"], ["Max-Forwards: 1", "Max-Forwards: 1"], ["Max-Forwards: 4294967296"],
                                   ["Max-Forwards: 99999999999999999999"], ["Max-Forwards:\t1"], ["Max_Forwards: 1"]])
def test_bad_max_forwards(start, upstream, connect, lines):
    server = upstream()
    proxy = start(forward(server))
    for method in ("OPTIONS", "TRACE"):
        client = connect(proxy)
        assert ask_raw(client, lines, method).status == 400
        client.expect_end()
    assert server.requests == []


def test_max_forwards_survives_a_retry(start, upstream, connect):
    """The request is composed twice and counted down once."""
    def serve(link):
        while (message := link.read_request()) is not None:
            if link.number == 0 and message.method == "OPTIONS":
                return
            link.send(http.response(body=b"x"))

    server = upstream(serve)
    client = connect(start(forward(server, workers=1)))
    assert client.ask("GET", "/").status == 200
    assert client.ask("OPTIONS", "/", [("Max-Forwards", "5")]).status == 200
    assert [r["Max-Forwards"] for r in server.requests] == [None, "4", "4"]


# -- TE and trailers

@pytest.mark.parametrize("fields, arrives", [([("TE", "trailers"), ("Connection", "TE")], "trailers"), ([], None), ([("TE", "gzip")], None)])
def test_trailers_pass_whether_asked_for_or_not(start, upstream, connect, fields, arrives):
    def answer(_):
        return http.response(fields=[("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")], body=http.chunked([b"one", b"two"], [("X-Sum", "9")]), length=False)

    server = upstream(answer=answer)
    client = connect(start(forward(server)))
    for _ in range(2):
        reply = client.ask("GET", "/", fields)
        assert (reply.body, reply.trailers, reply["Trailer"]) == (b"onetwo", [("X-Sum", "9")], "X-Sum")
        assert server.requests[-1]["TE"] == arrives
        assert server.requests[-1]["Connection"] == ("TE" if arrives else None)
    assert server.connections == 1


def test_http_1_0_asks_for_no_trailers(start, upstream, connect):
    server = upstream(answer=lambda _: http.response(fields=[("Transfer-Encoding", "chunked")], body=http.chunked([b"one"], [("X-Sum", "9")]), length=False))
    client = connect(start(forward(server)))
    reply = client.ask("GET", "/", [("TE", "trailers"), ("Connection", "TE")], minor=0)
    assert reply.body == b"one" and server.requests[0]["TE"] is None
    client.expect_end()


# -- Expect

def continuing(link):
    """A server that reads a body only after it has said so."""
    while (message := link.read_request_head()) is not None:
        if message["Expect"]:
            link.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        link.reader.body(message, False, False)
        link.send(http.response(body=message.body.upper()))


def test_expect_of_http_1_0_is_ignored(start, upstream, connect):
    server = upstream(continuing)
    client = connect(start(forward(server)))
    reply = client.ask("POST", "/", [("Expect", "100-continue")], body=b"hello", minor=0)
    assert (reply.status, reply.body, reply.interim) == (200, b"HELLO", [])
    assert server.requests[0]["Expect"] is None


def test_expect_without_a_body(start, upstream, connect):
    server = upstream(continuing)
    client = connect(start(forward(server)))
    for fields in ([("Expect", "100-continue")], [("expect", "100-Continue"), ("Content-Length", "0")]):
        reply = client.ask("POST", "/", fields)
        assert (reply.status, [i.status for i in reply.interim]) == (200, [100])
    assert server.connections == 1


def test_body_that_comes_without_waiting(start, upstream, connect):
    server = upstream(continuing)
    client = connect(start(forward(server)))
    for chunks in (None, [b"hel", b"lo"]):
        client.send(http.request("POST", "/", [("Expect", "100-continue")], body=None if chunks else b"hello", chunks=chunks) + http.request("GET", "/next"))
        reply = client.read()
        assert ([i.status for i in reply.interim], reply.body) == ([100], b"HELLO")
        assert client.read().body == b""


def test_unexpected_continue_passes(start, upstream, connect):
    server = upstream(answer=lambda _: b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Again\r\nX: 1\r\n\r\n" + http.response(body=b"done"))
    proxy = start(forward(server))
    client = connect(proxy)
    for _ in range(2):
        reply = client.ask()
        assert ([(i.status, i["X"]) for i in reply.interim], reply.body) == ([(100, None), (100, "1")], b"done")
    reply = connect(proxy).ask(minor=0)
    assert (reply.interim, reply.body) == ([], b"done")


@pytest.mark.parametrize("status", [200, 401, 417])
def test_final_status_instead_of_continue(start, upstream, connect, status):
    """Whether the body still comes is the client's to say; it is never taken for a request."""
    def serve(link):
        link.read_request_head()
        link.send(http.response(status, "Final", body=b"no"))
        link.wait_for_end()

    server = upstream(serve)
    client = connect(start(forward(server)))
    evil = http.request("GET", "/evil")
    client.send(http.request("POST", "/", [("Expect", "100-continue"), ("Content-Length", str(len(evil)))]))
    reply = client.read()
    assert (reply.status, reply.interim, reply.body) == (status, [], b"no")
    with contextlib.suppress(OSError):
        client.send(evil)
    assert client.expect_gone() == b""
    assert [r.target for r in server.requests] == ["/"]


# -- a refusal eats its own body and nothing else

EVIL = http.request("GET", "/evil")
REFUSED = {
    "limited": (http.request("POST", "/limited", body=EVIL), 429),
    "limited, chunked": (http.request("POST", "/limited", chunks=[EVIL]), 429),
    "no route": (http.request("POST", "/nowhere", body=EVIL), 404),
    "no route, chunked": (http.request("POST", "/nowhere", chunks=[EVIL, EVIL]), 404),
    "too large": (http.request("POST", "/open", body=EVIL + b"x" * 2000), 413),
    "too large, chunked": (http.request("POST", "/open", chunks=[EVIL, b"x" * 2000]), 413),
    "much too large": (http.request("POST", "/open", body=EVIL * 10000), 413),
    "expecting": (http.request("POST", "/limited", [("Expect", "100-continue")], body=EVIL), 429),
    "identity missing": (http.request("POST", "/named", body=EVIL), 401),
    "TRACE ends here": (http.request("TRACE", "/open", [("Max-Forwards", "0")], body=EVIL), 405),
    "doubtful path": (http.request("POST", "/open/../x", body=EVIL), 400),
    "own response": (http.request("POST", "/here", body=EVIL), 200),
    "dead server": (http.request("POST", "/dead", body=EVIL), 502),
}


def mixed_config(server, dead_port):
    return {
        "upstreams": {"app": {"servers": [server.address]}, "dead": {"servers": [f"127.0.0.1:{dead_port}"]}},
        "identities": {"user": {"from": ["header:X-User"], "missing": "refuse"}},
        "quotas": {"none": {"key": ["ip"], "limits": {"hour": 0}}, "user": {"key": ["user", "ip"], "limits": {"hour": 100000}}},
        "routes": [
            {"name": "limited", "path": "/limited", "quotas": ["none"], "upstream": "app"},
            {"name": "named", "path": "/named", "quotas": ["user"], "upstream": "app"},
            {"name": "here", "path": "/here", "respond": {"status": 200, "text": "here"}},
            {"name": "dead", "path": "/dead", "upstream": "dead"},
            {"name": "open", "prefix": "/open", "upstream": "app"},
        ],
        "limits": {"body": "1KiB"},
        "workers": 1,
    }


@pytest.fixture
def mixed(start, upstream):
    server = upstream(answer=lambda m: http.response(body=m.target.encode()))
    return server, start(mixed_config(server, take_port()))


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("cut", ["whole", "head first", "bytes"])
def test_refusal_does_not_eat_the_next_request(mixed, connect, name, cut):
    server, proxy = mixed
    data, status = REFUSED[name]
    client = connect(proxy)
    after = http.request("GET", "/open/next")
    head = data.index(b"\r\n\r\n") + 4
    with contextlib.suppress(OSError):
        if cut == "whole":
            client.send(data + after)
        elif cut == "head first":
            client.send(data[:head])
            client.send(data[head:] + after)
        elif len(data) < 5000:
            client.send_bytewise(data + after)
        else:
            client.send(data + after)
    reply = client.read()
    assert reply.status == status
    if reply["Connection"] == "close":
        assert client.expect_gone() == b""
    else:
        assert client.read().body == b"/open/next"
    assert connect(proxy).ask("GET", "/open/other").body == b"/open/other"
    assert not any(r.target == "/evil" for r in server.requests)
    assert all("/evil" not in line["path"] for line in proxy.requests())


def test_pipelined_refusals_own_responses_and_forwarded_ones_keep_their_order(mixed, connect):
    server, proxy = mixed
    kinds = [
        (http.request("GET", "/open/{}"), 200, b"/open/{}"),
        (http.request("GET", "/limited"), 429, None),
        (http.request("GET", "/here"), 200, b"here"),
        (http.request("POST", "/open/{}", body=b"x" * 100), 200, b"/open/{}"),
        (http.request("GET", "/nowhere"), 404, None),
        (http.request("POST", "/limited", body=EVIL), 429, None),
        (http.request("HEAD", "/here"), 200, b""),
        (http.request("GET", "/dead"), 502, None),
        (http.request("POST", "/open/{}", chunks=[b"abc", EVIL]), 200, b"/open/{}"),
        (http.request("OPTIONS", "/open", [("Max-Forwards", "0")]), 200, b""),
        (http.request("TRACE", "/open", [("Max-Forwards", "0")]), 405, None),
        (http.request("POST", "/here", body=EVIL), 200, b"here"),
        (http.request("GET", "/named"), 401, None),
    ]
    order = [(n, *kinds[(n * 5 + n // 13) % len(kinds)]) for n in range(130)]
    client = connect(proxy)
    sender = threading.Thread(target=client.send, args=(b"".join(d.replace(b"{}", b"%03d" % n) for n, d, _, _ in order),))
    sender.start()
    for n, data, status, body in order:
        reply = client.read(data.split(b" ", 1)[0].decode())
        assert (reply.status, reply["Connection"]) == (status, None), (n, data)
        if body is not None:
            assert reply.body == body.replace(b"{}", b"%03d" % n), n
    sender.join()
    assert client.is_quiet()
    forwarded = [n for n, d, _, _ in order if b"/open/{}" in d]
    assert [r.target for r in server.requests] == [f"/open/{n:03d}" for n in forwarded]
    wait_for(lambda: len(proxy.requests()) == len(order), "a log line each")


# -- identity headers in two spellings

ALIASES = ["X_Api_Key", "x_api-key", "X-Api_Key", "X_API_KEY"]


@pytest.mark.parametrize("path", ["/keyed", "/open"])
def test_identity_header_in_another_spelling_is_refused(start, upstream, connect, path):
    server = upstream()
    config = forward(server, quotas={"key": {"key": ["header:X-Api-Key"], "limits": {"hour": 100}}, "one": {"key": ["u"], "limits": {"hour": 100}}},
                     identities={"u": {"from": ["cookie:a", "header:tenant_id"], "missing": "ip"}},
                     trusted_proxies=["10.0.0.0/8"], client_address="header:X-Client-Address")
    config["routes"] = [{"name": "keyed", "path": "/keyed", "quotas": ["key", "one"], "upstream": "app"}, {"name": "open", "path": "/open", "upstream": "app"}]
    proxy = start(config)
    for name in ALIASES + ["Tenant-Id", "x_client_address"]:
        client = connect(proxy)
        reply = client.ask("GET", path, [("X-Api-Key", "mine"), ("tenant_id", "t"), (name, "yours")])
        assert reply.status == 400, name
        client.expect_end()
        assert proxy.line_of(reply)["reason"] == "bad_field_name"
    assert server.requests == []
    reply = connect(proxy).ask("GET", path, [("X-Api-Key", "mine"), ("Tenant_ID", "t"), ("X_Other", "o"), ("X_Api_Keys", "k"), ("X-Client-Address", "a")])
    assert reply.status == 200
    assert ("X_Other", "o") in server.requests[0].fields and ("X_Api_Keys", "k") in server.requests[0].fields


@pytest.mark.parametrize("name", ["X-Api-Key", "x-api-key", *ALIASES, "Tenant-Id", "tenant_id"])
def test_identity_in_a_trailer_is_refused(start, upstream, connect, name):
    """A server that merges trailers would see another caller than the one that was counted."""
    server = upstream(serve=lambda link: (link.read_request_head(), link.wait_for_end()))
    proxy = start(forward(server, quotas={"key": {"key": ["header:X-Api-Key"], "limits": {"hour": 100}}, "one": {"key": ["u"], "limits": {"hour": 100}}},
                          identities={"u": {"from": ["header:tenant_id"], "missing": "ip"}}))
    head = http.request("POST", "/", [("X-Api-Key", "mine"), ("Transfer-Encoding", "chunked")])
    for pause in (b"", b"1\r\nx\r\n"):  # the end of the body comes with the head, or later
        client = connect(proxy)
        client.send(head + pause)
        if pause:
            server.wait_for_requests(1)
        client.send(http.chunked([], [("X-Other", "o"), (name, "yours")]))
        reply = client.read()
        assert reply.status == 400
        client.expect_end()
        assert proxy.line_of(reply)["reason"] == "bad_trailer"
    assert all(b"yours" not in bytes(link.reader.buffer) for link in server.links)
