# SPDX-License-Identifier: Apache-2.0
"""Thousands of clients hold heads, bodies and responses as long as they can (slowhttptest): they are cut on time, nobody else notices."""
import collections
import resource
import shutil
import subprocess
import threading
import time

from harness.configs import forward
from harness.slow import Attackers

import rig
from large import Large

SECONDS, BASELINE_S = 60, 15
RUN_S = 25  # of one slowhttptest; the slow reader does not notice that it was cut
RATE_PER_S, CONNECTIONS = 200, 16
HEADER_S, GRACE_S, STALL_S = 10, 5, 10
LATE_S = 1.0
EARLIEST_S = {"header": HEADER_S, "body": GRACE_S}
MEMORY_MAX_KIB = 64 * 1024
KEPT_MAX_KIB = 16 * 1024  # free lists (256 exchanges a worker, every connection object) and the gaps between them
LARGE, LARGE_BYTES = "/large", 32 << 20
# class -> (connections of slowhttptest, its options, own attackers)
CLASSES = {
    "header": (2000, ["-H", "-i", "3", "-r", "500"], {"header": 40}),
    "body": (500, ["-B", "-i", "2", "-r", "250", "-s", "65536"], {"body": 40}),
    "read": (500, ["-X", "-r", "250", "-n", "1", "-z", "5", "-w", "512", "-y", "1024"], {"stall": 20, "trickle": 20}),
}
ENDS = {"header_timeout": "header", "body_timeout": "body", "write_stall": "read", "slow_read": "read"}
OWN_SOURCE = "127.0.0.2"  # by it the log tells own attackers from slowhttptest


class Slowhttptest(threading.Thread):
    """It opens its connections once; so it is started again and again until the time is over."""

    def __init__(self, folder, name, url, until):
        super().__init__(daemon=True)
        self.folder, self.name_, self.url, self.until = folder, name, url, until
        self.count, self.options, _ = CLASSES[name]
        self.runs, self.exits, self.process = 0, [], None
        self.start()

    def run(self):
        while (left := self.until - time.monotonic()) > 2:
            with open(self.folder / f"slowhttptest-{self.name_}-{self.runs}", "wb") as out:
                url = self.url + (LARGE if self.name_ == "read" else "/")
                self.process = subprocess.Popen(["slowhttptest", *self.options, "-c", str(self.count), "-l", str(min(RUN_S, int(left))), "-p", "5",
                                                 "-u", url], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
                self.runs += 1
                self.exits.append(self.process.wait())

    def kill(self):
        self.until = 0
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        self.join(10)


class Curve(threading.Thread):
    """Memory and descriptors of the serving process, each half second."""

    def __init__(self, proxy):
        super().__init__(daemon=True)
        self.proxy, self.rows, self.is_over = proxy, [], False
        self.begin = time.monotonic()
        self.start()

    def run(self):
        while not self.is_over:
            self.rows.append((time.monotonic() - self.begin, self.proxy.memory_kib(), self.proxy.descriptors()))
            time.sleep(0.5)

    def stop(self):
        self.is_over = True
        self.join()
        return self.rows


def good_client(world, proxy, name, seconds):
    return world.load(name, proxy.ports, "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", seconds, "-n", 250, "-s", 20260107)


def judge_good(load, name, judge):
    totals = load.wait(SECONDS + 60)
    statuses, waits = collections.Counter(), []
    for row in load.rows():
        statuses[row.status] += 1
        waits.append(int(row.latency_us))
    waits.sort()
    judge.check(f"{name}: answers", rig.text_of(dict(statuses)), "only 200", set(statuses) == {"200"})
    judge.at_least(f"{name}: requests", len(waits), int(RATE_PER_S * (BASELINE_S if name == "before" else SECONDS) * 0.8))
    judge.tell(f"{name}: connections", f"{totals['connects']:,}")
    judge.tell(f"{name}: p50, p99, slowest", f"{rig.percentile(waits, 0.5) / 1000:.1f}, {rig.percentile(waits, 0.99) / 1000:.1f}, "
                                             f"{waits[-1] / 1000:.1f} ms")


def deadline_s(kind, line):
    """When this one was due, from the first byte of its request."""
    if kind == "header":
        return HEADER_S
    if kind == "body":  # bytes_in has the head too, half a kilobyte at most
        return GRACE_S + line["bytes_in"] / 1024
    return None


def spread(values):
    values = sorted(values)
    return f"{values[0]:.2f}, {rig.percentile(values, 0.5):.2f}, {rig.percentile(values, 0.99):.2f}, {values[-1]:.2f} s" if values else "-"


def read_log(proxy, judge):
    """{(is own, class): [t_total]} of what was cut."""
    reader, ends, cut, late = rig.LogReader(), collections.Counter(), collections.defaultdict(list), collections.Counter()
    for line in reader.read(proxy.access_log):
        ends[line["end"]] += 1
        kind = ENDS.get(line["end"])
        if kind is None:
            continue
        seconds = line["t_total"] / 1e6
        cut[line["client_ip"] == OWN_SOURCE, kind].append(seconds)
        due = deadline_s(kind, line)
        if due is not None and not EARLIEST_S[kind] <= seconds <= due + LATE_S:
            late[kind] += 1
    judge.judge_log(reader)
    judge.tell("ends in the log", rig.text_of(dict(ends)))
    for kind in ("header", "body"):
        judge.equal(f"{kind}: not within {LATE_S:.0f} s after the deadline, by the log", late[kind], 0)
    return cut


def judge_own(cuts, cut, judge):
    """What own attackers saw, and that each has its line."""
    by_kind = collections.defaultdict(list)
    for one in cuts:
        by_kind[one.kind].append(one)
    bounds = {"header": HEADER_S, "body": GRACE_S + 0.02, "stall": STALL_S, "trickle": STALL_S}
    for kind, due in bounds.items():
        seconds = [one.seconds for one in by_kind[kind]]
        how = collections.Counter(one.how for one in by_kind[kind])
        is_good = "held" not in how and max(seconds) <= due + LATE_S
        judge.check(f"own {kind}: cut after (least, median, 99 %, most)", f"{rig.text_of(dict(how))}; {spread(seconds)}",
                    f"all cut, ≤ {due + LATE_S:.1f} s", is_good)
    judge.equal("own attackers and their log lines: header, body, read",
                [len(cut[True, kind]) for kind in CLASSES], [sum(CLASSES[kind][2].values()) for kind in CLASSES])


def judge_memory(rows, proxy, before, judge):
    base_kib, base_anon_kib, base_fds = before
    judge.at_most("memory of the serving process, growth", max(row[1] for row in rows) - base_kib, MEMORY_MAX_KIB, " KiB")
    step = max(1, len(rows) // 14)
    judge.tell("memory curve", ", ".join(f"{at:.0f} s: {kib / 1024:.1f} MiB" for at, kib, _ in rows[::step]))
    judge.tell("descriptors, most", f"{max(row[2] for row in rows):,}")
    rig.wait_for(lambda: proxy.descriptors() <= base_fds + 2, f"descriptors are {base_fds} again", 30)
    judge.check("descriptors before and afterwards", f"{base_fds}, {proxy.descriptors()}", f"≤ {base_fds + 2}", True)
    try:  # within two looks of main_memory
        rig.wait_for(lambda: proxy.memory_kib("RssAnon") - base_anon_kib <= KEPT_MAX_KIB, "memory is given back", 25)
    except AssertionError:
        pass
    after_kib = proxy.memory_kib("RssAnon")
    judge.check("anonymous memory before and afterwards", f"{base_anon_kib:,} KiB, {after_kib:,} KiB", f"≤ +{KEPT_MAX_KIB:,} KiB",
                after_kib - base_anon_kib <= KEPT_MAX_KIB)


def run(world, judge):
    if shutil.which("slowhttptest") is None:
        raise RuntimeError("scripts/install-packages chaos brings slowhttptest")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    backend, large = world.backend(), world.keep(Large(LARGE_BYTES), Large.stop)
    limits = {"header_timeout": f"{HEADER_S}s", "body_grace": f"{GRACE_S}s", "write_stall": f"{STALL_S}s"}
    config = forward(backend, limits=limits)
    config["upstreams"]["large"] = {"servers": [large.address]}
    config["routes"].insert(0, {"name": "large", "prefix": LARGE, "upstream": "large"})
    proxy = world.proxy(config)
    judge_good(good_client(world, proxy, "before", BASELINE_S), "before", judge)
    rig.wait_for(lambda: len(proxy.connected_sockets()) <= CONNECTIONS * 2, "the good client's connections are closed")
    before, child = (proxy.memory_kib(), proxy.memory_kib("RssAnon"), proxy.descriptors()), proxy.child
    curve, until = Curve(proxy), time.monotonic() + SECONDS
    attacks = [world.keep(Slowhttptest(world.folder, name, proxy.url, until), Slowhttptest.kill) for name in CLASSES]
    own = [Attackers(proxy.address, counts, OWN_SOURCE, large_path=LARGE) for _, _, counts in CLASSES.values()]
    judge_good(good_client(world, proxy, "attacked", SECONDS), "attacked", judge)
    for attack in attacks:
        attack.kill()
    cuts = [cut for attackers in own for cut in attackers.wait(STALL_S * 4)]
    rows = curve.stop()
    judge_memory(rows, proxy, before, judge)
    judge.equal("the same child serves", proxy.child == child, True)
    proxy.stop()
    cut = read_log(proxy, judge)
    judge_own(cuts, cut, judge)
    for attack in attacks:
        seconds = cut[False, attack.name_]
        judge.check(f"slowhttptest {attack.name_}: cut in {attack.runs} runs of {attack.count:,}; after (least, median, 99 %, most)",
                    f"{len(seconds):,}; {spread(seconds)}", f"≥ {attack.count:,}", len(seconds) >= attack.count)
    judge.note(f"header_timeout {HEADER_S} s, body_grace {GRACE_S} s with body_min_rate 1 KiB/s, write_stall {STALL_S} s; {RATE_PER_S} requests a second, a "
               f"quarter of them on connections of their own.  slowhttptest: " +
               "; ".join(f"`-c {count} {' '.join(options)}`" for count, options, _ in CLASSES.values()) + ", each started again while the time lasts.")
    judge.note("Slow readers are judged by own ones, from when their kernel last took a byte: the log does not have that, so slowhttptest's readers show "
               "only that they are cut.  Requests that a busy machine's load generator did not get to are missing, not failed.")
