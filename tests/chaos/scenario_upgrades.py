# SPDX-License-Identifier: Apache-2.0
"""Twenty programs take over from each other under load, half of it on new connections: no client notices, counts stay.  Before that, programs that exit, hang or
are killed at many stages of taking over: the one that runs goes on as if nothing had happened."""
import collections
import time

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
LOST = {"reset", "eof", "cut"}  # how a request in flight ends for its client


class Busy:
    """A proxy under load, half of it on new connections; what clients saw of it, and whether it was counted and logged."""

    def __init__(self, world, name, **kwargs):
        config = forward(world.backend(), quotas={"user": {"key": ["user"], "limits": {"day": LIMIT}}}, **rig.USERS,
                         admin={"address": f"unix:{name}.sock"})
        self.proxy = world.proxy(config, name, kind=upgraded.Upgraded, **kwargs)
        self.loads = [world.load(f"{name}-{kind}", self.proxy.ports, "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", 3600, "-s", SEED + n, "-n", 1000 * n)
                      for n, kind in enumerate(("kept", "fresh"))]
        time.sleep(2)

    def judge(self, programs, judge, killed=()):
        """At its end.  programs: how many have been in charge; killed: when others were killed that may have begun to serve: what these had in flight then is
        lost, and lines of their last moments."""
        sent = sum(load.stop()["sent"] for load in self.loads)
        limit, remaining, _ = trio_of(self.proxy.ask("user-0"))
        self.proxy.stop()
        reader, logged, ends = rig.LogReader(), set(), collections.Counter()
        for line in reader.read(self.proxy.access_log):
            logged.add(line["id"])
            ends[line["end"]] += 1
        statuses, lost, unlogged = [collections.Counter(), collections.Counter()], 0, 0
        for load, found in zip(self.loads, statuses):
            for row in load.rows():
                is_excused = any(at - 1 <= rig.ended_s(row) <= at + 1 for at in killed)
                lost += row.status in LOST and is_excused
                unlogged += row.status == "200" and row.id not in logged and is_excused
                found[row.status] += not (row.status in LOST and is_excused)
        for name, found in zip(("kept connections", "a connection each"), statuses):
            judge.check(f"answers, {name}", rig.text_of(dict(found)), "only 200", set(found) <= {"200"} | LOST and set(+found) == {"200"})
        answered = sum(found["200"] for found in statuses)
        if killed:
            judge.at_most(f"in flight, and answered without a line, when one of {len(killed)} was killed", lost + unlogged, len(killed) * CONNECTIONS)
        judge.equal("requests sent", sent, answered + lost)
        used = limit - remaining - 1
        judge.check("counted", f"{used:,}", f"{answered:,}, up to {lost} more", answered <= used <= answered + lost)
        judge.judge_log(reader)
        judge.check("ends in the log", rig.text_of(dict(ends)), "only ok", set(ends) == {"ok"})
        judge.check("lines of requests in the log", f"{sum(ends.values()):,}", f"{answered + 1 - unlogged:,}, up to {lost} more", 0 <= sum(ends.values()) - answered - 1 + unlogged <= lost)
        judge.equal("programs that have been in charge", 1 + sum(event["event"] == "takeover" for event in reader.events), programs)


def refused(world, judge):
    program = bad_programs.Program(world.folder)
    busy = Busy(world, "refused", program=program.path)
    count, killed = bad_programs.judge_all(busy.proxy, program, judge)
    busy.judge(count + 1, judge, killed)


def twenty(world, judge):
    busy, sizes, slowest_s = Busy(world, "upgraded"), [], 0.0
    for _ in range(world.scaled(UPGRADES)):
        began = time.monotonic()
        before = busy.proxy.upgrade()
        rig.wait_for(lambda pid=before: not upgraded.is_alive(pid), "the one before has ended")
        slowest_s = max(slowest_s, time.monotonic() - began)
        time.sleep(PAUSE_S)
        sizes.append((busy.proxy.descriptors(busy.proxy.pid), busy.proxy.memory_kib(pid=busy.proxy.pid), busy.proxy.memory_kib()))
    busy.judge(len(sizes) + 1, judge)
    judge.equal("descriptors of the parent", len({fds for fds, _, _ in sizes}), 1)
    judge.tell("memory of the parent, first and last", f"{sizes[0][1]:,}, {sizes[-1][1]:,} KiB")
    judge.tell("memory of the child, first and last", f"{sizes[0][2]:,}, {sizes[-1][2]:,} KiB")
    judge.tell("an upgrade with the end of the one before, slowest", f"{slowest_s:.2f} s")


def run(world, judge):
    refused(world, judge)
    twenty(world, judge)
    judge.note(f"{RATE_PER_S:,} requests a second on {CONNECTIONS} kept connections and as many on a connection each.  A stage is a call of the new parent, or of its serving process, that "
               "asks something of the kernel (a socket, a file, memory): there it is stopped, and killed unless it has taken over already.  The first rows are those of the programs that are "
               "refused, the others those of the twenty.")
