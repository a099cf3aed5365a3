# SPDX-License-Identifier: Apache-2.0
"""Large bodies pass through pipes: the same bytes, counts, deadlines and ends as if they were copied, and never another's bytes."""
import collections
import hashlib
import os
import pathlib
import random
import resource
import sys
import threading
import time

import pytest
from harness import http
from harness.client import Client
from harness.configs import forward
from harness.metrics import scrape
from harness.ports import take_port
from harness.proxy import BINARY
from harness.waiting import wait_for

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "fault"))
from state import FaultState, mask  # noqa: E402

PRELOAD = pathlib.Path(BINARY).resolve().parent / "libfault_preload.so"
KIB, MIB = 1 << 10, 1 << 20
LEAST = 256 * KIB  # of a body that passes through a pipe
PIPES = 8  # of a worker
SIZES = (LEAST - 1, LEAST, LEAST + 1, LEAST + 16 * KIB - 1, 5 * 64 * KIB, 2 * LEAST - 1, 2 * LEAST, MIB, 3 * MIB + 7)
BETWEEN = 64 * MIB  # more than all socket buffers on the way hold, at the size to which the kernel lets them grow


def body_of(seed, size):
    """Its period is no multiple of any buffer's size, so that a part in a wrong place is seen."""
    block = random.Random(f"{seed}/{size}").randbytes(99991)
    return (block * (size // len(block) + 1))[:size]


def serve_sizes(link):
    """GET /SEED/SIZE[/how]: a body of that size; anything with a body: what came."""
    try:
        while (message := link.read_request()) is not None:
            if message.method != "GET":
                link.send(http.response(body=message.body))
                continue
            _, seed, size, *how = message.target.split("/")
            body = body_of(seed, int(size))
            if how == ["chunked"]:
                link.send(http.response(fields=[("Transfer-Encoding", "chunked")], length=False) + http.chunked([body]))
                continue
            head = http.response(fields=[("Content-Length", size)], length=False)
            link.send(head + body if how != ["apart"] else head)
            if how == ["apart"]:
                link.send(body)
    except (http.Ended, OSError):
        pass


@pytest.fixture
def passing(start, upstream):
    """passing(serve, ...): (the proxy, a function that tells how many bytes have passed through pipes)."""
    def make(serve=serve_sizes, timeouts=None, **more):
        port = take_port()
        config = forward(upstream(serve), admin={"metrics": f"127.0.0.1:{port}"}, **{"workers": 1, **more})
        config["upstreams"]["app"]["timeouts"] = timeouts or {}
        proxy = start(config)
        return proxy, lambda: scrape(port)["sluice_body_bytes_spliced_total"]
    return make


def pipes_of(proxy):
    """Pipes of which the serving process holds both ends."""
    inodes = collections.Counter()
    for name in os.listdir(f"/proc/{proxy.child}/fd"):
        try:
            inodes[os.readlink(f"/proc/{proxy.child}/fd/{name}")] += 1
        except FileNotFoundError:
            pass
    return sum(count == 2 for target, count in inodes.items() if target.startswith("pipe:"))


@pytest.mark.parametrize("how", ["", "/apart"])
def test_downloads_around_the_threshold(passing, connect, how):
    proxy, passed = passing()
    client = connect(proxy)
    for size in SIZES:
        before = passed()
        reply = client.ask("GET", f"/a/{size}{how}")
        assert reply.body == body_of("a", size), size
        line = proxy.line_of(reply)
        assert line["end"] == "ok" and line["bytes_out"] == len(reply.raw)
        assert (passed() - before > 0) == (size >= LEAST), size
        assert passed() - before <= size


def test_uploads_around_the_threshold(passing, connect):
    proxy, passed = passing()
    client = connect(proxy)
    for size in SIZES:
        before, body = passed(), body_of("u", size)
        request = http.request("PUT", "/", body=body)
        client.send(request)
        reply = client.read()
        assert (reply.status, reply.body) == (200, body), (size, reply.raw[:600])
        line = proxy.line_of(reply)
        assert line["end"] == "ok" and line["bytes_in"] == len(request) and line["bytes_out"] == len(reply.raw)
        assert (passed() - before > 0) == (size >= LEAST), size


def test_what_is_not_passed(passing, connect):
    """Chunks are rewritten, and where it is switched off everything is copied; a reload switches."""
    proxy, passed = passing()
    client = connect(proxy)
    assert client.ask("GET", f"/c/{MIB}/chunked").body == body_of("c", MIB)
    assert client.ask("HEAD", "/c").status == 200
    assert passed() == 0
    assert client.ask("GET", f"/c/{MIB}").body == body_of("c", MIB)
    before = passed()
    assert before > 0
    proxy.write_config({**proxy.config, "splice": False})
    proxy.signal(1)
    proxy.wait_for_event("reload")
    assert client.ask("GET", f"/c/{MIB}").body == body_of("c", MIB)
    client.send(http.request("PUT", "/", body=body_of("c", MIB)))
    assert client.read().body == body_of("c", MIB)
    assert passed() == before


def test_a_client_on_a_unix_socket(passing, tmp_path):
    path = str(tmp_path / "front.sock")
    proxy, _ = passing(listen=[{"address": f"unix:{path}"}, {"address": f"127.0.0.1:{take_port()}"}])
    assert proxy.child
    with Client(path) as client:
        assert client.ask("GET", f"/x/{2 * MIB}").body == body_of("x", 2 * MIB)
        client.send(http.request("PUT", "/", body=body_of("x", 2 * MIB)))
        assert client.read().body == body_of("x", 2 * MIB)


def test_what_comes_behind_waits_behind(passing, connect):
    """Answers to pipelined requests stay in order while a pipe holds part of the first."""
    proxy, passed = passing()
    client = connect(proxy, receive_buffer=16 * KIB)
    sizes = (4 * MIB, 10, MIB, LEAST, 0, 5)
    client.send(b"".join(http.request("GET", f"/p/{size}") for size in sizes))
    wait_for(passed, "some of it has passed")
    for size in sizes:
        assert client.read().body == body_of("p", size), size


def fill_pipes(proxy, connect, count, size):
    """Clients that have read only the head of their own body; until nothing moves any more."""
    clients = [connect(proxy, receive_buffer=16 * KIB) for _ in range(count)]
    for number, client in enumerate(clients):
        client.send(http.request("GET", f"/{number}/{size}"))
    for client in clients:
        assert client.reader.response_head().status == 200
    return clients


def wait_until_still(passed):
    """What it tells is the same for half a second."""
    still = threading.Event()
    last = -1
    while passed() != last:
        last = passed()
        still.wait(0.5)
    return last


def test_more_readers_than_pipes(passing, connect):
    """Each gets its own bytes; who finds no pipe is served by copying."""
    proxy, passed = passing()
    assert connect(proxy).ask("GET", "/small/10").status == 200
    size, others = 12 * MIB, wait_until_still(lambda: pipes_of(proxy))  # some are made behind the start
    clients = fill_pipes(proxy, connect, PIPES + 8, size)
    assert wait_until_still(passed) > 0
    assert 1 <= pipes_of(proxy) - others <= PIPES
    results = {}

    def read(number, client):
        results[number] = client.reader.take(size) == body_of(str(number), size)

    threads = [threading.Thread(target=read, args=pair) for pair in enumerate(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: True for number in range(len(clients))}
    for client in clients:  # and their connections serve on
        assert client.ask("GET", "/after/300000").body == body_of("after", 300000)
    assert pipes_of(proxy) - others <= PIPES


@pytest.mark.parametrize("how", ["reset", "close"])
def test_bytes_of_a_dead_reader_reach_nobody(passing, connect, how):
    proxy, passed = passing()
    others = pipes_of(proxy)
    for round_number in range(2):
        clients = fill_pipes(proxy, connect, PIPES + 2, 12 * MIB)
        wait_until_still(passed)
        for client in clients:
            getattr(client, how)()
        survivor = connect(proxy)
        for number in range(PIPES + 2):
            seed = f"s{round_number}-{number}"
            assert survivor.ask("GET", f"/{seed}/{LEAST + 70000}").body == body_of(seed, LEAST + 70000)
        survivor.close()
    wait_for(lambda: sum(line["end"] == "client_abort" for line in proxy.requests()) == 2 * (PIPES + 2), "the aborts are logged")
    assert pipes_of(proxy) - others <= PIPES


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.99])
def test_a_server_that_dies_within(passing, connect, how, share):
    """The client gets what came, if at all, and no clean end; nobody else gets it."""
    size = 2 * MIB
    told = int(size * share)

    def serve(link):
        while (message := link.read_request()) is not None:
            if message.target == "/dies":
                link.send(http.response(fields=[("Content-Length", str(size))], length=False) + body_of("d", size)[:told])
                getattr(link, how)()
                return
            link.send(http.response(body=body_of("ok", MIB)))

    proxy, _ = passing(serve)
    client, other = connect(proxy), connect(proxy)
    client.send(http.request("GET", "/dies"))
    said = client.expect_gone()
    body = said.partition(b"\r\n\r\n")[2]
    assert body_of("d", size)[:told].startswith(body) and len(body) < size
    (line,) = proxy.requests(1)
    assert line["end"] == "upstream_abort"
    assert other.ask("GET", "/").body == body_of("ok", MIB)


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("share", [0.01, 0.4, 0.99])
def test_a_client_that_dies_within_its_upload(passing, connect, how, share):
    got, ended = [], threading.Event()

    def serve(link):
        message = link.read_request_head()
        if message is None:  # the client was gone before its request was sent on
            ended.set()
            return
        if message.target == "/dies":
            try:
                while data := link.reader.buffer or link._receive():
                    got.append(bytes(data))
                    link.reader.buffer.clear()
            finally:
                ended.set()
            return
        link.reader.body(message, False, False)
        link.send(http.response(body=message.body))

    proxy, _ = passing(serve)
    size, body = 2 * MIB, body_of("u", 2 * MIB)
    client = connect(proxy)
    client.send(http.request("PUT", "/dies", [("Content-Length", str(size))]) + body[:int(size * share)])
    getattr(client, how)()
    assert ended.wait(20)
    said = b"".join(got)
    assert body.startswith(said) and len(said) < size
    (line,) = proxy.requests(1)
    assert line["end"] == "client_abort"
    other = connect(proxy)
    other.send(http.request("PUT", "/", body=body_of("v", MIB)))
    assert other.read().body == body_of("v", MIB)


@pytest.mark.parametrize("share", [0.01, 0.4])
def test_a_server_that_answers_and_leaves_within_an_upload(passing, connect, share):
    size = BETWEEN

    def serve(link):
        link.read_request_head()
        link.reader.take(int(4 * MIB * share))
        link.send(http.response(413, "Too Large", body=b"enough"))

    proxy, _ = passing(serve)
    client = connect(proxy)
    client.send(http.request("PUT", "/", [("Content-Length", str(size))]))
    sender = threading.Thread(target=send_quietly, args=(client.sock, size), daemon=True)
    sender.start()
    reply = client.read()
    assert (reply.status, reply.body) == (413, b"enough")
    client.close()
    sender.join()


def send_quietly(sock, size):
    try:
        for _ in range(size // MIB):
            sock.sendall(bytes(MIB))
    except OSError:
        pass


def test_a_server_that_stops_taking_an_upload(passing, connect):
    """The client is held back, the deadline is the server's, and the pipe's bytes reach nobody."""
    def serve(link):
        message = link.read_request_head()
        if message.target == "/stops":
            link.has_ended.wait(60)
            return
        link.reader.body(message, False, False)
        link.send(http.response(body=message.body))

    proxy, passed = passing(serve, timeouts={"first_byte": "1s"})
    client = connect(proxy)
    client.send(http.request("PUT", "/stops", [("Content-Length", str(BETWEEN))]))
    sender = threading.Thread(target=send_quietly, args=(client.sock, BETWEEN), daemon=True)
    sender.start()
    assert client.reader.response_head().status == 504
    assert passed() > 0
    client.reset()
    sender.join()
    other = connect(proxy)
    other.send(http.request("PUT", "/", body=body_of("v", MIB)))
    assert other.read().body == body_of("v", MIB)


def test_a_reader_that_stalls_is_cut(passing, connect):
    proxy, passed = passing(limits={"write_stall": "1s"})
    client = connect(proxy, receive_buffer=16 * KIB)
    client.send(http.request("GET", f"/s/{BETWEEN}"))
    assert client.reader.response_head().status == 200
    (line,) = proxy.requests(1)
    assert line["end"] == "write_stall" and passed() > 0
    client.expect_reset()


def test_a_drain_ends_what_is_passing(passing, connect):
    """What a client takes is finished; what nobody takes ends with the deadline."""
    proxy, _ = passing(limits={"drain_timeout": "1s"})
    stalled, taking = connect(proxy, receive_buffer=16 * KIB), connect(proxy)
    stalled.send(http.request("GET", f"/s/{BETWEEN}"))
    taking.send(http.request("GET", f"/t/{8 * MIB}"))
    assert stalled.reader.response_head().status == 200
    assert taking.reader.response_head().status == 200
    proxy.signal(15)
    assert taking.reader.take(8 * MIB) == body_of("t", 8 * MIB)
    proxy.expected_exit = 9
    assert proxy.wait_exit() == 9
    ends = sorted(line["end"] for line in proxy.requests(2))
    assert ends == ["draining", "ok"]


def test_without_descriptors_for_pipes(passing, connect):
    """The process may open so few that no pipe is to be had: everything is copied, nothing fails."""
    proxy, passed = passing()
    client = connect(proxy)
    assert client.ask("GET", "/warm/1").status == 200
    used = {int(name) for name in os.listdir(f"/proc/{proxy.child}/fd")}
    lowest_free = next(number for number in range(len(used) + 1) if number not in used)
    _, hard = resource.prlimit(proxy.child, resource.RLIMIT_NOFILE)
    resource.prlimit(proxy.child, resource.RLIMIT_NOFILE, (lowest_free, hard))
    assert client.ask("GET", f"/n/{MIB}").body == body_of("n", MIB)
    client.send(http.request("PUT", "/", body=body_of("n", MIB)))
    assert client.read().body == body_of("n", MIB)
    resource.prlimit(proxy.child, resource.RLIMIT_NOFILE, (hard, hard))
    assert passed() == 0


def test_an_answer_that_comes_at_once_after_a_passed_one(passing, connect):
    """What a server says while a request is still being sent to it is an answer, also behind one that came through a pipe."""
    def serve(link):
        try:
            while (message := link.read_request_head()) is not None:
                link.send(http.response(body=body_of("g", LEAST) if message.method == "GET" else b"taken"))
                link.reader.body(message, False, False)
        except http.Ended:
            pass  # the proxy need not send the rest

    proxy, _ = passing(serve)
    for number in range(100):
        with connect(proxy) as client:
            assert client.ask("GET", "/").body == body_of("g", LEAST)
            client.send(http.request("PUT", "/", body=body_of("u", LEAST)))
            reply = client.read()
            assert (reply.status, reply.body) == (200, b"taken"), (number, reply.raw)


@pytest.mark.skipif(bool(os.environ.get("SLUICE_SANITIZE")), reason="the preload stands before the sanitizer's runtime in scripts/faults only")
def test_a_pipe_that_a_socket_refuses_keeps_nothing_of_an_upload(start, upstream, connect, tmp_path):
    """What it holds is copied and sent at once: nothing follows that would push it on."""
    state, server = FaultState(tmp_path / "state.fault"), upstream(answer=lambda message: http.response(body=message.body))
    config = forward(server, workers=1)
    config["upstreams"]["app"]["timeouts"] = {"first_byte": "1s"}
    proxy = start(config, env={"LD_PRELOAD": str(PRELOAD), "FAULT_STATE": str(state.path)})
    body, failed = body_of("u", LEAST + 64 * KIB), []
    uploads = [(connect(proxy), nth, seed) for nth in range(1, 5) for seed in range(6)]  # by the seed an error is chosen
    for client, _, _ in uploads:
        client.send(http.request("PUT", "/", [("Content-Length", str(len(body)))]) + body[:LEAST])
    wait_for(lambda: sum(link.received for link in server.links) > len(uploads) * LEAST, "the server has all but the last piece")
    time.sleep(0.7)  # older than the two ticks in which requests are looked at
    for client, nth, seed in uploads:
        state.set(calls=0, fired=0, nth=nth, class_mask=mask("net"), seed=seed, is_armed=1)
        client.send(body[LEAST:])
        try:
            reply = client.read()
        except (OSError, http.Ended):
            reply = None
        state.set(is_armed=0)
        failed.append((nth, "".join(what for what, _ in state.records())))
        if failed[-1][1] in ("", "splice: EINVAL", "splice: ENOMEM"):
            assert (reply.status, reply.body) == (200, body), failed[-1]
    refused = {nth for nth, what in failed if what in ("splice: EINVAL", "splice: ENOMEM")}
    assert len(refused) >= 2, failed  # into the pipe and out of it
