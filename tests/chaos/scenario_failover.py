# SPDX-License-Identifier: Apache-2.0
"""Masters are killed under load, under Sentinel and in a cluster, a moment after their replicas were cut off: with `durable` nobody gets
more than the limit, without it all that is lost is told, and counting is back soon after each promotion."""
import collections
import datetime
import multiprocessing
import statistics
import time

import redis
from harness.client import Client
from harness.redis_fleet import ClusterFleet, SentinelFleet, cluster_info

import rig

PAGE = rig.ROOT / "docs" / "fleet.md"
ROUNDS = 20           # of each of the four parts
PROXIES, USERS = 2, 24
RATE_PER_S = 5000      # of all together, half of it for the limits, six times as much as they allow
RATE_LEAST = 0.95
LIMIT, HIGH = 1000, 1_000_000_000
EACH = "/each"         # counted in Redis, request by request, and never over a limit: tells who is counted when
DOWN_AFTER_MS = 1500   # with less, sentinels take the server that they have just promoted for dead while they connect to it
CUT_S = 0.1            # from the cut of the replicas to the death of the master
BACK_MS = 2000
SLICE_S, CALM_S, CALM = 0.02, 1.0, 0.01  # an outage is over when in the second that follows at most so few answers are 503
DECISION_MS, USUAL_MS = 250, 20
SEED = 20261128


def cut(node):
    """Replicas are sent away and cannot come back; who counts here stays."""
    node.client.config_set("requirepass", "cut")
    node.client.execute_command("CLIENT", "KILL", "TYPE", "replica")


def is_well(fleet, is_cluster):
    """A server that changes its role meanwhile closes its connections."""
    try:
        return is_settled(fleet, is_cluster)
    except redis.RedisError:
        return False


def follows(replica):
    try:
        return replica.client.info("replication").get("master_link_status") == "up"
    except redis.RedisError:
        return False


def has_replica(master):
    """One that has acknowledged something: it is sent what is written, and can say so."""
    try:
        replica = master.client.info("replication").get("slave0", {})
        return replica.get("state") == "online" and replica["offset"] > 0
    except redis.RedisError:
        return False


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


def is_counting(proxies):
    """All users at all proxies."""
    for proxy in proxies:
        with Client(proxy.address) as client:
            if any(client.ask("GET", EACH, [("X-User", f"user-{n}")]).status != 200 for n in range(USERS)):
                return False
    return True


Kill = collections.namedtuple("Kill", "cut_s promoted_s counted_s taker")


def kill_a_master(fleet, proxies, is_cluster, is_durable):
    """Cut off, then kill -9.  When (wall time) that began, another was promoted, and from when on grants can be had there: with `durable` that is
    when a replica follows it."""
    rig.wait_for(lambda: is_well(fleet, is_cluster), "the servers are well", 60)
    nodes = fleet.nodes if is_cluster else fleet.servers
    masters = fleet.masters() if is_cluster else [fleet.master()]
    victim, count = masters[0], len(masters)
    cut_s = time.time()
    cut(victim)
    time.sleep(CUT_S)
    victim.kill()
    others = [node for node in nodes if node is not victim]
    rig.wait_for(lambda: sum(node.role() == "master" for node in others) == count, "another is promoted", 30)
    promoted_s = counted_s = time.time()
    taker = next(node for node in others if node.role() == "master" and node not in masters)
    if is_durable and is_cluster:  # the killed server is the only replica there can be
        victim.start()
    if is_durable:  # until a replica follows nobody can say that it has a grant
        rig.wait_for(lambda: has_replica(taker), "a replica follows", 60)
        counted_s = time.time()
    rig.wait_for(lambda: is_counting(proxies), "all users are counted", 60)
    time.sleep(CALM_S)
    if victim.process.poll() is not None:
        if not is_cluster:  # sentinels would take ten seconds to make one of it
            victim.options = ("--replicaof", f"127.0.0.1 {taker.port}")
        victim.start()
        rig.wait_for(lambda: follows(victim), "it comes back as a replica", 60)
    return Kill(cut_s, promoted_s, counted_s, taker.address)


# -- what became of it

def read_log(path):
    """(reader, {(user, start of the minute): admitted}, {wait for the store in ms: requests}, longest in µs, requests above the bound)"""
    reader, admitted, waits, longest_us, late = rig.LogReader(), collections.Counter(), collections.Counter(), 0, 0
    for line in reader.read(path):
        entry = rig.window_of(line, "user", "minute")
        wait_us = line.get("t_store", 0)
        waits[wait_us // 1000] += 1
        longest_us = max(longest_us, wait_us)
        late += wait_us > (DECISION_MS + USUAL_MS) * 1000
        if line["status"] == 200 and entry and "start" in entry:
            admitted[line["subjects"]["user"], entry["start"]] += 1
    return reader, admitted, waits, longest_us, late


def ended_s(row):
    return (int(row.sent_us) + int(row.latency_us)) / 1e6


def slice_of(at_s):
    return int(at_s / SLICE_S)


def read_loads(loads):
    """(answers by status, all answers by slice of time, those that were none)"""
    statuses, answers, missing = (collections.Counter() for _ in range(3))
    for load in loads:
        for row in load.rows():
            statuses[row.status] += 1
            at = slice_of(ended_s(row))
            answers[at] += 1
            missing[at] += row.status == "503"
    statuses.pop("end", None)
    return statuses, answers, missing


def outage_end(answers, missing, kill):
    """When a calm second begins."""
    at, calm = slice_of(kill.counted_s), round(CALM_S / SLICE_S)
    last = max(answers) - calm
    while at < last and sum(missing[at + n] for n in range(calm)) > CALM * sum(answers[at + n] for n in range(calm)):
        at += 1
    return max(kill.counted_s, at * SLICE_S)


def share_within(waits, share):
    """The least number of milliseconds within which so many are."""
    left = sum(waits.values()) * share
    for ms in sorted(waits):
        left -= waits[ms]
        if left <= 0:
            return ms + 1
    return 0


def heard_ms(proxies, kills):
    """From each promotion until the last proxy knew of it."""
    found = []
    for kill in kills:
        times = [datetime.datetime.fromisoformat(event["ts"].replace("Z", "+00:00")).timestamp()
                 for proxy in proxies for event in proxy.events("failover") if event["to"] == kill.taker]
        times = [at for at in times if kill.cut_s <= at < kill.promoted_s + 30]
        if len(times) >= len(proxies):
            found.append(round((sorted(times)[len(proxies) - 1] - kill.promoted_s) * 1000))
    return found


def hunt(world, judge, topology, is_durable):
    is_cluster = topology == "cluster"
    name = f"{topology}{', durable' if is_durable else ''}"
    folder = world.folder / name.replace(", ", "-")
    folder.mkdir()
    fleet = world.keep(ClusterFleet(folder) if is_cluster else SentinelFleet(folder, down_after_ms=DOWN_AFTER_MS), lambda made: made.stop())
    store = {"type": "redis", "topology": topology, "decision_timeout": f"{DECISION_MS}ms", "on_failure": "deny", "fleet_size": PROXIES,
             "servers": [node.address for node in (fleet.nodes if is_cluster else fleet.sentinels)]}
    if not is_cluster:
        store["master"] = SentinelFleet.NAME
    if is_durable:
        store["durable"] = True
    # What is leased is spent while nobody counts; the second quota asks Redis for every request.
    quotas = {"user": {"key": ["user"], "limits": {"minute": LIMIT}}, "each": {"key": ["user"], "limits": {"day": HIGH}, "accuracy": "exact"}}
    routes = [{"name": "each", "prefix": EACH, "upstream": "app", "quotas": ["each"]},
              {"name": "all", "prefix": "/", "upstream": "app", "quotas": ["user", "each"]}]
    config = {"upstreams": {"app": {"servers": [world.backend().address]}}, "routes": routes, "quotas": quotas, "store": store, "workers": 2, **rig.USERS}
    proxies = [world.proxy(config, f"{folder.name}{n}") for n in range(PROXIES)]
    rig.wait_for(lambda: is_counting(proxies), "all users are counted", 30)
    loads = [world.load(f"{folder.name}{n}", [proxy.ports[0] for proxy in proxies], "-c", 32, "-r", RATE_PER_S / 2, "-d", 3600, "-u", USERS,
                        "-s", SEED + n, "-p", path) for n, path in enumerate(("/", EACH))]
    began = time.monotonic()
    kills = [kill_a_master(fleet, proxies, is_cluster, is_durable) for _ in range(ROUNDS)]
    seconds = time.monotonic() - began
    sent = [load.stop()["sent"] for load in loads]
    for proxy in proxies:
        proxy.stop()
    fleet.stop()
    judge.check(f"{name}: requests a second, on average", f"{sum(sent) / seconds:,.0f} for {seconds:.0f} s", f"≥ {RATE_LEAST * RATE_PER_S:,.0f}",
                sum(sent) >= RATE_LEAST * RATE_PER_S * seconds)
    judge_part(name, proxies, kills, loads, is_durable, judge)


def judge_part(name, proxies, kills, loads, is_durable, judge):
    statuses, answers, missing = read_loads(loads)
    ends = [outage_end(answers, missing, kill) for kill in kills]
    backs = [round((end - kill.counted_s) * 1000) for end, kill in zip(ends, kills)]
    stray = sum(count for at, count in missing.items() if not any(slice_of(kill.cut_s) <= at <= slice_of(end) for kill, end in zip(kills, ends)))
    with multiprocessing.Pool(2) as pool:
        logs = pool.map(read_log, [proxy.access_log for proxy in proxies])
    admitted, waits = collections.Counter(), collections.Counter()
    for reader, counts, some, _, _ in logs:
        judge.judge_log(reader)
        admitted += counts
        waits += some
    over = {key: count - LIMIT for key, count in admitted.items() if count > LIMIT}
    full = sum(count >= LIMIT for count in admitted.values())
    told = f"{len(over)} of {len(admitted):,} ({full} full), most {max(over.values(), default=0):,}"
    if is_durable:
        judge.check(f"{name}: windows over the limit by their start in the logs", told, "0", not over)
    else:
        judge.tell(f"{name}: windows over the limit by their start in the logs", told)
    judge.check(f"{name}: back after each promotion, ms", f"{', '.join(map(str, backs))}; median {statistics.median(backs):.0f}, most {max(backs)}",
                f"≤ {BACK_MS}", max(backs) <= BACK_MS)
    heard = heard_ms(proxies, kills)
    if heard:
        judge.tell(f"{name}: from the promotion until both proxies had heard of it, ms", f"median {statistics.median(heard):.0f}, most {max(heard)}")
    judge.check(f"{name}: answers", rig.text_of(dict(statuses)), "200, 429 and 503", set(statuses) <= {"200", "429", "503"})
    judge.tell(f"{name}: answers 503 at other times", f"{stray:,} ({stray / sum(answers.values()):.3%})")
    takers, named = {kill.taker for kill in kills}, {event["to"] for proxy in proxies for event in proxy.events("failover")}
    judge.check(f"{name}: servers that took over, named by an event", f"{len(takers & named)} of {len(takers)}", "all", takers <= named)
    count, late = sum(waits.values()), sum(row[4] for row in logs)
    judge.check(f"{name}: t_store ≤ {DECISION_MS} + {USUAL_MS} ms",
                f"{1 - late / count:.3%} of {count:,} requests; 99.9% within {share_within(waits, 0.999)} ms, longest {max(row[3] for row in logs) / 1000:.0f} ms",
                "≥ 99.9 %", late <= count / 1000)


def run(world, judge):
    for topology in ("sentinel", "cluster"):
        for is_durable in (True, False):
            hunt(world, judge, topology, is_durable)
    judge.note(f"{PROXIES} proxies with 2 workers, {RATE_PER_S:,} requests a second of {USERS} users: half of them for {LIMIT:,} a minute each, leased, and a quota that asks Redis for each request, "
               f"the other half for that one alone, which never refuses; on_failure deny.  The master's replicas are cut off {CUT_S * 1000:.0f} ms before it is killed, {ROUNDS} times in each part.  Counting is back when in the second that follows at most {CALM:.0%} of the answers are 503.  With `durable` the service can only come "
               "back with a replica: there the time counts from when one follows the new master.")
