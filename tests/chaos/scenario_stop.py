# SPDX-License-Identifier: Apache-2.0
"""Redis stands still for ten seconds under load: nobody waits long, each on_failure does what it says, counting goes on."""
import collections
import os
import signal
import time
from datetime import datetime

from harness.configs import forward

import rig

DECISION_MS, COMMAND_MS = 50, 250
RATE_PER_S, CONNECTIONS = 800, 64
BEFORE_S, STOPPED_S, AFTER_S = 4, 10, 8
LIMIT = 1_000_000_000
USUAL_US, ALWAYS_US = (DECISION_MS + 20) * 1000, (DECISION_MS + 250) * 1000
BACK_MS = 3000  # the breaker tries about every second
STATUSES = {"local": {"200"}, "allow": {"200"}, "deny": {"200", "503"}}


def read_log(proxy, continued_at, judge, name):
    reader = rig.LogReader()
    waits, sources, charged, last_without = [], collections.Counter(), 0, 0.0
    for line in reader.read(proxy.access_log):
        entry = rig.window_of(line, "user", "day")
        waits.append(line.get("t_store", 0))
        sources[f"{line['decision']}/{entry.get('source', 'none')}"] += 1
        charged += entry["charged"]
        if line["decision"].startswith("degraded"):
            last_without = max(last_without, datetime.fromisoformat(line["ts"].replace("Z", "+00:00")).timestamp())
    waits.sort()
    judge.judge_log(reader)
    judge.tell(f"{name}: decisions", rig.text_of(dict(sources)))
    judge.at_most(f"{name}: last decision without the store, after CONT", (last_without - continued_at) * 1000, BACK_MS, " ms")
    within = sum(wait <= USUAL_US for wait in waits) / len(waits)
    judge.check(f"{name}: t_store ≤ {DECISION_MS} + 20 ms", f"{within * 100:.3f} % of {len(waits):,} requests", "≥ 99.9 %", within >= 0.999)
    judge.at_most(f"{name}: longest t_store", waits[-1] / 1000, ALWAYS_US / 1000, " ms", 1)
    for event in ("store_lost", "store_back"):
        said = sum(line["event"] == event for line in reader.events)
        judge.check(f"{name}: events {event}", said, "≥ 1", said >= 1)
    return charged


def judge_answers(load, stopped_at, name, judge):
    statuses, by_second, slowest = collections.Counter(), collections.Counter(), 0
    for row in load.rows():
        sent_s = int(row.sent_us) / 1e6
        slowest = max(slowest, int(row.latency_us))
        is_away = stopped_at <= sent_s < stopped_at + STOPPED_S
        statuses[f"{row.status}{' while stopped' if is_away else ''}"] += 1
        if is_away:
            by_second[int(sent_s - stopped_at)] += 1
    seen = {status.split(" ")[0] for status in statuses}
    judge.check(f"{name}: answers", rig.text_of(dict(statuses)), "only " + " and ".join(sorted(STATUSES[name])), seen <= STATUSES[name])
    if name == "deny":
        share = statuses["503 while stopped"] / max(1, sum(by_second.values()))
        judge.check(f"{name}: 503 while Redis stands still", f"{share * 100:.1f} %", "≥ 95 %", share >= 0.95)
    judge.at_least(f"{name}: requests in the slowest second", min(by_second[n] for n in range(STOPPED_S)), 500)
    judge.tell(f"{name}: slowest answer", f"{slowest / 1000:.1f} ms")


def used_today(redis):
    return sum(windows[86400][1] for windows in rig.stored_windows(redis).values())


def run_mode(world, judge, redis, backend, name):
    redis.client.flushall()
    quotas = {"user": {"key": ["user"], "limits": {"day": LIMIT}, "on_failure": name, "accuracy": "exact"}}
    store = {"type": "redis", "servers": [redis.address], "decision_timeout": f"{DECISION_MS}ms",
             "command_timeout": f"{COMMAND_MS}ms", "fleet_size": 1}
    proxy = world.proxy(forward(backend, quotas=quotas, store=store, **rig.USERS), name)
    child = proxy.child
    rig.wait_for(lambda: rig.counts_in_redis(proxy), "the proxy counts in Redis")
    load = world.load(name, proxy.ports, "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", BEFORE_S + STOPPED_S + AFTER_S, "-s", 20260103)
    time.sleep(BEFORE_S)
    stopped_at = time.time()
    os.kill(redis.process.pid, signal.SIGSTOP)
    time.sleep(STOPPED_S)
    os.kill(redis.process.pid, signal.SIGCONT)
    continued_at = time.time()
    time.sleep(BACK_MS / 1000)
    before = used_today(redis)
    load.wait()
    rig.wait_for(lambda: rig.counts_in_redis(proxy), "the proxy counts in Redis")
    time.sleep(2)  # what is owed is billed by then
    used = used_today(redis)
    judge.check(f"{name}: used in Redis {BACK_MS // 1000} s after CONT and at the end", f"{before:,}, {used:,}", "goes on",
                used - before > RATE_PER_S)
    judge.equal(f"{name}: the same child serves", proxy.child == child, True)
    proxy.stop()
    judge_answers(load, stopped_at, name, judge)
    charged = read_log(proxy, continued_at, judge, name)
    judge.tell(f"{name}: used in Redis, charged in the log", f"{used:,}, {charged:,}")


def run(world, judge):
    backend, redis = world.backend(), world.redis()
    for name in ("local", "allow", "deny"):
        run_mode(world, judge, redis, backend, name)
    judge.note(f"{RATE_PER_S} requests a second from {CONNECTIONS} connections, decision_timeout {DECISION_MS} ms, command_timeout "
               f"{COMMAND_MS} ms; Redis runs {BEFORE_S} s, stands still {STOPPED_S} s, runs {AFTER_S} s.  t_store is judged over the whole run.")
    judge.note("Commands that Redis had been sent when it stopped are carried out after CONT, though nobody waits for them any more: so much more is "
               "used in Redis than was charged, never less.")
