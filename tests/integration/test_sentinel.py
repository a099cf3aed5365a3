# SPDX-License-Identifier: Apache-2.0
"""Redis under Sentinel: the master is found, followed when another takes over, and its counts never go back."""
import collections
import json
import threading
import time

import pytest
from harness import stored
from harness.configs import forward
from harness.counting import USERS, ask, wait_until_counting
from harness.ports import take_port
from harness.redis_fleet import SentinelFleet
from harness.redis_front import RedisFront
from harness.redis_server import RedisServer
from harness.waiting import wait_for



@pytest.fixture
def fleet(world):
    made = SentinelFleet(world.folder)
    world.redises.extend(made.sentinels + made.servers)
    return made


def config_of(server, servers, *, store_=None, **more):
    store = {"type": "redis", "topology": "sentinel", "servers": servers, "master": SentinelFleet.NAME,
             "decision_timeout": "250ms", "fleet_size": 1, "on_failure": "deny", **(store_ or {})}
    return forward(server, store=store, **more, quotas={"user": {"key": ["user"], "limits": {"day": 100000}, "accuracy": "exact"}}, **USERS)


def source_of(proxy, reply):
    return proxy.line_of(reply)["quotas"][0].get("source")


def clients_of(node):
    """The workers' connections that count there."""
    return [row for row in node.client.client_list() if row["name"].startswith("sluice:") and row["sub"] == "0"]


def used_in(node):
    """The largest total of a subject in this server."""
    return stored.most_used(node)


def test_the_master_is_found(start, upstream, connect, verb, world, fleet):
    dead = f"127.0.0.1:{take_port()}"
    proxy = start(config_of(upstream(), [dead, *fleet.addresses], admin={"address": f"unix:{world.folder}/admin.sock"}))
    wait_until_counting(connect, proxy)
    assert fleet.master() is fleet.servers[0]
    assert all(name.startswith(b"sluice:") for name in fleet.servers[0].client.keys("sluice:*"))
    wait_for(lambda: len(clients_of(fleet.servers[0])) == 2, "both workers are connected")
    store = json.loads(verb("status", "-s", world.folder / "admin.sock", "--json").stdout)["store"]
    assert store["topology"] == "sentinel" and store["state"] == "up"
    assert store["servers"] == [dead, *fleet.addresses] and store["nodes"] == store["nodes_up"] > 0


def test_a_failover_is_followed_and_no_count_goes_back(start, upstream, connect, fleet):
    proxy = start(config_of(upstream(), fleet.addresses))
    wait_until_counting(connect, proxy)
    statuses, stop = collections.Counter(), threading.Event()

    def load():
        client = connect(proxy)
        while not stop.wait(0.005):
            statuses[ask(client).status] += 1

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_for(lambda: statuses[200] > 200, "requests are counted")
    fleet.servers[0].kill()
    promoted = wait_for(fleet.master, "another server is promoted", 20)
    wait_until_counting(connect, proxy)
    before = statuses[200]
    wait_for(lambda: statuses[200] > before + 100, "requests are counted there")
    stop.set()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {200, 503}, statuses
    # What was admitted was granted, and what was granted is known to the one that took over.
    assert used_in(promoted) >= statuses[200]
    (event,) = proxy.events("failover")
    assert event["from"] == fleet.servers[0].address and event["to"] == promoted.address


def test_a_master_that_is_demoted_in_its_place_is_left(start, upstream, connect, fleet):
    proxy = start(config_of(upstream(), fleet.addresses))
    wait_until_counting(connect, proxy)
    fleet.sentinels[0].client.execute_command("SENTINEL", "FAILOVER", fleet.NAME)
    promoted = wait_for(lambda: next((node for node in fleet.servers[1:] if node.role() == "master"), None), "another server is promoted")
    wait_for(lambda: fleet.servers[0].role() == "slave", "the old one follows it")
    before = used_in(promoted)
    wait_until_counting(connect, proxy)
    client = connect(proxy)
    wait_for(lambda: ask(client).status == 200 and used_in(promoted) > before, "the new master counts")


def test_recalls_are_heard_where_the_promoted_server_is(start, upstream, connect, fleet):
    """The old master stands still: it keeps its connections, and nothing is published there any more."""
    proxies = [start(config_of(upstream(), fleet.addresses)) for _ in range(2)]
    for proxy in proxies:
        wait_until_counting(connect, proxy)
    wait_for(lambda: fleet.servers[0].subscribers("sluice:recall") == 2, "both listen at the master")
    fleet.servers[0].pause()
    promoted = wait_for(lambda: next((node for node in fleet.servers[1:] if node.role() == "master"), None), "another server is promoted", 20)
    for proxy in proxies:
        wait_until_counting(connect, proxy)
    wait_for(lambda: promoted.subscribers("sluice:recall") == 2, "both listen there, before the old connections are given up for silence", 10)


def test_sentinels_that_know_nothing_are_passed_over(start, upstream, connect, fleet):
    proxy = start(config_of(upstream(), [fleet.servers[1].address, *fleet.addresses]))
    wait_until_counting(connect, proxy)
    assert "cannot be asked where the master is: it does not answer as a sentinel" in proxy.stderr()


# ---- a sentinel that does not know, or does not say ----


class FalseSentinel:
    """Says what the test wants when it is asked for the master, and is as good as any other else."""

    def __init__(self, world, server):
        self.asked, self.said, self.times = 0, None, []
        self.front = RedisFront(server, self._answer)
        world.redises.append(self.front)

    def name(self, address):
        host, port = address.rsplit(":", 1)
        self.said = b"*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(host), host.encode(), len(port), port.encode())

    def hush(self):
        self.said = b""

    def _answer(self, words):
        if words[0] != b"SENTINEL":
            return None
        self.asked += 1
        self.times.append(time.monotonic())
        return self.said


def test_a_sentinel_that_keeps_naming_the_dead_is_left_soon(start, upstream, connect, world, redis):
    stale, other = FalseSentinel(world, redis), FalseSentinel(world, redis)
    stale.name(f"127.0.0.1:{take_port()}")
    other.name(redis.address)
    proxy = start(config_of(upstream(), [stale.front.address, other.front.address], workers=1))
    wait_until_counting(connect, proxy)
    # Once to hear the name; then five times a tenth of a second apart, in which nobody answers there.
    assert 2 <= stale.asked <= 6 and "it names a master that does not answer" in proxy.stderr()


def test_a_sentinel_is_asked_often_while_the_master_is_away(start, upstream, world, redis):
    """Whoever asks again at the next coarse tick only (a quarter of a second) lets a failover last as much longer."""
    sentinel = FalseSentinel(world, redis)
    sentinel.name(f"127.0.0.1:{take_port()}")
    start(config_of(upstream(), [sentinel.front.address], workers=1))
    wait_for(lambda: len(sentinel.times) >= 12, "it is asked again and again")
    gaps = sorted(later - earlier for earlier, later in zip(sentinel.times, sentinel.times[1:]))
    assert gaps[len(gaps) // 2] < 0.2, gaps


def test_a_sentinel_that_says_nothing_is_left_soon(start, upstream, connect, world, redis):
    first, other = FalseSentinel(world, redis), FalseSentinel(world, redis)
    (world.folder / "gone").mkdir()
    gone = RedisServer(world.folder / "gone")
    world.redises.append(gone)
    first.name(gone.address)
    other.name(redis.address)
    # What counts must not be what ends the silence.
    proxy = start(config_of(upstream(), [first.front.address, other.front.address], workers=1, store_={"command_timeout": "60s"}))
    wait_until_counting(connect, proxy)
    assert other.asked == 0
    first.hush()
    asked = first.asked
    gone.kill()
    wait_until_counting(connect, proxy)
    assert first.asked == asked + 1 and f"{first.front.address} cannot be asked where the master is: it does not answer" in proxy.stderr()
