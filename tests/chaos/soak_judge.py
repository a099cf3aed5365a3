# SPDX-License-Identifier: Apache-2.0
"""What must be true when the soak is over: of answers, of the log, of what was held, of who was there beside the load."""
import collections
import statistics

import event_streams
import log_tools
import rig
from soak_world import LIMIT, PLAIN

EXPLAINED = {"502", "cut"}          # what a killed server costs
GROWTH_MAX = 1.03
OVER_MAX = 0.03                     # what proxies held when a Redis or a program ended may be counted and never spent
SLOPE_MAX_KIB_PER_H, LONG_S = 1024, 1200
CURVE_POINTS = 10
SAMPLES_LEAST = 60                  # a program that served for less time is not judged alone


def judge_answers(load, faults, judge):
    """(answered, given up)"""
    found, unexplained, answered, aborted = collections.Counter(), collections.Counter(), 0, 0
    for row in load.rows():
        found[row.status] += 1
        answered += row.status.isdigit()
        aborted += row.status == "aborted"
        if row.status in ("200", "429", "aborted"):
            continue
        sent_s = int(row.sent_us) / 1e6
        if row.status not in EXPLAINED or not faults.explains(sent_s, sent_s + int(row.latency_us) / 1e6):
            unexplained[row.status] += 1
    judge.tell("answers", rig.text_of(dict(found)))
    judge.check("answers that nothing explains", rig.text_of(dict(unexplained)), "none", not unexplained)
    refused = found["429"] / max(1, answered)
    judge.check("refused", f"{refused * 100:.1f} %", "20 to 30 %", 0.2 <= refused <= 0.3)
    return answered, aborted


def judge_visitors(visitors, faults, judge):
    for name, visitor in visitors.items():
        left = [(when, what) for when, what in visitor.faults if not (what == "status 502" and faults.explains(when - 0.5, when))]
        judge.check(f"{name}: faults", f"{len(left)}{f': {left[0][1]}' if left else ''} ({rig.text_of(dict(visitor.seen))})", "none", not left)
    judge.equal("malformed requests: answers", set(visitors["malformed"].seen), {"400"})
    judge_streams(visitors["streams"], judge)


def judge_streams(streams, judge):
    """Every event, in order.  Events come as soon as a worker gets to them, so that none is late tells that none of them ever stood still."""
    through = [said["groups"][0] for said in streams.said]
    events = sum(group["delays"]["count"] for group in through)
    judge.check("streams: events", f"{events:,}", f"{streams.expected:,} ± 1 %", abs(events - streams.expected) <= streams.expected / 100)
    judge.equal("streams that ended, or whose events were not 0, 1, 2, ...", sum(group["broken"] for group in through), 0)
    late_ms = max(min(said["excess"], said["groups"][0]["delays"]["max"]) for said in streams.said) / 1000
    slowest_ms = max(group["delays"]["max"] for group in through) / 1000
    judge.check("a worker stood still: slowest event; at most so much later than the machine was itself in that tenth of a second", f"{slowest_ms:.1f} ms; {late_ms:.1f} ms",
                f"one of them ≤ {event_streams.DELAY_MAX_MS} ms", late_ms <= event_streams.DELAY_MAX_MS)


def judge_reads(reads, judge):
    judge.check("reads: answers", rig.text_of(dict(reads.count)), "no fault", not reads.faults)
    for when, verb, what in reads.faults[:5]:
        judge.note(f"A read failed: {verb}, {what} (at {when:.1f}).")
    judge.at_least("lines that `sluice tail` has shown", reads.lines, 1)


# -- the log

class Lines:
    """All lines of all parts, once."""

    def __init__(self, log):
        self.reader = rig.LogReader()
        self.ends, self.decisions, self.others = collections.Counter(), collections.Counter(), collections.Counter()
        self.errors = []                    # (when, status, end, path) of 5xx
        self.charged, self.of_day = collections.Counter(), 0
        for file in log.files:
            for line in self.reader.read(file):
                self._take(line)
        self.hot = collections.Counter()    # window start: the most that one user was charged
        for (_, start), count in self.charged.items():
            self.hot[start] = max(self.hot[start], count)

    def _take(self, line):
        if line.get("status", 0) >= 500:
            self.errors.append((rig.time_of(line), line["status"], line["end"], line.get("path")))
        entry = rig.window_of(line, "user", "minute")
        if entry and entry["charged"]:
            self.charged[line["subjects"]["user"], entry.get("start", 0)] += entry["charged"]
        day = rig.window_of(line, "user", "day")
        if day and day.get("source") in ("store", "lease"):
            self.of_day += day["charged"] - day.get("refunded", 0)
        if line["listener"] != PLAIN or line.get("host") == "test.local":  # asked by us, not by the load
            self.others[line["end"]] += 1
            return
        self.ends[line["end"]] += 1
        self.decisions[line["decision"]] += 1


def judge_log(place, faults, answered, aborted, judge):
    lines = Lines(place.log)
    unexplained = [error for error in lines.errors if not faults.explains(error[0] - 0.5, error[0])]
    judge.tell("ends in the log, of the load; of all others", f"{rig.text_of(dict(lines.ends))}; {rig.text_of(dict(lines.others))}")
    judge.tell("decisions in the log", rig.text_of(dict(lines.decisions)))
    judge.check("5xx in the log", f"{len(lines.errors)}, unexplained {unexplained[:5] or 'none'}", "unexplained none", not unexplained)
    count = sum(lines.ends.values())
    judge.check("request lines of the load", f"{count:,}", f"{answered:,} answered, up to {aborted:,} given up", answered <= count <= answered + aborted)
    judge.judge_log(lines.reader)
    stops = [event for event in lines.reader.events if event["event"] == "stop"]
    judge.check("programs that ended, of them with an error or with somebody unfinished",
                f"{len(stops)}, {sum('failed' in stop or 'unfinished' in stop for stop in stops)}", f"{faults.count['upgrade'] + 1}, 0",
                len(stops) == faults.count["upgrade"] + 1 and not any("failed" in stop or "unfinished" in stop for stop in stops))
    calm = [start for start in sorted(lines.hot)[1:-1] if faults.is_calm(start)]
    judge.at_most(f"most that one user was charged in any of {len(lines.hot)} minutes", max(lines.hot.values()), LIMIT)
    judge.check(f"the hot user in {len(calm)} whole minutes without a fault", rig.text_of(sorted({lines.hot[start] for start in calm})), f"{LIMIT} in each",
                all(lines.hot[start] == LIMIT for start in calm))
    used = place.used_today()
    judge.check("counted in Redis, with all that it was killed", f"{used:,}", f"{lines.of_day:,} by the log, at most {OVER_MAX:.0%} more",
                lines.of_day <= used <= lines.of_day * (1 + OVER_MAX))
    told = log_tools.verify(place.proxy, place.log.files)
    judge.check(f"verify, {told.json['files']} files, {told.json['lines']:,} lines", told.json["verdict"], "clean", told.exit_code == 0)
    if told.exit_code != 0:
        judge.note(f"verify: {log_tools.text_of_fault(told.json)}.")


# -- what was held

def judge_sizes(sizes, before, after, judge):
    for number, samples in enumerate(sizes.of.values(), 1):
        if len(samples) >= SAMPLES_LEAST:
            judge_memory(f"program {number}, {samples[-1][0] - samples[0][0]:,.0f} s", samples, judge)
    rows = [row for samples in sizes.of.values() for row in samples[1:]]
    judge.tell("descriptors under load", f"{min(fds for *_, fds in rows)} to {max(fds for *_, fds in rows)}")
    judge.equal("descriptors and threads before and after", after, before)


def judge_memory(what, samples, judge):
    quarter = len(samples) // 4
    rss = [kib for _, kib, _ in samples]
    curve = [samples[(len(samples) - 1) * n // (CURVE_POINTS - 1)] for n in range(CURVE_POINTS)]
    judge.tell(f"VmRSS of {what}: curve", ", ".join(f"{at - samples[0][0]:,.0f} s: {kib:,}" for at, kib, _ in curve) + " KiB")
    early, late = statistics.median(rss[quarter:2 * quarter]), statistics.median(rss[-quarter:])
    judge.check(f"VmRSS of {what}: second quarter, last quarter", f"{early:,.0f} KiB, {late:,.0f} KiB", f"≤ +{(GROWTH_MAX - 1) * 100:.0f} %", late <= early * GROWTH_MAX)
    # Memory grows to the most that outages need at once, and each may need 100 KiB more than those before: in twelve minutes that is 500 KiB an hour.
    # A leak goes on, so it is looked for in the second half of what served for long.
    warm = [(at / 3600, kib) for at, kib, _ in samples[len(samples) // 2:]]
    if warm and (warm[-1][0] - warm[0][0]) * 3600 >= LONG_S:
        slope = statistics.linear_regression(*zip(*warm)).slope
        judge.check(f"VmRSS of {what}: slope of its second half", f"{slope:+,.0f} KiB an hour", f"≤ {SLOPE_MAX_KIB_PER_H:,} KiB", slope <= SLOPE_MAX_KIB_PER_H)
