# SPDX-License-Identifier: Apache-2.0
"""Twenty programs take over from each other under load, half of it on new connections: no client notices, counts stay.  Before that, programs that exit, hang or
are killed at many stages of taking over: the one that runs goes on as if nothing had happened."""
import collections
import time

from harness import processes
from harness.configs import forward
from harness.replies import trio_of

import bad_programs
import rig
import upgraded

UPGRADES = 20
RATE_PER_S, CONNECTIONS = 1500, 32
LIMIT = 1_000_000_000
PAUSE_S = 1.0
SEED = 20260106
RATE_LEAST = 0.9  # of that must have been sent
DRAIN_S = 2       # limits.drain_timeout


class Busy:
    """A proxy under load, half of it on new connections; what clients saw of it, and whether it was counted and logged."""

    def __init__(self, world, name, **kwargs):
        config = forward(world.backend(), quotas={"user": {"key": ["user"], "limits": {"day": LIMIT}}}, **rig.USERS,
                         admin={"address": f"unix:{name}.sock"}, limits={"drain_timeout": f"{DRAIN_S}s"})
        self.proxy = world.proxy(config, name, kind=upgraded.Upgraded, **kwargs)
        self._began = time.monotonic()
        self.loads = [world.load(f"{name}-{kind}", self.proxy.ports, "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", 3600, "-s", SEED + n, "-n", 1000 * n)
                      for n, kind in enumerate(("kept", "fresh"))]
        time.sleep(2)

    def judge(self, programs, judge):
        """At its end.  programs: how many have been in charge.  Gives how many requests were sent in how many seconds."""
        lasted_s = time.monotonic() - self._began
        sent = sum(load.stop()["sent"] for load in self.loads)
        limit, remaining, _ = trio_of(self.proxy.ask("user-0"))
        self.proxy.stop()
        reader, ends = rig.LogReader(), collections.Counter()
        for line in reader.read(self.proxy.access_log):
            ends[line["end"]] += 1
        answered = 0
        for load, name in zip(self.loads, ("kept connections", "a connection each")):
            found = collections.Counter(row.status for row in load.rows())
            answered += found["200"]
            judge.check(f"answers, {name}", rig.text_of(dict(found)), "only 200", set(found) == {"200"})
        judge.equal("requests sent", sent, answered)
        judge.equal("counted", limit - remaining - 1, answered)
        judge.judge_log(reader)
        judge.check("ends in the log", rig.text_of(dict(ends)), "only ok", set(ends) == {"ok"})
        judge.equal("lines of requests in the log", sum(ends.values()), answered + 1)
        judge.equal("programs that have been in charge", 1 + sum(event["event"] == "takeover" for event in reader.events), programs)
        return sent, lasted_s


def refused(world, judge):
    program = bad_programs.Program(world.folder)
    busy = Busy(world, "refused", program=program.path)
    busy.judge(1 + bad_programs.judge_all(busy.proxy, program, judge), judge)


def twenty(world, judge):
    busy, sizes, gone_s = Busy(world, "upgraded"), [], []
    for _ in range(world.scaled(UPGRADES)):
        before = busy.proxy.upgrade()
        began = time.monotonic()
        rig.wait_for(lambda pid=before: not processes.is_alive(pid), "the one before has ended")
        gone_s.append(time.monotonic() - began)
        time.sleep(PAUSE_S)
        sizes.append((busy.proxy.descriptors(busy.proxy.pid), busy.proxy.memory_kib(pid=busy.proxy.pid), busy.proxy.memory_kib()))
    sent, lasted_s = busy.judge(len(sizes) + 1, judge)
    judge.at_least(f"requests sent in {lasted_s:.1f} s", sent, int(RATE_LEAST * 2 * RATE_PER_S * lasted_s))
    judge.at_most("from the answer of an upgrade to the end of the one before, slowest", max(gone_s), DRAIN_S + 1, " s", 2)
    judge.equal("descriptors of the parent", len({fds for fds, _, _ in sizes}), 1)
    judge.tell("memory of the parent, first and last", f"{sizes[0][1]:,}, {sizes[-1][1]:,} KiB")
    judge.tell("memory of the child, first and last", f"{sizes[0][2]:,}, {sizes[-1][2]:,} KiB")


def run(world, judge):
    refused(world, judge)
    twenty(world, judge)
    judge.note(f"{RATE_PER_S:,} requests a second on {CONNECTIONS} kept connections and as many on a connection each, limits.drain_timeout {DRAIN_S} s.  The first rows are those of the "
               "programs that are refused, the others those of the twenty.")
    judge.note("A stage is a call of the new parent, or of its serving process, that asks something of the kernel (a socket, a file, memory): there it is stopped and then exits, hangs or is "
               "killed, unless the verb has answered by then that it serves.  That answer is the commit; a program that got so far goes on, and no answer of the others is excused.")
