# SPDX-License-Identifier: Apache-2.0
"""A Redis that is heard badly, or lies: nobody waits longer than was agreed, each on_failure does what it says, no limit is passed, and counting
goes on as soon as the line is good again."""
import collections
import threading

import pytest
from harness.configs import forward
from harness.redis_wire import FAULTS, RedisWire
from harness.waiting import wait_for, wait_for_room
from test_leases import used_in_redis

DECISION_MS = 100
LIMIT = 60
STATUSES = {"local": {200, 429}, "allow": {200}, "deny": {200, 429, 503}}
ROUNDS, THREADS = 12, 4


@pytest.fixture
def wire(world, redis):
    made = RedisWire(redis)
    world.redises.append(made)
    return made


def config(server, wire, **quota):
    quotas = {"user": {"key": ["user"], "limits": {"hour": LIMIT}, **quota}, "many": {"key": ["route"], "limits": {"hour": 1000000}, **quota}}
    store = {"type": "redis", "servers": [wire.address], "decision_timeout": f"{DECISION_MS}ms", "command_timeout": "200ms", "fleet_size": 1}
    return forward(server, quotas=quotas, store=store, identities={"user": {"from": ["header:X-User"]}}, subject_secret="test", workers=2)


def ask_all(connect, proxy, users):
    """Statuses by user, asked by several at once, a few times each."""
    found, lock = collections.Counter(), threading.Lock()

    def run():
        client = connect(proxy)
        for _ in range(ROUNDS):
            for user in users:
                status = client.ask("GET", "/", [("X-User", user)]).status
                with lock:
                    found[user, status] += 1

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def counts_again(connect, proxy):
    """Whichever worker is asked, and by a subject of which nothing is held."""
    numbers = iter(range(1000000))

    def counts():
        for _ in range(6):
            client = connect(proxy)
            line = proxy.line_of(client.ask("GET", "/", [("X-User", f"fresh-{id(client)}-{next(numbers)}")]))
            client.close()
            if {entry.get("source") for entry in line["quotas"]} - {"store", "lease"} or line["quotas"][0].get("source") != "store":
                return False
        return True

    wait_for(counts, "the proxy counts in Redis again")


def admitted_of(proxy):
    """By subject and window start: who was let through with the quota's consent."""
    found = collections.Counter()
    for line in proxy.requests():
        entry = next((e for e in line["quotas"] if e["q"] == "user"), {})
        if line["status"] == 200 and "start" in entry:
            found[line["subjects"]["user"], entry["start"]] += 1
    return found


@pytest.mark.parametrize("accuracy, mode", [("leased", "local"), ("leased", "allow"), ("leased", "deny"), ("exact", "deny")])
def test_a_bad_line(start, upstream, connect, wire, redis, accuracy, mode):
    proxy = start(config(upstream(), wire, accuracy=accuracy, on_failure=mode))
    child = proxy.child
    wait_for_room(3600, 120)
    counts_again(connect, proxy)
    for number, fault in enumerate(FAULTS):
        seen = len(proxy.requests())
        wire.fault = fault
        found = ask_all(connect, proxy, [f"a{number}", f"b{number}"])
        statuses = {status for _, status in found}
        assert statuses <= STATUSES[mode], (fault, found)
        if mode == "local":  # the whole of it, as the only proxy there is, and not more
            assert all(found[user, 200] <= LIMIT for user, _ in found), (fault, found)
        lines = proxy.requests(seen + sum(found.values()))[seen:]
        waits = sorted(line["t_store"] for line in lines if "t_store" in line)
        assert not waits or waits[-1] <= (DECISION_MS + 250) * 1000, (fault, waits[-5:])
        wire.fault = None
        counts_again(connect, proxy)
    assert proxy.child == child, "the same process"
    if mode == "allow":
        return
    admitted = admitted_of(proxy)
    assert admitted and max(admitted.values()) <= LIMIT, admitted.most_common(3)
    if mode == "deny":
        assert used_in_redis(redis, 3600) >= max(admitted.values()), "nothing was admitted that Redis has not charged"


def test_a_read_only_replica_is_no_store(start, upstream, connect, redis):
    """It becomes one in its place: everybody is served by on_failure, and when it is a master again it counts on."""
    proxy = start(config(upstream(), redis, on_failure="local"))
    counts_again(connect, proxy)
    ask_all(connect, proxy, ["alice"])
    redis.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    found = ask_all(connect, proxy, ["bob"])
    assert {status for _, status in found} <= {200, 429} and found["bob", 200] <= LIMIT
    redis.client.execute_command("REPLICAOF", "NO", "ONE")
    counts_again(connect, proxy)
    assert ask_all(connect, proxy, ["alice"])["alice", 200] + 48 <= LIMIT, "what was used before counts"
    assert not [key for key in redis.client.scan_iter() if redis.client.ttl(key) == -1]
