# SPDX-License-Identifier: Apache-2.0
"""Limits on clients: at each limit exactly N passes and N + 1 ends by the name that the limit has, seen in the answer,
in the log line, in the counters and in the connection."""
import json
import os
import pathlib
import resource
import select
import signal
import threading
import time

import pytest
from harness import http
from harness.client import Client
from harness.configs import forward, respond
from harness.metrics import scrape
from harness.ports import take_port
from harness.replies import check_error
from harness.unread import unread_by_peer
from harness.waiting import PATIENCE_S, wait_for

BAD = "API request error."
LARGE = "Request headers too large."
TIMEOUT = "Request timeout."
OVERLOADED = "The proxy is overloaded. Retry later."
CROWDED = "Too many connections from this address. Retry later."


class Numbers:
    """The metrics page of a proxy."""

    def __init__(self, port):
        self.port = port

    def all(self):
        return scrape(self.port)

    def end(self, name):
        return self.all()[f'sluice_exchanges_total{{end="{name}"}}']

    def closed(self, reason):
        return self.all()[f'sluice_connections_closed_total{{reason="{reason}"}}']

    def refused(self, reason):
        return self.all()[f'sluice_connections_refused_total{{reason="{reason}"}}']


@pytest.fixture
def counted(start):
    """counted(config): a running proxy and its Numbers."""

    def make(config, **kwargs):
        port = take_port()
        config.setdefault("admin", {})["metrics"] = f"127.0.0.1:{port}"
        return start(config, **kwargs), Numbers(port)

    return make


def give(client, data):
    """Send what the peer takes: it may refuse before it has it all."""
    try:
        client.send(data)
    except OSError:
        pass


# -- sizes and counts

HEAD = b"GET / HTTP/1.1\r\nHost: test.local\r\n"
HEAD_LIMITS = {"request_line": "1KiB", "header": "2KiB", "headers": "4KiB", "header_count": 50}
CHUNK_LIMITS = {"chunk_extension": "1KiB", "chunk_overhead": "8KiB", "trailers": "1KiB", "body": "64KiB"}
CHUNKED = http.request("POST", "/", [("Transfer-Encoding", "chunked")])


def headers_of(bytes_in_all):
    """A head whose field lines have so many bytes, CRLFs included."""
    host = b"Host: test.local\r\n"
    rest = bytes_in_all - len(host)
    lines = [b"X%02d: " % n + b"a" * 993 + b"\r\n" for n in range(rest // 1000)]
    rest -= 1000 * len(lines)
    lines.append(b"Y: " + b"a" * (rest - 5) + b"\r\n")
    return b"GET / HTTP/1.1\r\n" + host + b"".join(lines) + b"\r\n"


# limit: (what passes, what does not, status, number, message, end)
SIZES = {
    "request_line": (b"GET /" + b"a" * (1024 - 14) + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /" + b"a" * (1025 - 14) + b" HTTP/1.1\r\nHost: a\r\n\r\n",
                     414, "Request URI too large.", "uri_too_large"),
    "header": (HEAD + b"X: " + b"a" * 2045 + b"\r\n\r\n", HEAD + b"X: " + b"a" * 2046 + b"\r\n\r\n", 431, LARGE, "header_too_large"),
    "headers": (headers_of(4096), headers_of(4097), 431, LARGE, "headers_too_large"),
    "header_count": (HEAD + b"X: \r\n" * 49 + b"\r\n", HEAD + b"X: \r\n" * 50 + b"\r\n", 431, LARGE, "too_many_headers"),
}


@pytest.mark.parametrize("limit", SIZES)
def test_size_of_heads(counted, connect, limit):
    fits, exceeds, status, message, end = SIZES[limit]
    proxy, numbers = counted(respond(limits=HEAD_LIMITS))
    client = connect(proxy)
    client.send(fits)
    assert client.read().status == 200
    client.send(exceeds)
    reply = client.read()
    check_error(reply, status, "0201", message)
    assert reply["Connection"] == "close"
    client.expect_end()
    assert proxy.line_of(reply)["end"] == end
    assert numbers.end(end) == 1
    client.close()
    wait_for(lambda: numbers.closed("response") == 1, "the connection is counted")


CHUNKS = {
    "chunk_extension": (b"1;" + b"e" * 1023 + b"\r\nx\r\n0\r\n\r\n", b"1;" + b"e" * 1024 + b"\r\nx\r\n0\r\n\r\n", 400, BAD, "chunk_extension"),
    "chunk_extension in parts": (b"1" + b";e" * 512 + b"\r\nx\r\n0\r\n\r\n", b"1" + b";e" * 512 + b"e\r\nx\r\n0\r\n\r\n", 400, BAD, "chunk_extension"),
    "trailers": (b"0\r\nX: " + b"t" * 1019 + b"\r\n\r\n", b"0\r\nX: " + b"t" * 1020 + b"\r\n\r\n", 431, LARGE, "trailers_too_large"),
    "body": (b"10000\r\n" + b"x" * 65536 + b"\r\n0\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n1\r\nx\r\n0\r\n\r\n", 413,
             "Request entity too large.", "too_large"),
    "body in one chunk": (b"1\r\nx\r\n0\r\n\r\n", b"10001\r\n" + b"x" * 65537 + b"\r\n0\r\n\r\n", 413, "Request entity too large.", "too_large"),
    # Behind n chunks of one byte the next size line makes 5 n + 3 bytes of framing, and n of data may be 8192 less.
    "chunk_overhead": (b"1\r\nx\r\n" * 2047 + b"0\r\n\r\n", b"1\r\nx\r\n" * 2048 + b"0\r\n\r\n", 400, BAD, "chunk_overhead"),
}


@pytest.mark.parametrize("limit", CHUNKS)
def test_size_of_bodies_in_chunks(counted, connect, upstream, limit):
    """The server has been sent the head by then; it sees no whole request."""
    fits, exceeds, status, message, end = CHUNKS[limit]
    server = upstream()
    proxy, numbers = counted(forward(server, limits=CHUNK_LIMITS))
    client = connect(proxy)
    client.send(CHUNKED + fits)
    assert client.read().status == 200
    client = connect(proxy)
    give(client, CHUNKED + exceeds)
    reply = client.read()
    check_error(reply, status, "0201", message)
    assert reply["Connection"] == "close"
    client.expect_end()
    assert proxy.line_of(reply)["end"] == end
    assert numbers.end(end) == 1
    wait_for(lambda: server.broken <= 1 and len(server.requests) == 1, "the server saw one whole request")


def test_size_of_bodies_with_a_length(counted, connect, upstream):
    server = upstream()
    proxy, numbers = counted(forward(server, limits={"body": "1MiB"}))
    assert connect(proxy).ask("POST", body=b"x" * 1048576).status == 200
    client = connect(proxy)
    client.send(http.request("POST", "/", [("Content-Length", "1048577")]))
    reply = client.read()
    check_error(reply, 413, "0201", "Request entity too large.")
    assert reply["Connection"] == "close"
    client.expect_end()
    assert proxy.line_of(reply)["end"] == "too_large"
    assert numbers.end("too_large") == 1 and len(server.requests) == 1


def test_memory_for_heads(counted, connect):
    """Half a head holds memory; beyond the budget of all connections the next one is told so."""
    proxy, numbers = counted(respond(limits={"head_memory": "1MiB", "header_timeout": "1h", "headers": "160KiB", "header": "128KiB"}))
    half = HEAD + b"X: " + b"a" * 100000
    refused = []

    def is_refused():
        client = connect(proxy)
        client.send(half)
        if select.select([client.sock], [], [], 0.2)[0]:
            refused.append(client.read())
        return refused

    wait_for(is_refused, "the budget is used up")
    check_error(refused[0], 503, "0620", OVERLOADED)
    assert refused[0]["Retry-After"] == "1" and refused[0]["Connection"] == "close"
    assert proxy.line_of(refused[0])["end"] == "head_memory"
    assert numbers.end("head_memory") >= 1


def test_reload_lowers_a_limit_below_what_has_come(start, connect):
    """A head in pieces is judged by the limits in force when the next piece comes, and answered."""
    proxy = start(respond(limits={"headers": "160KiB", "header": "128KiB"}))
    client = connect(proxy)
    client.send(HEAD + (b"X: " + b"a" * 60000 + b"\r\n") * 2)
    wait_for(lambda: unread_by_peer(client.sock) == 0, "the first piece is read")
    proxy.write_config({**proxy.config, "limits": {"request_line": "1KiB", "headers": "1KiB", "header": "1KiB"}})
    proxy.signal(signal.SIGHUP)
    proxy.wait_for_event("reload")
    client.send(b"Y: 1\r\n")
    reply = client.read()
    check_error(reply, 431, "0201", LARGE)
    client.expect_end()
    assert proxy.line_of(reply)["end"] == "headers_too_large"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_memory_for_what_is_pipelined(counted, connect, upstream, method):
    """It waits as long as the response does, and would take any amount from those whose heads come in pieces.  Of each the 7 KB
    are held that were read with its first head."""
    go = threading.Event()

    def serve(link):
        while link.read_request() is not None:
            go.wait()
            link.send(http.response())

    server = upstream(serve)
    proxy, numbers = counted(forward(server, limits={"head_memory": "1MiB", "header_timeout": "1h"}, workers=1))
    begin = http.request(method, "/first", body=b"x" if method == "POST" else None)
    piped = begin + http.request("GET", "/second", [("X", "v" * 3400)]) * 2
    clients = [connect(proxy) for _ in range(200)]
    for client in clients:
        client.send(piped)
    if method == "POST":
        server.wait_for_requests(200)
    else:
        wait_for(lambda: len(server.requests) + numbers.end("head_memory") == 200, "all are judged")
        assert numbers.end("head_memory") > 30
    go.set()
    statuses, closes = [], 0
    for client in clients:
        reply = client.read()
        statuses.append(reply.status)
        if reply["Connection"] == "close":
            closes += 1
            client.expect_end()
            continue
        assert [client.read().status, client.read().status] == [200, 200]
    assert closes > 30 and statuses.count(503) == (closes if method == "GET" else 0)
    client = connect(proxy)
    client.send(HEAD)
    assert client.is_quiet(0.2)
    client.send(b"\r\n")
    assert client.read().status == 200


# -- time

def test_header_deadline(counted, connect):
    proxy, numbers = counted(respond(limits={"header_timeout": "300ms"}))
    client = connect(proxy)
    client.send(HEAD)
    reply = client.read()
    check_error(reply, 408, "0201", TIMEOUT)
    assert reply["Connection"] == "close"
    client.expect_end()
    assert proxy.line_of(reply)["end"] == "header_timeout"
    assert numbers.end("header_timeout") == 1
    client.close()
    wait_for(lambda: numbers.closed("header_timeout") == 1, "the connection is counted")


SLOW_BODIES = {
    "silent": ({"body_min_rate": "off", "body_grace": "0s", "write_stall": "300ms"}, None),
    "silent after the grace": ({"body_min_rate": "1KiB/s", "body_grace": "300ms", "write_stall": "1h"}, None),
    # A byte ever so often must not put off the judgement, however the steps fall.
    "a byte each 20 ms": ({"body_min_rate": "10KiB/s", "body_grace": "500ms", "write_stall": "1h"}, 0.02),
    "a byte each 600 ms": ({"body_min_rate": "10KiB/s", "body_grace": "500ms", "write_stall": "1h"}, 0.6),
}


@pytest.mark.parametrize("how", SLOW_BODIES)
def test_slow_bodies(counted, connect, upstream, how):
    limits, step_s = SLOW_BODIES[how]
    proxy, numbers = counted(forward(upstream(), limits=limits))
    client = connect(proxy)
    client.send(http.request("POST", "/", [("Content-Length", "100000")]) + b"x")
    deadline = time.monotonic() + PATIENCE_S
    while step_s and not select.select([client.sock], [], [], step_s)[0]:
        assert time.monotonic() < deadline, "it may trickle for ever"
        give(client, b"x")
    reply = client.read()
    check_error(reply, 408, "0201", TIMEOUT)
    assert reply["Connection"] == "close"
    client.expect_end()
    assert proxy.line_of(reply)["end"] == "body_timeout"
    assert numbers.end("body_timeout") == 1
    client.close()
    wait_for(lambda: numbers.closed("body_timeout") == 1, "the connection is counted")


def endless(link):
    """A response larger than all buffers on the way."""
    link.read_request()
    link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    try:
        while True:
            link.send(b"x" * 65536)
    except OSError:
        pass


def test_reader_that_takes_nothing(counted, connect, upstream):
    proxy, numbers = counted(forward(upstream(endless), limits={"write_stall": "500ms"}))
    client = connect(proxy, receive_buffer=4096)
    client.send(http.request())
    line = proxy.requests(1)[0]
    assert line["end"] == "write_stall" and line["status"] == 200
    assert numbers.end("write_stall") == 1 and numbers.closed("write_stall") == 1
    client.expect_reset()


def test_reader_that_takes_a_little_now_and_then(counted, connect, upstream):
    """Each bite is progress for write_stall; it is the rate that ends it."""
    proxy, numbers = counted(forward(upstream(endless), limits={"write_stall": "1s", "read_min_rate": "1MiB/s"}))
    client = connect(proxy, receive_buffer=4096)
    client.send(http.request())
    deadline = time.monotonic() + PATIENCE_S
    while not proxy.requests():
        assert time.monotonic() < deadline, "it may nibble for ever"
        select.select([], [], [], 0.05)
        try:
            client.sock.recv(3000)
        except ConnectionResetError:
            break
    line = proxy.requests(1)[0]
    assert line["end"] == "slow_read" and line["status"] == 200
    assert numbers.end("slow_read") == 1 and numbers.closed("slow_read") == 1


@pytest.mark.parametrize("rate", ["off", "1KiB/s"])
def test_steady_readers_are_left_alone(start, connect, upstream, rate):
    """What the kernel's buffer hides is seen: a reader of some KiB a second that never lets the buffer run empty."""
    proxy = start(forward(upstream(endless), limits={"write_stall": "1s", "read_min_rate": rate}))
    client = connect(proxy, receive_buffer=4096)
    client.send(http.request())
    until = time.monotonic() + 4
    while time.monotonic() < until:
        assert client.sock.recv(3000)
        select.select([], [], [], 0.05)
    assert proxy.requests() == []
    client.reset()
    assert proxy.requests(1)[0]["end"] == "client_abort"


def test_idle_connections_are_counted(counted, connect):
    proxy, numbers = counted(respond(limits={"keepalive": "300ms"}))
    client = connect(proxy)
    assert client.ask().status == 200
    client.expect_end()
    wait_for(lambda: numbers.closed("keepalive") == 1, "the connection is counted")
    client = connect(proxy)
    assert client.ask().status == 200
    client.close()
    wait_for(lambda: numbers.closed("client") == 1, "the connection is counted")


# -- requests of a connection

def test_requests_of_a_connection(counted, connect, upstream):
    proxy, numbers = counted(forward(upstream(), limits={"requests_per_connection": 3}))
    client = connect(proxy)
    for n in range(3):
        reply = client.ask()
        assert reply.status == 200 and reply["Connection"] == ("close" if n == 2 else None)
        line = proxy.line_of(reply)
        assert line["end"] == "ok" and line.get("close") == ("requests" if n == 2 else None)
    client.expect_end()
    wait_for(lambda: numbers.closed("requests") == 1, "the connection is counted")
    # What was pipelined behind the last one is not begun: the client may send it again elsewhere.
    client = connect(proxy)
    client.send(http.request() * 5)
    for n in range(3):
        assert client.read().status == 200
    client.expect_end()
    assert len(proxy.requests(6)) == 6
    wait_for(lambda: numbers.closed("requests") == 2, "the connection is counted")


def test_the_last_request_of_a_connection_may_end_otherwise(counted, connect, upstream):
    """The counter names what ended the connection, not what would have."""
    server = upstream(answer=lambda message: http.response(body=b"x" * (32 << 20)))
    proxy, numbers = counted(forward(server, limits={"requests_per_connection": 1, "write_stall": "1s"}))
    client = connect(proxy, receive_buffer=4096)
    client.send(http.request())
    (line,) = proxy.requests(1)
    assert (line["end"], line["close"]) == ("write_stall", "requests")
    wait_for(lambda: numbers.closed("write_stall") == 1, "the connection is counted")
    assert numbers.closed("requests") == 0


def test_who_sends_on_gets_to_read_the_last_response(start, connect, upstream):
    """The client did not ask for the end: its next request is on its way, and a reset would destroy the response."""
    size = 1 << 20
    server = upstream(answer=lambda message: http.response(body=b"x" * size))
    proxy = start(forward(server, limits={"requests_per_connection": 1}))
    client = connect(proxy, receive_buffer=65536)
    client.send(http.request())
    assert proxy.requests(1)[0]["end"] == "ok"
    client.send(http.request())
    reply = client.read()
    assert (len(reply.body), reply["Connection"]) == (size, "close")
    client.expect_end()


def test_requests_without_limit(start, connect):
    proxy = start(respond(limits={"requests_per_connection": "unlimited"}))
    client = connect(proxy)
    for _ in range(200):
        client.send(http.request() * 60)
        for _ in range(60):
            assert client.read()["Connection"] is None


def test_requests_of_a_connection_by_default(start, connect):
    proxy = start(respond(log={"access": "off"}))
    client = connect(proxy)
    for n in range(200):
        client.send(http.request() * 50)
        replies = [client.read() for _ in range(50)]
        assert all(reply["Connection"] is None for reply in replies[:-1])
        assert replies[-1]["Connection"] == ("close" if n == 199 else None), f"request {50 * n + 50}"
    client.expect_end()


# -- connections

def check_refused(proxy, client, number, message, end):
    reply = client.read()
    check_error(reply, 503, number, message)
    assert reply["Connection"] == "close" and reply["Retry-After"] == "1"
    client.expect_end()
    line = proxy.line_of(reply)
    assert line["end"] == end and line["status"] == 503 and "method" not in line
    assert line["client_ip"] == client.sock.getsockname()[0] and line["bytes_out"] == len(reply.raw_head) + len(reply.body)


def served(connect, proxy, **kwargs):
    """A new connection that was served, or None."""
    client = connect(proxy, **kwargs)
    try:
        client.send(http.request())
        if client.read().status == 200:
            return client
    except (AssertionError, OSError):
        pass
    client.close()
    return None


def test_connections_in_all(counted, connect):
    proxy, numbers = counted(respond(limits={"connections": 64}))
    held = [served(connect, proxy) for _ in range(64)]
    assert all(held)
    for client in [connect(proxy) for _ in range(10)]:
        check_refused(proxy, client, "0620", OVERLOADED, "too_many_connections")
    assert numbers.end("too_many_connections") == 10 and numbers.refused("limit") == 10
    said = [line for line in proxy.stderr().splitlines() if "limits.connections (64) is reached" in line]
    assert len(said) == 1, "one line, the others are folded"
    assert all(client.ask().status == 200 for client in held)
    held.pop().close()
    held.append(wait_for(lambda: served(connect, proxy), "a place is free again"))
    assert served(connect, proxy) is None


def test_connections_of_an_address(counted, connect):
    """Exact over the workers; other addresses do not notice."""
    proxy, numbers = counted(respond(workers=4, limits={"connections_per_address": 10}))
    held = [served(connect, proxy, source="127.0.0.2") for _ in range(10)]
    assert all(held)
    for client in [connect(proxy, source="127.0.0.2") for _ in range(20)]:
        check_refused(proxy, client, "0622", CROWDED, "address_connections")
    assert numbers.end("address_connections") == 20 and numbers.refused("address") == 20
    said = [line for line in proxy.stderr().splitlines() if "connections_per_address" in line]
    assert len(said) == 1, said
    others = [served(connect, proxy, source=f"127.0.1.{n}") for n in range(1, 21)]
    assert all(others)
    for _ in range(3):
        held.pop().close()
        held.append(wait_for(lambda: served(connect, proxy, source="127.0.0.2"), "a place is free again"))
        assert served(connect, proxy, source="127.0.0.2") is None


def test_connections_of_an_address_in_a_rush(start, connect):
    """All at once on all workers: never one too many, never one too few."""
    proxy = start(respond(workers=4, limits={"connections_per_address": 50, "keepalive": "1h"}))
    for _ in range(3):
        clients, threads, lock = [], [], threading.Lock()

        def rush():
            for _ in range(25):
                client = served(connect, proxy)
                with lock:
                    clients.append(client)

        threads = [threading.Thread(target=rush) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        held = [client for client in clients if client]
        assert len(held) == 50
        for client in held:
            client.close()
        wait_for(lambda: not proxy.connected_sockets(), "all have left")


def test_who_is_exempt(start, connect, tmp_path):
    port = take_port()
    config = respond(listen=[{"address": f"127.0.0.1:{port}"}, {"address": f"unix:{tmp_path}/in.sock"}],
                     trusted_proxies=["127.0.0.3/32"], limits={"connections_per_address": 2})
    proxy = start(config)
    held = [served(connect, proxy, source="127.0.0.3") for _ in range(6)]
    held += [served(connect, f"{tmp_path}/in.sock") for _ in range(6)]
    held += [served(connect, proxy, source="127.0.0.4") for _ in range(2)]
    assert all(held)
    assert served(connect, proxy, source="127.0.0.4") is None


def test_reload_of_the_number(start, connect, verb, tmp_path):
    """It holds for new connections; those that were never counted are never counted out."""
    admin = {"address": f"unix:{tmp_path}/admin.sock"}
    config = respond(admin=admin)
    proxy = start(config)

    def reload(limits):
        changed = {**proxy.config, "limits": limits}
        proxy.write_config(changed)
        done = verb("reload", "-c", proxy.file)
        assert done.returncode == 0, done.stderr

    uncounted = [served(connect, proxy) for _ in range(5)]
    reload({"connections_per_address": 3})
    counted_ones = [served(connect, proxy) for _ in range(3)]
    assert all(uncounted) and all(counted_ones)
    assert served(connect, proxy) is None
    for client in uncounted:
        client.close()
    assert served(connect, proxy) is None, "those had no part in the count"
    reload({"connections_per_address": 5})
    counted_ones += [served(connect, proxy) for _ in range(2)]
    assert all(counted_ones) and served(connect, proxy) is None
    reload({})
    free = [served(connect, proxy) for _ in range(5)]
    reload({"connections_per_address": 5})
    assert all(free) and served(connect, proxy) is None, "the counts went on meanwhile"
    counted_ones.pop().close()
    assert wait_for(lambda: served(connect, proxy), "one left")


def test_flood_of_connections(start, connect, verb, tmp_path):
    """Whoever is in is served, and the operator gets in, while thousands are turned away; nothing of them is kept."""
    admin = {"address": f"unix:{tmp_path}/admin.sock"}
    proxy = start(respond(admin=admin, limits={"connections_per_address": 4}))
    held = [served(connect, proxy) for _ in range(4)]
    assert all(held)
    before_kib, before_fds = proxy.memory_kib("RssAnon"), proxy.descriptors()
    is_over, turned_away = threading.Event(), [0]
    lock = threading.Lock()

    def flood():
        while turned_away[0] < 4000:
            with Client(proxy.address) as client:
                client.expect_gone()
            with lock:
                turned_away[0] += 1
        is_over.set()

    threads = [threading.Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    rounds = 0
    while not is_over.is_set() or rounds == 0:
        assert all(client.ask().status == 200 for client in held)
        done = verb("status", "--json", "-c", proxy.file)
        assert done.returncode == 0, done.stderr
        rounds += 1
    for thread in threads:
        thread.join()
    done = verb("status", "--json", "-c", proxy.file)
    assert json.loads(done.stdout)["connections"]["refused"] == turned_away[0]
    assert proxy.descriptors() <= before_fds + 2 * 16 + 4, "a few half-closed ones at most, and the operator"
    if not os.environ.get("SLUICE_SANITIZE"):  # whose shadow grows with every address
        assert proxy.memory_kib("RssAnon") < before_kib + 4096
    wait_for(lambda: proxy.descriptors() <= before_fds, "and they go too")


# -- want of descriptors

def ticks_of(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def leave_descriptors(proxy, count):
    """The child may open so many more: its limit is lowered under it, as a shortage comes, unexpected."""
    used = {int(name) for name in os.listdir(f"/proc/{proxy.child}/fd")}
    free = [number for number in range(1000) if number not in used]
    hard = resource.prlimit(proxy.child, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(proxy.child, resource.RLIMIT_NOFILE, (free[count], hard))


def test_want_of_descriptors(counted, connect, upstream):
    server = upstream()
    proxy, numbers = counted(forward(server))
    held = [served(connect, proxy) for _ in range(10)]
    assert all(held)
    child = proxy.child
    leave_descriptors(proxy, 20)
    waiting = [connect(proxy) for _ in range(200)]
    for client in waiting:
        client.send(http.request())
    wait_for(lambda: "accepting pauses" in proxy.stderr(), "accepting pauses")
    wait_for(lambda: sum(not c.is_quiet() for c in waiting) >= 5, "some were let in")

    began, ticks = time.monotonic(), ticks_of(child)
    wait_for(lambda: time.monotonic() - began >= 3, "three seconds pass")
    share = (ticks_of(child) - ticks) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - began)
    assert share <= 0.1, f"{share:.0%} of a processor while nothing can be done"
    assert all(client.ask().status == 200 for client in held), "who is in is served"

    # A place for one: it is taken at once, and all that wait are served in the end.
    for client in waiting:
        if not client.is_quiet():
            client.close()
    left = [client for client in waiting if client.sock.fileno() >= 0]
    while left:
        ready = wait_for(lambda: [client for client in left if not client.is_quiet()], "accepting goes on")
        for client in ready:
            assert client.read().status in (200, 503)
            client.close()
            left.remove(client)
    said = [line for line in proxy.stderr().splitlines() if "accepting pauses" in line]
    assert len(said) <= 1 + (time.monotonic() - began), said
    pauses = numbers.all()["sluice_accept_pauses_total"]
    elapsed_s = time.monotonic() - began
    # By its timer ten times a second and listener, and once for each connection that closes.
    assert 0 < pauses <= 2 * (10 * (elapsed_s + 2) + 220), pauses
    assert all(client.ask().status == 200 for client in held)


def test_accepting_goes_on_when_a_connection_closes(counted, connect):
    """One worker, so that a close and the listener that waits for it are the same loop's."""
    proxy, numbers = counted(respond(workers=1))
    first = served(connect, proxy)
    held = [served(connect, proxy) for _ in range(4)]
    leave_descriptors(proxy, 0)
    next_one = connect(proxy)
    next_one.send(http.request())
    wait_for(lambda: "accepting pauses" in proxy.stderr(), "accepting pauses")
    assert next_one.is_quiet()
    for client in held:
        client.close()
        assert next_one.read().status == 200
        assert first.ask().status == 200
        next_one = connect(proxy)
        next_one.send(http.request())
    next_one.close()


def test_no_descriptor_for_a_server(counted, connect, upstream):
    """Our want is not the server's fault: 503, and the server is not taken for down."""
    server = upstream()
    config = forward(server)
    config["upstreams"]["app"]["timeouts"] = {"pool_idle": "1ms"}
    proxy, numbers = counted(config)
    clients = [served(connect, proxy) for _ in range(3)]
    wait_for(lambda: not server.links, "no connection to the server is kept")
    leave_descriptors(proxy, 0)
    for client in clients:
        reply = client.ask()
        check_error(reply, 503, "0620", OVERLOADED)
        assert reply["Retry-After"] == "1" and reply["Connection"] is None
        assert proxy.line_of(reply)["end"] == "no_descriptors"
    leave_descriptors(proxy, 100)
    assert all(client.ask().status == 200 for client in clients), "at once: no server is avoided for it"
    assert numbers.end("no_descriptors") == 3
    assert numbers.all()["sluice_upstream_connect_failures_total"] == 0


# -- the last word is heard

MIB = 1 << 20


def big(length):
    return http.request("POST", "/", [("Content-Length", str(length))])


# what is refused: (configuration, the request's beginning, what is sent behind it before anything is read, status)
STILL_SENDING = {
    "413 by length": ({"limits": {"body": "1KiB"}}, big(8 * MIB), 8 * MIB, 413),
    "413 in chunks": ({"limits": {"body": "1KiB"}}, CHUNKED + b"%x\r\n" % (8 * MIB), 8 * MIB, 413),
    "414": ({}, b"GET /", 2 * MIB, 414),
    "431": ({}, HEAD + b"X: ", 4 * MIB, 431),
    "400": ({}, b"GET  / HTTP/1.1\r\n", 2 * MIB, 400),
    "400 in chunks": ({}, CHUNKED + b"zz\r\n", 1 * MIB, 400),
    "404": ({"routes": [{"name": "one", "path": "/one", "respond": {"status": 200, "text": "x"}}]}, big(8 * MIB), 8 * MIB, 404),
    "429": ({"quotas": {"ip": {"key": ["ip"], "limits": {"hour": 1}}}, "quota": True}, big(8 * MIB), 8 * MIB, 429),
    "408 in the body": ({"limits": {"body_min_rate": "1GiB/s", "body_grace": "0s"}}, big(100 * MIB), 2 * MIB, 408),
}


@pytest.mark.parametrize("case", STILL_SENDING)
def test_who_still_sends_gets_to_read_the_answer(start, connect, upstream, case):
    more, head, rest, status = STILL_SENDING[case]
    more = dict(more)
    server = upstream()
    config = forward(server, **{k: v for k, v in more.items() if k in ("limits", "quotas")})
    if "routes" in more:
        config["routes"] = more["routes"]
        del config["upstreams"]
    proxy = start(config)
    if more.get("quota"):
        with Client(proxy.address) as first:
            assert first.ask().status == 200
    client = connect(proxy)
    client.send(head)
    sent = 0
    while sent < rest:
        client.send(b"x" * 65536)  # an error here would be a reset before the answer was read
        sent += 65536
    reply = client.read()
    assert reply.status == status and reply["Connection"] == "close"
    client.expect_end()
    client.close()
    wait_for(lambda: not proxy.connected_sockets([server.port]), "the connection goes with its client")


def send_without_end(client):
    """Sends until it cannot; gives the bytes."""
    sent = 0
    try:
        while True:
            sent += client.sock.send(b"x" * 65536)
    except OSError:
        return sent


def test_who_never_stops_sending_is_cut(start, connect):
    """By bytes, and by time."""
    proxy = start(respond(limits={"linger_size": "4MiB", "linger": "1h", "body": "1KiB"}))
    client = connect(proxy)
    client.send(big(1 << 40))
    sent = send_without_end(client)
    assert 4 * MIB <= sent <= 4 * MIB + 32 * MIB, sent  # the rest fills the kernel's buffers
    proxy = start(respond(limits={"linger_size": "1024GiB", "linger": "1s", "body": "1KiB"}))
    client = connect(proxy)
    client.send(big(1 << 40))
    assert send_without_end(client) > 0
    wait_for(lambda: not proxy.connected_sockets(), "the connection is closed")


def test_lingering_connections_count(start, connect):
    proxy = start(respond(limits={"connections_per_address": 2, "body": "1KiB", "linger": "1h"}))
    lingering = []
    is_over = threading.Event()

    def trickle():
        while not is_over.wait(0.1):
            for client in lingering:
                give(client, b"x")

    for _ in range(2):
        client = connect(proxy)
        client.send(big(1 << 40))
        assert client.read().status == 413
        lingering.append(client)
    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        assert served(connect, proxy) is None
        for client in lingering:
            client.expect_end()
        assert served(connect, proxy) is None, "they are still there"
    finally:
        is_over.set()
        thread.join()
    for client in lingering:
        client.close()
    assert wait_for(lambda: served(connect, proxy), "they have gone")


def test_a_request_keeps_the_limits_that_it_began_with(start, upstream, connect, verb, tmp_path):
    """A body that was slow enough before a reload to stricter limits is slow enough behind it; the next one is not."""
    server = upstream()
    proxy = start(forward(server, admin={"address": f"unix:{tmp_path}/admin.sock"}, workers=1,
                          limits={"body_min_rate": "off", "body_grace": "1h", "write_stall": "1h"}))
    old = connect(proxy)
    old.send(b"POST /old HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n1")
    wait_for(lambda: server.links, "the head is at the upstream")
    proxy.config["limits"].update(body_grace="0s", write_stall="300ms")
    proxy.write_config(proxy.config)
    assert verb("reload", "-c", proxy.file).returncode == 0
    old.send(b"2")  # from here on it is waited for anew
    new = connect(proxy)
    new.send(b"POST /new HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n1")
    check_error(new.read(), 408, "0201", TIMEOUT)
    new.close()
    again = connect(proxy)
    again.send(b"POST /new HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n1")
    assert again.read().status == 408, "the time of the limit has passed twice"
    assert old.is_quiet()
    old.send(b"3456789")
    assert old.read().status == 200
    assert [request.target for request in server.requests] == ["/old"]
