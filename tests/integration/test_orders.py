# SPDX-License-Identifier: Apache-2.0
"""Orders to the running service: the end of it by `sluice drain`."""
import json
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

from harness import http
from harness.client import is_refused
from harness.configs import forward, respond
from harness.waiting import wait_for


def admin(folder):
    return {"address": f"unix:{folder}/admin.sock"}


class Asked:
    """A verb that runs beside the test."""

    def __init__(self, verb, *words):
        self._pool = ThreadPoolExecutor(1)
        self._future = self._pool.submit(verb, *words)

    @property
    def is_waiting(self):
        return not self._future.done()

    def end(self):
        done = self._future.result(60)
        self._pool.shutdown()
        return done


def held(upstream):
    """A server that answers when it is told, and the word."""
    go_on = threading.Event()

    def answer(_):
        go_on.wait(60)
        return http.response(body=b"late")

    return upstream(answer=answer), go_on


def stuck(upstream):
    def serve(link):
        link.read_request()
        link.wait_for_end()

    return upstream(serve)


# -- drain

def test_drain_is_announced_finishes_everything_and_waits_for_the_end(start, upstream, connect, verb, tmp_path):
    """Readiness fails first, idle connections end, 20 responses in flight are finished and say Connection: close."""
    server, go_on = held(upstream)
    proxy = start(forward(server, admin=admin(tmp_path), limits={"drain_announce": "700ms", "drain_timeout": "1h"}))
    socket = tmp_path / "admin.sock"
    busy, idle = [connect(proxy) for _ in range(20)], [connect(proxy) for _ in range(50)]
    for client in busy:
        client.send(http.request())
    server.wait_for_requests(20)
    asked = Asked(verb, "drain", "-s", socket)
    wait_for(lambda: connect(str(socket)).ask(target="/readyz").status == 503, "it is not ready")
    assert not is_refused(proxy.address)
    for client in idle:
        client.expect_gone()
    wait_for(lambda: is_refused(proxy.address), "nobody is accepted any more")
    assert asked.is_waiting and proxy.process.poll() is None
    go_on.set()
    for client in busy:
        reply = client.read()
        assert (reply.status, reply.body, reply["Connection"]) == (200, b"late", "close")
        client.close()
    done = asked.end()
    assert (done.returncode, done.stdout, done.stderr) == (0, "drained: every request was finished, and the service has ended\n", "")
    assert proxy.wait_exit(5) == 0
    assert not socket.exists()
    order = proxy.events("admin")[0]
    assert order["verb"] == "drain" and "before" not in order and "after" not in order
    done = verb("drain", "-s", socket)
    assert done.returncode == 6 and "no instance" in done.stderr


def test_drain_ends_at_the_deadline_that_was_asked_for(start, upstream, connect, verb, tmp_path):
    server = stuck(upstream)
    proxy = start(forward(server, admin=admin(tmp_path), limits={"drain_timeout": "1h"}))
    proxy.expected_exit = 9
    client = connect(proxy)
    client.send(http.request())
    server.wait_for_requests(1)
    done = verb("drain", "-s", tmp_path / "admin.sock", "--deadline", "200ms", "--json")
    assert done.returncode == 9
    said = json.loads(done.stdout)
    assert (said["status"], said["unfinished"]) == (504, 1)
    assert said["detail"] == "the deadline passed: 1 connections with unfinished requests were ended"
    assert client.read().status == 503
    assert proxy.wait_exit(5) == 9
    assert proxy.events("admin")[0]["after"] == {"deadline_ms": 200}
    assert "the deadline of the drain is over" in proxy.stderr()


def test_a_drain_that_is_under_way_can_be_joined_and_shortened(start, upstream, connect, verb, tmp_path):
    server = stuck(upstream)
    proxy = start(forward(server, admin=admin(tmp_path), limits={"drain_timeout": "1h"}))
    proxy.expected_exit = 9
    client = connect(proxy)
    client.send(http.request())
    server.wait_for_requests(1)
    asked = Asked(verb, "drain", "-s", tmp_path / "admin.sock")
    wait_for(lambda: is_refused(proxy.address), "draining has begun")
    assert verb("reload", "-s", tmp_path / "admin.sock").returncode == 8
    for words in (("--deadline", "soon"), ("--deadline", "25h")):
        assert verb("drain", "-s", tmp_path / "admin.sock", *words).returncode == 2
    assert asked.is_waiting
    done = verb("drain", "-s", tmp_path / "admin.sock", "--deadline", "0s")
    first = asked.end()
    assert (done.returncode, first.returncode) == (9, 9)
    assert done.stderr == first.stderr == "sluice: the deadline passed: 1 connections with unfinished requests were ended\n"


def test_a_drain_that_a_signal_cuts_short_has_not_finished(start, upstream, connect, verb, tmp_path):
    server = stuck(upstream)
    proxy = start(forward(server, admin=admin(tmp_path), limits={"drain_timeout": "1h"}))
    connect(proxy).send(http.request())
    server.wait_for_requests(1)
    asked = Asked(verb, "drain", "-s", tmp_path / "admin.sock")
    wait_for(lambda: is_refused(proxy.address), "draining has begun")
    proxy.signal(signal.SIGTERM)
    done = asked.end()
    assert (done.returncode, done.stderr) == (9, "sluice: a second order to stop has ended it at once\n")
    assert proxy.wait_exit(5) == 0


def test_nobody_drains_by_reading(start, connect, tmp_path):
    proxy = start(respond(admin=admin(tmp_path)))
    socket = str(tmp_path / "admin.sock")
    assert connect(socket).ask(target="/v1/drain").status == 405
    for query in ("?deadline=1", "?deadline=25h", "?deadline=1s&deadline=1s"):
        assert connect(socket).ask("POST", f"/v1/drain{query}", [("Content-Length", "0")]).status == 400
    assert connect(proxy).ask().status == 200
