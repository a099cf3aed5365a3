# SPDX-License-Identifier: Apache-2.0
"""The soak; see soak_options.py."""
import collections
import os
import signal
import statistics
import subprocess
import time
import traceback
import urllib.request
from datetime import datetime

import report
import rig
from harness.configs import forward
from harness.proxy import BINARY, environment

PAGE = rig.ROOT / "docs" / "soak.md"
RATE_PER_S, CONNECTIONS, USERS = 400, 64, 400
LIMIT = 200             # a minute and user: only the hot one, with 100 requests a second, is over it
HOT_PERMILLE = 258      # so that a quarter is refused
RELOAD_S, ROTATE_S, REDIS_S, UPSTREAM_S = 30, 60, 300, 420
AWAY_S = 2
SAMPLE_S = 5
EXPLAINED = {"502", "cut"}          # what a killed server costs
LATE_S = 1.5                        # after its return a server is left alone for a second
IN_FLIGHT_S = 0.3
GROWTH_MAX = 1.05


class Log:
    """The parts of the rotated access log, judged as they are finished."""

    def __init__(self, proxy):
        self.proxy, self.reader, self.parts = proxy, rig.LogReader(), 0
        self.statuses, self.ends, self.decisions = collections.Counter(), collections.Counter(), collections.Counter()
        self.errors = []                            # (when, status, end) of 5xx
        self.charged = collections.Counter()        # (subject, window start) -> charges
        self.hot = collections.Counter()            # window start -> the most that one subject was charged

    def rotate(self):
        part = self.proxy.folder / f"part{self.parts}"
        self.parts += 1
        os.rename(self.proxy.access_log, part)
        self.proxy.signal(signal.SIGUSR1)
        rig.wait_for(self.proxy.access_log.exists, "the log file is there again")
        time.sleep(0.5)
        self.read(part)
        part.unlink()

    def read(self, path):
        for line in self.reader.read(path):
            if line.get("host") == "test.local":  # asked by us, not by the load
                continue
            status = line.get("status", 0)
            self.statuses[status] += 1
            self.ends[line["end"]] += 1
            self.decisions[line["decision"]] += 1
            if status >= 500:
                self.errors.append((line["ts"], status, line["end"]))
            entry = rig.window_of(line, "user", "minute")
            if entry and entry["charged"]:
                self.charged[line["subjects"]["user"], entry.get("start", 0)] += 1
        newest = max((start for _, start in self.charged), default=0)
        for key in [key for key in self.charged if key[1] < newest - 60]:
            self.hot[key[1]] = max(self.hot[key[1]], self.charged.pop(key))

    def finish(self):
        self.read(self.proxy.access_log)
        for (_, start), count in self.charged.items():
            self.hot[start] = max(self.hot[start], count)


class Faults:
    """What happens when; each action is done in the caller's thread."""

    def __init__(self, proxy, redis, backends, log):
        self.proxy, self.redis, self.backends, self.log = proxy, redis, backends, log
        self.count = collections.Counter()
        self.redis_at, self.outages = [], []  # when it was killed; (from, to) of servers
        now = time.monotonic()
        self.due = {"reload": now + RELOAD_S, "rotate": now + ROTATE_S, "redis": now + REDIS_S, "upstream": now + UPSTREAM_S}
        self.every = {"reload": RELOAD_S, "rotate": ROTATE_S, "redis": REDIS_S, "upstream": UPSTREAM_S}

    def run_due(self):
        for name, due in self.due.items():
            if time.monotonic() >= due:
                self.due[name] += self.every[name]
                self.count[name] += 1
                getattr(self, "do_" + name)(self.count[name])

    def do_reload(self, turn):
        config = {**self.proxy.config, "limits": {"keepalive": f"{60 + turn % 5}s"}}
        self.proxy.write_config(config)
        done = subprocess.run([BINARY, "reload", "-c", str(self.proxy.file)], cwd=self.proxy.folder, capture_output=True, text=True,
                              env=environment(self.proxy.folder, rig.SECRETS), stdin=subprocess.DEVNULL, timeout=30, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def do_rotate(self, _):
        self.log.rotate()

    def do_redis(self, _):
        self.redis_at.append(time.time())
        self.redis.kill()
        self.redis.start()

    def do_upstream(self, _):
        for killed in (self.backends[:1], self.backends):
            begin = time.time()
            for backend in killed:
                backend.kill()
            time.sleep(AWAY_S)
            for backend in killed:
                backend.start()
            # While one server stands, only what was in flight on the other may break.
            self.outages.append((begin, time.time() + LATE_S if killed == self.backends else begin + IN_FLIGHT_S))
            time.sleep(5)

    def explains(self, begin_s, end_s):
        """Something of the time lies in an outage of the servers."""
        return any(begin_s < to and end_s > since for since, to in self.outages)


def configuration(redis, backends):
    return forward(*backends, quotas={"user": {"key": ["user"], "limits": {"minute": LIMIT, "day": 1_000_000_000}}}, **rig.USERS,
                   store={"type": "redis", "servers": [redis.address], "fleet_size": 1},
                   admin={"address": "unix:admin.sock", "metrics": f"127.0.0.1:{rig.take_port()}"})


def metric(proxy, name):
    text = urllib.request.urlopen(f"http://{proxy.config['admin']['metrics']}/metrics", timeout=10).read().decode()
    return next(float(line.split()[-1]) for line in text.splitlines() if line.split(" ")[0] == f"sluice_{name}")


def judge_answers(load, faults, judge):
    statuses, unexplained, answered, aborted = collections.Counter(), collections.Counter(), 0, 0
    for row in load.rows():
        statuses[row.status] += 1
        answered += row.status.isdigit()
        aborted += row.status == "aborted"
        if row.status in ("200", "429", "aborted"):
            continue
        sent_s = int(row.sent_us) / 1e6
        if row.status not in EXPLAINED or not faults.explains(sent_s, sent_s + int(row.latency_us) / 1e6):
            unexplained[row.status] += 1
    judge.tell("answers", rig.text_of(dict(statuses)))
    judge.check("answers that nothing explains", rig.text_of(dict(unexplained)), "none", not unexplained)
    refused = statuses["429"] / max(1, answered)
    judge.check("refused", f"{refused * 100:.1f} %", "20 to 30 %", 0.2 <= refused <= 0.3)
    return answered, aborted


def judge_log(log, faults, answered, aborted, judge):
    at = [datetime.fromisoformat(ts.replace("Z", "+00:00")).timestamp() for ts, *_ in log.errors]
    unexplained = [error for error, when in zip(log.errors, at) if not faults.explains(when - 0.5, when)]
    judge.tell("ends in the log", rig.text_of(dict(log.ends)))
    judge.tell("decisions in the log", rig.text_of(dict(log.decisions)))
    judge.check("5xx in the log", f"{len(log.errors)}, unexplained {unexplained[:5] or 'none'}", "unexplained none", not unexplained)
    lines = sum(log.ends.values())
    judge.check("request lines", f"{lines:,}", f"{answered:,} answered, up to {aborted:,} given up",
                answered <= lines <= answered + aborted)
    judge.judge_log(log.reader)
    whole = sorted(log.hot)[1:-1]
    calm = [start for start in whole if not any(start - 5 <= at <= start + 65 for at in faults.redis_at)
            and not any(start - 5 <= to and since <= start + 65 for since, to in faults.outages)]
    judge.at_most(f"most that one user was charged in any of {len(log.hot)} minutes", max(log.hot.values()), LIMIT)
    judge.check(f"the hot user in {len(calm)} whole minutes without a fault", rig.text_of(sorted({log.hot[s] for s in calm})), f"{LIMIT} in each",
                all(log.hot[start] == LIMIT for start in calm))


def judge_sizes(samples, before, after, judge):
    quarter = len(samples) // 4
    rss = [kib for _, kib, _ in samples]
    early, late = statistics.median(rss[quarter:2 * quarter]), statistics.median(rss[-quarter:])
    slope = statistics.linear_regression([at / 3600 for at, *_ in samples[quarter:]], rss[quarter:]).slope
    judge.check("VmRSS: second quarter, last quarter, slope", f"{early:,.0f} KiB, {late:,.0f} KiB, {slope:+,.0f} KiB an hour",
                f"≤ +{(GROWTH_MAX - 1) * 100:.0f} %", late <= early * GROWTH_MAX)
    judge.tell("descriptors under load", f"{min(fds for *_, fds in samples[1:])} to {max(fds for *_, fds in samples[1:])}")
    judge.equal("descriptors before and after", after, before)


def run(world, judge, minutes):
    backends, redis = [world.backend(), world.backend()], world.redis()
    proxy = world.proxy(configuration(redis, backends))
    child, log = proxy.child, Log(proxy)
    rig.wait_for(lambda: rig.counts_in_redis(proxy), "the proxy counts in Redis")
    time.sleep(6)  # pooled connections of the questions are gone
    before = proxy.descriptors()
    load = world.load("soak", proxy.ports, "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", 10 * minutes * 60, "-s", 20260107, "-u", USERS,
                      "-k", HOT_PERMILLE, "-b", 65536, "-w", 200, "-x", 200, "-a", 10)
    faults = Faults(proxy, redis, backends, log)
    begin = time.monotonic()
    samples, cpu = [], proxy.cpu_s()
    while time.monotonic() < begin + minutes * 60:
        faults.run_due()
        samples.append((time.monotonic() - begin, proxy.memory_kib(), proxy.descriptors()))
        time.sleep(SAMPLE_S)
    totals, cpu = load.stop(), proxy.cpu_s() - cpu
    time.sleep(6)
    after = proxy.descriptors()
    open_now = {name: int(metric(proxy, name)) for name in ("connections_open", "exchanges_open", "upstream_idle_connections")}
    judge.equal("the same child serves", proxy.child == child, True)
    judge.tell("faults", rig.text_of(dict(faults.count)))
    judge.tell("requests, CPU time of the serving process each", f"{totals['sent']:,}, {cpu / totals['sent'] * 1e6:.0f} µs")
    judge.check("requests that found no connection free", totals["missed"], "≤ 1 %", totals["missed"] <= totals["sent"] // 100)
    judge.equal("left open when the load was over", open_now, dict.fromkeys(open_now, 0))
    proxy.stop()
    log.finish()
    answered, aborted = judge_answers(load, faults, judge)
    judge_log(log, faults, answered, aborted, judge)
    judge_sizes(samples, before, after, judge)


def main(options):
    world, judge, weather = rig.World("soak"), rig.Judge(f"{options.minutes} minutes"), report.Weather()
    try:
        run(world, judge, options.minutes)
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc()
        judge.check("the soak ran to its end", traceback.format_exc(limit=0).strip().split("\n")[0][:200], "yes", False)
    finally:
        judge.note(f"The machine meanwhile: {weather.stop()}.")
        world.end(options.keep)
    report.print_table(judge)
    if options.keep:
        print(f"  files: {world.folder}")
    if options.write:
        report.write_section(PAGE, "soak", report.section(judge, f"scripts/soak {options.minutes}", options.build, ""))
    print(f"soak: {'kept' if judge.is_kept else 'BROKEN'}")
    return 0 if judge.is_kept else 1
