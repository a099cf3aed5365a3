# SPDX-License-Identifier: Apache-2.0
"""Races and lies that desynchronise proxies: whatever either side does, nobody sees another's bytes, nothing hangs."""
import array
import collections
import contextlib
import fcntl
import itertools
import os
import signal
import termios
import threading
import time

import pytest
from harness import hostile, http
from harness.configs import forward, respond
from harness.metrics import scrape
from harness.ports import take_port
from harness.unread import unread_by_peer
from harness.waiting import wait_for

LIMITS = {"header_timeout": "1s", "body_min_rate": "1KiB/s"}


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
        with proxy.frozen():
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
        with proxy.frozen():
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
    with proxy.frozen():
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
        with proxy.frozen():
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


def test_fast_beginning_is_no_credit_for_a_long_pause(start, upstream, connect):
    """The average rate stays above the minimum for minutes: the pause alone is too long."""
    server = upstream(serve=lambda link: (link.read_request_head(), link.wait_for_end()))
    proxy = start(forward(server, limits={"body_grace": "100ms", "write_stall": "1s"}))
    client = connect(proxy, timeout=10)
    client.send(http.request("POST", "/", fields=[("Content-Length", "1000000")]) + b"x" * 500000)
    assert client.read().status == 408
    client.expect_end()


def test_reader_that_pauses_is_not_judged_by_the_clock_of_its_body(start, upstream, connect):
    """Its response is blocked while its body is waited for: it has write_stall, not the second of the body's check."""
    size = 8 << 20

    def serve(link):
        link.read_request_head()
        link.reader.take(8)
        link.send(http.response(body=b"x" * size))
        link.wait_for_end()

    server = upstream(serve)
    proxy = start(forward(server, limits={"body_min_rate": "1B/s", "body_grace": "60s", "write_stall": "60s"}))
    client = connect(proxy, receive_buffer=65536)
    client.send(http.request("POST", "/", fields=[("Content-Length", "100")]) + b"1234")
    server.wait_for_requests(1)
    client.send(b"5678")
    left = int(client.reader.response_head()["Content-Length"]) - len(client.reader.buffer)
    wait_for(lambda: waiting_bytes(client, 0.2) == waiting_bytes(client), "the proxy is blocked")
    client.send(b"90")
    time.sleep(2)  # more than the check of the body
    while left:
        part = client.sock.recv(65536)
        assert part
        left -= len(part)


def test_client_that_pipelines_without_end_does_not_starve_the_others(start, connect):
    proxy = start(respond(workers=1, limits={"requests_per_connection": "unlimited"}))
    flood, other = connect(proxy), connect(proxy)
    assert other.ask().status == 200
    requests = http.request() * 2000
    is_over = threading.Event()

    def send():
        with contextlib.suppress(OSError):
            while not is_over.is_set():
                flood.send(requests)

    def read():
        with contextlib.suppress(OSError):
            while flood.sock.recv(1 << 20):
                pass

    threads = [threading.Thread(target=work) for work in (send, read)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            assert other.ask().status == 200
    finally:
        is_over.set()
        flood.sock.shutdown(2)
        for thread in threads:
            thread.join()


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
    with proxy.frozen():
        go.set()
        gone.wait()
    client.expect_gone()
    assert proxy.requests(1)[0]["end"] == "upstream_abort"


def test_many_large_interim_responses_pass(start, upstream, connect):
    """Each as large as a head may be, and together more than an exchange may hold."""
    fields = b"".join(b"X-%d: %s\r\n" % (n, b"v" * 30000) for n in range(4))
    server = upstream(answer=lambda message: (b"HTTP/1.1 103 Early Hints\r\n" + fields + b"\r\n") * 32 + http.response(body=b"done"))
    proxy = start(forward(server))
    client = connect(proxy)
    reply = client.ask()
    assert (reply.status, reply.body, len(reply.interim)) == (200, b"done", 32)
    assert all(len(interim["X-3"]) == 30000 for interim in reply.interim)
    assert client.ask().status == 200
    assert [line["end"] for line in proxy.requests(2)] == ["ok", "ok"]


def test_reset_of_a_body_that_the_server_does_not_read(start, upstream, connect):
    """Nothing of the client is read meanwhile; the server's deadline would be the first to notice."""
    over = threading.Event()
    server = upstream(serve=lambda link: (link.read_request_head(), over.wait()))
    proxy = start(forward(server))
    client = connect(proxy, timeout=1)
    client.send(http.request("POST", "/", [("Content-Length", 1 << 30)]))
    with pytest.raises(TimeoutError):
        while True:
            client.send(bytes(1 << 20))
    client.reset()
    try:
        assert proxy.requests(1)[0]["end"] == "client_abort"
    finally:
        over.set()


def test_reset_behind_a_request_that_waits_its_turn(start, upstream, connect):
    """The server's deadline would be the first to notice here, too."""
    over = threading.Event()
    server = upstream(serve=lambda link: (link.read_request_head(), over.wait()))
    proxy = start(forward(server))
    client = connect(proxy)
    client.send(http.request("GET", "/slow") + http.request("GET", "/next"))
    server.wait_for_requests(1)
    client.reset()
    try:
        assert [line["end"] for line in proxy.requests(1)] == ["client_abort"]
    finally:
        over.set()


# ---- small things

def test_empty_line_before_a_request_may_come_in_pieces(start, connect):
    client = connect(start(respond()))
    for line in (b"\r\n", b"\r", b""):
        client.send(line)
        time.sleep(0.05)
        client.send((b"\n" if line == b"\r" else b"") + http.request())
        assert client.read().status == 200


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_second_empty_line_is_refused_wherever_it_is_cut(start, connect, cut):
    client = connect(start(respond()))
    data = b"\r\n\r\n"
    client.send(data[:cut] or data)
    if cut:
        wait_for(lambda: unread_by_peer(client.sock) == 0, "the first piece is read")
        client.send(data[cut:])
    assert client.read().status == 400
    client.expect_end()


def test_refusal_reaches_a_client_that_sends_on(start, connect):
    """Closing at once would answer the next request with a reset, and that destroys what the client has not read."""
    client = connect(start(respond()))
    client.send(http.request("GET", "/a/../b"))
    wait_for(lambda: not client.is_quiet(), "the refusal")
    client.send(http.request("GET", "/next"))
    client.send(http.request("GET", "/next"))
    assert client.read().status == 400
    client.expect_end()


def test_refused_head_request_gets_no_body(start, connect):
    proxy = start(respond(limits={"headers": "1KiB", "header_timeout": "300ms"}))
    for data, status in ((http.request("HEAD", "/", [("X", "v" * 2000)]), 431), (b"HEAD / HTTP/1.1\r\nHo", 408), (b"HEAD / HTTP/1.1\r\n\r\n", 400)):
        client = connect(proxy)
        client.send(data)
        reply = client.read("HEAD")
        assert reply.status == status and int(reply["Content-Length"]) > 0
        client.expect_end()


@pytest.mark.parametrize("size", [10, 10000, 65536])
def test_response_that_could_not_be_written_is_not_logged_as_delivered(start, upstream, connect, size):
    go, answered = threading.Event(), threading.Event()

    def serve(link):
        link.read_request()
        go.wait()
        link.send(http.response(body=b"x" * size))
        answered.set()
        link.wait_for_end()

    server = upstream(serve)
    proxy = start(forward(server, workers=1))
    client = connect(proxy)
    client.send(http.request())
    server.wait_for_requests(1)
    with proxy.frozen():
        go.set()
        answered.wait()
        client.reset()
    assert proxy.requests(1)[0]["end"] == "client_abort"


def test_connection_outlives_a_server_that_times_out(start, upstream, connect):
    """The client did nothing wrong: its connection is kept, or it is told that it is not."""
    server = upstream(serve=lambda link: (link.read_request(), link.wait_for_end()))
    config = forward(server)
    config["upstreams"]["app"]["timeouts"] = {"first_byte": "300ms"}
    client = connect(start(config))
    for _ in range(2):
        reply = client.ask("POST", "/", body=b"x")
        assert (reply.status, reply["Connection"]) == (504, None)


def test_unix_socket_that_is_not_there(start, connect, tmp_path):
    proxy = start({"upstreams": {"app": {"servers": [f"unix:{tmp_path}/none.sock"]}}, "routes": [{"prefix": "/", "upstream": "app"}]})
    assert connect(proxy).ask().status == 502
    assert proxy.requests(1)[0]["end"] == "upstream_connect"
    assert "No such file" in proxy.stderr()


# ---- everything at once

# Seconds and seed of the campaign: longer ones are run by hand.
CAMPAIGN_S = float(os.environ.get("SLUICE_CAMPAIGN_S", "12"))
CAMPAIGN_SEED = os.environ.get("SLUICE_CAMPAIGN_SEED", "1")
GAUGES = ("connections_open", "exchanges_open", "tunnels_open", "upstream_idle_connections", "store_inflight")


def campaign_config(server, metrics_port, redis):
    config = forward(
        server,
        quotas={"user": {"key": ["user"], "limits": {"minute": 20, "hour": 1000}}, "ip": {"key": ["ip"], "limits": {"minute": 10000000}}},
        identities={"user": {"from": ["header:X-User"], "missing": "ip"}},
        limits={"header_timeout": "500ms", "body_grace": "300ms", "write_stall": "1s", "keepalive": "100ms", "connections": 64,
                "connections_per_address": 9, "requests_per_connection": 6, "read_min_rate": "20KiB/s", "linger": "1s", "drain_timeout": "2s"},
        admin={"metrics": f"127.0.0.1:{metrics_port}"})
    config["routes"].insert(0, {"name": "here", "prefix": "/here/", "respond": {"status": 200, "text": "here" * 500}})
    config["routes"].insert(0, {**config["routes"][-1], "name": "up", "prefix": "/up/", "upgrade": ["websocket"]})
    config["routes"].insert(0, {**config["routes"][-1], "name": "loose", "prefix": "/loose/",
                                "allow_path": ["dot_segments", "encoded_slash", "backslash", "parameters", "double_encoding"]})
    config["upstreams"]["app"]["timeouts"] = {"connect": "1s", "first_byte": "1s", "read_idle": "1s", "pool_idle": "200ms", "tunnel_idle": "1s"}
    if redis:
        config["store"] = {"type": "redis", "servers": [redis.address], "on_failure": "allow"}
    return config


def total(values, name):
    return sum(int(value) for key, value in values.items() if key.split("{")[0] == f"sluice_{name}")


def gauges(port):
    values = scrape(port)
    found = {name: values[f"sluice_{name}"] for name in GAUGES}
    found.update((name, value) for name, value in values.items() if name.startswith("sluice_upstream_server_connections"))
    return found


def run_clients(address, tags, until, wrong, workers=24, answers=None):
    numbers = itertools.count()

    def work():
        while not until():
            client = hostile.Client(CAMPAIGN_SEED, next(numbers), address, tags)
            wrong.extend(client.run())
            if answers is not None:
                answers.extend(client.answers)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return next(numbers)


def check_books(proxy, values, answers):
    """Every answer that a client has read has one line that says the same, and the counters count the lines."""
    requests = proxy.requests()
    lines = {line["id"]: line for line in requests}
    assert len(lines) == len(requests)
    for own_id, status in answers:
        assert own_id is not None
        assert lines[own_id.split("-")[0]].get("status") == status, (lines[own_id.split("-")[0]], status)
    assert total(values, "exchanges_total") == len(requests)
    assert total(values, "tunnels_total") == len([line for line in requests if line.get("status") == 101])
    decisions = collections.Counter(line["decision"] for line in requests)
    for decision in ("allow", "refuse", "degraded_allow", "degraded_refuse"):
        assert int(values[f'sluice_decisions_total{{decision="{decision}"}}']) == decisions[decision], decision
    accepted, refused = total(values, "connections_accepted_total"), total(values, "connections_refused_total")
    assert total(values, "connections_closed_total") == accepted - refused
    ends = collections.Counter(line["end"] for line in requests)
    for end, count in ends.items():
        assert int(values[f'sluice_exchanges_total{{end="{end}"}}']) == count
    return ends


@pytest.mark.slow
@pytest.mark.parametrize("store", ["memory", "redis"])
def test_hostile_clients_and_servers(start, upstream, connect, request, store):
    """Reloads come in the middle; at the end nothing is left: no connection, no descriptor, no gauge."""
    tags = set()
    hostile_server = hostile.Server(CAMPAIGN_SEED, tags)
    server = upstream(hostile_server.serve)
    port = take_port()
    redis = request.getfixturevalue("redis") if store == "redis" else None
    proxy = start(campaign_config(server, port, redis))
    assert connect(proxy).ask("GET", "/here/").status == 200
    wait_for(lambda: not any(gauges(port).values()), "the gauges are at zero")
    descriptors = proxy.descriptors()
    wrong, answers = [], []
    end = time.monotonic() + CAMPAIGN_S

    def disturb():
        for caps in itertools.cycle((9, 5, "unlimited", 30)):
            if time.monotonic() >= end:
                return
            time.sleep(0.7)
            proxy.config["limits"]["connections_per_address"] = caps
            proxy.write_config(proxy.config)
            proxy.signal(signal.SIGHUP)
            if redis:
                redis.pause()
                time.sleep(0.1)
                redis.resume()
            if redis and time.monotonic() % 4 < 1:
                redis.kill()
                redis.start()

    disturber = threading.Thread(target=disturb)
    disturber.start()
    count = run_clients(proxy.address, tags, lambda: time.monotonic() > end or len(wrong) > 5, wrong, answers=answers)
    disturber.join()
    assert not wrong + hostile_server.wrong, "\n".join((wrong + hostile_server.wrong)[:8])
    proxy.assert_no_report()
    wait_for(lambda: not any(gauges(port).values()), f"the gauges are at zero: {gauges(port)}")
    wait_for(lambda: proxy.descriptors() <= descriptors, f"{descriptors} descriptors are open, {proxy.descriptors()} are")
    assert not proxy.events("child_restart"), proxy.stderr()
    values = scrape(port)
    wait_for(lambda: len(proxy.requests()) >= total(values, "exchanges_total"), "all lines are written")
    ends = check_books(proxy, values, answers)
    print(count, "clients,", len(answers), "answers read,", dict(ends), {k: v for k, v in values.items() if "_closed_" in k or "_refused_" in k or "tunnels" in k})


@pytest.mark.slow
def test_term_in_the_middle(start, upstream):
    tags = set()
    hostile_server = hostile.Server(CAMPAIGN_SEED, tags)
    server = upstream(hostile_server.serve)
    wrong = []
    for n in range(max(2, int(CAMPAIGN_S / 4))):
        proxy = start(campaign_config(server, take_port(), None))
        end = time.monotonic() + 1.0 + 0.13 * n
        clients = threading.Thread(target=run_clients, args=(proxy.address, tags, lambda end=end: time.monotonic() > end + 0.2, wrong))
        clients.start()
        time.sleep(max(0, end - time.monotonic()))
        proxy.stop()
        clients.join()
    assert not wrong + hostile_server.wrong, "\n".join((wrong + hostile_server.wrong)[:8])
