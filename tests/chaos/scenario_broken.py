# SPDX-License-Identifier: Apache-2.0
"""Fifty reloads of broken files of many kinds under load: each is refused and said to be, the configuration before it serves on, whole; the unchanged good
file, read again, makes it well."""
import collections
import socket
import time

from harness.client import is_refused
from harness.configs import forward
from harness.ports import take_port
from harness.proxy import run_verb
from harness.replies import trio_of

import broken_files
import rig

RELOADS, PERIOD_S = 50, 0.5
RATE_PER_S, CONNECTIONS = 500, 32   # on kept connections, and as many on a connection each
LIMIT = 1_000_000_000
REFUSED_CODE = 8
POOL_IDLE_S = 6  # unused connections to servers are closed after 4 s
GONE_S = 30      # limits.drain_timeout
SEED = 20261130

State = collections.namedtuple("State", "success stale generation refused applied")


def state_of(proxy):
    """What the metrics say about the configuration."""
    told = proxy.metrics()
    return State(*(int(told[f"sluice_{name}"]) for name in ("config_last_reload_success", "config_stale", "config_generation",
                                                             'reloads_total{result="refused"}', 'reloads_total{result="applied"}')))


def reload(proxy):
    return run_verb(proxy.folder, "reload", "-s", f"unix:{proxy.folder}/admin.sock", env=rig.SECRETS, timeout=60)


def put(file, content):
    if content is None:
        file.unlink(missing_ok=True)
    else:
        file.write_bytes(content)


class Found:
    """What was not as it should be, by kind of file."""

    def __init__(self):
        self.codes, self.silent, self.limits, self.states, self.slowest_s = collections.Counter(), [], [], [], 0.0

    def look(self, proxy, kind, turn):
        began = time.monotonic()
        done = reload(proxy)
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        self.codes[done.returncode] += 1
        if "refused" not in done.stdout + done.stderr or "stays in force" not in done.stdout + done.stderr:
            self.silent.append(f"{kind}: {(done.stdout + done.stderr)[:200]!r}")
        reply = proxy.ask("user-0")
        if reply.status != 200 or trio_of(reply)[0] != LIMIT:
            self.limits.append(f"{kind}: {reply.status}, {trio_of(reply)}")
        state = state_of(proxy)
        if state != State(success=0, stale=1, generation=1, refused=turn, applied=0):
            self.states.append(f"{kind}: {state}")


def break_all(proxy, kinds, count):
    found, began, names = Found(), time.monotonic(), list(kinds)
    for turn in range(count):
        kind = names[turn % len(names)]
        put(proxy.file, kinds[kind](proxy.config, turn // len(names)))
        found.look(proxy, kind, turn + 1)
        time.sleep(max(0, began + (turn + 1) * PERIOD_S - time.monotonic()))
    return found


def judge_broken(found, kinds, count, judge):
    judge.equal(f"exit codes of `sluice reload` with {count} files of {min(count, len(kinds))} kinds", dict(found.codes), {REFUSED_CODE: count})
    for what, faults in (("refusals that do not say that the old configuration stays", found.silent),
                         ("answers that are not those of the old configuration", found.limits),
                         ("looks at the metrics without: stale 1, success 0, one more refused, generation 1", found.states)):
        judge.equal(what, len(faults), 0)
        for fault in faults[:3]:
            judge.note(f"Not so with {fault}.")
    judge.tell("the slowest refusal", f"{found.slowest_s * 1000:.0f} ms")


def judge_good(proxy, good, count, judge):
    put(proxy.file, good)
    done, since = reload(proxy), time.monotonic()
    judge.equal("exit code of `sluice reload` with the good file, unchanged", done.returncode, 0)
    judge.check("what it says", done.stdout.strip().replace("\n", "; "), "nothing changed", done.stdout.endswith("\nnothing changed\n"))
    judge.equal("metrics behind it: success, stale, generation, refused, applied", list(state_of(proxy)), [1, 0, 2, count, 1])
    rig.judge_generations(proxy, since, GONE_S, judge)


def judge_log(proxy, count, answered, judge):
    reader, ends = rig.LogReader(), collections.Counter()
    for line in reader.read(proxy.access_log):
        ends[line["end"]] += 1
    judge.judge_log(reader)
    judge.equal("ends in the log", dict(ends), {"ok": answered})
    events = collections.Counter(event["event"] for event in reader.events if event["event"].startswith("reload"))
    judge.equal("reloads in the log", dict(events), {"reload": 1, "reload_refused": count})


def run(world, judge):
    count = world.scaled(RELOADS)
    config = forward(world.backend(), quotas={"user": {"key": ["user"], "limits": {"day": LIMIT}}}, **rig.USERS,
                     admin={"address": "unix:admin.sock", "metrics": f"127.0.0.1:{take_port()}"})
    proxy = world.proxy(config)
    free_port, taken = take_port(), world.keep(socket.create_server(("127.0.0.1", take_port())), socket.socket.close)
    kinds = broken_files.refused(free_port, taken.getsockname()[1])
    proxy.wait_until_settled()
    good, processes, before = proxy.file.read_bytes(), proxy.processes(), proxy.descriptors()
    loads = [world.load(name, proxy.ports, "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", 3600, "-s", SEED + n, "-n", 1000 * n)
             for n, name in enumerate(("kept", "fresh"))]
    began = time.monotonic()
    time.sleep(2)
    found = break_all(proxy, kinds, count)
    judge_broken(found, kinds, count, judge)
    judge_good(proxy, good, count, judge)
    time.sleep(2)
    seconds = time.monotonic() - began
    totals = [load.stop() for load in loads]
    judge.equal("the same parent and child serve", proxy.processes() == processes, True)
    judge.equal("listeners that a refused file opened", int(not is_refused(("127.0.0.1", free_port))), 0)
    judge.equal("descriptors before and after the load", proxy.descriptors_soon(before, POOL_IDLE_S), before)
    limit, remaining, _ = trio_of(proxy.ask("user-0"))
    proxy.stop()
    statuses = [collections.Counter(row.status for row in load.rows()) for load in loads]
    for name, answers, total in zip(("kept connections", "a connection each"), statuses, totals):
        judge.check(f"answers, {name}", rig.text_of(dict(answers)), "only 200", set(answers) == {"200"})
        judge.at_least(f"requests sent, {name}", total["sent"], int(0.95 * RATE_PER_S * seconds))
    judge.equal("kept connections closed by the proxy", totals[0]["closes"], 0)
    answered = sum(answers["200"] for answers in statuses) + count + 1
    judge.equal("counted", limit - remaining, answered)
    judge_log(proxy, count, answered, judge)
    judge.note(f"A reload every {PERIOD_S} s; the load: {RATE_PER_S} requests a second on {CONNECTIONS} kept connections and as many on a connection each.  "
               f"The kinds: {'; '.join(kinds)}.")
