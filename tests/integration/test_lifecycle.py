# SPDX-License-Identifier: Apache-2.0
"""Starting, reloading, dying and stopping under load: no client pays for it."""
import copy
import os
import resource
import signal
import socket
import threading
import time

import pytest
from harness import http
from harness.client import is_refused
from harness.configs import forward, respond
from harness.replies import check_error, trio_of
from harness.waiting import wait_for, wait_for_room


class Load:
    """Asks all the time from several keep-alive connections; remembers what went wrong."""

    def __init__(self, connect, proxy, connections=4, fields=()):
        self.count, self.errors, self._stop = 0, [], threading.Event()
        self._args = connect, proxy, fields
        self._threads = [threading.Thread(target=self._run) for _ in range(connections)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        connect, proxy, fields = self._args
        client = connect(proxy)
        while not self._stop.is_set():
            try:
                reply = client.ask("GET", "/", fields)
                if reply.status not in (200, 429):
                    self.errors.append(repr(reply))
                self.count += 1
                if reply["Connection"] == "close":
                    client = connect(proxy)
            except (OSError, AssertionError) as error:
                self.errors.append(repr(error))
                try:
                    client = connect(proxy)
                except OSError:
                    pass

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_term_lets_responses_in_flight_finish(start, upstream, connect):
    go_on = threading.Event()

    def serve(link):
        link.read_request()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        go_on.wait(30)
        link.send(b"world")

    server = upstream(serve)
    proxy = start(forward(server))
    busy = [connect(proxy) for _ in range(20)]
    idle = [connect(proxy) for _ in range(20)]
    for client in busy:
        client.send(http.request())
    for client in busy:
        assert client.reader.response_head().status == 200
    proxy.signal(signal.SIGTERM)
    for client in idle:
        client.expect_gone()
    with pytest.raises(OSError):
        wait_for(lambda: is_refused(proxy.address), "new connections are refused")
        connect(proxy)
    assert proxy.process.poll() is None
    go_on.set()
    for client in busy:
        assert client.reader.take(10) == b"helloworld"
        client.expect_end()
    assert proxy.wait_exit() == 0
    assert [line["end"] for line in proxy.requests()] == ["ok"] * 20


def test_who_asks_while_it_is_sent_away_is_not_reset(start, connect):
    """A request that crosses the end on its way is read away: its client sees an end that it may ask again after, on another
    connection (RFC 9112 section 9.6)."""
    proxy = start(respond(limits={"drain_timeout": "1h"}))
    asks, stays = connect(proxy), connect(proxy)
    for client in (asks, stays):
        assert client.ask().status == 200
    proxy.signal(signal.SIGTERM)
    asks.expect_end()
    asks.send(http.request(body=b"x" * 100000))
    asks.expect_end()
    assert asks.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    assert proxy.process.poll() is None
    asks.close()
    stays.expect_end()
    assert proxy.wait_exit() == 0  # `stays` never closes
    assert len(proxy.requests()) == 2


# -- an announced stop

def _announced(start, folder, announce):
    admin = str(folder / "admin.sock")
    return start(respond(limits={"drain_announce": announce}, admin={"address": f"unix:{admin}"})), admin


def _is_unready(connect, admin):
    reply = connect(admin).ask(target="/readyz")
    return (reply.status, reply.body) == (503, b"draining\n")


def test_an_announced_stop_is_told_before_anybody_is_sent_away(start, connect, tmp_path):
    proxy, admin = _announced(start, tmp_path, "2s")
    idle = connect(proxy)
    assert idle.ask().status == 200 and not _is_unready(connect, admin)
    proxy.signal(signal.SIGTERM)
    wait_for(lambda: _is_unready(connect, admin), "it is not ready")
    assert connect(proxy).ask()["Connection"] is None  # it is taken, and may ask again
    assert idle.ask()["Connection"] is None
    assert proxy.process.poll() is None
    idle.expect_end()
    wait_for(lambda: is_refused(proxy.address), "nobody is accepted any more")
    idle.close()
    assert proxy.wait_exit() == 0
    assert len(proxy.requests()) == 3


def test_a_second_signal_ends_an_announced_stop_at_once(start, connect, tmp_path):
    proxy, admin = _announced(start, tmp_path, "1h")
    proxy.signal(signal.SIGINT)
    wait_for(lambda: _is_unready(connect, admin), "it is not ready")
    assert connect(proxy).ask().status == 200
    proxy.signal(signal.SIGINT)
    assert proxy.wait_exit() == 0


def _is_told_of_the_end(client, proxy):
    reply = client.read()
    check_error(reply, 503, "0621", "The proxy is shutting down. Retry on another connection.")
    assert reply["Connection"] == "close" and int(reply["Retry-After"]) >= 1
    assert client.expect_gone() == b""
    assert proxy.line_of(reply)["end"] == "draining"


def test_second_term_ends_at_once(start, upstream, connect):
    def serve(link):
        link.read_request()
        link.wait_for_end()

    server = upstream(serve)
    proxy = start(forward(server, limits={"drain_timeout": "1h"}))
    client = connect(proxy)
    client.send(http.request())
    server.wait_for_requests(1)
    proxy.signal(signal.SIGTERM)
    wait_for(lambda: is_refused(proxy.address), "draining has begun")
    assert proxy.process.poll() is None
    proxy.signal(signal.SIGTERM)
    assert proxy.wait_exit() == 0
    _is_told_of_the_end(client, proxy)


def test_drain_ends_at_its_deadline(start, upstream, connect):
    def serve(link):
        link.read_request()
        link.wait_for_end()

    server = upstream(serve)
    proxy = start(forward(server, limits={"drain_timeout": "1s"}))
    client = connect(proxy)
    client.send(http.request())
    server.wait_for_requests(1)
    proxy.signal(signal.SIGTERM)
    begin = time.monotonic()
    assert proxy.wait_exit() == 9
    assert 0.9 < time.monotonic() - begin < 8
    proxy.expected_exit = 9
    _is_told_of_the_end(client, proxy)
    assert proxy.events("stop")[0]["unfinished"] == 1 and "failed" not in proxy.events("stop")[0]
    assert "limits.drain_timeout is over: 1 connections with unfinished requests are ended" in proxy.stderr()


def test_a_client_that_has_its_response_is_not_missed_at_the_deadline(start, upstream, connect):
    """It keeps its connection open beyond the end."""
    go_on = threading.Event()

    def answer(_):
        go_on.wait(30)
        return http.response(body=b"late")

    server = upstream(answer=answer)
    proxy = start(forward(server, limits={"drain_timeout": "1s", "linger": "1h"}))
    client = connect(proxy)
    client.send(http.request())
    server.wait_for_requests(1)
    proxy.signal(signal.SIGTERM)
    wait_for(lambda: is_refused(proxy.address), "draining has begun")
    go_on.set()
    assert client.read().body == b"late"
    assert proxy.wait_exit() == 0
    assert proxy.events("stop")[0].keys() & {"unfinished", "failed"} == set()


def test_drain_breaks_off_what_has_begun(start, upstream, connect):
    def serve(link):
        link.read_request()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
        link.wait_for_end()

    proxy = start(forward(upstream(serve), limits={"drain_timeout": "1s"}))
    client = connect(proxy)
    client.send(http.request())
    assert client.reader.response_head().status == 200
    proxy.signal(signal.SIGTERM)
    assert proxy.wait_exit() == 9
    proxy.expected_exit = 9
    assert client.expect_gone() == b"ab"
    line = proxy.requests(1)[0]
    assert (line["status"], line["end"]) == (200, "draining")


def test_killed_child_is_replaced_and_nothing_is_forgotten(start, upstream, connect):
    """kill -9 of the child under load: serving again within a second, counts kept, the log goes on."""
    quotas = {"user": {"key": ["user"], "limits": {"hour": 1000000}}}
    server = upstream()
    proxy = start(forward(server, quotas=quotas, identities={"user": {"from": ["header:X-User"]}}, subject_secret="t"))
    wait_for_room(3600, 30)
    client = connect(proxy)
    for _ in range(7):
        client.ask(fields=[("X-User", "alice")])
    load = Load(connect, proxy, fields=[("X-User", "crowd")])
    for turn in range(3):
        child = wait_for(lambda: proxy.child, "there is a child")
        wait_for(lambda n=load.count: load.count > n + 50, "load runs")
        wait_for(lambda n=turn: len(proxy.events("start")) > n, "its start is in the log")
        os.kill(child, signal.SIGKILL)
        begin = time.monotonic()
        wait_for(lambda old=child: proxy.child and proxy.child != old and _asks(connect, proxy), "serving again")
        assert time.monotonic() - begin < (5 if os.environ.get("SLUICE_SANITIZE") else 1)
        # the back-off of repeated deaths must not hold this test up
    load.stop()
    reply = connect(proxy).ask(fields=[("X-User", "alice")])
    assert trio_of(reply)[1] == 1000000 - 8, "what was counted before is still counted"
    crowd = trio_of(connect(proxy).ask(fields=[("X-User", "crowd")]))
    assert 1000000 - crowd[1] >= load.count
    starts = proxy.wait_for_event("start", 4)
    assert len({line["boot"] for line in starts}) == 4
    for before, after in zip(starts, starts[1:]):
        assert after["previous_boot"] == before["boot"]
    assert "killed" in proxy.stderr() or "signal 9" in proxy.stderr()


def _asks(connect, proxy):
    try:
        client = connect(proxy, timeout=2)
        return client.ask().status == 200
    except (OSError, AssertionError):
        return False
    finally:
        client.close()


def test_reloads_under_load(start, upstream, connect):
    """Limits go up and down, routes come and go: no error, counts kept, descriptors and memory flat."""
    server = upstream()
    config = forward(server, quotas={"ip": {"key": ["ip"], "limits": {"day": 1000000}}})
    proxy = start(config)
    child = proxy.child
    load = Load(connect, proxy)
    wait_for(lambda: load.count > 100, "load runs")
    turns = 10 if os.environ.get("SLUICE_SANITIZE") else 40
    sizes = []
    for turn in range(turns):
        config["quotas"]["ip"]["limits"]["day"] = 1000000 + turn % 2 * 1000
        config["routes"][0]["name"] = f"all{turn % 3}"
        proxy.write_config({**proxy.config, **{k: config[k] for k in ("quotas", "routes")}})
        proxy.signal(signal.SIGHUP)
        wait_for(lambda n=turn: len(proxy.events("reload")) == n + 1, "the reload is logged")
        # not the log's ring, which is touched little by little and then again from its beginning
        sizes.append((proxy.descriptors(), proxy.memory_kib("RssAnon")))
    load.stop()
    assert load.errors == []
    assert proxy.child == child
    assert [event["gen"] for event in proxy.events("reload")] == list(range(2, turns + 2))
    reply = connect(proxy).ask()
    limit, remaining, _ = trio_of(reply)
    assert limit == 1000000 + (turns - 1) % 2 * 1000
    # Every request was counted once, through all generations.
    wait_for(lambda: len(proxy.requests()) == load.count + 1, "all lines are written")
    assert limit - remaining == load.count + 1
    assert sizes[-1][0] <= sizes[2][0] + 8
    if not os.environ.get("SLUICE_SANITIZE"):
        assert sizes[-1][1] <= sizes[len(sizes) // 2][1] * 1.05 + 512, sizes


def test_refused_reload_changes_nothing_and_says_why(start, upstream, connect):
    proxy = start(forward(upstream()))
    client = connect(proxy)
    good = proxy.file.read_text()
    for broken, word in (("{", "line"), (good.replace('"routes"', '"rootes"'), "rootes"), (good.replace('"upstream"', '"upstreem"', 1), "upstreem")):
        count = len(proxy.events("reload_refused"))
        proxy.file.write_text(broken)
        proxy.signal(signal.SIGHUP)
        wait_for(lambda n=count: len(proxy.events("reload_refused")) > n, "the refusal is logged")
        assert client.ask().status == 200
    assert "rootes" in proxy.stderr() and "did you mean" in proxy.stderr()
    proxy.file.write_text(good)
    proxy.signal(signal.SIGHUP)
    proxy.wait_for_event("reload")
    assert client.ask().status == 200
    assert proxy.requests(4)[-1]["gen"] == 2


def test_reload_adds_and_removes_listeners(start, connect):
    from harness.ports import take_port
    config = respond()
    proxy = start(config)
    stays = connect(proxy)
    assert stays.ask().status == 200
    extra = take_port()
    bigger = copy.deepcopy(proxy.config)
    bigger["listen"].append({"address": f"127.0.0.1:{extra}"})
    proxy.write_config(bigger)
    proxy.signal(signal.SIGHUP)
    proxy.wait_for_event("reload", 1)
    assert connect(("127.0.0.1", extra)).ask().status == 200
    assert stays.ask().status == 200
    proxy.write_config(proxy.config)
    proxy.signal(signal.SIGHUP)
    proxy.wait_for_event("reload", 2)
    wait_for(lambda: is_refused(("127.0.0.1", extra)), "the removed listener is closed")
    assert stays.ask().status == 200


def test_requests_keep_the_configuration_they_began_with(start, upstream, connect):
    go_on = threading.Event()

    def serve(link):
        while link.read_request() is not None:
            go_on.wait(30)
            link.send(http.response(body=b"old"))

    server = upstream(serve)
    proxy = start(forward(server))
    client = connect(proxy)
    client.send(http.request())
    server.wait_for_requests(1)
    proxy.write_config({**proxy.config, "routes": [{"name": "new", "prefix": "/", "respond": {"status": 200, "text": "new"}}]})
    proxy.signal(signal.SIGHUP)
    proxy.wait_for_event("reload")
    assert connect(proxy).ask().body == b"new"
    go_on.set()
    assert client.read().body == b"old"
    assert client.ask().body == b"new"
    gens = {line["route"]: line["gen"] for line in proxy.requests(3)}
    assert gens == {"all": 1, "new": 2}


# -- start

def test_port_in_use(verb, connect, start, tmp_path):
    import json
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    port = listener.getsockname()[1]
    file = tmp_path / "c.json"
    file.write_text(json.dumps(respond(listen=[{"address": f"127.0.0.1:{port}"}], log={"access": "off"})))
    done = verb("run", "-c", file)
    assert done.returncode == 4
    assert f"127.0.0.1:{port}" in done.stderr and len(done.stderr.strip().splitlines()) <= 2
    listener.close()
    # Another Sluice counts as in use as well, SO_REUSEPORT or not: else they would share the clients.
    first = start(respond())
    file.write_text(json.dumps({**first.config, "log": {"access": "off"}}))
    done = verb("run", "-c", file)
    assert done.returncode == 4, "two proxies on one port would take each other's clients"
    assert connect(first).ask().status == 200


def test_too_few_descriptors(start, connect):
    # A low hard limit is lived with, and said.
    proxy = start(respond(), before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)))
    assert "descriptor" in proxy.stderr()
    assert connect(proxy).ask().status == 200
    held = []
    for _ in range(300):
        client = connect(proxy, timeout=2)
        held.append(client)
    assert proxy.process.poll() is None
    for client in held:
        client.close()
    wait_for(lambda: _asks(connect, proxy), "it accepts again")


def test_way_too_few_descriptors_refuse_the_start(tmp_path):
    import json
    import subprocess
    from harness.proxy import BINARY, environment
    from harness.ports import take_port
    file = tmp_path / "c.json"
    file.write_text(json.dumps(respond(listen=[{"address": f"127.0.0.1:{take_port()}"}], log={"access": "off"})))
    done = subprocess.run([BINARY, "run", "-c", str(file)], env=environment(tmp_path), capture_output=True, text=True, timeout=30,
                          stdin=subprocess.DEVNULL, check=False,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)))
    assert done.returncode == 4 and "descriptor" in done.stderr
