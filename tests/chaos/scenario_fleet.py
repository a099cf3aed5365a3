# SPDX-License-Identifier: Apache-2.0
"""Two proxies share one Redis, exactly: over five whole minutes each admits nothing beyond the limit, together they admit all of it."""
import collections
import threading
import time

from harness.configs import forward

import rig

LIMIT = 1000
WINDOWS = 5
CONNECTIONS = 64
RATE_PER_S = 1000  # of both together; flat out around the turn of each minute
TURN_US = 100_000  # the clock is read once a turn of the loop: an answer may be that much younger
HOUR, DAY = 100_000_000, 2_000_000_000  # large enough never to be the binding window


class TtlWatch:
    """Looks at every key of the Redis every few seconds.  Thread: its own."""

    def __init__(self, redis):
        self.redis, self.looks, self.found, self._stop = redis, 0, set(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(2):
            self.found.update(rig.keys_without_ttl(self.redis))
            self.looks += 1

    def stop(self):
        self._stop.set()
        self._thread.join()


def read_logs(proxies, judge):
    """(window start of each request id, admitted by window and start, lines said to be dropped)"""
    dropped, start_of, admitted, decisions = 0, {}, {w: collections.Counter() for w in ("minute", "hour", "day")}, collections.Counter()
    for proxy in proxies:
        reader = rig.LogReader()
        for line in reader.read(proxy.access_log):
            decisions[line["decision"]] += 1
            entries = {e["w"]: e for e in line["quotas"]}
            start_of[line["id"]] = entries["minute"].get("start")
            if line["status"] == 200:
                for window, counter in admitted.items():
                    counter[entries[window].get("start")] += 1
        judge.judge_log(reader, may_drop=True)
        dropped += reader.dropped
    judge.check("decisions in the logs", rig.text_of(dict(decisions)), "only allow and refuse, none without the store",
                set(decisions) <= {"allow", "refuse"})
    return start_of, admitted, dropped


def judge_answers(load, start_of, dropped, judge):
    """Statuses and headers as the clients saw them, classified by the window start of the log."""
    statuses, passed, remaining = collections.Counter(), collections.Counter(), collections.defaultdict(list)
    wrong, early, late, unknown = 0, 0, 0, 0
    for row in load.rows():
        statuses[row.status] += 1
        start = start_of.get(row.id)
        if start is None:
            unknown += 1
            continue
        if row.status == "200":
            passed[start] += 1
            remaining[start].append(int(row.used))
            wrong += (row.limit, row.window, row.retry_after) != (str(LIMIT), "minute", "-")
        elif row.status == "429":
            is_right = (row.limit, row.used, row.window) == (str(LIMIT), "0", "minute") and row.retry_after.isdigit()
            wrong += not is_right
            if is_right:
                end_us, wait_us = (start + 60) * 1_000_000, int(row.retry_after) * 1_000_000
                early += int(row.sent_us) + int(row.latency_us) + wait_us < end_us
                late += int(row.sent_us) + wait_us > end_us + 1_000_000 + TURN_US
    judge.check("answers by status", rig.text_of(dict(statuses)), "only 200 and 429", set(statuses) <= {"200", "429"})
    judge.equal("answers without a log line, as many as were said to be dropped", unknown, dropped)
    judge.equal("answers with a wrong trio or Retry-After missing", wrong, 0)
    judge.equal("Retry-After early", early, 0)
    judge.equal("Retry-After more than a second late", late, 0)
    return passed, remaining


def judge_redis(redis, admitted, last_start, judge):
    values = rig.stored_windows(redis)
    judge.equal("subjects in Redis", len(values), 1)
    stored = next(iter(values.values()))
    for window, period_s in (("minute", 60), ("hour", 3600), ("day", 86400)):
        start, used = stored[period_s]
        judge.equal(f"{window} in Redis against the logs (start {start})", used, admitted[window][start])
    judge.check("the minute that Redis holds", stored[60][0], f"{last_start} or later", stored[60][0] >= last_start)


def run(world, judge):
    backend, redis = world.backend(), world.redis()
    config = forward(backend, **rig.USERS,
                     quotas={"user": {"key": ["user"], "limits": {"minute": LIMIT, "hour": HOUR, "day": DAY}, "accuracy": "exact"}},
                     store={"type": "redis", "servers": [redis.address], "decision_timeout": "2s", "command_timeout": "5s",
                            "fleet_size": 2})
    proxies = [world.proxy(config, name) for name in ("one", "two")]
    if time.time() % 60 > 57:  # let both be connected before the first whole window
        time.sleep(5)
    first = int(time.time() // 60 * 60) + 60
    seconds = first + WINDOWS * 60 + 2 - time.time()
    watch = TtlWatch(redis)
    load = world.load("fleet", [proxy.ports[0] for proxy in proxies], "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", seconds,
                      "-f", "60:200:1000", "-s", 20260101)
    load.wait()
    watch.stop()
    for proxy in proxies:
        proxy.stop()
    start_of, admitted, dropped = read_logs(proxies, judge)
    passed, remaining = judge_answers(load, start_of, dropped, judge)
    full = [first + 60 * n for n in range(WINDOWS)]
    judge.equal(f"answered 200 in each of {WINDOWS} whole minutes", [passed[start] for start in full], [LIMIT] * WINDOWS)
    asked = collections.Counter(start_of.values())
    judge.check("asked in the same minutes", rig.text_of([asked[start] for start in full]), f"> {LIMIT:,} each",
                all(asked[start] > LIMIT for start in full))
    judge.check("X-ratelimit-used of them", "each of 999 ... 0 once" if _counts_down(remaining, full) else "other",
                "each of 999 ... 0 once", _counts_down(remaining, full))
    judge.check("other minutes (begun late or cut off)", rig.text_of({k: v for k, v in passed.items() if k not in full}),
                f"≤ {LIMIT:,} each", all(v <= LIMIT for v in passed.values()))
    judge_redis(redis, admitted, full[-1], judge)
    without = watch.found | set(rig.keys_without_ttl(redis))
    judge.equal(f"keys without TTL in {watch.looks} looks", len(without), 0)


def _counts_down(remaining, full):
    return all(sorted(remaining[start]) == list(range(LIMIT)) for start in full)
