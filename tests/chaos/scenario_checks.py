# SPDX-License-Identifier: Apache-2.0
"""Two hundred runs of `sluice check`, one behind the other, beside a thousand new connections a second: each ends with the right exit code, and neither clients
nor the running service notice."""
import collections
import threading
import time

from harness.configs import forward
from harness.ports import take_port
from harness.proxy import run_verb
from harness.replies import trio_of

import broken_files
import rig

CHECKS, PERIOD_S = 200, 0.15
BROKEN_EACH = 10   # one of so many checks is of a broken file
RATE_PER_S, CONNECTIONS = 1000, 64
LIMIT = 1_000_000_000
LOOK_S = 0.002
GOOD_CODE, BROKEN_CODE = 0, 3
WAYS = ((), ("--json",), ("--dump",))
SEED = 20261201
# What traffic does not change.
STILL = ("config_generation", "config_stale", "config_last_reload_success", "config_last_reload_timestamp_seconds", 'reloads_total{result="applied"}',
         'reloads_total{result="refused"}', "child_restarts_total", "generations_alive", "process_start_time_seconds")


def listeners(ports):
    """Inodes of sockets that listen on these ports.  They stand in front of all others in the kernel's list, which is long under such a load."""
    found = set()
    with open("/proc/net/tcp", encoding="ascii") as file:
        next(file)
        for line in file:
            words = line.split()
            if words[3] != "0A":
                break
            if int(words[1].rsplit(":", 1)[1], 16) in ports:
                found.add(words[9])
    return found


class Watch(threading.Thread):
    """Looks again and again for who listens on the ports of the configuration."""

    def __init__(self, ports):
        super().__init__(daemon=True)
        self.ports, self.first, self.seen, self.looks, self.is_over = ports, listeners(ports), set(), 0, False
        self.start()

    def run(self):
        while not self.is_over:
            self.seen |= listeners(self.ports)
            self.looks += 1
            time.sleep(LOOK_S)

    def stop(self):
        self.is_over = True
        self.join()


def still(proxy):
    told = proxy.metrics()
    return {name: told[f"sluice_{name}"] for name in STILL}


def check_all(proxy, count):
    """Exit codes, wrong ends, and how long a check took, in order.  What is checked is a copy of the running configuration, or a broken one."""
    good, bad, kinds = proxy.file.with_name("copy.json"), proxy.file.with_name("broken.json"), list(broken_files.FAULTS.items())
    good.write_bytes(proxy.file.read_bytes())
    codes, wrong, took, began = collections.Counter(), [], [], time.monotonic()
    for n in range(count):
        is_good, file = (n + 1) % BROKEN_EACH != 0, good
        kind = "a copy"
        if not is_good:
            kind, make = kinds[n // BROKEN_EACH % len(kinds)]
            file, content = bad, make(proxy.config, n // BROKEN_EACH // len(kinds))
            bad.unlink(missing_ok=True)
            if content is not None:
                bad.write_bytes(content)
        at = time.monotonic()
        done = run_verb(proxy.folder, "check", "-c", str(file), *WAYS[n % len(WAYS)], env=rig.SECRETS)
        took.append(time.monotonic() - at)
        codes[done.returncode] += 1
        if done.returncode != (GOOD_CODE if is_good else BROKEN_CODE):
            wrong.append(f"{kind}: exit code {done.returncode}, {(done.stdout + done.stderr)[:200]!r}")
        time.sleep(max(0, began + (n + 1) * PERIOD_S - time.monotonic()))
    return codes, wrong, sorted(took)


def judge_log(proxy, answered, judge):
    reader, ends = rig.LogReader(), collections.Counter()
    for line in reader.read(proxy.access_log):
        ends[line["end"]] += 1
    judge.judge_log(reader)
    judge.equal("ends in the log", dict(ends), {"ok": answered})
    judge.equal("events in the log", [event["event"] for event in reader.events], ["start", "stop"])


def run(world, judge):
    count = world.scaled(CHECKS)
    config = forward(world.backend(), quotas={"user": {"key": ["user"], "limits": {"day": LIMIT}}}, **rig.USERS,
                     admin={"address": "unix:admin.sock", "metrics": f"127.0.0.1:{take_port()}"})
    config["listen"] = [{"address": f"127.0.0.1:{take_port()}"}, {"address": "unix:listen.sock"}]
    proxy = world.proxy(config)
    admin_port = int(config["admin"]["metrics"].rsplit(":", 1)[1])
    sockets = {path.name: path.stat().st_ino for path in proxy.folder.glob("*.sock")}
    proxy.wait_until_settled()
    processes, before = proxy.processes(), still(proxy)
    load = world.load("load", proxy.ports, "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", 3600, "-s", SEED, "-n", 1000)
    began = time.monotonic()
    time.sleep(2)
    said = proxy.error_log.read_bytes()
    watch = Watch({*proxy.ports, admin_port})
    codes, wrong, took = check_all(proxy, count)
    watch.stop()
    time.sleep(2)
    seconds = time.monotonic() - began
    totals, after = load.stop(), still(proxy)
    statuses = collections.Counter(row.status for row in load.rows())
    judge.equal(f"exit codes of {count} checks", dict(codes), {GOOD_CODE: count - count // BROKEN_EACH, BROKEN_CODE: count // BROKEN_EACH})
    judge.equal("checks with another exit code than their file deserves", len(wrong), 0)
    for fault in wrong[:3]:
        judge.note(f"Not so: {fault}.")
    judge.tell("a check took: median, slowest", f"{rig.percentile(took, 0.5) * 1000:.0f}, {took[-1] * 1000:.0f} ms")
    judge.check("answers", rig.text_of(dict(statuses)), "only 200", set(statuses) == {"200"})
    judge.at_least("requests, each on a connection of its own", totals["sent"], int(0.95 * RATE_PER_S * seconds))
    judge.check(f"sockets that listen on the service's ports, in {watch.looks:,} looks", len(watch.seen), f"the {len(watch.first)} of before",
                watch.seen == watch.first)
    judge.equal("socket files of before, and no other", {path.name: path.stat().st_ino for path in proxy.folder.glob("*.sock")} == sockets, True)
    judge.equal("the same parent and child serve", proxy.processes() == processes, True)
    judge.equal(f"of {len(STILL)} metrics that traffic does not change, changed", [name for name in STILL if before[name] != after[name]], [])
    limit, remaining, _ = trio_of(proxy.ask("user-0"))
    judge.equal("counted", limit - remaining - 1, statuses["200"])
    lines = proxy.error_log.read_bytes().removeprefix(said).decode(errors="replace").splitlines()
    judge.equal("lines in the error log since the checks began", len(lines), 0)
    for line in lines[:3]:
        judge.note(f"Error log: {line}.")
    proxy.stop()
    judge_log(proxy, statuses["200"] + 1, judge)
    judge.note(f"A check every {PERIOD_S} s, of a copy of the file that runs and each tenth of a broken one, as text, with --json and with --dump in turn; "
               f"the load: {RATE_PER_S:,} requests a second, each on a connection of its own, {CONNECTIONS} at once.  The broken ones: "
               f"{'; '.join(broken_files.FAULTS)}.")
