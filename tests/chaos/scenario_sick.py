# SPDX-License-Identifier: Apache-2.0
"""Whatever may become of Redis and of the line to it, under load of leases: nobody waits long, no limit is passed, nobody is refused who need not be."""
import collections
import time
from datetime import datetime

from harness.configs import forward
from harness.redis_wire import FAULTS, RedisWire

import rig

PAGE = rig.ROOT / "docs" / "fleet.md"
SEED = 20261128
DECISION_MS, COMMAND_MS = 50, 250
RATE_PER_S, CONNECTIONS, USERS = 600, 8, 6
WINDOW_S, LIMIT = 10, 600   # of six users who ask a thousand times in ten seconds each
WAIT_MS, USUAL_MS = 250, 20  # above decision_timeout: always, and for 99.9 %
GOOD_S, BAD_S = 2, 3
STATUSES = {"local": {"200", "429"}, "allow": {"200", "429"}, "deny": {"200", "429", "503"}}
PROXIES = 2
DAY = 2_000_000_000


def stopped_for(seconds):
    def happen(redis, _):
        redis.pause()
        time.sleep(seconds)
        redis.resume()
    return happen


def bad_line(fault):
    def happen(_, wire):
        wire.fault = fault
        time.sleep(BAD_S)
        wire.fault = None
    return happen


def restart(seconds):
    def happen(redis, _):
        redis.kill()
        time.sleep(seconds)
        redis.start()
    return happen


def become_replica(redis, _):
    redis.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    time.sleep(BAD_S)
    redis.client.execute_command("REPLICAOF", "NO", "ONE")


def become_full(redis, _):
    redis.client.config_set("maxmemory", "1")
    time.sleep(BAD_S)
    redis.client.config_set("maxmemory", "0")


def put(value):
    def happen(redis, _):
        for key in list(redis.client.scan_iter("sluice:q:*")):
            with redis.client.pipeline() as both:
                both.delete(key)
                if value is None:
                    both.rpush(key, "x")
                else:
                    both.set(key, value)
                both.expire(key, 5)
                both.execute()
    return happen


INCIDENTS = {
    "SIGSTOP of Redis, 0.1 s": stopped_for(0.1), "SIGSTOP of Redis, 1 s": stopped_for(1), "SIGSTOP of Redis, 10 s": stopped_for(10),
    **{f"line: {fault}": bad_line(fault) for fault in FAULTS},
    "SCRIPT FLUSH": lambda redis, _: redis.client.script_flush(), "FLUSHALL": lambda redis, _: redis.client.flushall(),
    "kill -9, started empty": restart(0), "kill -9, away for 2 s, started empty": restart(2),
    "read-only replica": become_replica, "out of memory": become_full,
    "a list under each key": put(None), "garbage under each key": put(b"\xff" * 300), "another version under each key": put(b"\x63" + bytes(40)),
}


class Phase:
    def __init__(self, name, begin):
        self.name, self.begin, self.end, self.waits, self.statuses, self.degraded = name, begin, 0.0, [], collections.Counter(), 0


def ts_of(line):
    return datetime.fromisoformat(line["ts"].replace("Z", "+00:00")).timestamp()


def run_mode(world, judge, backend, mode):
    redis = world.redis()
    wire = world.keep(RedisWire(redis), RedisWire.stop)
    config = forward(backend, workers=2, **rig.USERS,
                     quotas={"user": {"key": ["user"], "limits": {f"{WINDOW_S} seconds": LIMIT, "day": DAY}, "on_failure": mode}},
                     store={"type": "redis", "servers": [wire.address], "decision_timeout": f"{DECISION_MS}ms", "command_timeout": f"{COMMAND_MS}ms",
                            "fleet_size": PROXIES})
    proxies = [world.proxy(config, f"{mode}{n}") for n in range(PROXIES)]
    children = [proxy.child for proxy in proxies]
    for proxy in proxies:
        rig.wait_for(lambda p=proxy: rig.counts_in_redis(p), "the proxy counts in Redis")
    load = world.load(mode, [proxy.ports[0] for proxy in proxies], "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", 3600, "-u", USERS, "-s", SEED)
    phases, back_s, without = [], {}, 0
    time.sleep(GOOD_S)
    for name, happen in INCIDENTS.items():
        phases.append(Phase(name, time.time()))
        happen(redis, wire)
        over = time.monotonic()
        for proxy in proxies:
            rig.wait_for(lambda p=proxy: rig.counts_in_redis(p), f"the proxy counts in Redis after {name}")
        back_s[name] = time.monotonic() - over
        without += len(rig.keys_without_ttl(redis))
        time.sleep(GOOD_S)
        phases[-1].end = time.time()
    load.stop()
    for proxy in proxies:
        judge.check(f"{mode}: the same child serves", proxy.child in children, "True", proxy.child in children)
        proxy.stop()
    redis.stop()
    admitted, decisions = read(proxies, phases, judge)
    statuses = collections.Counter(row.status for row in load.rows())
    statuses.pop("end", None)
    judge.check(f"{mode}: answers", rig.text_of(dict(statuses)), "only " + ", ".join(sorted(STATUSES[mode])), set(statuses) <= STATUSES[mode])
    judge.tell(f"{mode}: decisions", rig.text_of(dict(decisions)))
    judge_windows(mode, admitted, judge)
    judge_waits(mode, phases, judge)
    slowest = max(back_s, key=back_s.get)
    judge.tell(f"{mode}: slowest to count in Redis again", f"{back_s[slowest]:.1f} s ({slowest})")
    judge.equal(f"{mode}: keys without TTL, looked for after each of {len(phases)} incidents", without, 0)


def read(proxies, phases, judge):
    admitted, decisions, lines = (collections.Counter() for _ in range(3))
    for proxy in proxies:
        reader, at = rig.LogReader(), 0
        for line in reader.read(proxy.access_log):
            when = ts_of(line)
            while at + 1 < len(phases) and when >= phases[at + 1].begin:
                at += 1
            decisions[line["decision"]] += 1
            phases[at].waits.append(line.get("t_store", 0))
            phases[at].degraded += line["decision"].startswith("degraded")
            entry = rig.window_of(line, "user", f"{WINDOW_S} second")
            lines[line["subjects"]["user"]] += 1
            if line["status"] == 200 and entry and "start" in entry:
                admitted[line["subjects"]["user"], entry["start"]] += 1
        judge.judge_log(reader)
    users = {user for user, _ in lines.most_common(USERS)}  # the others are probes
    return {key: count for key, count in admitted.items() if key[0] in users}, decisions


def judge_windows(mode, admitted, judge):
    most, over = max(admitted.values()), sum(count > LIMIT for count in admitted.values())
    if mode == "deny":
        judge.check(f"deny: over the limit, of {len(admitted):,} windows by their start in the logs", over, "0", over == 0)
    elif mode == "local":
        judge.check(f"local: the most admitted in a window, of {len(admitted):,}", f"{most:,} ({over} windows above {LIMIT:,})", f"≤ {2 * LIMIT:,}",
                    most <= 2 * LIMIT)


def judge_waits(mode, phases, judge):
    waits = sorted(wait for phase in phases for wait in phase.waits)
    usual = sum(wait <= (DECISION_MS + USUAL_MS) * 1000 for wait in waits) / len(waits)
    judge.check(f"{mode}: t_store ≤ {DECISION_MS} + {USUAL_MS} ms", f"{usual:.3%} of {len(waits):,} requests", "≥ 99.9 %", usual >= 0.999)
    late = sum(wait > (DECISION_MS + WAIT_MS) * 1000 for wait in waits)
    slow = max(phases, key=lambda phase: max(phase.waits, default=0))
    judge.check(f"{mode}: longest t_store ({slow.name})", f"{waits[-1] / 1000:.1f} ms ({late} above the bound)", f"≤ {DECISION_MS + WAIT_MS} ms",
                late == 0)


def run(world, judge):
    backend = world.backend()
    for mode in STATUSES:
        run_mode(world, judge, backend, mode)
    judge.note(f"{RATE_PER_S} requests a second of {USERS} users to {PROXIES} proxies of two workers, {LIMIT} in {WINDOW_S} s each, leased; decision_timeout "
               f"{DECISION_MS} ms, command_timeout {COMMAND_MS} ms.  {len(INCIDENTS)} incidents for each on_failure, the bad lines for {BAD_S} s each: "
               f"{'; '.join(INCIDENTS)}.")
    judge.note("`local` admits in the window in which Redis was lost what is held and this proxy's share of what was left when it looked last: with looks of "
               "different age that may be more than the limit, and never twice.")
