# SPDX-License-Identifier: Apache-2.0
"""Several servers behind one upstream: whose turn it is, who is spared, and who waits while all of them are full."""
import collections
import copy
import json
import signal
import threading

import pytest
from harness import http
from harness.client import is_refused
from harness.configs import forward
from harness.metrics import scrape
from harness.ports import take_port
from harness.replies import check_error
from harness.waiting import wait_for

FULL = "All backends are busy. Retry later."


class Gate:
    """A serve function that holds each request until it is let through, and counts how many it holds."""

    def __init__(self, is_open=False):
        self._changed = threading.Condition()
        self._tickets, self._is_open = 0, is_open
        self.holds, self.most, self.seen = 0, 0, []

    def __call__(self, link):
        while (message := link.read_request()) is not None:
            with self._changed:
                self.seen.append(message.target)
                self.holds += 1
                self.most = max(self.most, self.holds)
                self._changed.wait_for(lambda: self._is_open or self._tickets > 0)
                self._tickets -= not self._is_open
                self.holds -= 1
            link.send(http.response(body=message.target.encode()))

    def let(self, count=1):
        with self._changed:
            self._tickets += count
            self._changed.notify_all()

    def open(self):
        with self._changed:
            self._is_open = True
            self._changed.notify_all()

    def wait_until_holding(self, count):
        wait_for(lambda: self.holds == count, f"{count} requests are held, {self.holds} are")


def upstream_of(servers, **more):
    """A configuration's upstream: servers are (server or address, {keys}) pairs, or one of the two."""
    rows = []
    for row in servers:
        server, keys = row if isinstance(row, tuple) else (row, {})
        rows.append({"address": getattr(server, "address", server), **keys})
    return {"servers": rows, **more}


def balanced(servers, route=None, top=None, **more):
    config = forward(route=route, **(top or {}))
    config["upstreams"]["app"] = upstream_of(servers, **more)
    return config


def with_metrics(config):
    port = take_port()
    return port, {**config, "admin": {"metrics": f"127.0.0.1:{port}"}}


def queue_length(port):
    return scrape(port)["sluice_upstream_queue_length"]


def wait_until_waiting(port, count):
    wait_for(lambda: queue_length(port) == count, f"{count} requests wait")


def line_up(connect, proxy, gate, port, count):
    """Clients whose requests /0, /1 ... have come in this order: the first is held by the server, the others wait."""
    clients = [connect(proxy) for _ in range(count)]
    for n, client in enumerate(clients):
        client.send(http.request("GET", f"/{n}"))
        if n == 0:
            gate.wait_until_holding(1)
        else:
            wait_until_waiting(port, n)
    return clients


def queued(port, result):
    return scrape(port)[f'sluice_upstream_queued_total{{result="{result}"}}']


def reload(proxy, config):
    proxy.write_config(proxy._complete({**config, "listen": proxy.config["listen"]}))  # pylint: disable=protected-access
    before = len(proxy.events("reload"))
    proxy.signal(signal.SIGHUP)
    proxy.wait_for_event("reload", before + 1)


def counts_of(servers):
    return [len(server.requests) for server in servers]


def forget(servers):
    for server in servers:
        server.requests.clear()


# ---- in turn


@pytest.mark.parametrize("weights", [(1, 1, 1), (3, 2, 1), (5, 1, 1), (256, 1, 1)])
def test_shares_are_exact(start, upstream, connect, weights):
    servers = [upstream() for _ in weights]
    proxy = start(balanced([(s, {"weight": w}) for s, w in zip(servers, weights)], top={"workers": 1}))
    client = connect(proxy)
    for _ in range(sum(weights)):
        assert client.ask().status == 200
    assert counts_of(servers) == list(weights)


def test_weight_zero_takes_no_new_request_and_finishes_the_old_ones(start, upstream, connect):
    gate = Gate()
    servers = [upstream(gate), upstream()]
    config = balanced(servers, top={"workers": 1})
    proxy = start(config)
    clients = [connect(proxy) for _ in range(2)]
    for client in clients:
        client.send(http.request("GET", "/held"))
    gate.wait_until_holding(1)
    wait_for(lambda: servers[1].requests, "the other request was served")
    drained = balanced([(servers[0], {"weight": 0}), servers[1]], top={"workers": 1})
    reload(proxy, drained)
    client = connect(proxy)
    for _ in range(20):
        assert client.ask().status == 200
    assert counts_of(servers) == [1, 21]
    gate.open()
    assert [c.read().status for c in clients] == [200, 200]
    forget(servers)
    reload(proxy, config)
    for _ in range(20):
        assert client.ask().status == 200
    assert counts_of(servers) == [10, 10]


def test_no_server_takes_requests(start, upstream, connect):
    servers = [upstream(), upstream()]
    proxy = start(balanced([(s, {"weight": 0}) for s in servers]))
    reply = connect(proxy).ask()
    check_error(reply, 502, "0610", "No backend available.")
    assert counts_of(servers) == [0, 0]
    assert proxy.line_of(reply)["end"] == "no_upstream"


# ---- backups


def test_a_backup_serves_only_while_no_other_can(start, upstream, connect):
    primary, backup = upstream(), upstream()
    proxy = start(balanced([primary, (backup, {"backup": True})], top={"workers": 1}))
    client = connect(proxy)
    for _ in range(10):
        assert client.ask().status == 200
    assert counts_of([primary, backup]) == [10, 0]
    primary.stop()
    wait_for(lambda: is_refused(("127.0.0.1", primary.port)), "the server is gone")
    for _ in range(10):
        assert client.ask().status == 200
    assert len(backup.requests) == 10
    again = upstream(port=primary.port)
    wait_for(lambda: client.ask().status == 200 and again.requests, "the server is asked again")
    forget([again, backup])
    for _ in range(10):
        assert client.ask().status == 200
    assert counts_of([again, backup]) == [10, 0]


def test_a_backup_does_not_help_out_full_servers(start, upstream, connect):
    gate = Gate()
    primary, backup = upstream(gate), upstream()
    port, config = with_metrics(balanced([(primary, {"max_connections": 1}), (backup, {"backup": True})]))
    proxy = start(config)
    clients = [connect(proxy) for _ in range(2)]
    clients[0].send(http.request("GET", "/1"))
    gate.wait_until_holding(1)
    clients[1].send(http.request("GET", "/2"))
    wait_until_waiting(port, 1)
    gate.open()
    assert [c.read().body for c in clients] == [b"/1", b"/2"]
    assert backup.requests == []


# ---- least connections


@pytest.mark.parametrize("workers", [1, 2])
def test_least_connections_spares_who_is_slow(start, upstream, connect, workers):
    gate = Gate()
    slow, fast = upstream(gate), upstream()
    proxy = start(balanced([slow, fast], balance="least_connections", top={"workers": workers}))
    held = []
    while not gate.holds:  # whichever has the first turn
        held.append(connect(proxy))
        held[-1].send(http.request("GET", "/held"))
        wait_for(lambda: gate.holds or len(fast.requests) == len(held), "one of the two was asked")
    forget([fast])
    for _ in range(30):  # on connections of their own: both workers
        reply = connect(proxy).ask()
        assert reply.status == 200
        proxy.line_of(reply)  # its worker counts it no more
    assert len(fast.requests) == 30
    assert len(slow.requests) == 1
    gate.open()
    assert [client.read().status for client in held] == [200] * len(held)


def test_least_connections_fill_servers_by_weight(start, upstream, connect):
    gates = [Gate(), Gate()]
    servers = [upstream(gate) for gate in gates]
    proxy = start(balanced([(servers[0], {"weight": 3}), servers[1]], balance="least_connections"))
    clients = [connect(proxy) for _ in range(20)]
    for n, client in enumerate(clients):
        client.send(http.request("GET", f"/{n}"))
        wait_for(lambda n=n: sum(gate.holds for gate in gates) == n + 1, "the request is held")
    assert [gate.holds for gate in gates] == [15, 5]
    for gate in gates:
        gate.open()
    assert [c.read().status for c in clients] == [200] * 20


# ---- hash


def hashing(servers, **more):
    return balanced(servers, balance="hash", hash_by="header:X-User", top={"subject_secret": "test", **more})


def where_users_go(connect, proxy, servers, users):
    forget(servers)
    for user in users:
        assert connect(proxy).ask("GET", f"/{user}", [("X-User", user)]).status == 200
    found = {message.target[1:]: n for n, server in enumerate(servers) for message in server.requests}
    assert len(found) == len(users)
    return found


def test_a_hash_sticks_and_moves_no_more_than_it_must(start, upstream, connect):
    servers = [upstream() for _ in range(4)]
    users = [f"user{n}" for n in range(80)]
    proxy = start(hashing(servers))
    before = where_users_go(connect, proxy, servers, users)
    assert set(before.values()) == {0, 1, 2, 3}
    assert where_users_go(connect, proxy, servers, users) == before
    reload(proxy, hashing(list(reversed(servers)), limits={"body": "1MiB"}))
    assert where_users_go(connect, proxy, servers, users) == before
    reload(proxy, hashing(servers[:3]))
    after = where_users_go(connect, proxy, servers, users)
    assert {user for user in users if after[user] != before[user]} == {user for user in users if before[user] == 3}
    reload(proxy, hashing(servers))
    assert where_users_go(connect, proxy, servers, users) == before
    other = start(hashing(servers))  # another proxy of the fleet agrees
    assert where_users_go(connect, other, servers, users) == before


def test_a_hash_goes_on_without_a_server_that_died(start, upstream, connect):
    servers = [upstream() for _ in range(3)]
    users = [f"user{n}" for n in range(40)]
    proxy = start(hashing(servers))
    before = where_users_go(connect, proxy, servers, users)
    servers[0].stop()
    wait_for(lambda: is_refused(("127.0.0.1", servers[0].port)), "the server is gone")
    after = where_users_go(connect, proxy, servers, users)
    assert all(after[user] == before[user] for user in users if before[user] != 0)
    assert {after[user] for user in users if before[user] == 0} == {1, 2}


def test_requests_without_the_identity_are_taken_in_turn(start, upstream, connect):
    servers = [upstream() for _ in range(3)]
    config = balanced(servers, balance="hash", hash_by="user", top={
        "workers": 1, "subject_secret": "test", "identities": {"user": {"from": ["header:X-User"], "missing": "skip"}}})
    proxy = start(config)
    client = connect(proxy)
    for _ in range(30):
        assert client.ask().status == 200
    assert counts_of(servers) == [10, 10, 10]


@pytest.mark.parametrize("missing, spread", [("ip", 1), ("shared", 3), ("refuse", 3)])
def test_a_missing_identity_is_hashed_as_it_says(start, upstream, connect, missing, spread):
    servers = [upstream() for _ in range(3)]
    proxy = start(balanced(servers, balance="hash", hash_by="user", top={
        "subject_secret": "test", "identities": {"user": {"from": ["header:X-User"], "missing": missing}}}))
    client = connect(proxy)
    for _ in range(30):
        assert client.ask().status == 200
    assert sum(count != 0 for count in counts_of(servers)) == spread


# ---- max_connections and the queue


@pytest.mark.parametrize("workers", [1, 2])
def test_max_connections_is_never_exceeded(start, upstream, connect, workers):
    gate = Gate()
    server = upstream(gate)
    port, config = with_metrics(balanced([(server, {"max_connections": 3})], queue={"timeout": "60s"}, top={"workers": workers}))
    proxy = start(config)
    statuses = collections.Counter()

    def load():
        for n in range(10):  # a connection each: whichever worker takes it
            with connect(proxy) as client:
                statuses[client.ask("GET", f"/{n}").status] += 1

    threads = [threading.Thread(target=load) for _ in range(16)]
    for thread in threads:
        thread.start()
    for _ in range(160 - 16):  # then threads have nothing more to ask
        gate.wait_until_holding(3)
        wait_for(lambda: len(server.links) == 3, "all that is open is in use")
        gate.let()
    gate.open()
    for thread in threads:
        thread.join()
    assert statuses == {200: 160}
    assert gate.most == 3
    if workers == 1:
        assert server.connections == 3
    wait_until_waiting(port, 0)
    assert queued(port, "full") == queued(port, "timeout") == queued(port, "left") == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_first_come_first_served(start, upstream, connect, workers):
    gate = Gate()
    server = upstream(gate)
    port, config = with_metrics(balanced([(server, {"max_connections": 1})], queue={"timeout": "60s"}, top={"workers": workers}))
    proxy = start(config)
    clients = line_up(connect, proxy, gate, port, 12)
    for n, client in enumerate(clients):
        gate.let()
        assert client.read().body == f"/{n}".encode()
    assert gate.seen == [f"/{n}" for n in range(12)] and gate.most == 1
    assert queued(port, "served") == 11
    lines = proxy.requests(12)
    assert sorted(line["path"] for line in lines if "t_queue" in line) == sorted(f"/{n}" for n in range(1, 12))


def test_a_kept_connection_of_another_worker_is_let_go(start, upstream, connect):
    server = upstream()
    proxy = start(balanced([(server, {"max_connections": 1})], queue={"timeout": "10s"}, timeouts={"pool_idle": "1h"}, top={"workers": 2}))
    for _ in range(40):
        with connect(proxy) as client:
            assert client.ask().status == 200
    assert len(server.requests) == 40


def test_a_full_queue_refuses(start, upstream, connect):
    gate = Gate()
    server = upstream(gate)
    port, config = with_metrics(balanced([(server, {"max_connections": 1})], queue={"max": 2, "timeout": "60s"}))
    proxy = start(config)
    clients = line_up(connect, proxy, gate, port, 3)
    reply = connect(proxy).ask("GET", "/more")
    check_error(reply, 503, "0623", FULL)
    assert reply["Retry-After"] == "1"
    assert proxy.line_of(reply)["end"] == "queue_full"
    assert queued(port, "full") == 1
    assert "every server is full, and so is the queue" in proxy.stderr()
    gate.open()
    assert [c.read().status for c in clients] == [200] * 3
    assert "/more" not in gate.seen


def test_without_a_queue_nobody_waits(start, upstream, connect):
    gate = Gate()
    proxy = start(balanced([(upstream(gate), {"max_connections": 1})], queue={"max": 0}))
    client = connect(proxy)
    client.send(http.request("GET", "/held"))
    gate.wait_until_holding(1)
    assert connect(proxy).ask().status == 503
    gate.open()
    assert client.read().status == 200
    assert client.ask().status == 200


def test_a_wait_has_its_end(start, upstream, connect):
    gate = Gate()
    port, config = with_metrics(balanced([(upstream(gate), {"max_connections": 1})], queue={"timeout": "300ms"}))
    proxy = start(config)
    held, late = connect(proxy), connect(proxy)
    held.send(http.request("GET", "/held"))
    gate.wait_until_holding(1)
    reply = late.ask("GET", "/late")
    check_error(reply, 503, "0623", FULL)
    assert reply["Retry-After"] == "1"
    line = proxy.line_of(reply)
    assert line["end"] == "queue_timeout" and line["t_queue"] >= 300000 and "server" not in line
    assert queued(port, "timeout") == 1 and queue_length(port) == 0
    gate.open()
    assert held.read().status == 200
    assert late.ask("GET", "/again").body == b"/again"
    assert "/late" not in gate.seen


def test_a_retry_that_waits_in_vain_costs_no_other_its_retry(start, upstream, connect):
    """A kept connection dies, and the place that becomes free goes to who waits: the one whose connection died ends in the queue."""
    dies, holds, dead = threading.Event(), threading.Event(), threading.Event()

    def serve(link):
        while (message := link.read_request()) is not None:
            if message.target == "/dies" and not dead.is_set():
                dies.wait(60)
                dead.set()
                return
            if message.target == "/holds":
                holds.wait(60)
            link.send(http.response(body=message.target.encode()))

    server = upstream(serve)
    port, config = with_metrics(balanced([(server, {"max_connections": 1})], queue={"timeout": "300ms"}))
    proxy = start({**config, "workers": 1})
    for _ in range(5):
        dies.clear(), holds.clear(), dead.clear()
        first, second, before = connect(proxy), connect(proxy), len(server.requests)
        assert first.ask("GET", "/warm").status == 200
        first.send(http.request("GET", "/dies"))
        server.wait_for_requests(before + 2)
        second.send(http.request("GET", "/holds"))
        wait_until_waiting(port, 1)
        dies.set()
        server.wait_for_requests(before + 3)
        assert first.read().status == 503
        holds.set()
        assert second.read().status == 200
    dead.clear()
    last = connect(proxy)
    assert last.ask("GET", "/warm").status == 200
    reply = last.ask("GET", "/dies")  # its first connection ends at once, the second one answers
    assert (reply.status, reply.body) == (200, b"/dies")
    assert scrape(port)["sluice_upstream_extra_tries_refused_total"] == 0


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_gives_up_its_place(start, upstream, connect, how):
    gate = Gate()
    port, config = with_metrics(balanced([(upstream(gate), {"max_connections": 1})], queue={"timeout": "60s"}))
    proxy = start(config)
    clients = line_up(connect, proxy, gate, port, 3)
    getattr(clients[1], how)()
    wait_until_waiting(port, 1)
    gate.open()
    assert clients[0].read().body == b"/0" and clients[2].read().body == b"/2"
    assert gate.seen == ["/0", "/2"]
    assert queued(port, "left") == 1
    assert [line["end"] for line in proxy.requests(3) if line["path"] == "/1"] == ["client_abort"]


def test_a_client_that_leaves_while_served_frees_the_place(start, upstream, connect):
    gate = Gate()
    server = upstream(gate)
    port, config = with_metrics(balanced([(server, {"max_connections": 1})], queue={"timeout": "60s"}))
    proxy = start(config)
    first, second = connect(proxy), connect(proxy)
    first.send(http.request("GET", "/1"))
    gate.wait_until_holding(1)
    second.send(http.request("GET", "/2"))
    wait_until_waiting(port, 1)
    first.close()
    gate.open()
    assert second.read().body == b"/2"


def test_nobody_waits_for_a_dead_server(start, upstream, connect):
    gate = Gate()
    alive, dead = upstream(gate), take_port()
    port, config = with_metrics(balanced([(alive, {"max_connections": 1}), (f"127.0.0.1:{dead}", {"max_connections": 1})],
                                         queue={"timeout": "60s"}))
    proxy = start(config)
    clients = [connect(proxy) for _ in range(4)]
    clients[0].send(http.request("GET", "/0"))
    gate.wait_until_holding(1)
    for n in range(1, 4):
        clients[n].send(http.request("GET", f"/{n}"))
        wait_until_waiting(port, n)
    alive.stop()  # what it holds ends, and nobody is left
    assert [c.read().status for c in clients] == [502] * 4
    assert queue_length(port) == 0
    assert max(line["tries"] for line in proxy.requests(4)) <= 20, "nobody goes round in circles"
    gate.open()


def test_a_server_that_comes_back_takes_who_waits(start, upstream, connect):
    gate = Gate()
    alive, port_of_late = upstream(gate), take_port()
    port, config = with_metrics(balanced([(alive, {"max_connections": 1}), (f"127.0.0.1:{port_of_late}", {"max_connections": 1})],
                                         queue={"timeout": "60s"}))
    proxy = start(config)
    held, waiting = connect(proxy), connect(proxy)
    held.send(http.request("GET", "/held"))
    gate.wait_until_holding(1)
    waiting.send(http.request("GET", "/waits"))
    wait_until_waiting(port, 1)
    assert waiting.is_quiet()
    late = upstream(port=port_of_late)
    assert waiting.read().status == 200
    assert [r.target for r in late.requests] == ["/waits"]
    gate.open()
    assert held.read().status == 200


def test_who_waits_is_served_before_the_end(start, upstream, connect):
    gate = Gate()
    port, config = with_metrics(balanced([(upstream(gate), {"max_connections": 1})], queue={"timeout": "60s"}))
    proxy = start(config)
    clients = [connect(proxy) for _ in range(3)]
    clients[0].send(http.request("GET", "/0"))
    gate.wait_until_holding(1)
    for n in range(1, 3):
        clients[n].send(http.request("GET", f"/{n}"))
        wait_until_waiting(port, n)
    proxy.signal(signal.SIGTERM)
    wait_for(lambda: is_refused(proxy.address), "draining has begun")
    gate.open()
    for n, client in enumerate(clients):
        reply = client.read()
        assert (reply.body, reply["Connection"]) == (f"/{n}".encode(), "close")
    assert proxy.wait_exit() == 0


def test_who_still_waits_at_the_end_is_told(start, upstream, connect):
    gate = Gate()
    port, config = with_metrics(balanced([(upstream(gate), {"max_connections": 1})], queue={"timeout": "60s"}, top={
        "limits": {"drain_timeout": "1s"}}))
    proxy = start(config)
    held, waiting = connect(proxy), connect(proxy)
    held.send(http.request("GET", "/held"))
    gate.wait_until_holding(1)
    waiting.send(http.request("GET", "/waits"))
    wait_until_waiting(port, 1)
    proxy.signal(signal.SIGTERM)
    check_error(waiting.read(), 503, "0621", "The proxy is shutting down. Retry on another connection.")
    proxy.expected_exit = 9
    assert proxy.wait_exit() == 9
    gate.open()


def test_a_reload_keeps_counts_and_the_queue(start, upstream, connect):
    gate = Gate()
    server = upstream(gate)
    port, config = with_metrics(balanced([(server, {"max_connections": 1})], queue={"timeout": "60s"}))
    proxy = start(config)
    clients = [connect(proxy) for _ in range(3)]
    clients[0].send(http.request("GET", "/0"))
    gate.wait_until_holding(1)
    clients[1].send(http.request("GET", "/1"))
    wait_until_waiting(port, 1)
    changed = copy.deepcopy(config)
    changed["limits"] = {"body": "1MiB"}
    reload(proxy, changed)
    clients[2].send(http.request("GET", "/2"))
    wait_until_waiting(port, 2)
    gate.open()
    assert [c.read().body for c in clients] == [b"/0", b"/1", b"/2"]
    assert gate.seen == ["/0", "/1", "/2"] and gate.most == 1


def test_a_reload_counts_what_was_not_bounded_before(start, upstream, connect):
    gate = Gate()
    server = upstream(gate)
    port, config = with_metrics(balanced([server]))
    proxy = start(config)
    clients = [connect(proxy) for _ in range(3)]
    for n in range(2):
        clients[n].send(http.request("GET", f"/{n}"))
        gate.wait_until_holding(n + 1)
    _, bounded = with_metrics(balanced([(server, {"max_connections": 2})]))
    reload(proxy, {**bounded, "admin": config["admin"]})
    clients[2].send(http.request("GET", "/2"))
    wait_until_waiting(port, 1)
    gate.open()
    assert [c.read().body for c in clients] == [b"/0", b"/1", b"/2"]
    assert gate.most == 2


# ---- slow start


def test_a_server_that_came_back_begins_slowly(start, upstream, connect):
    servers = [upstream() for _ in range(3)]
    config = balanced(servers, slow_start="1h", top={"workers": 1})
    proxy = start(config)
    client = connect(proxy)
    for _ in range(9):
        assert client.ask().status == 200
    assert counts_of(servers) == [3, 3, 3]  # none has come back from anything
    servers[0].stop()
    wait_for(lambda: is_refused(("127.0.0.1", servers[0].port)), "the server is gone")
    for _ in range(6):
        assert client.ask().status == 200
    servers[0] = upstream(port=servers[0].port)
    # Its first request comes when it is usable again; in an hour it would have its third.
    wait_for(lambda: client.ask().status == 200 and servers[0].requests, "the server is asked again")
    forget(servers)
    for _ in range(90):
        assert client.ask().status == 200
    assert len(servers[0].requests) <= 1
    reload(proxy, balanced(servers, top={"workers": 1}))
    forget(servers)
    for _ in range(90):
        assert client.ask().status == 200
    assert counts_of(servers) == [30, 30, 30]


# ---- what is said of it

WARNINGS = [
    ({"servers": [{"address": "127.0.0.1:1", "weight": 0}, {"address": "127.0.0.1:2", "weight": 0, "backup": True}]},
     "/upstreams/app/servers: every server has the weight 0: requests of this upstream are answered with 502"),
    ({"servers": [{"address": "127.0.0.1:1", "backup": True}]},
     "/upstreams/app/servers: every server is a backup: there is none that they stand in for"),
    ({"servers": [{"address": "127.0.0.1:1", "weight": 0}, {"address": "127.0.0.1:2", "backup": True}]},
     "/upstreams/app/servers: every server but backups has the weight 0: the backups take all requests"),
    ({"servers": ["127.0.0.1:1"], "queue": {"max": 5}},
     '/upstreams/app/queue: no server has "max_connections": nobody ever waits'),
    ({"servers": ["127.0.0.1:1"], "balance": "hash", "hash_by": "path:project"},
     "/routes/0/upstream: upstream \"app\" hashes by \"path:project\", which requests of this route never have"),
    ({"servers": ["127.0.0.1:1"], "balance": "hash", "hash_by": "certificate"},
     "/routes/0/upstream: upstream \"app\" hashes by \"certificate\", which requests of this route never have"),
    ({"servers": ["127.0.0.1:1"], "balance": "hash", "hash_by": "token_project"},
     "/routes/0/upstream: upstream \"app\" hashes by \"token_project\", which requests of this route never have"),
]
FAULTS = [
    ({"servers": ["127.0.0.1:1"], "balance": "hash"}, '/upstreams/app/balance: "hash_by" is missing: the identity that is hashed'),
    ({"servers": ["127.0.0.1:1"], "hash_by": "ip"}, '/upstreams/app/hash_by: "hash_by" only with "balance": "hash"'),
    ({"servers": ["127.0.0.1:1"], "balance": "hash", "hash_by": "usr"},
     "/upstreams/app/hash_by: no identity or source \"usr\" (did you mean \"user\"?)"),
]


def checked(verb, tmp_path, conf):
    file = tmp_path / "checked.json"
    config = forward(listen=[{"address": "127.0.0.1:1"}], subject_secret="test", identities={"user": {"from": ["header:X-User"]}},
                     quotas={"user": {"key": ["user", "ip"], "limits": {"minute": 1}}})
    config["upstreams"]["app"] = conf
    file.write_text(json.dumps(config, indent=1))
    done = verb("check", "-c", file, "--json")
    messages = json.loads(done.stdout)["messages"]
    return done.returncode, [(m["severity"], f"{m['pointer']}: {m['message']}") for m in messages]


@pytest.mark.parametrize("conf, warning", WARNINGS, ids=range(len(WARNINGS)))
def test_check_warns(verb, tmp_path, conf, warning):
    code, messages = checked(verb, tmp_path, conf)
    assert code == 0 and ("warning", warning) in messages, messages


@pytest.mark.parametrize("conf, fault", FAULTS, ids=range(len(FAULTS)))
def test_check_refuses(verb, tmp_path, conf, fault):
    code, messages = checked(verb, tmp_path, conf)
    assert code == 3 and ("error", fault) in messages, messages


def test_check_is_content(verb, tmp_path):
    _, messages = checked(verb, tmp_path, upstream_of(
        [("127.0.0.1:1", {"weight": 5, "max_connections": 10}), ("127.0.0.1:2", {"weight": 0}), ("127.0.0.1:3", {"backup": True})],
        balance="hash", hash_by="user", slow_start="30s", queue={"max": 10, "timeout": "2s"}))
    assert not [m for m in messages if "/upstreams" in m[1]]
