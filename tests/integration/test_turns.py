# SPDX-License-Identifier: Apache-2.0
"""Whose turn it is while a body is still to come: the client's, until it waits for 100 Continue or a response has begun."""
import contextlib
import select
import time

import pytest
from harness import http
from harness.configs import forward
from harness.waiting import PATIENCE_S

GRACE = {"body_grace": "300ms", "body_min_rate": "1MiB/s", "write_stall": "300ms"}
GRACE_S = 0.3
EXPECTING = http.request("POST", "/", [("Expect", "100-continue"), ("Content-Length", "5")])


def test_a_server_that_is_slow_to_say_continue_is_not_the_clients_fault(start, connect, upstream):
    def serve(link):
        message = link.read_request_head()
        time.sleep(3 * GRACE_S)
        link.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        link.reader.body(message, False, False)
        link.send(http.response(body=message.body))

    proxy = start(forward(upstream(serve), limits=GRACE))
    client = connect(proxy)
    client.send(EXPECTING)
    assert client.reader.response_head().status == 100
    client.send(b"hello")
    reply = client.read()
    assert (reply.status, reply.body) == (200, b"hello") and proxy.line_of(reply)["end"] == "ok"


def test_a_server_that_never_says_continue_has_the_time_of_a_first_byte(start, connect, upstream):
    def serve(link):
        link.read_request_head()
        link.wait_for_end()

    config = forward(upstream(serve))
    config["upstreams"]["app"]["timeouts"] = {"first_byte": "300ms"}
    proxy = start(config)
    client = connect(proxy)
    client.send(EXPECTING)
    reply = client.read()
    assert reply.status == 504 and proxy.line_of(reply)["end"] == "upstream_timeout"


@pytest.mark.parametrize("buffers", [False, True])
def test_who_was_told_to_continue_is_waited_for(start, connect, upstream, buffers):
    def serve(link):
        if link.read_request_head() is not None:
            link.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            link.wait_for_end()

    config = forward(upstream(serve), limits=GRACE)
    if buffers:
        config["routes"][0]["buffer_request"] = "1KiB"
    proxy = start(config)
    client = connect(proxy)
    client.send(EXPECTING)
    reply = client.read()
    assert [interim.status for interim in reply.interim] == [100] and reply.status == 408
    assert proxy.line_of(reply)["end"] == "body_timeout"


@pytest.mark.parametrize("expects", [False, True])
def test_a_response_is_not_lost_for_a_body_that_nobody_needs(start, connect, upstream, expects):
    """The server answers behind the head and takes longer for its own body than the client may take."""
    def serve(link):
        link.read_request_head()
        link.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 10\r\n\r\nfirst")
        time.sleep(3 * GRACE_S)
        link.send(b"-last")

    proxy = start(forward(upstream(serve), limits=GRACE))
    client = connect(proxy)
    client.send(EXPECTING if expects else http.request("POST", "/", [("Content-Length", "5")]) + b"he")
    reply = client.read()
    assert (reply.status, reply.body) == (401, b"first-last") and proxy.line_of(reply)["end"] == "ok"
    client.expect_gone()


def test_a_body_that_trickles_behind_the_begin_of_a_response_cannot_go_on_for_ever(start, connect, upstream):
    def serve(link):
        link.read_request_head()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        link.wait_for_end()

    config = forward(upstream(serve), limits=GRACE)
    config["upstreams"]["app"]["timeouts"] = {"read_idle": "1s"}
    proxy = start(config)
    client = connect(proxy)
    client.send(http.request("POST", "/", [("Content-Length", "1000000")]))
    deadline = time.monotonic() + PATIENCE_S
    while not proxy.requests():
        assert time.monotonic() < deadline, "it may trickle for ever"
        with contextlib.suppress(OSError):
            client.send(b"x")
        select.select([], [], [], 0.02)
    assert proxy.requests(1)[0]["end"] == "upstream_timeout"


@pytest.mark.parametrize("begins", [False, True])
def test_no_client_takes_a_server_out_by_keeping_its_body_back(start, connect, upstream, begins):
    """The server waits for the body, in front of its response or within it."""
    def serve(link):
        while (message := link.read_request_head()) is not None:
            if message.method == "POST":
                link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst" if begins else b"")
                link.wait_for_end()
                return
            link.send(http.response(body=b"well"))

    config = forward(upstream(serve), upstream(serve), limits=GRACE)
    config["upstreams"]["app"].update(timeouts={"first_byte": "700ms", "read_idle": "700ms"}, health={"failures": 1, "eject_base": "1h", "eject_max": "1h"})
    proxy = start(config)
    clients = [connect(proxy) for _ in range(4)]
    for client in clients:
        client.send(http.request("POST", "/", [("Content-Length", "5")]) + b"he" if begins else EXPECTING)
    assert {line["end"] for line in proxy.requests(len(clients))} == {"upstream_timeout"}
    assert [connect(proxy).ask().status for _ in range(4)] == [200] * 4
    assert not proxy.events("server_down")
