# SPDX-License-Identifier: Apache-2.0
"""Whatever is malformed, dead, slow or too large gets one clear answer, and nothing of it goes further."""
import socket
import struct
import threading

import pytest
from harness import http
from harness.configs import forward, respond
from harness.replies import check_error, trio_of
from harness.waiting import PATIENCE_S, wait_for

BAD = "API request error."
TEXTS = {400: BAD, 405: BAD, 417: BAD, 501: BAD, 505: BAD, 408: "Request timeout.", 413: "Request entity too large.",
         414: "Request URI too large.", 431: "Request headers too large."}
ENDS = {400: "bad_request", 405: "method_refused", 417: "bad_expectation", 501: "not_implemented", 505: "bad_version"}
# faults that are limits have endings of their own
LIMITS = {"line_too_long": "uri_too_large", "field_too_long": "header_too_large", "head_too_long": "headers_too_large",
          "too_many_fields": "too_many_headers", "trailers_too_long": "trailers_too_large",
          "chunk_extension_too_long": "chunk_extension", "chunk_overhead": "chunk_overhead"}


def end_of(line):
    return LIMITS.get(line["reason"]) or ENDS[line["status"]]


H = b"Host: a\r\n"

MALFORMED = {
    # name: (bytes, status, fault)
    "bare LF after the request line": (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400, "bare_lf"),
    "bare LF ends the head": (b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "bare_lf"),
    "bare CR in a value": (b"GET / HTTP/1.1\r\n" + H + b"X: a\rb\r\n\r\n", 400, None),
    "two spaces after the method": (b"GET  / HTTP/1.1\r\n" + H + b"\r\n", 400, None),
    "two spaces before the version": (b"GET /  HTTP/1.1\r\n" + H + b"\r\n", 400, None),
    "tab in the request line": (b"GET\t/ HTTP/1.1\r\n" + H + b"\r\n", 400, None),
    "space after the version": (b"GET / HTTP/1.1 \r\n" + H + b"\r\n", None, None),
    "no version": (b"GET /\r\n\r\n", 400, None),
    "HTTP/0.9": (b"GET / HTTP/0.9\r\n" + H + b"\r\n", 505, "bad_version"),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\n" + H + b"\r\n", 505, "bad_version"),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\n" + H + b"\r\n", 505, "bad_version"),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "bad_version"),
    "http/1.1 in lower case": (b"GET / http/1.1\r\n" + H + b"\r\n", None, None),
    "method with a bad byte": (b"GE(T / HTTP/1.1\r\n" + H + b"\r\n", 400, None),
    "target with a high byte": (b"GET /\xff HTTP/1.1\r\n" + H + b"\r\n", 400, "bad_target"),
    "target with a fragment": (b"GET /a#b HTTP/1.1\r\n" + H + b"\r\n", 400, "bad_target"),
    "target without slash": (b"GET a HTTP/1.1\r\n" + H + b"\r\n", 400, "bad_target"),
    "asterisk for GET": (b"GET * HTTP/1.1\r\n" + H + b"\r\n", 400, "bad_target"),
    "space before colon": (b"GET / HTTP/1.1\r\n" + H + b"X : a\r\n\r\n", 400, "bad_field_name"),
    "empty name": (b"GET / HTTP/1.1\r\n" + H + b": a\r\n\r\n", 400, "bad_field_name"),
    "no colon": (b"GET / HTTP/1.1\r\n" + H + b"X\r\n\r\n", 400, "bad_field_name"),
    "folded line": (b"GET / HTTP/1.1\r\n" + H + b"X: a\r\n b\r\n\r\n", 400, "obs_fold"),
    "first field line begins with space": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "obs_fold"),
    "folded Content-Length": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length:\r\n 3\r\n\r\nabc", 400, "obs_fold"),
    "NUL in a value": (b"GET / HTTP/1.1\r\n" + H + b"X: a\0b\r\n\r\n", 400, None),
    "DEL in a value": (b"GET / HTTP/1.1\r\n" + H + b"X: a\x7fb\r\n\r\n", 400, None),
    "no Host": (b"GET / HTTP/1.1\r\nX: a\r\n\r\n", 400, "bad_host"),
    "two Hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "bad_host"),
    "Host with userinfo": (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400, "bad_host"),
    "Host with a comma": (b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400, "bad_host"),
    "Host with a path": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "bad_host"),
    "absolute target and another Host": (b"GET http://b/ HTTP/1.1\r\n" + H + b"\r\n", 400, "host_mismatch"),
    "absolute target with userinfo": (b"GET http://u@a/ HTTP/1.1\r\n" + H + b"\r\n", 400, None),
    "CONNECT": (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405, "connect_refused"),
    "unknown expectation": (b"GET / HTTP/1.1\r\n" + H + b"Expect: the-worst\r\n\r\n", 417, "bad_expect"),
    "Transfer-Encoding in 1.0": (b"POST / HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, None),
    "TLS hello": (bytes.fromhex("16030100a5010000a10303") + b"\x55" * 100, 400, None),
    "dot segment": (b"GET /a/../b HTTP/1.1\r\n" + H + b"\r\n", 400, "path_dot_segment"),
    "encoded dot segment": (b"GET /a/%2e%2E/b HTTP/1.1\r\n" + H + b"\r\n", 400, "path_dot_segment"),
    "single dot at the end": (b"GET /a/. HTTP/1.1\r\n" + H + b"\r\n", 400, "path_dot_segment"),
    "encoded slash": (b"GET /a%2fb HTTP/1.1\r\n" + H + b"\r\n", 400, "path_encoded_slash"),
    "encoded backslash": (b"GET /a%5Cb HTTP/1.1\r\n" + H + b"\r\n", 400, "path_encoded_slash"),
    "backslash": (b"GET /a\\b HTTP/1.1\r\n" + H + b"\r\n", 400, None),
    "encoded NUL": (b"GET /a%00b HTTP/1.1\r\n" + H + b"\r\n", 400, "path_nul"),
    "path parameter": (b"GET /a;v=1/b HTTP/1.1\r\n" + H + b"\r\n", 400, "path_parameter"),
    "half an escape": (b"GET /a%2 HTTP/1.1\r\n" + H + b"\r\n", 400, "path_bad_encoding"),
    "Connection names Content-Length": (b"POST / HTTP/1.1\r\n" + H + b"Connection: Content-Length\r\nContent-Length: 1\r\n\r\nx", 400,
                                        "bad_connection"),
}
for value in (b"+3", b"-3", b"0x3", b"3, 3", b"3,4", b"3 4", b"", b"3a", b"18446744073709551616", b"9" * 30):
    MALFORMED[f"Content-Length {value.decode()!r}"] = (
        b"POST / HTTP/1.1\r\n" + H + b"Content-Length: " + value + b"\r\n\r\nabc", 400, "bad_content_length")
for second in (b"3", b"4"):
    MALFORMED[f"Content-Length twice, 3 and {second.decode()}"] = (
        b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 3\r\nContent-Length: " + second + b"\r\n\r\nabc", 400, "bad_content_length")
for first, last in ((b"Content-Length: 3", b"Transfer-Encoding: chunked"), (b"Transfer-Encoding: chunked", b"Content-Length: 3")):
    MALFORMED[f"{first.decode()} before {last.decode()}"] = (
        b"POST / HTTP/1.1\r\n" + H + first + b"\r\n" + last + b"\r\n\r\n0\r\n\r\n", 400, "length_and_chunked")
for value in (b"gzip, chunked", b"chunked, gzip", b"chunked, chunked", b"xchunked", b"chunked;q=1", b"", b"identity", b'"chunked"',
              b"chunked,", b",chunked", b"chunk\x0bed", b"\x0bchunked", b"cow"):
    MALFORMED[f"Transfer-Encoding {value!r}"] = (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: " + value + b"\r\n\r\n0\r\n\r\n", None, None)
MALFORMED["Transfer-Encoding twice"] = (
    b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", None, None)


def test_malformed_requests_are_refused_and_go_nowhere(start, upstream, connect):
    server = upstream()
    proxy = start(forward(server))
    wrong = []
    for name, (data, status, fault) in MALFORMED.items():
        client = connect(proxy)
        client.send(data)
        # What stands behind a malformed request is not a request.
        try:
            client.send(http.request("GET", "/smuggled"))
        except OSError:
            pass
        try:
            reply = client.read()
            assert status in (None, reply.status), f"status {reply.status} instead of {status}"
            assert 400 <= reply.status < 600 and reply["Connection"] == "close" and trio_of(reply) is None
            number = "0201"
            check_error(reply, reply.status, number, TEXTS[reply.status])
            rest = client.expect_gone()
            assert rest == b"", f"more after the refusal: {rest!r}"
            line = proxy.line_of(reply)
            assert line["end"] == end_of(line) and fault in (None, line["reason"]), line
        except (AssertionError, OSError) as error:
            wrong.append(f"{name}: {error}")
        client.close()
    assert not wrong, "\n".join(wrong)
    assert server.requests == [] and server.connections == 0
    assert len(proxy.requests(len(MALFORMED))) == len(MALFORMED)


BAD_CHUNKS = {
    "letters": b"xyz\r\nabc\r\n0\r\n\r\n",
    "empty size": b"\r\nabc\r\n0\r\n\r\n",
    "0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "sign": b"+3\r\nabc\r\n0\r\n\r\n",
    "space before": b" 3\r\nabc\r\n0\r\n\r\n",
    "LF only": b"3\nabc\r\n0\r\n\r\n",
    "overflow": b"10000000000000003\r\nabc\r\n0\r\n\r\n",
    "data too long": b"3\r\nabcd\r\n0\r\n\r\n",
    "data ends with LF": b"3\r\nabc\n0\r\n\r\n",
    "bare CR in extension": b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "LF in extension": b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "endless extension": b"3;" + b"a" * 100000,
    "trailer without colon": b"3\r\nabc\r\n0\r\nX\r\n\r\n",
    "trailer folded": b"3\r\nabc\r\n0\r\nX: a\r\n b\r\n\r\n",
    "trailer Content-Length": b"3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n",
    "trailer Transfer-Encoding": b"3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "trailer Host": b"3\r\nabc\r\n0\r\nHost: evil\r\n\r\n",
    "endless trailers": b"3\r\nabc\r\n0\r\n" + b"X: y\r\n" * 50000,
    "tiny chunks": b"1\r\na\r\n" * 200000,
}


def test_malformed_chunks_end_the_request(start, upstream, connect):
    """The server was sent the head; it must never see a complete request."""
    completed = []

    def serve(link):
        message = link.read_request_head()
        if message is None:
            return
        try:
            link.reader.body(message, False, False)
            completed.append(message["X-Name"])
        except (http.Ended, OSError):
            pass

    proxy = start(forward(upstream(serve)))
    wrong = []
    for name, data in BAD_CHUNKS.items():
        client = connect(proxy)
        try:
            client.send(http.request("POST", "/", [("Transfer-Encoding", "chunked"), ("X-Name", name)]) + data)
        except OSError:
            pass  # refused while we still wrote
        try:
            reply = client.read()
            if reply.status not in (400, 431) or reply["Connection"] != "close":
                wrong.append(f"{name}: {reply}")
        except (OSError, http.Ended) as error:
            wrong.append(f"{name}: {error!r}")
        client.close()
    assert not wrong, "\n".join(wrong)
    assert not completed, completed
    for line in proxy.requests(len(BAD_CHUNKS)):
        assert line["end"] == end_of(line), line


def test_limits_of_the_head(start, upstream, connect):
    server = upstream()
    limits = {"request_line": "1KiB", "header": "2KiB", "headers": "4KiB", "header_count": 50}
    proxy = start(forward(server, limits=limits))
    rows = [
        (http.request("GET", "/" + "a" * 900), 200, None),
        (http.request("GET", "/" + "a" * 1100), 414, "line_too_long"),
        (http.request("GET", "/", [("X", "a" * 1900)]), 200, None),
        (http.request("GET", "/", [("X", "a" * 2100)]), 431, "field_too_long"),
        (http.request("GET", "/", [(f"X{n}", "a" * 1000) for n in range(5)]), 431, "head_too_long"),
        (http.request("GET", "/", [(f"X{n}", "") for n in range(60)]), 431, "too_many_fields"),
        (b"GET /" + b"a" * 100000, 414, "line_too_long"),          # the end never comes
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 100000, 431, "field_too_long"),
    ]
    for data, status, fault in rows:
        client = connect(proxy)
        try:
            client.send(data)
        except OSError:
            pass
        reply = client.read()
        assert reply.status == status, (data[:60], reply)
        if status != 200:
            check_error(reply, status, "0201", TEXTS[status])
        assert proxy.line_of(reply).get("reason") == fault, data[:60]
    assert len(server.requests) == 2


def test_limit_of_the_body(start, upstream, connect):
    server = upstream()
    proxy = start(forward(server, limits={"body": "1KiB"}))
    assert connect(proxy).ask("POST", body=b"x" * 1024).status == 200
    client = connect(proxy)
    client.send(http.request("POST", "/", [("Content-Length", "1025")]))
    reply = client.read()
    check_error(reply, 413, "0201", TEXTS[413])
    client = connect(proxy)
    client.send(http.request("POST", "/", [("Transfer-Encoding", "chunked")]) + b"401\r\n" + b"x" * 1025 + b"\r\n0\r\n\r\n")
    check_error(client.read(), 413, "0201", TEXTS[413])
    assert sorted(line["end"] for line in proxy.requests(3)) == ["ok", "too_large", "too_large"]


# -- servers that are dead, slow or hostile

def test_dead_server(start, connect):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))  # bound, never listening: connects are refused and nobody else takes the port
    proxy = start(forward("127.0.0.1:%d" % listener.getsockname()[1]))
    client = connect(proxy)
    for _ in range(3):
        reply = client.ask()
        check_error(reply, 502, "0201", "Backend unavailable.")
    client.ask("POST", body=b"x" * 10)
    lines = proxy.requests(4)
    assert {line["end"] for line in lines} == {"upstream_connect"}
    listener.close()


def test_silent_server_times_out(start, upstream, connect):
    release = threading.Event()

    def serve(link):
        link.read_request()
        release.wait(30)

    server = upstream(serve)
    config = forward(server)
    config["upstreams"]["app"]["timeouts"] = {"first_byte": "500ms"}
    proxy = start(config)
    reply = connect(proxy).ask()
    check_error(reply, 504, "0201", "Backend timeout.")
    assert proxy.requests(1)[0]["end"] == "upstream_timeout"
    wait_for(lambda: all(link.has_ended.wait(0) or link._receive() == b"" for link in list(server.links)), "the server is let go")
    release.set()


def test_server_that_stalls_in_the_body(start, upstream, connect):
    def serve(link):
        link.read_request()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        link.wait_for_end()

    config = forward(upstream(serve))
    config["upstreams"]["app"]["timeouts"] = {"read_idle": "500ms"}
    proxy = start(config)
    client = connect(proxy)
    client.send(http.request())
    assert client.reader.response_head().status == 200
    assert client.expect_gone() == b"half"
    assert proxy.requests(1)[0]["end"] == "upstream_timeout"


HOSTILE = {
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "status 99": b"HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n",
    "status 099": b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
    "status 600": b"HTTP/1.1 600 High\r\nContent-Length: 0\r\n\r\n",
    "status 2000": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "NUL in the reason": b"HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n",
    "folded line": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "space before colon": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "empty name": b"HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown encoding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "unasked 101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 1000000,
    "a million header lines": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000000,
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
}


def test_hostile_responses_become_502(start, upstream, connect):
    def serve(link):
        message = link.read_request()
        link.send(HOSTILE[message["X-Name"]])

    server = upstream(serve)
    proxy = start(forward(server))
    wrong = []
    for name in HOSTILE:
        client = connect(proxy)
        try:
            check_error(client.ask("GET", "/", [("X-Name", name)]), 502, "0201", "Backend unavailable.")
        except (AssertionError, OSError) as error:
            wrong.append(f"{name}: {error!r}")
        client.close()
    assert not wrong, "\n".join(wrong)
    assert server.connections >= len(HOSTILE), "a connection that spoke nonsense was used again"


def test_hostile_bodies_break_off(start, upstream, connect):
    def serve(link):
        link.read_request()
        link.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        link.send(b"zz\r\nevil\r\n0\r\n\r\n")
        link.wait_for_end()

    client = connect(start(forward(upstream(serve))))
    client.send(http.request())
    with pytest.raises((http.Ended, ConnectionResetError)):
        client.read()


def test_flood_of_interim_responses_ends(start, upstream, connect):
    """A server that says "wait" more often than anybody needs is given up."""

    def serve(link):
        link.read_request()
        while True:
            link.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 100)
            link.server.pace.wait(0.01)

    server = upstream(serve)
    server.pace = threading.Event()
    proxy = start(forward(server))
    reply = connect(proxy).ask()
    check_error(reply, 502, "0201", "Backend unavailable.")
    assert proxy.line_of(reply)["end"] == "upstream_bad_response"


def test_interim_responses_do_not_put_off_the_deadline(start, upstream, connect):
    def serve(link):
        link.read_request()
        for _ in range(20):
            link.send(b"HTTP/1.1 102 Processing\r\n\r\n")
            link.server.pace.wait(0.2)
        link.wait_for_end()

    server = upstream(serve)
    server.pace = threading.Event()
    config = forward(server)
    config["upstreams"]["app"]["timeouts"] = {"first_byte": "1s"}
    proxy = start(config)
    reply = connect(proxy).ask()
    check_error(reply, 504, "0201", "Backend timeout.")
    assert proxy.line_of(reply)["end"] == "upstream_timeout"


# -- slow clients

def test_half_a_head_gets_408_at_the_deadline(start, connect):
    proxy = start(respond(limits={"header_timeout": "500ms"}))
    client = connect(proxy)
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
    check_error(client.read(), 408, "0201", TEXTS[408])
    client.expect_end()
    assert proxy.requests(1)[0]["end"] == "header_timeout"


def test_header_deadline_does_not_move_with_each_byte(start, connect):
    proxy = start(respond(limits={"header_timeout": "1s"}))
    client = connect(proxy)
    client.sock.settimeout(0.1)
    sent = 0
    for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 1000:
        try:
            client.send(bytes([byte]))
            sent += 1
            if client.sock.recv(1, socket.MSG_PEEK):
                break
        except socket.timeout:
            continue
    client.sock.settimeout(PATIENCE_S)
    assert client.read().status == 408
    assert sent < 100


def test_idle_connections_are_closed_silently(start, connect):
    proxy = start(respond(limits={"keepalive": "500ms", "header_timeout": "5s"}))
    fresh, used = connect(proxy), connect(proxy)
    assert used.ask().status == 200
    used.expect_end()
    fresh.expect_gone()
    assert len(proxy.requests(1)) == 1, "an idle connection is not a request"


def test_body_slower_than_the_minimum_gets_408(start, upstream, connect):
    proxy = start(forward(upstream(), limits={"body_min_rate": "100KiB/s", "body_grace": "500ms"}))
    client = connect(proxy)
    client.send(http.request("POST", "/", [("Content-Length", "1000000")]) + b"x" * 100)
    check_error(client.read(), 408, "0201", TEXTS[408])
    assert proxy.requests(1)[0]["end"] == "body_timeout"


def test_client_that_stops_reading_is_let_go(start, upstream, connect):
    def serve(link):
        link.read_request()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        try:
            while True:
                link.send(b"x" * 65536)
        except OSError:
            link.server.let_go.set()

    server = upstream(serve)
    server.let_go = threading.Event()
    proxy = start(forward(server, limits={"write_stall": "1s"}))
    client = connect(proxy, receive_buffer=4096)
    client.send(http.request())
    assert server.let_go.wait(PATIENCE_S)
    assert proxy.requests(1)[0]["end"] == "write_stall"


def test_more_connections_than_allowed(start, connect):
    proxy = start(respond(limits={"connections": 64}))
    clients = [connect(proxy) for _ in range(64)]
    for client in clients:
        assert client.ask().status == 200
    check_error(connect(proxy).read(), 503, "0620", "The proxy is overloaded. Retry later.")
    assert clients[0].ask().status == 200
    clients.pop().close()
    wait_for(lambda: _is_served(connect, proxy), "a place is free again")


def _is_served(connect, proxy):
    client = connect(proxy)
    try:
        return client.ask().status == 200
    except (AssertionError, OSError):
        return False
    finally:
        client.close()


@pytest.mark.parametrize("half", [b"GET / HTTP/1.1\r\nHost: a", http.request("POST", "/", [("Content-Length", "100")]) + b"half"])
def test_a_reset_behind_half_a_request_is_noticed(start, upstream, connect, half):
    """Bytes and a reset in one event: the connection goes at once, not at the deadline of the head or the body."""
    proxy = start(forward(upstream(), limits={"header_timeout": "1h", "write_stall": "1h"}))
    connect(proxy).ask()
    before = proxy.descriptors()
    for _ in range(20):
        sock = socket.create_connection(proxy.address)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.sendall(half)
        sock.close()
    # A body that has begun may keep one connection to the server for the next request.
    wait_for(lambda: proxy.descriptors() <= before + 2, "the connections of those who left are closed")
