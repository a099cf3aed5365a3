# SPDX-License-Identifier: Apache-2.0
"""A Redis Cluster: every subject counts on the node that has its slot, wherever that goes."""
import collections
import subprocess
import threading
import time

import pytest
from harness import stored
from harness.configs import forward
from harness.metrics import scrape
from harness.ports import take_port
from harness.redis_fleet import ClusterFleet
from harness.waiting import wait_for, wait_for_room

IDENTITIES = {"user": {"from": ["header:X-User"]}, "team": {"from": ["header:X-Team"]}}


@pytest.fixture
def fleet(world):
    made = ClusterFleet(world.folder)
    world.redises.extend(made.nodes)
    return made


def config_of(server, fleet, quotas=None, **more):
    store = {"type": "redis", "topology": "cluster", "servers": [node.address for node in fleet.nodes[:2]],
             "decision_timeout": "250ms", "fleet_size": 1, "on_failure": "deny", **more}
    quotas = quotas or {"user": {"key": ["user"], "limits": {"day": 100000}, "accuracy": "exact"}}
    return forward(server, store=store, quotas=quotas, identities=IDENTITIES, subject_secret="of the whole group")


def ask(client, user="alice", team="red"):
    return client.ask("GET", "/", [("X-User", user), ("X-Team", team)])


def wait_until_counting(connect, proxy, users=("probe",)):
    def counts():
        client = connect(proxy)
        replies = [ask(client, user) for user in users for _ in range(3)]
        client.close()
        return all(reply.status == 200 and {entry.get("source") for entry in proxy.line_of(reply)["quotas"]} <= {"store", "lease"}
                   for reply in replies)

    wait_for(counts, "the proxy counts in Redis")


def totals(fleet):
    return {key: stored.first_used(node.client.get(key)) for key, node in fleet.keys("sluice:q:*").items()}


class Load:
    """Asks for many users all the time; what was answered, by user and status."""

    def __init__(self, connect, proxy, users, threads=3):
        self.statuses, self.lock, self.stop = collections.Counter(), threading.Lock(), threading.Event()
        self.admitted = collections.Counter()
        self.threads = [threading.Thread(target=self._run, args=(connect(proxy), users[i::threads])) for i in range(threads)]
        for thread in self.threads:
            thread.start()

    def _run(self, client, users):
        at = 0
        while not self.stop.wait(0.003):
            user = users[at % len(users)]
            at += 1
            status = ask(client, user).status
            with self.lock:
                self.statuses[status] += 1
                self.admitted[user] += status == 200

    def count(self):
        with self.lock:
            return self.statuses[200]

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def test_subjects_count_where_their_slots_are(start, upstream, connect, fleet):
    wait_for_room(86400, 60)
    proxy = start(config_of(upstream(), fleet))
    users = [f"user{i}" for i in range(30)]
    wait_until_counting(connect, proxy, users)
    client = connect(proxy)
    for user in users:
        assert ask(client, user).status == 200
    keys = fleet.keys("sluice:q:*")
    assert len(keys) == 30 and set(totals(fleet).values()) == {4}
    assert {node.port for node in keys.values()} == {node.port for node in fleet.masters()}, "all three have some"
    assert all(key.startswith(b"sluice:q:{") and key.endswith(b"}") for key in keys)
    # What belongs to the fleet is in one slot, so that one script may use it.
    assert len({node.port for key, node in fleet.keys("sluice:{fleet}:*").items()}) == 1
    assert set(fleet.keys("sluice:{fleet}:*")) == {b"sluice:{fleet}:proxies", b"sluice:{fleet}:secret"}


def test_quotas_on_several_nodes_are_taken_together_or_not_at_all(start, upstream, connect, fleet):
    quotas = {"user": {"key": ["user"], "limits": {"day": 5}, "accuracy": "exact"},
              "team": {"key": ["team"], "limits": {"day": 12}, "accuracy": "exact"}}
    wait_for_room(86400, 60)
    proxy = start(config_of(upstream(), fleet, quotas))
    wait_until_counting(connect, proxy, ["probe"])
    client = connect(proxy)
    statuses = [ask(client, f"user{i % 6}", "blue").status for i in range(40)]
    assert statuses.count(200) == 12 and statuses.count(429) == 28
    # The team's key is full; each user was charged for what passed, and for nothing else.
    wait_for(lambda: sorted(totals(fleet).values()) == sorted([3, 3, 12] + [2] * 6), f"exact totals, not {totals(fleet)}")


def test_what_is_given_back_is_the_same_for_every_algorithm(start, upstream, connect, fleet):
    quotas = {"slide": {"key": ["user"], "algorithm": "sliding", "limits": {"day": 6}, "accuracy": "exact"},
              "bucket": {"key": ["user"], "algorithm": "token_bucket", "limits": {"day": 6}, "accuracy": "exact"},
              "team": {"key": ["team"], "limits": {"day": 7}, "accuracy": "exact"}}
    wait_for_room(86400, 60)
    proxy = start(config_of(upstream(), fleet, quotas))
    wait_until_counting(connect, proxy, ["probe"])
    client = connect(proxy)
    # Two for each; then the team refuses, again and again, and the users lose nothing by it.
    users = [f"user{i}" for i in range(8)]
    statuses = [[ask(client, user, f"team{i}").status for user in users for _ in range(2)] for i in range(2)]
    assert [found.count(200) for found in statuses] == [7, 7] and statuses[0][:7] == [200] * 7
    fresh = connect(proxy)
    left = collections.Counter()
    for i, user in enumerate(users):
        left[user] = sum(ask(fresh, user, f"own{i}").status == 200 for _ in range(7))
    # Users 0 to 2 had two of each round, user 3 one of each.
    assert [left[user] for user in users] == [2, 2, 2, 4, 6, 6, 6, 6]


def test_recalls_are_heard_when_a_node_stands_still(start, upstream, connect, fleet):
    proxies = [start(config_of(upstream(), fleet)) for _ in range(2)]
    users = [f"user{i}" for i in range(12)]
    for proxy in proxies:
        wait_until_counting(connect, proxy, users)

    def listeners(nodes):
        return sum(node.subscribers("sluice:recall") for node in nodes)

    wait_for(lambda: listeners(fleet.nodes) == 2, "both listen")
    victim = next(node for node in fleet.masters() if node.subscribers("sluice:recall"))
    others = [node for node in fleet.nodes if node is not victim]
    victim.pause()

    def listen_elsewhere():
        for proxy in proxies:
            client = connect(proxy)
            for user in users:
                ask(client, user)
            client.close()
        return listeners(others) == 2

    wait_for(listen_elsewhere, "both listen at others, before the connections are given up for silence", 10)


def move_slot(fleet, slot, source, target):
    """The slot with its keys, while they are used."""
    source_id, target_id = fleet.id_of(source), fleet.id_of(target)
    target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
    source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
    while True:
        keys = source.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100)
        if not keys:
            break
        source.client.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
    yield "moved"  # asked for where it is not any more: ASK
    for node in [target, source] + [n for n in fleet.masters() if n not in (source, target)]:
        node.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", target_id)


def test_resharding_under_load_costs_no_request_and_no_count(start, upstream, connect, fleet):
    wait_for_room(86400, 60)
    port = take_port()
    proxy = start({**config_of(upstream(), fleet, decision_timeout="2s", command_timeout="2s"), "admin": {"metrics": f"127.0.0.1:{port}"}})
    users = [f"user{i}" for i in range(24)]
    wait_until_counting(connect, proxy, users)
    begin = totals(fleet)
    load = Load(connect, proxy, users)
    for key, source in list(fleet.keys("sluice:q:*").items())[:12]:
        slot, source = fleet.owner_of(key)
        target = next(node for node in fleet.masters() if node is not source)
        for _ in move_slot(fleet, slot, source, target):
            seen = load.count()
            wait_for(lambda s=seen: load.count() > s + 24, "requests go on meanwhile")
    load.end()
    assert set(load.statuses) == {200}, load.statuses
    end = totals(fleet)
    assert sorted(end[key] - begin[key] for key in end) == sorted(load.admitted.values()), "every request is counted, once"
    metrics = scrape(port)
    assert metrics['sluice_store_redirects_total{kind="ask"}'] > 0 and metrics['sluice_store_redirects_total{kind="moved"}'] > 0
    assert metrics['sluice_store_redirects_total{kind="lost"}'] == 0


@pytest.mark.slow
def test_a_quarter_of_all_slots_moves_under_load(start, upstream, connect, fleet):
    wait_for_room(86400, 300)
    proxy = start(config_of(upstream(), fleet, decision_timeout="2s", command_timeout="2s"))
    users = [f"user{i}" for i in range(60)]
    wait_until_counting(connect, proxy, users)
    begin = totals(fleet)
    source, target = fleet.masters()[:2]
    load = Load(connect, proxy, users)
    began = time.monotonic()
    moved = subprocess.run(
        ["redis-cli", "--cluster", "reshard", source.address, "--cluster-from", fleet.id_of(source), "--cluster-to", fleet.id_of(target),
         "--cluster-slots", "4096", "--cluster-yes"], capture_output=True, text=True, timeout=240, check=False)
    took_s = time.monotonic() - began
    load.end()
    assert moved.returncode == 0, moved.stdout[-2000:] + moved.stderr
    assert sum(end - begin + 1 for begin, end, *servers in fleet.raw_slots(target) if int(servers[0][1]) == target.port) > 4096 + 5000
    assert set(load.statuses) == {200}, load.statuses
    end = totals(fleet)
    assert sorted(end[key] - begin[key] for key in end) == sorted(load.admitted.values()), "every request is counted, once"
    print(f"4096 slots in {took_s:.0f} s, {load.statuses[200]} requests")


def test_a_master_dies_and_its_replica_takes_over(start, upstream, connect, fleet):
    wait_for_room(86400, 60)
    proxy = start(config_of(upstream(), fleet))
    users = [f"user{i}" for i in range(24)]
    wait_until_counting(connect, proxy, users)
    keys = fleet.keys("sluice:q:*")
    fleet_slot, _ = fleet.owner_of("{fleet}")
    victim = next(node for node in fleet.masters() if node in keys.values())
    others = [key for key, node in keys.items() if node is not victim]
    assert others and fleet_slot >= 0
    load = Load(connect, proxy, users)
    wait_for(lambda: load.count() > 100, "requests are counted")
    victim.kill()
    # The others' subjects are served while the dead node's are not.
    seen = load.count()
    wait_for(lambda: load.count() > seen + 60, "the others go on")
    wait_for(lambda: len(fleet.masters()) == 3, "the replica is promoted", 20)
    wait_until_counting(connect, proxy, users)
    load.end()
    assert set(load.statuses) <= {200, 503}, load.statuses
    end = totals(fleet)
    assert len(end) == 25 - ("probe" not in load.admitted) and sum(end.values()) >= sum(load.admitted.values())
    (event,) = proxy.events("failover")
    assert event["from"] == victim.address
    assert [e["address"] for e in proxy.events("store_lost")] == [victim.address]


def test_what_is_owed_to_a_node_that_is_away_keeps_no_processor_busy(start, upstream, connect, fleet):
    port = take_port()
    wait_for_room(86400, 60)
    config = config_of(upstream(), fleet, {"user": {"key": ["user"], "limits": {"day": 100000}, "accuracy": "exact"}}, on_failure="local")
    proxy = start({**config, "admin": {"metrics": f"127.0.0.1:{port}"}})
    users = [f"user{i}" for i in range(24)]
    wait_until_counting(connect, proxy, users)
    masters = fleet.masters()
    victim = next(node for node in fleet.keys("sluice:q:*").values() if node in masters)
    for node in [node for node in fleet.nodes if node not in masters] + [victim]:
        node.kill()
    client = connect(proxy)

    def is_owing():
        replies = [ask(client, user) for user in users]
        sources = {proxy.line_of(reply)["quotas"][0]["source"] for reply in replies if reply.status == 200}
        return "local" in sources and scrape(port)["sluice_store_nodes_up"] < scrape(port)["sluice_store_nodes"]

    wait_for(is_owing, "some users are counted here")
    spent, begin = scrape(port)["sluice_process_cpu_seconds_total"], time.monotonic()
    wait_for(lambda: time.monotonic() > begin + 3, "for three seconds nobody asks")
    assert scrape(port)["sluice_process_cpu_seconds_total"] - spent < 0.6


def test_slots_in_flight_on_other_nodes_do_not_notice_a_failover(start, upstream, connect, fleet):
    quotas = {"user": {"key": ["user"], "limits": {"day": 100000}, "in_flight": 3, "accuracy": "exact"}}
    wait_for_room(86400, 60)
    proxy = start(config_of(upstream(), fleet, quotas, decision_timeout="2s", command_timeout="2s"))
    client, nodes, seen = connect(proxy), {}, set()
    for user in [f"user{i}" for i in range(16)]:
        wait_until_counting(connect, proxy, [user])
        keys = fleet.keys("sluice:q:*")
        (new,) = set(keys) - seen
        seen, nodes[user] = set(keys), keys[new]
    victim = nodes["user0"]
    others = [user for user, node in nodes.items() if node is not victim]
    assert others
    statuses = collections.Counter()

    def others_ask():
        statuses.update(ask(client, user).status for user in others)

    victim.kill()

    def is_taken_over():
        others_ask()
        return ask(client, "user0").status == 200 and len(fleet.masters()) == 3

    wait_for(is_taken_over, "the replica counts", 20)
    for _ in range(20):
        others_ask()
    assert set(statuses) == {200}, statuses


def test_a_cluster_that_is_down_at_the_start_is_found_later(start, upstream, connect, fleet):
    for node in fleet.nodes:
        node.kill()
    proxy = start(config_of(upstream(), fleet))
    client = connect(proxy)
    begin = time.monotonic()
    assert ask(client).status == 503 and time.monotonic() - begin < 5
    for node in fleet.nodes:
        node.start()
    wait_until_counting(connect, proxy)
