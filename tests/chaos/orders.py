# SPDX-License-Identifier: Apache-2.0
"""Measures how soon a whole fleet obeys an operator's order; see orders_options.py."""
import collections
import os
import pathlib
import platform
import socket
import statistics
import time

import report
import rig
from harness.client import Client
from harness.configs import forward

SUBJECTS, PROXIES, CONNECTIONS = 10_000, 3, 8
RATE_PER_S, HOT_PER_S = 3000, 600
LIMIT, HIGH = 300, 1_000_000_000
SETTLE_S = 1.6   # what an order has brought is used up, and the subject refused again and again
LOOK_S = 0.25    # in which it cannot be used up
BOUND_MS = 50
SEED = 20261128
PAGE = rig.ROOT / "docs" / "operations.md"
ORDERS = {"reset": "/v1/subject:reset?name={name}", "grant": "/v1/subject:grant?name={name}&extra={extra}&for=3600"}

Round = collections.namedtuple("Round", "at_s answered_ms")


def name_of_hot(proxy):
    """As the admin socket wants it: a header's value is nowhere shown in clear."""
    with Client(proxy.address) as client:
        client.ask("GET", "/", [("X-User", "hot")])
    line = rig.wait_for(lambda: [line for line in rig.LogReader().read(proxy.access_log)], "the line is written")[-1]
    return line["subjects"]["user"]


def order(path, target):
    """When it was given (wall time), and milliseconds until the answer."""
    with socket.socket(socket.AF_UNIX) as admin:
        admin.settimeout(20)
        admin.connect(path)
        at_s, begin = time.time(), time.monotonic()
        admin.sendall(f"POST {target} HTTP/1.1\r\nHost: sluice\r\nContent-Length: 0\r\n\r\n".encode())
        answer = admin.recv(65536)
        answered_ms = (time.monotonic() - begin) * 1000
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(answer.decode())
    return Round(at_s, answered_ms)


def hot_rows(load):
    """(sent, is admitted, port) of the subject's requests, in order of sending, and the statuses of all others."""
    rows, others = [], collections.Counter()
    for row in load.rows():
        if row.user == "-1":
            rows.append((int(row.sent_us) / 1e6, row.status == "200", row.port))
        else:
            others[row.status] += 1
    return sorted(rows), others


def effective_ms(rows, given):
    """From the order until the last request was sent that was refused all the same; None when not each proxy has refused it before and
    admitted it behind."""
    before = {port for at, ok, port in rows if given.at_s - 0.3 <= at < given.at_s and not ok}
    behind = [(at, ok, port) for at, ok, port in rows if given.at_s <= at < given.at_s + LOOK_S]
    admitted = {port for _, ok, port in behind if ok}
    if len(before) != PROXIES or len(admitted) != PROXIES:
        return None
    return max((at - given.at_s for at, ok, _ in behind if not ok), default=0) * 1000


def measure(world, proxies, folder):
    name = name_of_hot(proxies[0])
    load = world.load("load", [proxy.ports[0] for proxy in proxies], "-c", CONNECTIONS, "-r", RATE_PER_S + HOT_PER_S, "-d", 3600, "-u", SUBJECTS,
                      "-k", round(1000 * HOT_PER_S / (RATE_PER_S + HOT_PER_S)), "-s", SEED)
    began = time.monotonic()
    time.sleep(10)  # nearly all subjects have asked
    given = {}
    for verb, target in ORDERS.items():
        given[verb] = []
        for n in range(world.rounds):
            words = target.format(name=name, extra=LIMIT * (n + 1))
            given[verb].append(order(f"{folder}/{'abc'[n % PROXIES]}.sock", words))
            time.sleep(SETTLE_S)
    seconds = time.monotonic() - began
    totals = load.stop()
    rows, others = hot_rows(load)
    results = {verb: [(one.answered_ms, effective_ms(rows, one)) for one in rounds] for verb, rounds in given.items()}
    return results, others, totals["sent"] / seconds


def judge_all(judge, results, others, rate):
    judge.check("requests a second", f"{rate:,.0f}", f"≥ {0.95 * (RATE_PER_S + HOT_PER_S):,.0f}", rate >= 0.95 * (RATE_PER_S + HOT_PER_S))
    judge.check("answers to all other subjects", rig.text_of(dict(others)), "only 200", set(others) - {"end"} == {"200"})
    for verb, rows in results.items():
        answered, told = [row[0] for row in rows], [row[1] for row in rows if row[1] is not None]
        judge.tell(f"{verb}: answered after, median, slowest of {len(rows)}", f"{statistics.median(answered):.1f} ms, {max(answered):.1f} ms")
        judge.check(f"{verb}: rounds in which each proxy refused before and admitted behind", f"{len(told)} of {len(rows)}", "all", len(told) == len(rows))
        if told:
            judge.check(f"{verb}: the whole fleet obeys after, median, 90 %, slowest",
                        f"{statistics.median(told):.1f} ms, {rig.percentile(sorted(told), 0.9):.1f} ms, {max(told):.1f} ms", f"≤ {BOUND_MS} ms", max(told) <= BOUND_MS)


def run(world):
    redis, backend, folder = world.redis(), world.backend(), world.folder
    store = {"type": "redis", "servers": [redis.address], "fleet_size": PROXIES, "decision_timeout": "1s", "command_timeout": "2s"}
    proxies = []
    for name in "abc"[:PROXIES]:
        quotas = {"user": {"key": ["user"], "limits": {"hour": LIMIT, "day": HIGH}}}
        proxies.append(world.proxy(forward(backend, store=store, workers=2, quotas=quotas, admin={"address": f"unix:{folder}/{name}.sock"}, **rig.USERS), name))
    rig.wait_for(lambda: redis.client.pubsub_numsub("sluice:recall")[0][1] == PROXIES, "all listen")
    results, others, rate = measure(world, proxies, pathlib.Path(folder))
    for proxy in proxies:
        proxy.stop()
    return results, others, rate


def main(options):
    world, judge, weather = rig.World("orders"), rig.Judge("orders"), report.Weather()
    world.rounds = options.rounds
    try:
        judge_all(judge, *run(world))
    finally:
        judge.note(f"The machine meanwhile: {weather.stop()}.  The load average was {os.getloadavg()[0]:.0f} at the end.")
        world.end(options.keep)
    report.print_table(judge)
    if options.write:
        text = (f"Measured by `scripts/orders {options.rounds}` on {os.cpu_count()} cores ({platform.machine()}, Linux {platform.release().split('-')[0]}), {report.build_of(options.build)}, "
                f"everything on one machine: {PROXIES} proxies of 2 workers, {SUBJECTS:,} subjects at {RATE_PER_S:,} requests a second, the one that is meant at {HOT_PER_S} more.\n\n"
                f"{report.table(judge)}\n\n{judge.notes[0]}\n")
        report.write_section(PAGE, "orders", text)
    print(f"orders: {'kept' if judge.is_kept else 'BROKEN'}")
    return 0 if judge.is_kept else 1
