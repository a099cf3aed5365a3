# SPDX-License-Identifier: Apache-2.0
"""Four proxies lease from one Redis, first in peace, then with one of them killed every five seconds: never more than the limit, nearly
all of it, and hardly a word to Redis."""
import collections
import os
import random
import signal
import time

from harness.configs import forward

import rig

LIMIT = 100_000
WINDOWS = 2       # of each part
PROXIES = 4
CONNECTIONS = 64
RATE_PER_S = 3600  # of all together: more than twice the limit
KILL_S = 5
DAY = 2_000_000_000


def read_logs(proxies, judge):
    """(admitted, asked) by the minute's start, and what was decided."""
    admitted, asked, decisions, sources = (collections.Counter() for _ in range(4))
    for proxy in proxies:
        reader = rig.LogReader()
        for line in reader.read(proxy.access_log):
            entry = rig.window_of(line, "user", "minute")
            decisions[line["decision"]] += 1
            if entry is None or "start" not in entry:
                continue
            sources[entry["source"]] += 1
            asked[entry["start"]] += 1
            admitted[entry["start"]] += line["decision"] in ("allow", "degraded_allow")
        judge.judge_log(reader, may_drop=True)
    judge.tell("decisions in the logs", rig.text_of(dict(decisions)))
    judge.tell("decided by", rig.text_of(dict(sources)))
    return admitted, asked


def drive(world, proxies, redis, name, begin, kill):
    """Load over WINDOWS whole minutes from `begin`; gives how many operations and kills there were."""
    load = world.load(name, [proxy.ports[0] for proxy in proxies], "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", begin + 60 * WINDOWS - time.time(),
                      "-s", 20260110)
    rng, kills = random.Random(20260110), 0
    time.sleep(max(0, begin - time.time()))
    before = rig.operations(redis)
    while time.time() < begin + 60 * WINDOWS - KILL_S:
        time.sleep(KILL_S)
        if kill:
            child = rng.choice(proxies).child
            if child:
                os.kill(child, signal.SIGKILL)
                kills += 1
    time.sleep(max(0, begin + 60 * WINDOWS - 0.5 - time.time()))
    spent = rig.operations(redis) - before
    load.wait()
    return spent, kills


def judge_part(name, admitted, asked, begin, spent, least, judge):
    full = [begin + 60 * n for n in range(WINDOWS)]
    judge.check(f"{name}: admitted in whole minutes", rig.text_of([admitted[start] for start in full]), f"≤ {LIMIT:,} each",
                all(admitted[start] <= LIMIT for start in full))
    judge.check(f"{name}: asked in them", rig.text_of([asked[start] for start in full]), f"≥ {2 * LIMIT:,} each",
                all(asked[start] >= 2 * LIMIT for start in full))
    judge.check(f"{name}: the least of the limit that was used", f"{min(admitted[start] for start in full) / LIMIT:.3%}", f"≥ {least:.1%}",
                all(admitted[start] >= LIMIT * least for start in full))
    share = spent / max(1, sum(asked[start] for start in full))
    judge.check(f"{name}: operations per request", f"{share:.4%} ({spent:,})", "≤ 0.1 %" if least > 0.99 else "", least <= 0.99 or share <= 0.001)


def run(world, judge):
    backend, redis = world.backend(), world.redis()
    config = forward(backend, workers=2, **rig.USERS,
                     quotas={"user": {"key": ["user"], "limits": {"minute": LIMIT, "day": DAY}, "on_failure": "deny"}},
                     store={"type": "redis", "servers": [redis.address], "decision_timeout": "2s", "command_timeout": "5s",
                            "fleet_size": PROXIES})
    proxies = [world.proxy(config, f"p{n}") for n in range(PROXIES)]
    if time.time() % 60 > 50:
        time.sleep(15)
    calm = int(time.time() // 60 * 60) + 60
    spent, _ = drive(world, proxies, redis, "calm", calm, False)
    hunted = int(time.time() // 60 * 60) + 60
    spent_hunted, kills = drive(world, proxies, redis, "hunted", hunted, True)
    for proxy in proxies:
        proxy.stop()
    admitted, asked = read_logs(proxies, judge)
    judge_part("in peace", admitted, asked, calm, spent, 0.995, judge)
    judge_part(f"{kills} kills", admitted, asked, hunted, spent_hunted, 0.5, judge)
    judge.check("any other minute", rig.text_of({k: v for k, v in admitted.items() if v > LIMIT}), "none above the limit",
                all(count <= LIMIT for count in admitted.values()))
    stored = next(iter(rig.stored_windows(redis).values()))
    start, used = stored[86400]
    total = sum(admitted.values())
    judge.check("of the day: charged in Redis, admitted in the logs", f"{used:,}, {total:,}", "never less charged than admitted", used >= total)
    judge.tell("lost with the killed ones, for each kill", f"{(used - total) / max(1, kills):,.0f}")
    judge.equal("keys without TTL", len(rig.keys_without_ttl(redis)), 0)
    judge.note(f"{RATE_PER_S:,} requests a second of one user from {CONNECTIONS} connections to {PROXIES} proxies of two workers each; a kill every "
               f"{KILL_S} s in the second part (day that began {start}).")
