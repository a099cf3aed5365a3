# SPDX-License-Identifier: Apache-2.0
"""What a subject and a lease cost: memory of Redis and of a proxy, processor time of Redis."""
import time

from harness.configs import forward

import rig

PAGE = rig.ROOT / "docs" / "fleet.md"
SEED = 20261128
USERS, CONNECTIONS, SECONDS = 300_000, 64, 40
WINDOWS = {"one window": {"minute": 1000}, "three windows": {"minute": 1000, "hour": 20_000, "day": 200_000}}
DECISIONS_PER_S, SUBJECTS = 1_000_000, 100_000_000
LOAD_PART, SPARE_PART = 0.6, 0.25  # of a core that is planned with; of memory, for fragments and buffers


def cpu_s(redis):
    info = redis.client.info("cpu")
    return info["used_cpu_user"] + info["used_cpu_sys"]


def calls(redis):
    """(scripts, microseconds in them)"""
    stats = redis.client.info("commandstats")
    rows = [stats.get(f"cmdstat_{name}", {"calls": 0, "usec": 0}) for name in ("eval", "evalsha")]
    return sum(row["calls"] for row in rows), sum(row["usec"] for row in rows)


def measure(world, judge, backend, name, limits, accuracy):
    redis = world.redis()
    config = forward(backend, workers=1, **rig.USERS, log={"access": "off"},
                     quotas={"user": {"key": ["user"], "limits": limits, "accuracy": accuracy}},
                     store={"type": "redis", "servers": [redis.address], "decision_timeout": "2s", "command_timeout": "5s", "fleet_size": 1})
    proxy = world.proxy(config, name.replace(" ", "-") + accuracy)
    rig.wait_for(lambda: redis.client.exists("sluice:proxies") or redis.client.dbsize(), "the proxy greets Redis")
    load = world.load(name, proxy.ports, "-c", CONNECTIONS, "-d", 3, "-u", 64, "-s", SEED)
    load.wait()
    keys, memory, kib = redis.client.dbsize(), redis.client.info("memory")["used_memory"], proxy.memory_kib()
    before, (scripts, script_us) = cpu_s(redis), calls(redis)
    load = world.load(name, proxy.ports, "-c", CONNECTIONS, "-d", SECONDS, "-u", USERS, "-s", SEED)
    totals = load.wait()
    spent_s, (scripts_after, script_us_after) = cpu_s(redis) - before, calls(redis)
    scripts, script_us = scripts_after - scripts, script_us_after - script_us
    subjects = redis.client.dbsize() - keys
    bytes_each = (redis.client.info("memory")["used_memory"] - memory) / subjects
    proxy_bytes = (proxy.memory_kib() - kib) * 1024 / subjects
    proxy.stop()
    redis.stop()
    what = f"{name}, {accuracy}"
    judge.tell(f"{what}: requests, scripts, subjects", f"{totals['answered']:,}, {scripts:,}, {subjects:,}")
    judge.tell(f"{what}: bytes of Redis for each subject", f"{bytes_each:.0f}")
    judge.tell(f"{what}: bytes of the proxy for each subject", f"{proxy_bytes:.0f}")
    judge.tell(f"{what}: processor time of Redis for each script; from its begin to its end", f"{spent_s / scripts * 1e6:.1f} µs, {script_us / scripts:.1f} µs")
    return bytes_each, spent_s / scripts, proxy_bytes


def run(world, judge):
    backend = world.backend()
    found = {}
    for name, limits in WINDOWS.items():
        for accuracy in ("leased", "exact"):
            found[name, accuracy] = measure(world, judge, backend, name, limits, accuracy)
            time.sleep(0.1)
    bytes_each, script_s, proxy_bytes = found["three windows", "leased"]
    per_core = LOAD_PART / script_s
    memory_gb = SUBJECTS * bytes_each * (1 + SPARE_PART) / 1e9
    judge.tell(f"scripts a second of a core that is {LOAD_PART:.0%} busy", f"{per_core:,.0f}")
    judge.tell(f"{SUBJECTS:,} subjects with three windows, {SPARE_PART:.0%} to spare: memory of Redis", f"{memory_gb:.1f} GB")
    judge.tell(f"{DECISIONS_PER_S:,} decisions a second, each of which asks: cores of Redis", f"{DECISIONS_PER_S / per_core:.1f}")
    judge.tell("a million subjects with leases: memory of a proxy", f"{proxy_bytes * 1e6 / 1e6:.0f} MB")
    judge.note(f"One proxy with one worker, flat out from {CONNECTIONS} connections, {USERS:,} users at random; seed {SEED}.  Bytes of the proxy are of what became "
               "resident: its tables have their place from the start.")
