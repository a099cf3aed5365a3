# SPDX-License-Identifier: Apache-2.0
"""A replica takes over that misses what was granted last: the proxies that have seen it tell, and nothing is admitted twice."""
import pytest
from harness import stored
from harness.configs import forward
from harness.redis_fleet import SentinelFleet
from harness.redis_pair import LIMIT, USERS, ask, make_pair, used_in, wait_until_counting
from harness.waiting import wait_for


@pytest.fixture
def pair(world):
    return make_pair(world)


def config_of(server, servers, accuracy="exact", **more):
    store = {"type": "redis", "servers": [redis.address for redis in servers], "decision_timeout": "500ms", "command_timeout": "2s",
             "fleet_size": 2, "on_failure": "deny", **more}
    return forward(server, store=store, workers=1, quotas={"user": {"key": ["user"], "limits": {"day": LIMIT}, "accuracy": accuracy}}, **USERS)


def admitted(connect, proxy, count, user="alice"):
    client = connect(proxy)
    statuses = [ask(client, user) for _ in range(count)]
    client.close()
    return statuses.count(200)


def wait_for_both(redis):
    wait_for(lambda: redis.client.zcard("sluice:{fleet}:proxies") == 2, "both proxies are known")


def admitted_until_refused(connect, proxy, user="alice"):
    client = connect(proxy)
    count = 0
    for _ in range(2 * LIMIT):
        status = ask(client, user)
        count += status == 200
        if status == 429:
            break
    client.close()
    return count


@pytest.mark.parametrize("accuracy", ["exact", "leased"])
def test_who_has_seen_it_tells_without_being_asked(start, upstream, connect, pair, accuracy):
    """Only the idle proxy knows of the last grants; the busy one comes first to the server that took over."""
    master, replica = pair
    backend = upstream()
    idle, busy = (start(config_of(backend, pair, accuracy)) for _ in range(2))
    for proxy in (idle, busy):
        wait_until_counting(connect, proxy)
    wait_for_both(master)
    total = admitted(connect, idle, 10) + admitted(connect, busy, 10)
    assert total == 20
    wait_for(lambda: used_in(replica) == used_in(master), "the replica has them")
    replica.client.replicaof("NO", "ONE")  # it hears nothing of what follows
    total += admitted(connect, idle, 20)
    assert total == 40
    told = used_in(master)
    assert used_in(replica) < told
    master.kill()
    wait_until_counting(connect, busy)
    total += admitted_until_refused(connect, busy)
    assert total <= LIMIT
    if accuracy == "exact":
        assert total == LIMIT
    wait_for(lambda: used_in(replica) >= total, "all that was admitted is known")


def test_many_subjects_are_told(start, upstream, connect, pair):
    master, replica = pair
    backend = upstream()
    idle, busy = (start(config_of(backend, pair)) for _ in range(2))
    for proxy in (idle, busy):
        wait_until_counting(connect, proxy)
    wait_for_both(master)
    users = [f"user{i}" for i in range(300)]
    for user in users:
        assert admitted(connect, busy, 1, user) == 1
    wait_for(lambda: replica.client.dbsize() == master.client.dbsize(), "the replica has them")
    replica.client.replicaof("NO", "ONE")
    for user in users:
        assert admitted(connect, idle, 2, user) == 2
    master.kill()
    wait_until_counting(connect, busy)

    def totals():
        return [stored.first_used(replica.client.get(key)) for key in replica.client.scan_iter("sluice:q:*")]

    # None is asked for again: what is there was told.
    wait_for(lambda: sum(total >= 3 for total in totals()) >= 300, "all of them were told")


def test_one_proxy_alone_waits_for_nobody(start, upstream, connect, pair):
    master, replica = pair
    proxy = start(config_of(upstream(), pair, fleet_size=1))
    wait_until_counting(connect, proxy)
    assert admitted(connect, proxy, 10) == 10
    wait_for(lambda: used_in(replica) == 10, "the replica has them")
    replica.client.replicaof("NO", "ONE")
    assert admitted(connect, proxy, 20) == 20
    master.kill()
    wait_until_counting(connect, proxy)
    assert admitted(connect, proxy, LIMIT) == LIMIT - 30
    assert used_in(replica) == LIMIT


@pytest.mark.parametrize("durable", [False, True])
def test_a_promoted_replica_that_lost_writes(start, upstream, connect, world, durable):
    """Sentinel promotes a replica that was cut off before the end."""
    fleet = SentinelFleet(world.folder)
    world.redises.extend(fleet.sentinels + fleet.servers)
    backend = upstream()
    more = {"topology": "sentinel", "master": fleet.NAME, **({"durable": True, "durable_timeout": "200ms"} if durable else {})}
    idle, busy = (start(config_of(backend, fleet.sentinels, **more)) for _ in range(2))
    for proxy in (idle, busy):
        wait_until_counting(connect, proxy)
    master, replicas = fleet.servers[0], fleet.servers[1:]
    wait_for_both(master)
    total = admitted(connect, idle, 10) + admitted(connect, busy, 10)
    assert total == 20
    wait_for(lambda: all(used_in(node) == 20 for node in replicas), "the replicas have them")
    # Who is connected stays so; the replicas cannot come again.
    master.client.config_set("requirepass", "cut")
    master.client.execute_command("CLIENT", "KILL", "TYPE", "replica")
    last = admitted(connect, idle, 10)
    assert last == (0 if durable else 10)
    total += last
    master.kill()
    promoted = wait_for(fleet.master, "another server is promoted", 30)
    assert promoted in replicas
    wait_until_counting(connect, busy)
    total += admitted_until_refused(connect, busy)
    assert total <= LIMIT
    wait_for(lambda: used_in(promoted) >= total, "all that was admitted is known")
