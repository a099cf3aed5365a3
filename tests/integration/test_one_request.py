# SPDX-License-Identifier: Apache-2.0
"""Connections that carry one request and say so: served before the loop watches them, and as well as all others."""
import threading

import pytest
from harness import http
from harness.configs import forward, respond
from harness.waiting import wait_for

CLOSE = [("Connection", "close")]


def waiting_server(link):
    """Answers nothing; until the proxy gives up."""
    link.read_request()
    link.wait_for_end()


@pytest.mark.parametrize("how", ["close", "reset", "end_output"])
def test_one_that_leaves_while_it_waits_is_given_up(start, upstream, connect, how):
    server = upstream(waiting_server)
    proxy = start(forward(server))
    client = connect(proxy)
    client.send(http.request(fields=CLOSE))
    (link,) = wait_for(lambda: server.requests and server.links, "the request at the server")
    getattr(client, how)()
    assert link.has_ended.wait(10), "a server must not work for nobody"
    (line,) = proxy.requests(1)
    assert line["end"] == "client_abort"


@pytest.mark.parametrize("body", [b"", b"x", b"y" * 70000, b"z" * (8 << 20)], ids=["0", "1", "70000", "8MiB"])
def test_each_gets_all_of_its_answer_and_a_clean_end(start, upstream, connect, body):
    proxy = start(forward(upstream(answer=lambda message: http.response(body=body))))
    for _ in range(5):
        client = connect(proxy, receive_buffer=16384)
        client.send(http.request(fields=CLOSE))
        reply = client.read()
        assert reply.body == body and reply["Connection"] == "close"
        client.expect_end()
    assert [line["end"] for line in proxy.requests(5)] == ["ok"] * 5


def test_an_upload_that_comes_later(start, upstream, connect):
    proxy = start(forward(upstream(answer=lambda message: http.response(body=message.body))))
    client = connect(proxy)
    body = b"late" * 50000
    client.send(http.request("POST", "/", [*CLOSE, ("Content-Length", str(len(body)))]))
    for at in range(0, len(body), 60000):
        client.send(body[at:at + 60000])
    assert client.read().body == body
    client.expect_end()


@pytest.mark.parametrize("pause", [False, True])
def test_what_is_sent_behind_it_destroys_no_answer(start, connect, pause):
    """A socket closed with unread bytes resets its connection, and the answer would be lost."""
    proxy = start(respond())
    for _ in range(20):
        client = connect(proxy)
        with proxy.frozen() if pause else threading.Lock():
            client.send(http.request(fields=CLOSE) + b"x" * 100000)
        reply = client.read()
        assert reply.status == 200 and reply.body == b"here\n"
        client.expect_end()
        client.close()


def test_heads_in_pieces_and_silent_connections(start, upstream, connect):
    proxy = start(forward(upstream(), limits={"header_timeout": "2s"}))
    silent = connect(proxy)
    client = connect(proxy)
    client.send_bytewise(http.request(fields=CLOSE))
    assert client.read().status == 200
    client.expect_end()
    assert silent.is_quiet()
    assert silent.ask(fields=CLOSE).status == 200
    part = connect(proxy)
    part.send(b"GET / HTTP/1.1\r\nHos")
    assert part.read().status == 408


def test_many_at_once(start, upstream, connect):
    """More than a batch of accepts, all of which have come before the loop looks."""
    proxy = start(forward(upstream(), workers=1))
    with proxy.frozen():
        clients = [connect(proxy) for _ in range(200)]
        for client in clients:
            client.send(http.request(fields=CLOSE))
        for client in clients[::3]:
            client.reset()
    for number, client in enumerate(clients):
        if number % 3:
            assert client.read().status == 200
            client.expect_end()
