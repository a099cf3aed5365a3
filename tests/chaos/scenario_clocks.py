# SPDX-License-Identifier: Apache-2.0
"""Clocks that differ by days, and are set forward and back by a day: no step back gives a window twice, nobody is refused for long."""
import collections
import random
import time

from harness.clocks import Skew
from harness.configs import forward
from harness.proxy import BINARY

import rig

PAGE = rig.ROOT / "docs" / "fleet.md"
SEED = 20261128
WINDOW_S, LIMIT, USERS = 10, 500, 8
RATE_PER_S, CONNECTIONS = 1000, 8  # two and a half times what is let through
DAY_S, DAY = 86400, 2_000_000_000
SKEWS_S = (-DAY_S, DAY_S, 37, 0)   # of the proxies, at the start
# Redis' clock: seconds ahead of the real one, and for how long.  None comes to where another was.
PHASES = ((0, 20), (-DAY_S, 35), (DAY_S, 35), (0, 35), (45, 20), (0, 80), (-3600, 35), (0, 20), (59, 20), (0, 95))
BACK_KEPT_S = 60


def of_phase(start, phase):
    """Is the window of this phase's clock?"""
    _, begin, end, skew = phase
    return begin + skew - WINDOW_S < start <= end + skew


def drive(world, redis_clock, clocks, load):
    """[(number, real begin, real end, skew)]; the proxies' clocks are set by a day at random meanwhile."""
    rng, phases = random.Random(SEED), []
    for number, (skew, seconds) in enumerate(PHASES):
        redis_clock.set(skew)
        begin = time.time()
        while time.time() < begin + seconds:
            time.sleep(min(5, max(0.0, begin + seconds - time.time())))
            rng.choice(clocks).set(rng.choice((-DAY_S, DAY_S, 0, rng.randint(-90, 90))))
        phases.append((number, begin, time.time(), skew))
    load.stop()
    return phases


def read(proxies, judge):
    admitted, decisions = collections.Counter(), collections.Counter()
    for proxy in proxies:
        reader = rig.LogReader()
        for line in reader.read(proxy.access_log):
            decisions[line["decision"]] += 1
            entry = rig.window_of(line, "user", f"{WINDOW_S} second")
            if line["decision"] in ("allow", "degraded_allow") and entry and "start" in entry:
                admitted[line["subjects"]["user"], entry["start"]] += 1
        judge.judge_log(reader)
    judge.check("decisions in the logs", rig.text_of(dict(decisions)), "only allow and refuse", set(decisions) <= {"allow", "refuse"})
    return admitted


def judge_steps(phases, admitted, judge):
    """A step back by more than a minute: the window that goes on keeps what was used in the last one."""
    users = {user for user, _ in admitted}
    for before, after in zip(phases, phases[1:]):
        step = after[3] - before[3]
        if step >= -BACK_KEPT_S:
            continue
        sums = []
        for user in users:
            old = [start for who, start in admitted if who == user and of_phase(start, before)]
            new = [start for who, start in admitted if who == user and of_phase(start, after)]
            first = int((after[1] + after[3]) // WINDOW_S * WINDOW_S)
            last = int((after[1] + before[3]) // WINDOW_S * WINDOW_S)
            sums.append(sum(admitted[user, start] for start in {*[s for s in old if s >= last], *[s for s in new if s <= first]}))
        judge.check(f"Redis' clock set back by {-step:,} s: admitted in the window before and in the one that it fell into",
                    f"at most {max(sums):,}, of {len(users)} subjects", f"≤ {LIMIT:,}", max(sums) <= LIMIT)


def longest_refusal(load):
    """Of any user, in real time: from one admitted request to the next."""
    last, worst = {}, (0, "")
    statuses = collections.Counter()
    for row in load.rows():
        statuses[row.status] += 1
        if row.status != "200":
            continue
        done_s = (int(row.sent_us) + int(row.latency_us)) / 1e6
        if row.user in last:
            worst = max(worst, (done_s - last[row.user], row.user))
        last[row.user] = max(done_s, last.get(row.user, 0))
    return worst[0], statuses


def run(world, judge):
    redis_clock = Skew(world.folder, "redis.clock")
    clocks = [Skew(world.folder, f"p{n}.clock", skew) for n, skew in enumerate(SKEWS_S)]
    backend, redis = world.backend(), world.redis(env=redis_clock.env())
    config = forward(backend, workers=2, **rig.USERS,
                     quotas={"user": {"key": ["user"], "limits": {f"{WINDOW_S} seconds": LIMIT, "day": DAY}, "on_failure": "deny"}},
                     store={"type": "redis", "servers": [redis.address], "decision_timeout": "2s", "command_timeout": "5s", "fleet_size": len(clocks)})
    proxies = [world.proxy(config, f"p{n}", env=clock.env(BINARY)) for n, clock in enumerate(clocks)]
    for proxy in proxies:
        rig.wait_for(lambda p=proxy: rig.counts_in_redis(p), "the proxy counts in Redis")
    load = world.load("clocks", [proxy.ports[0] for proxy in proxies], "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", 3600, "-u", USERS, "-s", SEED)
    phases = drive(world, redis_clock, clocks, load)
    without = len(rig.keys_without_ttl(redis))
    for proxy in proxies:
        proxy.stop()
    admitted = read(proxies, judge)
    over = sum(count > LIMIT for count in admitted.values())
    judge.check(f"over the limit, of {len(admitted):,} windows by their start in the logs", over, "0", over == 0)
    judge.tell("windows that were used up", f"{sum(count == LIMIT for count in admitted.values()):,}")
    judge_steps(phases, admitted, judge)
    refused_s, statuses = longest_refusal(load)
    judge.check("answers", rig.text_of(dict(statuses)), "only 200 and 429", set(statuses) <= {"200", "429", "end"})
    judge.at_most("longest time from one admitted request of a subject to the next", refused_s, WINDOW_S + BACK_KEPT_S, " s", 1)
    judge.equal("keys without TTL", without, 0)
    skews = ", ".join(f"{skew:+,} s for {seconds} s" for skew, seconds in PHASES)
    first = ", ".join(f"{skew:+,}" for skew in SKEWS_S)
    judge.note(f"Redis' clock beside the real one: {skews}.  Those of the {len(clocks)} proxies begin with {first} s, and every five seconds one of them is "
               f"set, by a day or by up to 90 s, forward or back.  {RATE_PER_S:,} requests a second of {USERS} users, {LIMIT} in {WINDOW_S} s each, leased; "
               f"seed {SEED}.")
