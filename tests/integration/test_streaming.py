# SPDX-License-Identifier: Apache-2.0
"""Bodies of any size stream through with backpressure and without piling up in memory."""
import hashlib
import os
import threading

import pytest
from harness import http
from harness.configs import forward
from harness.waiting import wait_for

SANITIZED = bool(os.environ.get("SLUICE_SANITIZE"))
MIB = 1 << 20
BIG = 24 * MIB if SANITIZED else 192 * MIB
BLOCK = hashlib.sha256(b"seed").digest() * 2048  # 64 KiB


def kernel_buffer_max(direction):
    with open(f"/proc/sys/net/ipv4/tcp_{direction}", encoding="ascii") as file:
        return int(file.read().split()[2])


# What can lie between a sender and a reader that has stopped: socket buffers at the size to which the kernel lets them grow, on two
# connections, and what the proxy holds.  A body is twice that, so that an unbounded proxy would be seen.
BETWEEN = 2 * (kernel_buffer_max("rmem") + kernel_buffer_max("wmem")) + 2 * MIB
HELD = max(BIG, 2 * BETWEEN)


def blocks(total):
    """The same `total` bytes every time, without two equal neighbours being swapped unnoticed."""
    for at in range(0, total, len(BLOCK)):
        block = at.to_bytes(8, "big") + BLOCK[8:]
        yield block[:total - at]


def digest_of(total):
    sha = hashlib.sha256()
    for block in blocks(total):
        sha.update(block)
    return sha.hexdigest()


def send_body(sock, total, is_chunked):
    for block in blocks(total):
        sock.sendall(b"%x\r\n%s\r\n" % (len(block), block) if is_chunked else block)
    if is_chunked:
        sock.sendall(b"0\r\n\r\n")


def digest_of_body(reader, total, is_chunked):
    """Reads a body piece by piece; gives its digest."""
    sha, seen = hashlib.sha256(), 0
    while is_chunked or seen < total:
        size = int(reader.until(b"\r\n"), 16) if is_chunked else min(len(BLOCK), total - seen)
        if size == 0:
            break
        sha.update(reader.take(size))
        seen += size
        if is_chunked:
            assert reader.take(2) == b"\r\n"
    if is_chunked:
        assert reader.take(2) == b"\r\n"
    assert seen == total
    return sha.hexdigest()


def echo_digests(link):
    """Reads uploads of BIG bytes; answers their digest."""
    while (message := link.read_request_head()) is not None:
        digest = digest_of_body(link.reader, BIG, message["Transfer-Encoding"] == "chunked")
        link.send(http.response(body=digest.encode()))


def send_big(link):
    while (message := link.read_request()) is not None:
        is_chunked = message.target == "/chunked"
        framing = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {BIG}"
        link.send(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode())
        send_body(link.sock, BIG, is_chunked)


def assert_small(proxy):
    if not SANITIZED:
        assert proxy.memory_kib("VmHWM") < 64 * 1024


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_large_upload(start, upstream, connect, is_chunked):
    proxy = start(forward(upstream(echo_digests)))
    client = connect(proxy)
    framing = ("Transfer-Encoding", "chunked") if is_chunked else ("Content-Length", str(BIG))
    client.send(http.request("PUT", "/", [framing]))
    send_body(client.sock, BIG, is_chunked)
    assert client.read().body.decode() == digest_of(BIG)
    assert_small(proxy)
    (line,) = proxy.requests(1)
    assert line["bytes_in"] >= BIG


@pytest.mark.parametrize("path", ["/length", "/chunked"])
def test_large_download(start, upstream, connect, path):
    proxy = start(forward(upstream(send_big)))
    client = connect(proxy)
    client.send(http.request("GET", path))
    assert client.reader.response_head().status == 200
    assert digest_of_body(client.reader, BIG, path == "/chunked") == digest_of(BIG)
    assert_small(proxy)
    (line,) = proxy.requests(1)
    assert line["bytes_out"] >= BIG and line["end"] == "ok"


def test_slow_reader_holds_the_server_back(start, upstream, connect):
    """A client that stops reading stops the server soon: what lies between them is bounded."""
    sent = [0]

    def serve(link):
        link.read_request()
        link.send(f"HTTP/1.1 200 OK\r\nContent-Length: {HELD}\r\n\r\n".encode())
        for block in blocks(HELD):
            link.send(block)
            sent[0] += len(block)

    proxy = start(forward(upstream(serve)))
    client = connect(proxy, receive_buffer=65536)
    client.send(http.request())
    assert client.reader.response_head().status == 200
    last = [-1]

    def has_stopped():
        is_same, last[0] = last[0] == sent[0], sent[0]
        if not is_same:
            threading.Event().wait(0.3)
        return is_same and sent[0] > 0

    wait_for(has_stopped, "the server is held back")
    assert sent[0] < BETWEEN, "only socket buffers and one spill buffer may lie between"
    assert_small(proxy)
    assert digest_of_body(client.reader, HELD, False) == digest_of(HELD)
    assert_small(proxy)


def test_slow_server_holds_the_client_back(start, upstream, connect):
    go_on = threading.Event()

    def serve(link):
        message = link.read_request_head()
        go_on.wait(60)
        digest = digest_of_body(link.reader, HELD, message["Transfer-Encoding"] == "chunked")
        link.send(http.response(body=digest.encode()))

    proxy = start(forward(upstream(serve)))
    client = connect(proxy)
    client.send(http.request("PUT", "/", [("Content-Length", str(HELD))]))
    client.sock.setblocking(False)
    sent, source = 0, b"".join(blocks(HELD))
    stalled = threading.Event()
    while not stalled.wait(0.2):
        before = sent
        try:
            while sent < HELD:
                sent += client.sock.send(source[sent:sent + MIB])
        except BlockingIOError:
            pass
        if sent == before:
            stalled.set()
    assert sent < BETWEEN
    assert_small(proxy)
    go_on.set()
    client.sock.settimeout(60)
    client.send(source[sent:])
    assert client.read().body.decode() == digest_of(HELD)


def test_many_slow_readers_together_stay_small(start, upstream, connect):
    def serve(link):
        link.read_request()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        try:
            while True:
                link.send(BLOCK)
        except OSError:
            pass

    server = upstream(serve)
    proxy = start(forward(server))
    clients = [connect(proxy, receive_buffer=16384) for _ in range(100)]
    for client in clients:
        client.send(http.request())
    for client in clients:
        assert client.reader.response_head().status == 200
    before = proxy.memory_kib()
    server.wait_for_requests(100)
    if not SANITIZED:
        assert proxy.memory_kib("VmHWM") < 64 * 1024, before


def test_events_arrive_as_they_are_sent(start, upstream, connect):
    """Streaming responses are not held back until they are complete."""
    step = threading.Semaphore(0)

    def serve(link):
        link.read_request()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for n in range(5):
            step.acquire()
            link.send(b"8\r\ndata: %d\n\r\n" % n)
        link.send(b"0\r\n\r\n")

    client = connect(start(forward(upstream(serve))))
    client.send(http.request())
    assert client.reader.response_head()["Content-Type"] == "text/event-stream"
    for n in range(5):
        step.release()
        assert client.reader.until(b"\n\r\n").endswith(b"data: %d\n\r\n" % n)
    assert client.reader.take(5) == b"0\r\n\r\n"
