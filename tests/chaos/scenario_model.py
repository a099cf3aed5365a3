# SPDX-License-Identifier: Apache-2.0
"""The simulation of leases beside the real thing: the same requests at the same moments, to one, two and four proxies."""
import collections
import sys
import time

from harness.configs import forward

import rig

sys.path.insert(0, str(rig.ROOT / "tests" / "simulation"))
from arrivals import Trace  # noqa: E402
from lease_model import Model  # noqa: E402

PAGE = rig.ROOT / "docs" / "fleet.md"
WINDOW_S, WINDOWS, SEED = 10, 4, 20261128  # the first is not judged: rates are learned there
ROWS = ((10_000, 2), (10_000, 0.5), (200, 2))  # limit of a window, demand as a multiple of it
CONNECTIONS = 8
DAY = 2_000_000_000
ADMITTED_PART, OPERATIONS_PART, OPERATIONS_LEAST = 0.001, 0.15, 4


def real(world, backend, proxies_count, limit, times):
    """([admitted in each window], [operations in each], arrivals of each proxy, round trip)"""
    name = f"m{proxies_count}-{limit}-{times}"
    redis = world.redis()
    config = forward(backend, workers=2, **rig.USERS,
                     quotas={"user": {"key": ["user"], "limits": {f"{WINDOW_S} seconds": limit, "day": DAY}, "on_failure": "deny"}},
                     store={"type": "redis", "servers": [redis.address], "decision_timeout": "2s", "command_timeout": "5s", "fleet_size": proxies_count})
    proxies = [world.proxy(config, f"{name}-{n}") for n in range(proxies_count)]
    for proxy in proxies:
        rig.wait_for(lambda p=proxy: rig.counts_in_redis(p), "the proxy counts in Redis")
    time.sleep(2.5)  # every proxy has heard a heartbeat of all
    begin = int(time.time() // WINDOW_S * WINDOW_S) + WINDOW_S
    end = begin + WINDOW_S * WINDOWS
    load = world.load(name, [proxy.ports[0] for proxy in proxies], "-c", CONNECTIONS, "-r", limit * times / WINDOW_S, "-d", end - time.time(), "-s", SEED)
    counts = []
    for number in range(WINDOWS + 1):
        time.sleep(max(0, begin + number * WINDOW_S - time.time()))
        counts.append(rig.operations(redis))
    load.wait()
    for proxy in proxies:
        proxy.stop()
    admitted, waits = collections.Counter(), []
    for proxy in proxies:
        for line in rig.LogReader().read(proxy.access_log):
            entry = rig.window_of(line, "user", f"{WINDOW_S} second")
            if line["status"] == 200 and entry and entry["limit"] == limit:
                admitted[entry["start"]] += 1
            if entry and entry.get("source") == "store":
                waits.append(line["t_store"])
    arrivals = collections.defaultdict(list)
    for row in load.rows():
        arrivals[row.port].append(int(row.sent_us) / 1e6 - begin)
    redis.stop()
    traces = [sorted(at for at in arrivals[str(proxy.ports[0])] if at >= 0) for proxy in proxies]
    operations = [b - a for a, b in zip(counts, counts[1:])]
    return [admitted[begin + n * WINDOW_S] for n in range(WINDOWS)], operations, traces, sorted(waits)[len(waits) // 2] / 1e6


def run(world, judge):
    backend = world.backend()
    for limit, times in ROWS:
        for count in (1, 2, 4):
            admitted, operations, traces, round_trip_s = real(world, backend, count, limit, times)
            model = Model(limit, WINDOW_S, [Trace(trace) for trace in traces], round_trip_s, fleet=count)
            told = model.run(WINDOWS)[1:]
            admitted, operations = admitted[1:], operations[1:]
            what = f"{count} prox{'y' if count == 1 else 'ies'}, {limit:,} in {WINDOW_S} s, demand {times:g} ×"
            simulated = [window["admitted"] for window in told]
            slack = max(1, round(limit * ADMITTED_PART))
            judge.check(f"{what}: admitted, simulated", f"{rig.text_of(admitted)}; {rig.text_of(simulated)}", f"within {slack:,}",
                        all(abs(a - b) <= slack for a, b in zip(admitted, simulated)))
            if times > 1:
                judge.check(f"{what}: limit not used, simulated", f"{rig.text_of([limit - a for a in admitted])}; {rig.text_of([w['unused'] for w in told])}",
                            f"within {slack:,}", all(abs(limit - a - w["unused"]) <= slack for a, w in zip(admitted, told)))
            total, expected = sum(operations), sum(window["operations"] for window in told)
            slack = max(OPERATIONS_LEAST * len(told), round(OPERATIONS_PART * expected))
            judge.check(f"{what}: operations, simulated", f"{total:,} ({rig.text_of(operations)}); {expected:,}", f"within {slack:,}",
                        abs(total - expected) <= slack)
    judge.note(f"The moments at which the load generator sent its requests are what the simulation is given, and the median time of an answer of Redis as its "
               f"round trip; {WINDOWS - 1} windows of {WINDOW_S} s are compared, behind one in which rates are learned.")
