# SPDX-License-Identifier: Apache-2.0
"""Behind a 101: bytes of any kind both ways, each side's end on its own, and every way that a tunnel is broken off."""
import asyncio
import hashlib
import random
import select
import signal
import socket
import threading
import time

import pytest
import websockets
from harness.client import is_refused
from harness.metrics import scrape
from harness.ports import take_port
from harness.upgrade import echo, handshake, opened, received, switching, tunnel, upgrading
from harness.waiting import PATIENCE_S, wait_for

MIB = 1 << 20


class Ended:
    """What a serve function saw at its end: "end" or "reset"."""

    def __init__(self):
        self.how, self.said = None, b""

    def watch(self, link):
        try:
            while data := received(link):
                self.said += data
            self.how = "end"
        except ConnectionResetError:
            self.how = "reset"

    def wait(self, how):
        wait_for(lambda: self.how, "the server sees the end")
        assert self.how == how
        return self.said


# ---- bytes

def test_a_thousand_messages(start, upstream, connect):
    proxy = start(upgrading(upstream(tunnel(echo))))
    client, reply = opened(connect, proxy)
    rng, total = random.Random(1), 0
    for _ in range(1000):
        message = rng.randbytes(rng.choice((1, 2, 125, 126, 4096, 70000)))
        client.send(message)
        assert client.reader.take(len(message)) == message
        total += len(message)
    client.end_output()
    client.expect_end()
    line = proxy.line_of(reply)
    assert (line["status"], line["end"], line["upstream"]) == (101, "ok", "app")
    assert line["bytes_in"] == total + len(handshake())
    assert line["bytes_out"] == total + len(reply.raw_head)
    assert line["t_total"] >= line["t_first"]


@pytest.mark.parametrize("size", [1, 5000, 200000])
def test_bytes_right_behind_the_handshake(start, upstream, connect, size):
    """Both sides speak in the same segment as their half of the handshake."""
    up, down = random.Random(2).randbytes(size), random.Random(3).randbytes(size)
    got = []

    def serve(link):
        message = link.read_request()
        link.send(switching(message) + down)
        while len(b"".join(got)) < size:
            got.append(received(link))
        link.wait_for_end()

    proxy = start(upgrading(upstream(serve)))
    client = connect(proxy)
    client.send(handshake() + up)
    assert client.read().status == 101
    assert client.reader.take(size) == down
    wait_for(lambda: b"".join(got) == up, "the server has it all")
    client.end_output()
    client.expect_end()


def test_the_101_bytewise(start, upstream, connect):
    def serve(link):
        for byte in switching(link.read_request()) + b"abc":
            link.send(bytes([byte]))
        echo(link)

    client, _ = opened(connect, start(upgrading(upstream(serve))))
    assert client.reader.take(3) == b"abc"
    client.send_bytewise(b"xyz")
    assert client.reader.take(3) == b"xyz"


def pour(send, seed, total, digests):
    rng, sha = random.Random(seed), hashlib.sha256()
    for _ in range(total // 65536):
        block = rng.randbytes(65536)
        sha.update(block)
        send(block)
    digests[seed] = sha.hexdigest()


def drink(take, total):
    sha = hashlib.sha256()
    for _ in range(total // 65536):
        sha.update(take(65536))
    return sha.hexdigest()


def test_much_in_both_directions_at_once(start, upstream, connect):
    """Each side sends without waiting; contents are compared by hash, memory stays small."""
    total, digests, seen = 8 * MIB, {}, {}

    def serve(link):
        link.send(switching(link.read_request()))
        sender = threading.Thread(target=pour, args=(link.send, 2, total, digests))
        sender.start()
        seen["up"] = drink(link.reader.take, total)
        sender.join()
        link.wait_for_end()

    proxy = start(upgrading(upstream(serve)))
    client, reply = opened(connect, proxy)
    sender = threading.Thread(target=pour, args=(client.send, 1, total, digests))
    sender.start()
    seen["down"] = drink(client.reader.take, total)
    sender.join()
    wait_for(lambda: "up" in seen and len(digests) == 2, "the server has read and sent it all")
    assert seen == {"up": digests[1], "down": digests[2]}
    client.end_output()
    client.expect_end()
    assert proxy.line_of(reply)["bytes_in"] == total + len(handshake())


def send_until_held(sock):
    """Sends until nothing more is taken for a while; gives how much."""
    sock.setblocking(False)
    sent = 0
    while select.select([], [sock], [], 0.5)[1]:
        try:
            sent += sock.send(b"x" * 65536)
        except BlockingIOError:
            pass
        assert sent < 64 * MIB, "nothing holds the sender back"
    sock.settimeout(PATIENCE_S)
    return sent


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_side_that_does_not_read_holds_the_other_back(start, upstream, connect, direction):
    """The other direction goes on meanwhile, and no byte is lost when it reads again."""
    step, go_on, sent, read = threading.Event(), threading.Event(), [], []

    def serve(link):
        link.send(switching(link.read_request()))
        if direction == "down":
            assert link.reader.take(4) == b"ping"
            sent.append(send_until_held(link.sock))
            assert link.reader.take(4) == b"ping"
            link.end_output()
            link.wait_for_end()
            return
        step.wait(PATIENCE_S)
        link.send(b"pong")
        go_on.wait(PATIENCE_S)
        while data := received(link):
            read.append(len(data))
        link.send(b"done")

    proxy = start(upgrading(upstream(serve)))
    client, _ = opened(connect, proxy, receive_buffer=65536)
    if direction == "down":
        client.send(b"ping")
        wait_for(lambda: sent, "the server is held back")
        client.send(b"ping")
        assert len(client.reader.take(sent[0])) == sent[0]
        client.end_output()
        client.expect_end()
        return
    count = send_until_held(client.sock)
    step.set()
    assert client.reader.take(4) == b"pong"
    go_on.set()
    client.end_output()
    assert client.reader.take(4) == b"done"
    assert sum(read) == count


# ---- ends

def test_the_client_ends_first(start, upstream, connect):
    go_on = threading.Event()

    def serve(link):
        link.send(switching(link.read_request()))
        assert received(link) == b"last words"
        assert received(link) == b""
        link.send(b"still here, ")
        go_on.wait(PATIENCE_S)
        link.send(b"goodbye")

    proxy = start(upgrading(upstream(serve)))
    client, reply = opened(connect, proxy)
    client.send(b"last words")
    client.end_output()
    assert client.reader.take(12) == b"still here, "
    assert client.is_quiet(0.2)
    go_on.set()
    assert client.reader.take(7) == b"goodbye"
    client.expect_end()
    assert proxy.line_of(reply)["end"] == "ok"


def test_the_server_ends_first(start, upstream, connect):
    said = []

    def serve(link):
        link.send(switching(link.read_request()) + b"that is all")
        link.end_output()
        while data := received(link):
            said.append(data)

    proxy = start(upgrading(upstream(serve)))
    client, reply = opened(connect, proxy)
    assert client.reader.take(11) == b"that is all"
    client.expect_end()
    for word in (b"one ", b"two ", b"three"):
        client.send(word)
        wait_for(lambda word=word: b"".join(said).endswith(word), "the server hears on")
    assert not proxy.requests()
    client.end_output()
    assert proxy.line_of(reply)["end"] == "ok"
    assert b"".join(said) == b"one two three"


def test_an_end_comes_behind_everything_before_it(start, upstream, connect):
    """Much data and then the end, both ways, to readers that are slower than the senders."""
    total, digests, go_on = 4 * MIB, {}, threading.Event()

    def serve(link):
        link.send(switching(link.read_request()))
        pour(link.send, 5, total, digests)
        link.end_output()
        go_on.wait(PATIENCE_S)
        digests["up"] = drink(link.reader.take, total)
        assert link.reader.at_end()

    proxy = start(upgrading(upstream(serve)))
    client, reply = opened(connect, proxy, receive_buffer=65536)
    sender = threading.Thread(target=pour, args=(client.send, 6, total, digests))
    sender.start()
    go_on.set()
    digests["down"] = drink(client.reader.take, total)
    client.expect_end()
    sender.join()
    client.end_output()
    assert proxy.line_of(reply)["end"] == "ok"
    wait_for(lambda: "up" in digests, "the server has read it all")
    assert digests["down"] == digests[5] and digests["up"] == digests[6]


def test_bytes_and_the_end_right_behind_the_handshake(start, upstream, connect):
    """A client that half-closes at once has not left when bytes for the tunnel wait."""
    seen = Ended()
    proxy = start(upgrading(upstream(tunnel(seen.watch))))
    client = connect(proxy)
    client.send(handshake() + b"all of it")
    client.end_output()
    assert client.read().status == 101
    client.expect_end()
    assert seen.wait("end") == b"all of it"


# ---- breaks

@pytest.mark.parametrize("behind", [b"", b"bytes before it"], ids=["alone", "behind bytes"])
def test_a_reset_by_the_client_resets_the_server(start, upstream, connect, behind):
    seen = Ended()
    proxy = start(upgrading(upstream(tunnel(seen.watch))))
    client, reply = opened(connect, proxy)
    with proxy.frozen():
        client.send(behind)
        client.reset()
    seen.wait("reset")
    line = proxy.line_of(reply)
    assert (line["status"], line["end"]) == (101, "client_abort")


def test_a_reset_by_a_client_that_the_server_does_not_read(start, upstream, connect):
    """What it sent waits for a server that takes nothing; nobody would notice until tunnel_idle."""
    over = threading.Event()
    server = upstream(tunnel(lambda link: over.wait()))
    proxy = start(upgrading(server))
    client, _ = opened(connect, proxy)
    client.sock.settimeout(1)
    with pytest.raises(TimeoutError):
        while True:
            client.send(bytes(1 << 20))
    client.reset()
    try:
        assert proxy.requests(1)[0]["end"] == "client_abort"
    finally:
        over.set()


@pytest.mark.parametrize("behind", [b"", b"bytes before it"], ids=["alone", "behind bytes"])
def test_a_reset_by_the_server_resets_the_client(start, upstream, connect, behind):
    go_on = threading.Event()

    def serve(link):
        link.send(switching(link.read_request()))
        go_on.wait(PATIENCE_S)
        link.send(behind)
        link.reset()

    server = upstream(serve)
    proxy = start(upgrading(server))
    client, reply = opened(connect, proxy)
    with proxy.frozen():
        go_on.set()
        wait_for(lambda: not server.links, "the server has reset")
    assert client.expect_reset() in (behind, b"")
    assert proxy.line_of(reply)["end"] == "upstream_abort"


def test_a_reset_of_a_half_closed_client_resets_the_server(start, upstream, connect):
    """Nobody writes: the reset alone is seen and passed on."""
    seen = Ended()

    def watch(link):
        assert received(link) == b""
        client.reset()
        wait_for(lambda: link.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "a reset behind the end")
        seen.how = "reset"

    proxy = start(upgrading(upstream(tunnel(watch))))
    client, reply = opened(connect, proxy)
    client.end_output()
    seen.wait("reset")
    assert proxy.line_of(reply)["end"] == "client_abort"


@pytest.mark.parametrize("is_telling", [False, True], ids=["silent", "when written to"])
def test_a_reset_of_a_half_closed_server_resets_the_client(start, upstream, connect, is_telling):
    """The server ends, then resets: at once, or because it is written to after it closed."""
    go_on = threading.Event()

    def serve(link):
        link.send(switching(link.read_request()))
        link.end_output()
        go_on.wait(PATIENCE_S)
        if not is_telling:
            link.reset()

    server = upstream(serve)
    proxy = start(upgrading(server))
    client, reply = opened(connect, proxy)
    client.expect_end()
    go_on.set()
    if is_telling:
        wait_for(lambda: not server.links, "the server has closed")
        client.send(b"are you there?")
    assert proxy.line_of(reply)["end"] == "upstream_abort"
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        while True:
            client.send(b"x")


def test_what_a_server_said_before_its_reset_arrives(start, upstream, connect):
    """A close() with bytes unread: the kernel resets, the last words are there all the same."""
    last = b"\x88\x02\x03\xf0" * 1000

    def serve(link):
        link.send(switching(link.read_request()))
        assert received(link) == b"now"
        link.send(last)
        assert select.select([link.sock], [], [], PATIENCE_S)[0]

    proxy = start(upgrading(upstream(serve)))
    client, reply = opened(connect, proxy)
    client.send(b"now")
    assert client.reader.take(len(last)) == last
    client.send(b"unread")
    client.expect_reset()
    assert proxy.line_of(reply)["end"] == "upstream_abort"


# ---- deadlines

def test_a_tunnel_in_which_nobody_speaks(start, upstream, connect):
    seen = Ended()
    server = upstream(tunnel(seen.watch))
    proxy = start(upgrading(server, timeouts={"tunnel_idle": "1s", "first_byte": "100ms", "read_idle": "100ms"}))
    client, reply = opened(connect, proxy)
    began = time.monotonic()
    for _ in range(6):  # anything that is said puts it off
        client.send(b"x")
        time.sleep(0.3)
    client.expect_reset()
    assert time.monotonic() - began >= 2.4
    assert seen.wait("reset") == b"xxxxxx"
    line = proxy.line_of(reply)
    assert (line["status"], line["end"]) == (101, "tunnel_idle")


def test_a_client_that_takes_nothing(start, upstream, connect):
    """Its own deadline ends it, however long a tunnel may be idle."""
    seen = Ended()

    def serve(link):
        link.send(switching(link.read_request()))
        try:
            while True:
                link.send(b"x" * 65536)
        except ConnectionResetError:
            seen.how = "reset"

    proxy = start(upgrading(upstream(serve), limits={"write_stall": "1s"}))
    client, reply = opened(connect, proxy, receive_buffer=4096)
    seen.wait("reset")
    assert proxy.line_of(reply)["end"] == "write_stall"
    client.close()


# ---- the proxy's own life

def test_draining_lets_tunnels_go_on_until_the_deadline(start, upstream, connect):
    seen = Ended()

    def talk(link):
        link.send(received(link))
        link.send(received(link))
        seen.watch(link)

    proxy = start(upgrading(upstream(tunnel(talk)), limits={"drain_timeout": "2s"}))
    client, reply = opened(connect, proxy)
    client.send(b"before")
    assert client.reader.take(6) == b"before"
    proxy.signal(signal.SIGTERM)
    wait_for(lambda: is_refused(proxy.address), "draining has begun")
    client.send(b"while draining")
    assert client.reader.take(14) == b"while draining"
    client.expect_reset()
    seen.wait("reset")
    proxy.expected_exit = 9
    assert proxy.wait_exit() == 9
    assert proxy.line_of(reply)["end"] == "draining"


def test_draining_waits_for_a_tunnel_that_ends(start, upstream, connect):
    proxy = start(upgrading(upstream(tunnel(echo)), limits={"drain_timeout": "1h"}))
    client, reply = opened(connect, proxy)
    proxy.signal(signal.SIGTERM)
    wait_for(lambda: is_refused(proxy.address), "draining has begun")
    client.send(b"bye")
    assert client.reader.take(3) == b"bye"
    client.end_output()
    client.expect_end()
    assert proxy.wait_exit() == 0
    assert proxy.line_of(reply)["end"] == "ok"


def test_a_reload_does_not_touch_tunnels(start, upstream, connect):
    """Not even one that takes the upgrade, the route and the server away."""
    server, other = upstream(tunnel(echo)), upstream()
    config = upgrading(server)
    proxy = start(config)
    client, reply = opened(connect, proxy)
    client.send(b"before")
    assert client.reader.take(6) == b"before"
    config = {**proxy.config, "upstreams": {"other": {"servers": [other.address]}},
              "routes": [{"name": "else", "prefix": "/else", "upstream": "other"}]}
    proxy.write_config(config)
    proxy.signal(signal.SIGHUP)
    proxy.wait_for_event("reload")
    assert connect(proxy).ask("GET", "/else").status == 200
    for _ in range(10):
        client.send(b"after" * 1000)
        assert client.reader.take(5000) == b"after" * 1000
    client.end_output()
    client.expect_end()
    line = proxy.line_of(reply)
    assert (line["gen"], line["route"], line["end"]) == (1, "all", "ok")


def test_metrics(start, upstream, connect):
    port = take_port()
    proxy = start(upgrading(upstream(tunnel(echo)), timeouts={"tunnel_idle": "1s"},
                            admin={"metrics": f"127.0.0.1:{port}"}))

    def value(name):
        return scrape(port)[name]

    assert (value("sluice_tunnels_open"), value("sluice_tunnels_total")) == (0, 0)
    clients = [opened(connect, proxy)[0] for _ in range(3)]
    assert (value("sluice_tunnels_open"), value("sluice_tunnels_total")) == (3, 3)
    clients[0].end_output()
    clients[0].expect_end()
    clients[1].reset()
    clients[2].expect_reset()
    wait_for(lambda: value("sluice_tunnels_open") == 0, "no tunnel is open")
    assert value("sluice_tunnels_total") == 3
    for end in ("ok", "client_abort", "tunnel_idle"):
        assert value(f'sluice_exchanges_total{{end="{end}"}}') == 1
    assert value('sluice_route_responses_total{route="all",class="1xx"}') == 3
    assert value("sluice_exchange_duration_seconds_count") == 0


# ---- a library that others use

def test_a_real_websocket_client_and_server(start):
    """Debian's python3-websockets on both sides: hundreds of messages, fragments, a ping, and the close code."""
    port = take_port()
    proxy = start(upgrading(f"127.0.0.1:{port}"))
    said = {}

    async def serve(connection):
        async for message in connection:
            await connection.send(message)
            if message == "close":
                await connection.close(4321, "as you wish")

    async def talk():
        async with websockets.serve(serve, "127.0.0.1", port):
            uri = f"ws://127.0.0.1:{proxy.ports[0]}/chat"
            async with websockets.connect(uri) as client:
                for n in range(500):
                    message = f"message {n} " + "ä" * (n % 300) if n % 2 else bytes([n % 256]) * n
                    await client.send(message)
                    assert await client.recv() == message
                await client.send([f"fragment {n} " for n in range(10)])
                assert await client.recv() == "".join(f"fragment {n} " for n in range(10))
                await asyncio.wait_for(await client.ping(), PATIENCE_S)
                await client.send("close")
                assert await client.recv() == "close"
                await client.wait_closed()
                said["code"], said["reason"] = client.close_code, client.close_reason
            async with websockets.connect(uri) as client:
                await client.close(3210, "I leave")

    asyncio.run(talk())
    assert said == {"code": 4321, "reason": "as you wish"}
    assert [line["end"] for line in proxy.requests(2)] == ["ok", "ok"]
