# SPDX-License-Identifier: Apache-2.0
"""Twenty programs take over from each other under load, half of it on new connections: no client notices, counts stay."""
import collections
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time

from harness.configs import forward
from harness.proxy import BINARY, environment
from harness.replies import trio_of

import rig

UPGRADES = 20
RATE_PER_S, CONNECTIONS = 1500, 32
LIMIT = 1_000_000_000
PAUSE_S = 1.0


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def upgrade(proxy, before):
    """Gives the pid of the parent that has taken over, when the one before is gone."""
    done = subprocess.run([BINARY, "upgrade", "-c", str(proxy.file), "--json"], cwd=proxy.folder, env=environment(proxy.folder, rig.SECRETS),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=80, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rig.wait_for(lambda: not is_alive(before), "the one before has ended")
    return json.loads(done.stdout)["pid"]


def child_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def end(proxy, pid):
    if pid == proxy.pid:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    rig.wait_for(lambda: not is_alive(pid), "the last one ends")
    proxy.process.wait()
    proxy.is_stopped = True


def run(world, judge):
    backend = world.backend()
    config = forward(backend, quotas={"user": {"key": ["user"], "limits": {"day": LIMIT}}}, **rig.USERS, admin={"address": "unix:admin.sock"})
    proxy = world.proxy(config)
    pid = proxy.pid
    loads = [world.load("kept", proxy.ports, "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", 3600, "-s", 20260106),
             world.load("fresh", proxy.ports, "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", 3600, "-s", 20260107, "-n", 1000)]
    time.sleep(2)
    sizes, slowest_s = [], 0.0
    for _ in range(world.scaled(UPGRADES)):
        began = time.monotonic()
        pid = upgrade(proxy, pid)
        slowest_s = max(slowest_s, time.monotonic() - began)
        time.sleep(PAUSE_S)
        sizes.append((proxy.descriptors(pid), proxy.memory_kib(pid=pid), proxy.memory_kib(pid=child_of(pid))))
    totals = [load.stop() for load in loads]
    limit, remaining, _ = trio_of(proxy.ask("user-0"))
    end(proxy, pid)
    statuses = [collections.Counter(row.status for row in load.rows()) for load in loads]
    for name, found in zip(("kept connections", "a connection each"), statuses):
        judge.check(f"answers, {name}", rig.text_of(dict(found)), "only 200", set(found) == {"200"})
    answered = sum(found["200"] for found in statuses)
    judge.at_least("requests sent", sum(total["sent"] for total in totals), len(sizes) * 1000)
    judge.equal("counted", limit - remaining - 1, answered)
    reader = rig.LogReader()
    ends = collections.Counter(line["end"] for line in reader.read(proxy.access_log))
    judge.judge_log(reader)
    judge.check("ends in the log", rig.text_of(dict(ends)), "only ok", set(ends) == {"ok"})
    judge.equal("lines of requests in the log", sum(ends.values()), answered + 1)
    judge.equal("programs in the log", len(reader.boots), len(sizes) + 1)
    judge.equal("descriptors of the parent", len({fds for fds, _, _ in sizes}), 1)
    judge.tell("memory of the parent, first and last", f"{sizes[0][1]:,}, {sizes[-1][1]:,} KiB")
    judge.tell("memory of the child, first and last", f"{sizes[0][2]:,}, {sizes[-1][2]:,} KiB")
    judge.tell("an upgrade with the end of the one before, slowest", f"{slowest_s:.2f} s")
