# SPDX-License-Identifier: Apache-2.0
"""Redis is flushed, emptied of scripts, restarted and killed under load: nobody sees a 5xx, the counts go on."""
import collections
import time

from harness.configs import forward

import rig

RATE_PER_S, CONNECTIONS = 800, 32
LIMIT = 1_000_000_000
GAP_S = 3


def restart(redis):
    redis.kill()
    redis.start()


def away_for_two_seconds(redis):
    redis.kill()
    time.sleep(2)
    redis.start()


def stand_still(redis):
    redis.pause()
    time.sleep(1)
    redis.resume()


def is_full(redis):
    redis.client.config_set("maxmemory", "1")
    time.sleep(1)
    redis.client.config_set("maxmemory", "0")


INCIDENTS = (
    ("SCRIPT FLUSH", lambda redis: redis.client.script_flush()),
    ("FLUSHALL", lambda redis: redis.client.flushall()),
    ("SCRIPT FLUSH and FLUSHALL", lambda redis: (redis.client.script_flush(), redis.client.flushall())),
    ("CLIENT KILL of all", lambda redis: redis.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")),
    ("kill -9, started empty", restart),
    ("kill -9, away for 2 s, started empty", away_for_two_seconds),
    ("out of memory for 1 s", is_full),
    ("stopped for 1 s", stand_still),
    ("CLIENT PAUSE of 600 ms", lambda redis: redis.client.client_pause(600)),
    ("kill -9 once more", restart),
)


def used_today(redis):
    return sum(windows[86400][1] for windows in rig.stored_windows(redis).values())


def run(world, judge):
    backend, redis = world.backend(), world.redis()
    config = forward(backend, quotas={"user": {"key": ["user"], "limits": {"day": LIMIT}, "accuracy": "exact"}}, **rig.USERS,
                     store={"type": "redis", "servers": [redis.address], "fleet_size": 2})
    proxies = [world.proxy(config, name) for name in ("one", "two")]
    children = [proxy.child for proxy in proxies]
    for proxy in proxies:
        rig.wait_for(lambda p=proxy: rig.counts_in_redis(p), "the proxy counts in Redis")
    redis.client.flushall()
    load = world.load("store", [proxy.ports[0] for proxy in proxies], "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", 3600, "-s", 20260106)
    time.sleep(GAP_S)
    for what, happen in INCIDENTS:
        before = used_today(redis)
        happen(redis)
        begin = time.monotonic()
        time.sleep(GAP_S)
        for proxy in proxies:
            rig.wait_for(lambda p=proxy: rig.counts_in_redis(p), "the proxy counts in Redis")
        after = used_today(redis)
        judge.check(f"used before {what} and {time.monotonic() - begin:.0f} s after", f"{before:,}, {after:,}", "goes on", after > before)
    load.stop()
    time.sleep(2)
    used, without = used_today(redis), rig.keys_without_ttl(redis)
    judge.equal("the same children serve", [proxy.child for proxy in proxies] == children, True)
    for proxy in proxies:
        proxy.stop()
    statuses = collections.Counter(row.status for row in load.rows())
    judge.check("answers", rig.text_of(dict(statuses)), "only 200", set(statuses) == {"200"})
    charged = 0
    for proxy in proxies:
        reader, sources = rig.LogReader(), collections.Counter()
        for line in reader.read(proxy.access_log):
            entry = rig.window_of(line, "user", "day")
            sources[f"{line['decision']}/{entry.get('source', 'none')}"] += 1
            charged += line["status"] == 200
        judge.judge_log(reader)
        judge.tell("decisions", rig.text_of(dict(sources)))
        for event in ("store_lost", "store_back"):
            said = sum(line["event"] == event for line in reader.events)
            judge.check(f"events {event}", said, "≥ 1", said >= 1)
    slack = 2 * CONNECTIONS * len(INCIDENTS)
    judge.check("used in Redis at the end, answered 200 in the logs", f"{used:,}, {charged:,} ({used - charged:+,})",
                f"within {slack} (in flight at an incident)", abs(used - charged) <= slack)
    judge.equal("keys without TTL", len(without), 0)
