# SPDX-License-Identifier: Apache-2.0
"""A pooled connection that died unseen costs no client an error, and nothing is delivered twice."""
import threading

from harness import http
from harness.configs import forward
from harness.waiting import wait_for


def closing_after(requests):
    """Serves `requests` requests on a connection, reads the next one's bytes and closes without an answer."""

    def serve(link):
        for _ in range(requests):
            message = link.read_request()
            if message is None:
                return
            link.send(http.response(body=message.target.encode()))
        link.sock.recv(1)  # the next request arrives, and finds nobody

    return serve


def test_get_on_a_stale_connection_is_sent_again_once(start, upstream, connect):
    server = upstream(closing_after(1))
    proxy = start(forward(server))
    client = connect(proxy)
    for n in range(10):
        reply = client.ask("GET", f"/{n}")
        assert (reply.status, reply.body) == (200, f"/{n}".encode())
    assert [r.target for r in server.requests] == [f"/{n}" for n in range(10)]
    lines = proxy.requests(10)
    assert [line["tries"] for line in lines] == [1] + [2] * 9


def test_a_fresh_connection_that_fails_is_not_tried_again(start, upstream, connect):
    def serve(link):
        link.read_request()
        link.close()

    server = upstream(serve)
    proxy = start(forward(server))
    reply = connect(proxy).ask()
    assert reply.status == 502
    assert len(server.requests) == 1
    assert proxy.requests(1)[0]["tries"] == 1


def test_second_failure_is_told(start, upstream, connect):
    """The fresh connection fails as well: one 502, no third try."""
    broken = threading.Event()

    def serve(link):
        while link.read_request() is not None:
            if broken.is_set():
                return
            link.send(http.response(body=b"ok"))

    server = upstream(serve)
    proxy = start(forward(server, workers=1))
    client = connect(proxy)
    assert client.ask("GET", "/warm").status == 200
    broken.set()
    assert client.ask("GET", "/lost").status == 502
    assert [r.target for r in server.requests] == ["/warm", "/lost", "/lost"]


def test_post_is_not_delivered_twice(start, upstream, connect):
    """The server may have acted on a POST before it died: the proxy must not repeat it."""

    def serve(link):
        message = link.read_request()
        if message is None:
            return
        link.send(http.response(body=b"first"))
        link.read_request()  # acted on, then died

    server = upstream(serve)
    proxy = start(forward(server))
    client = connect(proxy)
    for n in range(10):
        # After a 502 the client's connection may be closed: each pair has its own.
        client = connect(proxy)
        assert client.ask("GET", f"/warm{n}").status == 200
        reply = client.ask("POST", f"/post{n}", body=b"charge the card")
        assert reply.status in (200, 502)
    posts = [r.target for r in server.requests if r.method == "POST"]
    assert len(posts) == len(set(posts)), "a POST was delivered twice"


def test_connection_closed_while_idle_is_not_used(start, upstream, connect):
    """The server says goodbye while the connection is idle: even a POST goes through, on a fresh one."""

    def serve(link):
        message = link.read_request()
        if message is not None:
            link.send(http.response(body=message.body or b"-"))

    server = upstream(serve)
    proxy = start(forward(server))
    client = connect(proxy)
    for n in range(20):
        wait_for(lambda: not server.links, "the server has closed")
        wait_for(lambda: not [p for p in proxy.connected_sockets() if p[1] == server.port], "the proxy noticed")
        reply = client.ask("POST", f"/{n}", body=b"%d" % n)
        assert (reply.status, reply.body) == (200, b"%d" % n)
    assert all(line["tries"] == 1 and not line["reused"] for line in proxy.requests(20))


def test_response_that_has_begun_is_never_repeated(start, upstream, connect):
    def serve(link):
        link.read_request()
        link.send(http.response(body=b"warm"))
        message = link.read_request()
        if message is not None:
            link.send(b"HTTP/1.1 2")  # the first bytes of an answer, then death

    server = upstream(serve)
    proxy = start(forward(server))
    client = connect(proxy)
    assert client.ask("GET", "/warm").status == 200
    assert client.ask("GET", "/half").status == 502
    assert [r.target for r in server.requests] == ["/warm", "/half"]


def test_streamed_body_is_not_replayed(start, upstream, connect):
    """A PUT is idempotent, but its body has been passed on and is gone."""

    def serve(link):
        link.read_request()
        link.send(http.response(body=b"warm"))
        link.read_request_head()  # and dies with the body on its way

    server = upstream(serve)
    proxy = start(forward(server))
    client = connect(proxy)
    assert client.ask("GET", "/warm").status == 200
    client.send(http.request("PUT", "/big", [("Content-Length", str(1 << 20))]))
    try:
        client.send(b"x" * (1 << 20))
    except OSError:
        pass
    reply = client.read()
    assert reply.status == 502
    assert [r.target for r in server.requests].count("/big") == 1
