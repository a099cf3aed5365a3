# SPDX-License-Identifier: Apache-2.0
"""The serving process is killed twenty times under load, then all of the service as often: it serves again within a second, has forgotten no count, and the
log says what it has lost, if anything."""
import collections
import json
import os
import signal
import time

from harness.configs import forward
from harness.replies import trio_of

import log_tools
import rig

KILLS = 20
HEALTHY_S = 10.5  # a child that served for ten seconds is replaced at once, others after a growing pause
IN_A_ROW = 4      # kills that are not given this time, afterwards
RATE_PER_S, CONNECTIONS = 1500, 64
LIMIT = 1_000_000_000
LOST = {"reset", "eof", "cut", "timeout"}  # how a request in flight ends for its client
SHUT = "503"  # the same, when the serving process sees before its own end that the service is gone
SERVICE_UP_S = 4  # from one kill of all of the service to the next
SEED = 20260104


# -- the serving process


def kill_children(proxy, kills):
    """When each child was killed."""
    killed = []
    for turn in range(kills + IN_A_ROW):
        time.sleep(HEALTHY_S if turn <= kills else 1)
        child = rig.wait_for(lambda: proxy.child, "there is a child")
        killed.append(time.time())
        os.kill(child, signal.SIGKILL)
        rig.wait_for(lambda n=turn: len(proxy.events("start")) == n + 2, "the next child says that it started")
    time.sleep(2)
    return killed


def text_of_ms(values):
    return ", ".join("never" if ms is None else f"{ms:.0f}" for ms in values) + " ms"


def read_answers(load, killed, gone):
    """({id: (sent, over)} of what was answered 200, by status, ms from each kill to the first answer to what was sent when nobody of before was left)"""
    answered, statuses, back_ms = {}, collections.Counter(), [None] * len(killed)
    for row in load.rows():
        statuses[row.status] += 1
        if row.status != "200":
            continue
        done_s, sent_s = rig.ended_s(row), int(row.sent_us) / 1e6
        answered[row.id] = (sent_s, done_s)
        turn = sum(sent_s >= at for at in gone) - 1
        if turn >= 0 and (back_ms[turn] is None or (done_s - killed[turn]) * 1000 < back_ms[turn]):
            back_ms[turn] = (done_s - killed[turn]) * 1000
    return answered, statuses, back_ms


def judge_back(back_ms, what, judge):
    judge.check(f"{what}: first answer after each of {len(back_ms)} kills", text_of_ms(back_ms), "≤ 1,000 ms", all(ms is not None and ms <= 1000 for ms in back_ms))


def judge_log(proxy, kills, answered, lost, judge):
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
    judge.equal("verify", log_tools.verify(proxy, [proxy.access_log]).json["verdict"], "clean")


def children(world, judge):
    kills = world.scaled(KILLS)
    proxy = world.proxy(forward(world.backend(), quotas={"user": {"key": ["user"], "limits": {"day": LIMIT}}}, **rig.USERS), "children")
    load = world.load("children", proxy.ports, "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", 3600, "-s", SEED)
    killed = kill_children(proxy, kills)
    totals = load.stop()
    limit, remaining, _ = trio_of(proxy.ask("user-0"))
    proxy.stop()
    used = limit - remaining - 1
    answered, statuses, back_ms = read_answers(load, killed, killed)
    lost = sum(statuses[word] for word in LOST)
    judge.check("serving process: answers", rig.text_of(dict(statuses)), "200, or lost in flight", set(statuses) <= {"200"} | LOST)
    judge.at_most(f"requests lost in {len(killed)} kills", lost, len(killed) * CONNECTIONS)
    judge_back(back_ms[:kills], "serving process", judge)
    judge.tell(f"first answer after {IN_A_ROW} more kills, one soon after the other", text_of_ms(back_ms[kills:]))
    judge.at_least("requests sent", totals["sent"], RATE_PER_S * kills)
    judge.check("counted", f"{used:,}", f"{len(answered):,} answered, up to {lost} more in flight", len(answered) <= used <= len(answered) + lost)
    judge_log(proxy, len(killed), answered, lost, judge)


# -- all of the service, as a supervisor sees it

def kill_services(world, config, kills):
    """(when each parent was killed, when nobody was left, the last proxy, the load)"""
    proxy, killed, gone = world.proxy(config, "service0", wait=False), [], []
    rig.wait_for(lambda: set(proxy.ports) <= rig.listening_ports() and proxy.child, "it serves")
    load = world.load("service", proxy.ports, "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", 3600, "-s", SEED)
    for turn in range(1, kills + 1):
        time.sleep(SERVICE_UP_S)
        killed.append(time.time())
        os.kill(proxy.pid, signal.SIGKILL)
        proxy.process.wait()
        rig.wait_for(lambda: not set(proxy.ports) & rig.listening_ports(), "its child has ended")
        gone.append(time.time())
        world.forget(proxy)
        proxy = world.proxy(config, f"service{turn}", wait=False)
    time.sleep(SERVICE_UP_S)
    return killed, gone, proxy, load


def read_service_log(path):
    """(ids, start lines with what the line before them was, lines that are none)"""
    logged, starts, last, partial = set(), [], {}, 0
    with open(path, "rb") as file:
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:
                partial += 1
                continue
            if record.get("event") == "start":
                starts.append((record, dict(last)))
            logged.add(record.get("id"))
            last = {"previous_boot": record["boot"], "previous_seq": record["seq"]}
    return logged, starts, partial


def judge_service_log(proxy, log, killed, gone, answered, judge):
    logged, starts, partial = read_service_log(log)
    lost = {key: at for key, at in answered.items() if key not in logged}
    # Each was answered by the service that was there when it was sent; one that no kill followed is never allowed.
    before = [next((at - over for at, gone_at in zip(killed, gone) if gone_at >= sent), float("inf")) for sent, over in lost.values()]
    chain = [all(start.get(name) == told[name] for name in told) and start.get("previous") == "killed" for start, told in starts[1:]]
    judge.check("service: answers without a line", f"{len(lost):,} of {len(answered):,}", "of the last second before a kill", all(seconds <= 1 for seconds in before))
    judge.tell("the oldest of them was answered before its kill", f"{max(before, default=0) * 1000:.0f} ms")
    judge.check("start lines that say the last number, and that it was killed", sum(chain), str(len(killed)), chain == [True] * len(killed))
    judge.at_most("partial lines", partial, len(killed))
    told = log_tools.verify(proxy, [log])
    judge.equal("verify: exit code, verdict, ends of boots that were killed, unreadable lines, windows with an excess",
                [told.exit_code, told.json["verdict"], told.json["killed"], told.json["unreadable"]["lines"], told.json["excess_windows"]],
                [1, "incomplete", len(killed), partial, 0])


def services(world, judge):
    kills, redis, log = world.scaled(KILLS), world.redis(), world.folder / "service.log"
    quota = {"key": ["user"], "limits": {"day": LIMIT}, "accuracy": "exact", "on_failure": "deny"}
    config = forward(world.backend(), quotas={"user": quota}, **rig.USERS, listen=[{"address": f"127.0.0.1:{rig.take_port()}"}], log={"access": str(log)},
                     store={"type": "redis", "servers": [redis.address], "decision_timeout": "2s", "command_timeout": "5s", "fleet_size": 1})
    killed, gone, proxy, load = kill_services(world, config, kills)
    load.stop()
    proxy.stop()
    answered, statuses, back_ms = read_answers(load, killed, gone)
    lost = sum(statuses[word] for word in LOST | {SHUT})
    used = sum(windows[86400][1] for windows in rig.stored_windows(redis).values())
    judge.check("service: answers", rig.text_of(dict(statuses)), "200, lost in flight, or nobody there", set(statuses) <= {"200", "connect", SHUT} | LOST)
    judge.at_most(f"requests lost in {kills} kills", lost, kills * CONNECTIONS)
    judge_back(back_ms, "service", judge)
    judge.check("counted in Redis", f"{used:,}", f"{len(answered):,} answered, up to {lost} more in flight", len(answered) <= used <= len(answered) + lost)
    judge_service_log(proxy, log, killed, gone, answered, judge)


def run(world, judge):
    children(world, judge)
    services(world, judge)
    judge.note(f"{RATE_PER_S} requests a second from {CONNECTIONS} connections of one user.  Serving process: embedded store without state_file; a kill {HEALTHY_S} s after each start, "
               f"{IN_A_ROW} more a second after each start.  Service: parent and child at once, each request counted in Redis; a kill {SERVICE_UP_S} s after each start, and a supervisor "
               "that starts it again when both are gone.")
