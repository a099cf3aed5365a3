# SPDX-License-Identifier: Apache-2.0
"""A quota is tried in its shadow with 200,000 requests of a crowd, then enforced for the same crowd, over the embedded store and over Redis: the shadow refuses
nobody and foretells, for each user, as many denials as there are then."""
import collections

from harness.configs import forward
from harness.ports import take_port

import rig

REQUESTS, RATE_PER_S, CONNECTIONS = 200_000, 6000, 64
USERS, EXPONENT, LIMIT = 3000, 0.9, 60   # a day, of each user; the busiest asks for hundreds of times that
LATE_S = 30      # verdicts of Redis may come after the answers
SEED = 20261202
STORES = ("memory", "redis")
DECISIONS = ("allow", "refuse", "shadow_allow", "shadow_refuse", "shadow_skipped")

# Counters of answers, and by user of requests, 429 and denials in the log; the last one is what the metrics say.
Passed = collections.namedtuple("Passed", "statuses asked refused in_log faults decisions")


def store_of(world, kind):
    if kind == "memory":
        return {"type": kind}
    return {"type": kind, "servers": [world.redis().address], "fleet_size": 1, "decision_timeout": "1s", "command_timeout": "2s"}


def start(world, backend, store, name, mode):
    """A prefix of its own: nobody has spent anything yet."""
    quota = {"key": ["user"], "limits": {"day": LIMIT}, "mode": mode, "accuracy": "exact", "on_failure": "deny"}
    if store["type"] == "redis":
        store = {**store, "prefix": mode}
    proxy = world.proxy(forward(backend, quotas={"user": quota}, store=store, admin={"metrics": f"127.0.0.1:{take_port()}"}, **rig.USERS), name)
    if store["type"] == "redis":
        rig.wait_for(lambda: proxy.metrics()["sluice_store_up"] == 2, "both workers have their store")
    return proxy


def decisions(proxy):
    told = proxy.metrics()
    counts = {name: int(told.get(f'sluice_quota_decisions_total{{quota="user",decision="{name}"}}', 0)) for name in DECISIONS}
    return {name: count for name, count in counts.items() if count}


def denials_in_log(reader, path):
    """Ids of requests that were refused, or would have been: as their lines say, or an event behind them."""
    denied = set()
    for line in reader.read(path):
        if line["decision"] == "refuse" or any(entry.get("refused") for entry in line["quotas"]):
            denied.add(line["id"])
    return denied | {event["id"] for event in reader.events if event["event"] == "shadow_refusal"}


def pass_by(world, proxy, name, count, judge):
    """All of the crowd, once."""
    load = world.load(name, proxy.ports, "-c", CONNECTIONS, "-r", RATE_PER_S, "-m", count, "-d", 3600, "-u", USERS, "-z", EXPONENT, "-s", SEED)
    load.wait(600)
    rig.wait_for(lambda: sum(decisions(proxy).values()) == count, "every verdict is in", LATE_S)
    found = Passed(*(collections.Counter() for _ in range(5)), decisions(proxy))
    proxy.stop()
    reader = rig.LogReader()
    denied = denials_in_log(reader, proxy.access_log)
    judge.judge_log(reader)
    for row in load.rows():
        found.statuses[row.status] += 1
        found.asked[row.user] += 1
        found.refused[row.user] += row.status == "429"
        found.in_log[row.user] += row.id in denied
        found.faults["headers of the quota"] += row.limit != "-"
        found.faults["the log says something else"] += (row.status == "429") != (row.id in denied)
    return found


def run_over(world, backend, kind, judge):
    count = world.scaled(REQUESTS)
    store = store_of(world, kind)
    shadow, forced = (pass_by(world, start(world, backend, store, f"{kind}-{mode}", mode), f"{kind}-{mode}", count, judge)
                      for mode in ("shadow", "enforce"))
    denied, refused = sum(shadow.in_log.values()), sum(forced.refused.values())
    judge.equal(f"{kind}, in shadow: answers", dict(shadow.statuses), {"200": count})
    judge.equal(f"{kind}, in shadow: answers with headers of the quota", shadow.faults["headers of the quota"], 0)
    judge.equal(f"{kind}, in shadow: decisions of the quota, as metrics have them", shadow.decisions, {"shadow_allow": count - denied, "shadow_refuse": denied})
    judge.equal(f"{kind}, enforced: answers", dict(forced.statuses), {"200": count - refused, "429": refused})
    judge.equal(f"{kind}, enforced: answers that the log calls something else", forced.faults["the log says something else"], 0)
    judge.equal(f"{kind}, enforced: decisions of the quota, as metrics have them", forced.decisions, {"allow": count - refused, "refuse": refused})
    judge.equal(f"{kind}: the same users have asked as often", forced.asked == shadow.asked, True)
    judge.check(f"{kind}: denials foretold, and denials", f"{denied:,}, {refused:,}", "the same", denied == refused)
    users = set(shadow.asked)
    judge.equal(f"{kind}: users of whom these differ, of {len(users):,}", sum(shadow.in_log[user] != forced.refused[user] for user in users), 0)
    above = {user: max(0, asked - LIMIT) for user, asked in forced.asked.items()}
    judge.equal(f"{kind}: users of whom they are not what was asked above the limit", sum(forced.refused[user] != above[user] for user in users), 0)
    some = sum(forced.refused[user] > 0 for user in users)
    judge.check(f"{kind}: users with denials, and without", f"{some:,}, {len(users) - some:,}", "≥ 100 each",
                world.is_short or min(some, len(users) - some) >= 100)


def run(world, judge):
    backend = world.backend()
    for kind in STORES:
        run_over(world, backend, kind, judge)
    judge.note(f"{REQUESTS:,} requests each time, {RATE_PER_S:,} a second from {CONNECTIONS} connections in the order of one seed; the k-th of {USERS:,} users "
               f"asks as 1/k^{EXPONENT}, and has {LIMIT} requests a day.  Which of a user's requests are denied may differ, for they come on many connections "
               "at once; how many may not.")
