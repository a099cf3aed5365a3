# SPDX-License-Identifier: Apache-2.0
"""buffer_request: a body is read before a server is asked, so that a slow client holds none."""
import os
import signal
import threading
import time

import pytest
from harness import http
from harness.client import is_refused
from harness.configs import forward
from harness.ports import take_port
from harness.proxied import told
from harness.upstream import answering
from harness.waiting import wait_for

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def buffering(*servers, size="64KiB", route=None, **top):
    return forward(*servers, route={"buffer_request": size, **(route or {})}, **{"workers": 1, **top})


def echo(message):
    return http.response(body=message.body, fields=[("X-Length", str(len(message.body)))])


def begin(client, length, sent=b"", fields=()):
    client.send(http.request("POST", "/", [("Content-Length", str(length)), *fields]) + sent)


def test_a_slow_client_holds_no_server(start, upstream, connect):
    """The only connection that the server may have serves others meanwhile."""
    server = upstream(answer=echo)
    config = buffering(server)
    config["upstreams"]["app"]["servers"] = [{"address": server.address, "max_connections": 1}]
    proxy = start(config)
    slow, quick = connect(proxy), connect(proxy)
    begin(slow, 6, b"abc")
    for n in range(5):
        assert quick.ask("POST", "/", body=b"%d" % n).body == b"%d" % n
    assert [message.body for message in server.requests] == [b"%d" % n for n in range(5)]
    slow.send(b"def")
    assert slow.read().body == b"abcdef"
    assert server.connections == 1


def test_no_connection_is_made_before_the_body_is_there(start, upstream, connect):
    server = upstream(answer=echo)
    proxy = start(buffering(server))
    client = connect(proxy)
    begin(client, 5, b"1")
    for byte in (b"2", b"3", b"4"):
        assert client.is_quiet(0.05)
        client.send(byte)
    assert server.connections == 0
    client.send(b"5")
    assert client.read().body == b"12345"
    (line,) = proxy.requests(1)
    assert line["t_body"] > 0 and line["t_total"] >= line["t_body"] + line["t_connect"]
    assert line["bytes_in"] == len(server.requests[0].body) + len(http.request("POST", "/", [("Content-Length", "5")]))


def test_a_body_that_came_with_its_head_was_not_waited_for(start, upstream, connect):
    proxy = start(buffering(upstream(answer=echo)))
    client = connect(proxy)
    assert client.ask("POST", "/", body=b"x" * 1000).body == b"x" * 1000
    assert client.ask("GET", "/").body == b""
    assert [line.get("t_body") for line in proxy.requests(2)] == [None, None]


@pytest.mark.parametrize("pause", [False, True])
def test_framing_and_trailers_stay(start, upstream, connect, pause):
    server = upstream(answer=echo)
    client = connect(start(buffering(server)))
    whole = http.request("POST", "/", [("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")]) + http.chunked(
        [b"abc", b"d" * 5000, b"e"], [("X-Sum", "42"), ("X-More", "y")])
    if pause:
        client.send(whole[:-60])
        assert client.is_quiet(0.05) and server.connections == 0
        client.send(whole[-60:])
    else:
        client.send(whole)
    assert client.read().body == b"abc" + b"d" * 5000 + b"e"
    assert client.ask("POST", "/", body=b"plain").body == b"plain"
    chunks, plain = server.requests
    assert chunks["Transfer-Encoding"] == "chunked" and chunks["Content-Length"] is None
    assert chunks.trailers == [("X-Sum", "42"), ("X-More", "y")]
    assert plain["Content-Length"] == "5" and plain["Transfer-Encoding"] is None


def test_a_chunked_body_of_nothing(start, upstream, connect):
    server = upstream(answer=echo)
    client = connect(start(buffering(server)))
    for _ in range(2):
        assert client.ask("POST", "/", chunks=[]).body == b""
        assert client.ask("POST", "/", body=b"").body == b""
    assert [(m["Transfer-Encoding"], m["Content-Length"]) for m in server.requests] == [("chunked", None), (None, "0")] * 2


def test_a_length_at_the_bound_and_one_beyond(start, upstream, connect):
    """What is said to be longer is streamed at once, as without the key."""
    heads = []

    def serve(link):
        while (head := link.read_request_head()) is not None:
            heads.append(head)
            link.send(http.response(body=link.reader.take(int(head["Content-Length"]))))

    server = upstream(serve)
    client = connect(start(buffering(server, size="1KiB")))
    begin(client, 1024, b"x" * 1023)
    assert client.is_quiet(0.05) and server.connections == 0
    client.send(b"x")
    assert client.read().body == b"x" * 1024
    begin(client, 1025)
    wait_for(lambda: len(heads) == 2, "the head comes alone")
    client.send(b"y" * 1025)
    assert client.read().body == b"y" * 1025


def test_chunks_beyond_the_bound(start, upstream, connect):
    """The begin of the body is buffered, and once it is too much the server is asked and gets the rest as it comes."""
    got = []

    def serve(link):
        head = link.read_request_head()
        assert head["Transfer-Encoding"] == "chunked"
        got.append(link.reader.until(b"\r\n"))
        link.reader.buffer[:0] = got[0]
        message = http.Request()
        link.reader.chunked_body(message)
        got.append(message.trailers)
        link.send(http.response(body=message.body))

    server = upstream(serve)
    client = connect(start(buffering(server, size="1KiB")))
    client.send(http.request("POST", "/", [("Transfer-Encoding", "chunked")]) + b"400\r\n" + b"a" * 1024 + b"\r\n")
    assert client.is_quiet(0.05) and server.connections == 0
    client.send(b"1\r\nb\r\n")
    wait_for(lambda: got, "the server is asked before the body is whole")
    client.send(b"3e8\r\n" + b"c" * 1000 + b"\r\n0\r\nX-End: 1\r\n\r\n")
    assert client.read().body == b"a" * 1024 + b"b" + b"c" * 1000
    assert got[1] == [("X-End", "1")]


@pytest.mark.parametrize("chunked", [False, True])
def test_large_bodies(start, upstream, connect, chunked):
    """Several MiB to a server that reads slowly at first."""
    body = os.urandom(1 << 20) * 5

    def serve(link):
        while link.server.holds.is_set():
            time.sleep(0.01)
        answering(echo)(link)

    server = upstream(serve)
    server.holds = threading.Event()
    server.holds.set()
    proxy = start(buffering(server, size="8MiB"))
    client = connect(proxy)
    for _ in range(2):
        request = http.request("PUT", "/", chunks=[body[:3000000], body[3000000:]]) if chunked else http.request("PUT", "/", body=body)
        client.send(request)
        wait_for(lambda: server.connections == 1, "the server is asked")
        server.holds.clear()
        reply = client.read()
        assert reply.body == body
    lines = proxy.requests(2)
    assert {line["end"] for line in lines} == {"ok"}


# ---- Expect

def test_the_proxy_says_continue(start, upstream, connect):
    server = upstream(answer=echo)
    proxy = start(buffering(server))
    client = connect(proxy)
    for length in (5, 70):
        begin(client, length, fields=[("Expect", "100-continue"), ("X-Other", "kept")])
        assert client.reader.take(len(CONTINUE)) == CONTINUE
        assert client.is_quiet(0.02) and len(server.requests) == (0 if length == 5 else 1)
        client.send(b"z" * length)
        reply = client.read()
        assert reply.body == b"z" * length and not reply.interim
    assert [(message["Expect"], message["X-Other"]) for message in server.requests] == [(None, "kept")] * 2
    client.send(http.request("POST", "/", [("Expect", "100-continue"), ("Transfer-Encoding", "chunked")]))
    assert client.reader.take(len(CONTINUE)) == CONTINUE
    client.send(http.chunked([b"abc"]))
    assert client.read().body == b"abc"


def test_who_does_not_wait_is_not_told(start, upstream, connect):
    server = upstream(answer=echo)
    client = connect(start(buffering(server)))
    reply = client.ask("POST", "/", [("Expect", "100-continue")], body=b"at once")
    assert (reply.body, reply.interim, server.requests[0]["Expect"]) == (b"at once", [], None)


def test_of_a_streamed_body_the_server_says_it(start, upstream, connect):
    def serve(link):
        head = link.read_request_head()
        assert head["Expect"] == "100-continue"
        link.send(b"HTTP/1.1 100 Go on\r\n\r\n")
        link.send(http.response(body=link.reader.take(2000)))

    client = connect(start(buffering(upstream(serve), size="1KiB")))
    begin(client, 2000, fields=[("Expect", "100-continue")])
    assert client.reader.until(b"\r\n\r\n") .startswith(b"HTTP/1.1 100 Go on\r\n")
    client.send(b"s" * 2000)
    assert client.read().body == b"s" * 2000


def test_chunks_beyond_the_bound_expect_nothing_twice(start, upstream, connect):
    server = upstream(answer=echo)
    client = connect(start(buffering(server, size="1KiB")))
    client.send(http.request("POST", "/", [("Expect", "100-continue"), ("Transfer-Encoding", "chunked")]))
    assert client.reader.take(len(CONTINUE)) == CONTINUE
    client.send(http.chunked([b"n" * 3000, b"m" * 3000]))
    reply = client.read()
    assert reply.body == b"n" * 3000 + b"m" * 3000 and not reply.interim and server.requests[0]["Expect"] is None


def test_a_client_of_http_1_0(start, upstream, connect):
    server = upstream(answer=echo)
    client = connect(start(buffering(server)))
    client.send(http.request("POST", "/", [("Content-Length", "4"), ("Expect", "100-continue")], minor=0) + b"ab")
    assert client.is_quiet(0.05) and server.connections == 0
    client.send(b"cd")
    assert client.read().body == b"abcd"
    assert server.requests[0]["Expect"] is None


# ---- refusals and ends

def test_a_quota_refuses_before_the_body(start, upstream, connect):
    server = upstream(answer=echo)
    proxy = start(buffering(server, quotas={"q": {"key": ["ip"], "limits": {"hour": 1}}}))
    assert connect(proxy).ask("POST", "/", body=b"x").status == 200
    client = connect(proxy)
    begin(client, 60000, fields=[("Expect", "100-continue")])
    reply = client.read()
    assert reply.status == 429 and not reply.interim
    assert len(server.requests) == 1


def test_limits_hold_while_it_is_read(start, upstream, connect):
    server = upstream(answer=echo)
    proxy = start(buffering(server, limits={"body": "2KiB"}))
    client = connect(proxy)
    client.send(http.request("POST", "/", [("Transfer-Encoding", "chunked")]) + b"800\r\n" + b"x" * 2048 + b"\r\n")
    assert client.is_quiet(0.05)
    client.send(b"1\r\ny\r\n")
    assert client.read().status == 413
    bad = connect(proxy)
    bad.send(http.request("POST", "/", [("Transfer-Encoding", "chunked")]) + b"2\r\nxy\r\nZ\r\n")
    assert bad.read().status == 400
    refused = connect(proxy)
    begin(refused, 2049, fields=[("Expect", "100-continue")])
    reply = refused.read()
    assert reply.status == 413 and not reply.interim
    assert server.connections == 0
    assert sorted(line["end"] for line in proxy.requests(3)) == ["bad_request", "too_large", "too_large"]


def test_a_trailer_that_names_the_caller_is_refused_before_a_server_is_asked(start, upstream, connect):
    server = upstream(answer=echo)
    proxy = start(buffering(server, quotas={"q": {"key": ["u"], "limits": {"hour": 9}}}, identities={"u": {"from": ["header:X-User"], "missing": "ip"}}))
    client = connect(proxy)
    client.send(http.request("POST", "/", [("Transfer-Encoding", "chunked")]) + http.chunked([b"a"], [("X-User", "me")]))
    assert client.read().status == 400
    assert server.connections == 0


def test_too_slow_a_body(start, upstream, connect):
    server = upstream(answer=echo)
    proxy = start(buffering(server, limits={"body_grace": "300ms", "write_stall": "300ms"}))
    client = connect(proxy)
    begin(client, 1000, b"x")
    assert client.read().status == 408
    (line,) = proxy.requests(1)
    assert line["end"] == "body_timeout" and line["t_body"] >= 300000 and "tries" not in line and "server" not in line
    assert server.connections == 0


@pytest.mark.parametrize("how", ["close", "reset", "end_output"])
def test_a_client_that_leaves(start, upstream, connect, how):
    server = upstream(answer=echo)
    proxy = start(buffering(server))
    client = connect(proxy)
    begin(client, 1000, b"x" * 500)
    assert client.is_quiet(0.02)
    getattr(client, how)()
    (line,) = proxy.requests(1)
    assert line["end"] == "client_abort" and server.connections == 0
    assert connect(proxy).ask("POST", "/", body=b"next").body == b"next"


def test_memory_is_bounded_and_given_back(start, upstream, connect):
    """Three bodies of 400 KiB do not fit into 1 MiB; what has gone makes room again."""
    server = upstream(answer=echo)
    proxy = start(buffering(server, size="512KiB", limits={"body_memory": "1MiB"}, workers=2))
    for _ in range(5):
        clients = [connect(proxy) for _ in range(3)]
        length = 400 << 10
        for client in clients[:2]:
            begin(client, length, b"x" * (length - 1))
        wait_for(lambda: all(not unread(proxy, client) for client in clients[:2]), "both are read")
        begin(clients[2], length, b"y" * length)
        reply = clients[2].read()
        assert reply.status == 503 and reply["Retry-After"] == "1"
        assert proxy.line_of(reply)["end"] == "body_memory"
        for client in clients[:2]:
            client.send(b"z")
            assert client.read().body == b"x" * (length - 1) + b"z"
        late = connect(proxy)
        assert late.ask("POST", "/", body=b"w" * length).status == 200
        for client in (*clients, late):
            client.close()


def unread(proxy, client):
    """Bytes of this client that wait in the kernel for the proxy to read them."""
    port = client.sock.getsockname()[1]
    for line in open(f"/proc/{proxy.pid}/net/tcp", encoding="ascii").read().splitlines()[1:]:
        words = line.split()
        if int(words[1].split(":")[1], 16) == proxy.address[1] and int(words[2].split(":")[1], 16) == port:
            return int(words[4].split(":")[1], 16)
    return 0


def test_no_server_and_the_connection_goes_on(start, connect):
    """The body has been read, so the next request on the connection is where it should be."""
    proxy = start(buffering(f"127.0.0.1:{take_port()}"))
    client = connect(proxy)
    for _ in range(2):
        reply = client.ask("POST", "/", chunks=[b"GET /x HTTP/1.1\r\n\r\n"])
        assert reply.status == 502 and reply["Connection"] is None
    assert [line["end"] for line in proxy.requests(2)] == ["upstream_connect"] * 2


def test_an_early_answer_leaves_the_connection(start, upstream, connect):
    """A server that does not want the body: nothing of it is left unread, so the client goes on."""
    def serve(link):
        link.read_request_head()
        link.send(http.response(413, "Too much", body=b"no"))
        link.wait_for_end()

    proxy = start(buffering(upstream(serve), size="16MiB"))
    client = connect(proxy)
    for _ in range(2):
        reply = client.ask("POST", "/", body=b"x" * (8 << 20))
        assert (reply.status, reply["Connection"]) == (413, None)


def test_pipelined_requests(start, upstream, connect):
    server = upstream(answer=echo)
    client = connect(start(buffering(server)))
    client.send(b"".join(http.request("POST", f"/{n}", body=b"%d" % n * 3000) for n in range(6)))
    for n in range(6):
        assert client.read().body == b"%d" % n * 3000
    assert [message.target for message in server.requests] == [f"/{n}" for n in range(6)]


def test_a_drain_waits_for_it(start, upstream, connect):
    server = upstream(answer=echo)
    proxy = start(buffering(server))
    client = connect(proxy)
    begin(client, 6, b"abc")
    assert client.is_quiet(0.05)
    proxy.signal(signal.SIGTERM)
    wait_for(lambda: is_refused(proxy.address), "draining has begun")
    client.send(b"def")
    reply = client.read()
    assert (reply.body, reply["Connection"]) == (b"abcdef", "close")
    assert proxy.wait_exit() == 0


def test_a_reload_keeps_what_has_begun(start, upstream, connect):
    server = upstream(answer=echo)
    proxy = start(buffering(server))
    client = connect(proxy)
    begin(client, 6, b"abc")
    assert client.is_quiet(0.05)
    proxy.config["routes"][0]["buffer_request"] = "off"
    proxy.write_config(proxy.config)
    proxy.signal(signal.SIGHUP)
    proxy.wait_for_event("reload")
    assert server.connections == 0
    client.send(b"def")
    assert client.read().body == b"abcdef"


# ---- once more

def dying_after(first):
    """Answers `first` requests of a connection, then reads one whole and closes without a word."""

    def serve(link):
        for _ in range(first):
            message = link.read_request()
            if message is None:
                return
            link.send(echo(message))
        link.read_request()

    return serve


@pytest.mark.parametrize("chunked", [False, True])
def test_a_put_is_sent_again_whole(start, upstream, connect, chunked):
    server = upstream(dying_after(1))
    proxy = start(buffering(server, size="1MiB"))
    client = connect(proxy)
    for n in range(4):
        body = b"%d" % n * 200000
        reply = client.ask("PUT", f"/{n}", **({"chunks": [body]} if chunked else {"body": body}))
        assert (reply.status, reply.body) == (200, body)
    assert [line["tries"] for line in proxy.requests(4)] == [1, 2, 2, 2]
    assert all(message.body == message.target[1:].encode() * 200000 for message in server.requests)


def test_a_post_is_never_sent_twice(start, upstream, connect):
    server = upstream(dying_after(1))
    proxy = start(buffering(server))
    for n in range(8):
        client = connect(proxy)
        assert client.ask("POST", f"/warm{n}", body=b"w").status in (200, 502)
        assert client.ask("POST", f"/post{n}", body=b"charge the card").status in (200, 502)
    targets = [message.target for message in server.requests]
    assert len(targets) == len(set(targets))


def test_what_was_not_buffered_whole_is_not_sent_again(start, upstream, connect):
    server = upstream(dying_after(1))
    proxy = start(buffering(server, size="1KiB"))
    client = connect(proxy)
    assert client.ask("PUT", "/warm", body=b"w").status == 200
    assert client.ask("PUT", "/big", chunks=[b"b" * 5000]).status == 502
    assert [message.target for message in server.requests].count("/big") == 1


def test_the_next_server_gets_all_of_it(start, upstream, connect):
    """No connection was made to the first one: even a POST is sent, once."""
    server = upstream(answer=echo)
    config = buffering(server)
    config["upstreams"]["app"]["servers"].insert(0, f"127.0.0.1:{take_port()}")
    client = connect(start(config))
    for _ in range(3):
        assert client.ask("POST", "/", body=b"once").body == b"once"
    assert len(server.requests) == 3


def test_together_with_a_proxy_header(start, upstream, connect):
    headers = []
    server = upstream(told(answering(echo), headers))
    config = buffering(server)
    config["upstreams"]["app"]["proxy_protocol"] = "v2"
    proxy = start(config)
    client = connect(proxy)
    begin(client, 4, b"ab")
    assert client.is_quiet(0.05) and server.connections == 0
    client.send(b"cd")
    assert client.read().body == b"abcd"
    assert headers == [(2, (*client.sock.getsockname(), *proxy.address))]


@pytest.mark.usefixtures("over_tls")
def test_over_tls(start, upstream, connect):
    server = upstream(answer=echo)
    proxy = start(buffering(server, size="1MiB"))
    client = connect(proxy)
    begin(client, 300000, b"a" * 150000)
    wait_for(lambda: not unread(proxy, client), "it is read")
    assert server.connections == 0
    client.send(b"b" * 150000)
    assert client.read().body == b"a" * 150000 + b"b" * 150000
    begin(client, 3, fields=[("Expect", "100-continue")])
    assert client.reader.take(len(CONTINUE)) == CONTINUE
    client.send(b"abc")
    assert client.read().body == b"abc"


def test_check_warns_of_what_never_fits(tmp_path, verb):
    file = tmp_path / "c.json"
    file.write_text('{"listen": [{"address": "127.0.0.1:1"}], "upstreams": {"a": {"servers": ["127.0.0.1:2"]}}, "limits": {"body_memory": "1MiB"},'
                    '"routes": [{"prefix": "/", "upstream": "a", "buffer_request": "2MiB"}]}')
    done = verb("check", "-c", file)
    assert done.returncode == 0 and "/routes/0/buffer_request: more than \"limits.body_memory\"" in done.stdout + done.stderr
