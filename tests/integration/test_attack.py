# SPDX-License-Identifier: Apache-2.0
"""Races and lies that desynchronise proxies: whatever either side does, nobody sees another's bytes, nothing hangs."""
import array
import contextlib
import fcntl
import os
import pathlib
import signal
import termios
import threading
import time

from harness import http
from harness.configs import forward, respond
from harness.waiting import wait_for

LIMITS = {"header_timeout": "1s", "body_min_rate": "1KiB/s"}


@contextlib.contextmanager
def stopped(proxy):
    """What happens inside reaches the proxy as one batch of events, in the order in which it happened."""
    child = proxy.child
    os.kill(child, signal.SIGSTOP)
    try:
        wait_for(lambda: ") T " in pathlib.Path(f"/proc/{child}/stat").read_text(), "the proxy has stopped")
        yield
    finally:
        os.kill(child, signal.SIGCONT)


def waiting_bytes(client, seconds=0.0):
    """How many bytes wait to be read, as of so many seconds ago."""
    count = array.array("i", [0])
    fcntl.ioctl(client.sock, termios.FIONREAD, count)
    time.sleep(seconds)
    return count[0]


# ---- no byte goes to somebody else

def test_rest_of_a_response_never_reaches_the_next_client(start, upstream, connect):
    """The client is found to be gone in the middle of its response; what was left of it must be gone as well."""
    secret = b"S" * 100
    answer = threading.Event()

    def serve(link):
        while (message := link.read_request()) is not None:
            if message.target == "/secret":
                answer.wait()
                link.send(http.response(body=b"x" * 65500 + secret))
                answered.set()
            else:
                link.send(http.response(body=b"mine"))

    answered = threading.Event()
    server = upstream(serve)
    proxy = start(forward(server, workers=1))
    for _ in range(3):
        answer.clear()
        answered.clear()
        victim, other = connect(proxy), connect(proxy)
        seen = len(server.requests)
        victim.send(http.request("GET", "/secret"))
        server.wait_for_requests(seen + 1)
        with stopped(proxy):
            answer.set()
            answered.wait()
            victim.reset()
        reply = other.ask("GET", "/other")
        assert (reply.status, reply.body) == (200, b"mine")
        other.close()


def test_response_behind_many_interim_ones_keeps_its_bytes(start, upstream, connect):
    """More heads in one segment than one turn takes, and another client's bytes arrive meanwhile."""
    for interims in range(5, 12):
        ready, go = threading.Event(), threading.Event()

        def serve(link, count=interims, go=go, ready=ready):
            while (message := link.read_request()) is not None:
                if message.target == "/many":
                    go.wait()
                    link.send(b"HTTP/1.1 102 Processing\r\n\r\n" * count + http.response(body=b"mine" * 100))
                    ready.set()
                else:
                    link.send(http.response(body=b"other"))

        server = upstream(serve)
        proxy = start(forward(server, workers=1))
        client, other = connect(proxy), connect(proxy)
        client.send(http.request("GET", "/many"))
        server.wait_for_requests(1)
        with stopped(proxy):
            go.set()
            ready.wait()
            other.send(http.request("GET", "/other", fields=[("X-Secret", "s" * 1000)]))
        reply = client.read()
        assert (reply.status, reply.body) == (200, b"mine" * 100)
        assert len(reply.interim) == interims
        assert other.read().body == b"other"
        proxy.stop()


def test_request_behind_a_body_is_not_overwritten_by_the_response(start, upstream, connect):
    """The end of a chunked body and the next request come in one segment, while a response waits to be read."""
    evil = http.request("GET", "/evil")

    def serve(link):
        while (message := link.read_request_head()) is not None:
            early = message.method == "POST"
            if early:
                link.send(http.response(body=evil * ((16 << 20) // len(evil))))
            link.reader.body(message, is_bodiless=False, to_end=False)
            if not early:
                link.send(http.response(body=b"second"))

    server = upstream(serve)
    proxy = start(forward(server, workers=1))
    client = connect(proxy, receive_buffer=65536)
    client.send(http.request("POST", "/first", fields=[("Transfer-Encoding", "chunked")]) + b"5\r\nhello\r\n")
    left = int(client.reader.response_head()["Content-Length"])
    wait_for(lambda: waiting_bytes(client, 0.2) == waiting_bytes(client), "the proxy is blocked")
    with stopped(proxy):
        client.send(b"0\r\n\r\n" + http.request("GET", "/second", fields=[("X-Pad", "p" * 500)]))
        while not client.is_quiet(0.2):
            left -= len(client.reader.buffer)
            client.reader.buffer.clear()
            left -= len(client.sock.recv(65536))
    while left:
        assert client.reader.buffer or client.reader.fill()
        take = min(left, len(client.reader.buffer))
        left -= take
        del client.reader.buffer[:take]
    assert client.read().body == b"second"
    assert [r.target for r in server.requests] == ["/first", "/second"]


def test_unasked_bytes_are_not_the_answer_to_the_next_request(start, upstream, connect):
    """They arrive on a kept connection together with a request that would take it."""
    poison = http.response(body=b"poison")

    def serve(link):
        while (message := link.read_request()) is not None:
            link.send(http.response(body=message.target.encode()))

    server = upstream(serve)
    proxy = start(forward(server, workers=1))
    for method in ("GET", "POST") * 3:
        client = connect(proxy)
        assert client.ask("GET", "/warm").body == b"/warm"
        with stopped(proxy):
            client.send(http.request(method, "/asked", body=b"x" if method == "POST" else None))
            for link in list(server.links):
                with contextlib.suppress(OSError):
                    link.send(poison)
        reply = client.read(method)
        assert (reply.status, reply.body) == (200, b"/asked")
        client.close()


# ---- state of an earlier exchange

def test_timeout_of_a_head_is_told_well_formed_after_any_response(start, upstream, connect):
    def answer(message):
        if message.target == "/chunked":
            return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + http.chunked([b"abc"])
        if message.target == "/none":
            return b"HTTP/1.1 204 No Content\r\n\r\n"
        return http.response(body=b"" if message.method == "HEAD" else b"abc")

    server = upstream(answer=answer)
    proxy = start(forward(server, limits=LIMITS))
    clients = []
    for method, target, minor in (("GET", "/chunked", 1), ("GET", "/none", 1), ("HEAD", "/head", 1), ("GET", "/plain", 0)):
        client = connect(proxy)
        client.ask(method, target, minor=minor, fields=[("Connection", "keep-alive")])
        client.send(b"GET /half HTTP/1.1\r\nHos")
        clients.append(client)
    for client in clients:
        reply = client.read()
        assert reply.status == 408 and b"request_id" in reply.body and reply["Connection"] == "close"
        client.expect_end()


# ---- nobody waits for ever

def test_slow_body_ends_the_connection_after_its_408(start, upstream, connect):
    server = upstream(serve=lambda link: (link.read_request_head(), link.wait_for_end()))
    proxy = start(forward(server, limits=LIMITS))
    client = connect(proxy)
    client.send(http.request("POST", "/", fields=[("Content-Length", "100")]) + b"x")
    reply = client.read()
    assert (reply.status, reply["Connection"]) == (408, "close")
    client.expect_end()


def test_reset_that_follows_data_at_once_is_noticed(start, upstream, connect):
    go, gone = threading.Event(), threading.Event()

    def serve(link):
        link.read_request()
        go.wait()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        link.reset()
        gone.set()

    server = upstream(serve)
    proxy = start(forward(server))
    client = connect(proxy, timeout=8)
    client.send(http.request())
    server.wait_for_requests(1)
    with stopped(proxy):
        go.set()
        gone.wait()
    client.expect_gone()
    assert proxy.requests(1)[0]["end"] == "upstream_abort"
