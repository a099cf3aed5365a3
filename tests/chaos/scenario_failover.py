# SPDX-License-Identifier: Apache-2.0
"""Masters are killed, five times under Sentinel and five times in a cluster: back within 2 s of each promotion, no count lost."""
import collections
import threading
import time

from harness.configs import forward
from harness.redis_fleet import ClusterFleet, SentinelFleet

import rig

ROUNDS, USERS, BACK_MS = 5, [f"user{i}" for i in range(24)], 2000


class Asking:
    """Asks for every user in turn, until it is ended; what was answered."""

    def __init__(self, proxy):
        self.proxy, self.statuses, self.stop = proxy, collections.Counter(), threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self.stop.wait(0.002):
            self.statuses[self.proxy.ask(USERS[sum(self.statuses.values()) % len(USERS)]).status] += 1

    def end(self):
        self.stop.set()
        self.thread.join()


def used(fleet, is_cluster):
    nodes = fleet.masters() if is_cluster else [fleet.master()]
    return sum(int.from_bytes(value[32:36], "little") + int.from_bytes(value[36:40], "little")
               for node in nodes for value in (node.client.get(key) for key in node.client.scan_iter("sluice:q:*")))


def kill_a_master(fleet, proxy, is_cluster):
    """Kill -9; gives the milliseconds from the promotion of another until all users are counted, and that other's address."""
    nodes = fleet.nodes if is_cluster else fleet.servers
    masters = fleet.masters() if is_cluster else [fleet.master()]
    victim, count = masters[0], len(masters)
    victim.kill()
    others = [node for node in nodes if node is not victim]
    rig.wait_for(lambda: sum(node.role() == "master" for node in others) == count, "another is promoted", 30)
    promoted = time.monotonic()
    taker = next(node for node in others if node.role() == "master" and node not in masters)
    rig.wait_for(lambda: {proxy.ask(user).status for user in USERS} == {200}, "all users are counted", 30)
    back_ms = round((time.monotonic() - promoted) * 1000)
    victim.start()
    rig.wait_for(lambda: victim.role() == "slave" and victim.client.info("replication")["master_link_status"] == "up",
                 "it comes back as a replica", 60)
    return back_ms, taker.address


def hunt(world, judge, topology):
    is_cluster = topology == "cluster"
    fleet = world.keep((ClusterFleet if is_cluster else SentinelFleet)(world.folder / topology), lambda made: made.stop())
    store = {"type": "redis", "topology": topology, "decision_timeout": "250ms", "on_failure": "deny", "fleet_size": 1,
             "servers": [node.address for node in (fleet.nodes if is_cluster else fleet.sentinels)]}
    if not is_cluster:
        store["master"] = SentinelFleet.NAME
    quotas = {"user": {"key": ["user"], "limits": {"day": 1_000_000}, "accuracy": "exact"}}
    proxy = world.proxy(forward(world.backend(), quotas=quotas, store=store, **rig.USERS), topology)
    rig.wait_for(lambda: {proxy.ask(user).status for user in USERS} == {200}, "all users are counted")
    asking = Asking(proxy)
    rounds = [kill_a_master(fleet, proxy, is_cluster) for _ in range(ROUNDS)]
    asking.end()
    backs, takers = [back_ms for back_ms, _ in rounds], {taker for _, taker in rounds}
    stored = used(fleet, is_cluster)
    judge.check(f"{topology}: back after each promotion, ms", ", ".join(map(str, backs)), f"≤ {BACK_MS}", max(backs) <= BACK_MS)
    judge.check(f"{topology}: answers meanwhile", rig.text_of(dict(asking.statuses)), "200 and 503", set(asking.statuses) <= {200, 503})
    judge.check(f"{topology}: used in Redis, admitted at least", f"{stored:,}, {asking.statuses[200]:,}", "never less",
                stored >= asking.statuses[200])
    named = {event["to"] for event in proxy.events("failover")}
    judge.check(f"{topology}: servers that took over, named by an event", f"{len(takers)}, {len(takers & named)}", "all", takers <= named)
    proxy.stop()


def run(world, judge):
    for topology in ("sentinel", "cluster"):
        (world.folder / topology).mkdir()
        hunt(world, judge, topology)
