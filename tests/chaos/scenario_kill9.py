# SPDX-License-Identifier: Apache-2.0
"""The serving process is killed again and again under load: its successor serves within a second and has forgotten nothing."""
import collections
import os
import signal
import time

from harness.configs import forward
from harness.replies import trio_of

import rig

KILLS = 10
HEALTHY_S = 10.5  # a child that served for ten seconds is replaced at once, others after a growing pause
IN_A_ROW = 4      # kills that are not given this time, afterwards
RATE_PER_S, CONNECTIONS = 1500, 64
LIMIT = 1_000_000_000
LOST = {"reset", "eof", "cut", "timeout"}  # how a request in flight ends for its client


def kill_children(proxy):
    """When each child was killed, and how soon its successor was there."""
    killed = []
    for turn in range(KILLS + IN_A_ROW):
        time.sleep(HEALTHY_S if turn <= KILLS else 1)
        child = rig.wait_for(lambda: proxy.child, "there is a child")
        killed.append(time.time())
        os.kill(child, signal.SIGKILL)
        rig.wait_for(lambda n=turn: len(proxy.events("start")) == n + 2, "the next child says that it started")
    time.sleep(2)
    return killed


def text_of_ms(values):
    return ", ".join("never" if ms is None else f"{ms:.0f}" for ms in values) + " ms"


def judge_answers(load, killed, judge):
    statuses, back_ms = collections.Counter(), [None] * len(killed)
    answered = {}
    for row in load.rows():
        statuses[row.status] += 1
        if row.status != "200":
            continue
        answered[row.id] = int(row.sent_us)
        sent_s = int(row.sent_us) / 1e6
        done_s = sent_s + int(row.latency_us) / 1e6
        turn = sum(sent_s >= at for at in killed) - 1
        if turn >= 0 and (back_ms[turn] is None or (done_s - killed[turn]) * 1000 < back_ms[turn]):
            back_ms[turn] = (done_s - killed[turn]) * 1000
    judge.check("answers", rig.text_of(dict(statuses)), "200, or lost in flight", set(statuses) <= {"200"} | LOST)
    lost = sum(statuses[word] for word in LOST)
    judge.at_most(f"requests lost in {len(killed)} kills", lost, len(killed) * CONNECTIONS)
    judge.check(f"first answer after each of {KILLS} kills", text_of_ms(back_ms[:KILLS]), "≤ 1,000 ms",
                all(ms is not None and ms <= 1000 for ms in back_ms[:KILLS]))
    judge.tell(f"first answer after {IN_A_ROW} more kills, one soon after the other", text_of_ms(back_ms[KILLS:]))
    return answered, lost


def judge_log(proxy, answered, lost, judge):
    kills = KILLS + IN_A_ROW
    reader = rig.LogReader()
    logged, twice = set(), 0
    for line in reader.read(proxy.access_log):
        twice += line["id"] in logged
        logged.add(line["id"])
    judge.judge_log(reader)
    starts = [line for line in reader.events if line["event"] == "start"]
    chain = [after.get("previous_boot") == before["boot"] for before, after in zip(starts, starts[1:])]
    last = [after.get("previous_seq") == reader.boots[before["boot"]] for before, after in zip(starts, starts[1:])]
    judge.check("start events that name the boot before and its last seq", f"{sum(chain)}, {sum(last)}", f"{kills}, {kills}",
                chain == [True] * kills and last == [True] * kills)
    judge.equal("lines written twice", twice, 0)
    judge.at_most("answers without a log line", len(answered.keys() - logged), lost)
    judge.equal("deaths in the error log", proxy.stderr().count("signal 9"), kills)


def run(world, judge):
    backend = world.backend()
    proxy = world.proxy(forward(backend, quotas={"user": {"key": ["user"], "limits": {"day": LIMIT}}}, **rig.USERS))
    load = world.load("kill9", proxy.ports, "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", 3600, "-s", 20260104)
    killed = kill_children(proxy)
    totals = load.stop()
    limit, remaining, _ = trio_of(proxy.ask("user-0"))
    proxy.stop()
    used = limit - remaining - 1
    answered, lost = judge_answers(load, killed, judge)
    judge.at_least("requests sent", totals["sent"], RATE_PER_S * KILLS)
    judge.check("counted", f"{used:,}", f"{len(answered):,} answered, up to {lost} more in flight",
                len(answered) <= used <= len(answered) + lost)
    judge_log(proxy, answered, lost, judge)
    judge.note(f"{RATE_PER_S} requests a second from {CONNECTIONS} connections of one user, embedded store without state_file; a kill "
               f"{HEALTHY_S} s after each start, {IN_A_ROW} more a second after each start.")
