# SPDX-License-Identifier: Apache-2.0
"""Masters are killed under load, under Sentinel and in a cluster, a moment after their replicas were cut off: with `durable` nobody gets
more than the limit, without it all that is lost is told, and counting is back soon after each promotion."""
import collections
import time

from harness.configs import forward
from harness.redis_fleet import ClusterFleet, SentinelFleet, cluster_info

import rig

ROUNDS = 10            # of each of the four parts
PROXIES, USERS = 2, 24
RATE_PER_S = 3000      # of all together: nearly four times the limit
LIMIT, HIGH = 2000, 1_000_000_000
CUT_S = 0.1            # from the cut of the replicas to the death of the master
BACK_MS = 2000
DECISION_MS, USUAL_MS = 250, 20
SEED = 20261128


def cut(node):
    """Replicas are sent away and cannot come back; who counts here stays."""
    node.client.config_set("requirepass", "cut")
    node.client.execute_command("CLIENT", "KILL", "TYPE", "replica")


def is_settled(fleet, is_cluster):
    """Every replica follows a running master, and the sentinels know of all: another failover can begin."""
    nodes = fleet.nodes if is_cluster else fleet.servers
    ports = {node.port for node in (fleet.masters() if is_cluster else [fleet.master()]) if node}
    replicas = [node.client.info("replication") for node in nodes if node.role() == "slave"]
    if len(replicas) + len(ports) != len(nodes) or any(r["master_link_status"] != "up" or r["master_port"] not in ports for r in replicas):
        return False
    if is_cluster:
        return all(cluster_info(node.client)["cluster_state"] == "ok" for node in nodes)
    states = [sentinel.client.sentinel_master(fleet.NAME) for sentinel in fleet.sentinels]
    slaves = [row for sentinel in fleet.sentinels for row in sentinel.client.sentinel_slaves(fleet.NAME)]
    return all(state["port"] in ports and state["flags"] == "master" for state in states) and all(row["flags"] == "slave" for row in slaves)


def counts(proxy, user):
    return proxy.ask(user).status in (200, 429)


def kill_a_master(fleet, proxies, is_cluster, is_durable):
    """Cut off, then kill -9.  Milliseconds from the promotion of another, or with `durable` from when that one has a replica, until all
    users are counted by all proxies; and that other's address."""
    rig.wait_for(lambda: is_settled(fleet, is_cluster), "the servers are well", 60)
    nodes = fleet.nodes if is_cluster else fleet.servers
    masters = fleet.masters() if is_cluster else [fleet.master()]
    victim, count = masters[0], len(masters)
    cut(victim)
    time.sleep(CUT_S)
    victim.kill()
    others = [node for node in nodes if node is not victim]
    rig.wait_for(lambda: sum(node.role() == "master" for node in others) == count, "another is promoted", 30)
    began = time.monotonic()
    taker = next(node for node in others if node.role() == "master" and node not in masters)

    def follows():
        return victim.role() == "slave" and victim.client.info("replication")["master_link_status"] == "up"

    if is_durable:  # until a replica follows nobody can say that it has a grant; in a cluster that is the killed server
        if is_cluster:
            victim.start()
        rig.wait_for(lambda: taker.client.info("replication").get("slave0", {}).get("state") == "online", "a replica follows", 60)
        began = time.monotonic()
    rig.wait_for(lambda: all(counts(proxy, f"u{user}") for proxy in proxies for user in range(USERS)), "all users are counted", 60)
    back_ms = round((time.monotonic() - began) * 1000)
    if victim.process.poll() is not None:
        victim.start()
        rig.wait_for(follows, "it comes back as a replica", 60)
    return back_ms, taker.address


def read(proxies, judge):
    """({(user, start of the minute): admitted}, waits for the store in µs, sorted)"""
    admitted, waits = collections.Counter(), []
    for proxy in proxies:
        reader = rig.LogReader()
        for line in reader.read(proxy.access_log):
            entry = rig.window_of(line, "user", "minute")
            waits.append(line.get("t_store", 0))
            if line["status"] == 200 and entry and "start" in entry:
                admitted[line["subjects"]["user"], entry["start"]] += 1
        judge.judge_log(reader)
    return admitted, sorted(waits)


def hunt(world, judge, topology, is_durable):
    is_cluster = topology == "cluster"
    name = f"{topology}{', durable' if is_durable else ''}"
    folder = world.folder / name.replace(", ", "-")
    folder.mkdir()
    fleet = world.keep((ClusterFleet if is_cluster else SentinelFleet)(folder), lambda made: made.stop())
    store = {"type": "redis", "topology": topology, "decision_timeout": f"{DECISION_MS}ms", "on_failure": "deny", "fleet_size": PROXIES,
             "servers": [node.address for node in (fleet.nodes if is_cluster else fleet.sentinels)]}
    if not is_cluster:
        store["master"] = SentinelFleet.NAME
    if is_durable:
        store["durable"] = True
    # What is leased is spent while nobody counts; the second quota asks Redis for every request.
    quotas = {"user": {"key": ["user"], "limits": {"minute": LIMIT}}, "each": {"key": ["user"], "limits": {"day": HIGH}, "accuracy": "exact"}}
    config = forward(world.backend(), quotas=quotas, store=store, workers=2, **rig.USERS)
    proxies = [world.proxy(config, f"{folder.name}{n}") for n in range(PROXIES)]
    rig.wait_for(lambda: all(counts(proxy, f"u{user}") for proxy in proxies for user in range(USERS)), "all users are counted", 30)
    load = world.load(folder.name, [proxy.ports[0] for proxy in proxies], "-c", 32, "-r", RATE_PER_S, "-d", 3600, "-u", USERS, "-s", SEED)
    rounds = [kill_a_master(fleet, proxies, is_cluster, is_durable) for _ in range(ROUNDS)]
    load.stop()
    for proxy in proxies:
        proxy.stop()
    statuses = collections.Counter(row.status for row in load.rows())
    statuses.pop("end", None)
    judge_part(name, proxies, rounds, statuses, is_durable, judge)
    fleet.stop()


def judge_part(name, proxies, rounds, statuses, is_durable, judge):
    backs, takers = [back_ms for back_ms, _ in rounds], {taker for _, taker in rounds}
    admitted, waits = read(proxies, judge)
    over = {key: count - LIMIT for key, count in admitted.items() if count > LIMIT}
    full = sum(count >= LIMIT for count in admitted.values())
    told = f"{len(over)} of {len(admitted):,} ({full} full), most {max(over.values(), default=0):,}"
    if is_durable:
        judge.check(f"{name}: windows over the limit by their start in the logs", told, "0", not over)
    else:
        judge.tell(f"{name}: windows over the limit by their start in the logs", told)
    judge.check(f"{name}: back after each promotion, ms", ", ".join(map(str, backs)), f"≤ {BACK_MS}", max(backs) <= BACK_MS)
    judge.check(f"{name}: answers", rig.text_of(dict(statuses)), "200, 429 and 503", set(statuses) <= {"200", "429", "503"})
    named = {event["to"] for proxy in proxies for event in proxy.events("failover")}
    judge.check(f"{name}: servers that took over, named by an event", f"{len(takers & named)} of {len(takers)}", "all", takers <= named)
    usual = sum(wait <= (DECISION_MS + USUAL_MS) * 1000 for wait in waits) / len(waits)
    judge.check(f"{name}: t_store ≤ {DECISION_MS} + {USUAL_MS} ms", f"{usual:.3%} of {len(waits):,} requests, longest {waits[-1] / 1000:.0f} ms", "≥ 99.9 %",
                usual >= 0.999)


def run(world, judge):
    for topology in ("sentinel", "cluster"):
        for is_durable in (True, False):
            hunt(world, judge, topology, is_durable)
    judge.note(f"{PROXIES} proxies with 2 workers, {RATE_PER_S:,} requests a second of {USERS} users, {LIMIT:,} a minute for each, leased, and a quota that asks Redis for each request; on_failure deny.  The master's replicas "
               f"are cut off {CUT_S * 1000:.0f} ms before it is killed, {ROUNDS} times in each part.  With `durable` the service can only come back with a replica: "
               "there the time counts from when one follows the new master.")
