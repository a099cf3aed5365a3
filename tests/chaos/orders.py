# SPDX-License-Identifier: Apache-2.0
"""Measures how soon a whole fleet obeys an operator's order; see orders_options.py."""
import collections
import os
import socket
import statistics
import time

import orders_store
import report
import rig
from harness import stored
from harness.client import Client
from harness.configs import forward

SUBJECTS, PROXIES, CONNECTIONS = 10_000, 3, 8
QUIET = 1000  # of the subjects: they have asked before, and never again
RATE_PER_S, HOT_PER_S = 3000, 600
LIMIT, HIGH = 300, 1_000_000_000
PERIODS_S = (60, 3600, 86400)
SETTLE_S = 1.6   # what an order has brought is used up, and the subject refused again and again
LOOK_S = 0.25    # in which it cannot be used up
BOUND_MS = 50
SEED = 20261128
PAGE = rig.ROOT / "docs" / "operations.md"
ORDERS = {"reset": "/v1/subject:reset?name={name}", "grant": "/v1/subject:grant?name={name}&extra={extra}&for=3600s"}

Round = collections.namedtuple("Round", "at_s answered_ms windows")
Meant = collections.namedtuple("Meant", "quiet quiet_keys name key exact_key")
Found = collections.namedtuple("Found", "rounds others rate looks stores meant events")
Stores = collections.namedtuple("Stores", "before looked after")


def ask(proxy, user, target):
    with Client(proxy.address) as client:
        assert client.ask("GET", target, [("X-User", user)]).status == 200


def names_of(proxies, count):
    """As the admin socket wants them: a header's value is nowhere shown in clear."""
    def names():
        return {line["subjects"]["user"] for proxy in proxies for line in rig.LogReader().read(proxy.access_log)}

    return sorted(rig.wait_for(lambda: len(names()) == count and names(), "the lines are written"))


def meet(proxies, redis):
    """The quiet ones ask, then the one that is meant.  Gives the names of the quiet ones and their keys of the exact quota, its name and its keys."""
    for n in range(QUIET):
        for again in range(1 + n % 3):
            ask(proxies[(n + again) % PROXIES], f"quiet-{n}", "/exact")
    quiet, keys = names_of(proxies, QUIET), set(orders_store.take(redis))
    for n in range(QUIET):
        ask(proxies[n % PROXIES], f"quiet-{n}", "/")
    known = set(orders_store.take(redis))
    ask(proxies[0], "hot", "/")
    (key,) = set(orders_store.take(redis)) - known
    ask(proxies[0], "hot", "/exact")
    (exact,) = set(orders_store.take(redis)) - known - {key}
    (name,) = set(names_of(proxies, QUIET + 1)) - set(quiet)
    return Meant(quiet, keys, name, key, exact)


def order(path, target, redis, key):
    """When it was given (wall time), milliseconds until the answer, and what is used of each window right behind it."""
    with socket.socket(socket.AF_UNIX) as admin:
        admin.settimeout(20)
        admin.connect(path)
        at_s, begin = time.time(), time.monotonic()
        admin.sendall(f"POST {target} HTTP/1.1\r\nHost: sluice\r\nContent-Length: 0\r\n\r\n".encode())
        answer = admin.recv(65536)
        answered_ms = (time.monotonic() - begin) * 1000
        raw = redis.client.get(key)
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(answer.decode())
    return Round(at_s, answered_ms, stored.read(raw).windows)


def is_reset_at_once(one):
    """No window still has what was used before: all of them count from the order on, and so the same.  A minute that was just over is none."""
    used = {used for period, (start, used) in one.windows.items() if start + period > one.at_s}
    return set(one.windows) == set(PERIODS_S) and len(used) == 1 and max(used) <= LIMIT


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


def give_orders(world, folder, meant, redis):
    given = {}
    for verb, target in ORDERS.items():
        given[verb] = []
        for n in range(world.rounds):
            words = target.format(name=meant.name, extra=LIMIT * (n + 1))
            given[verb].append(order(f"{folder}/{'abc'[n % PROXIES]}.sock", words, redis, meant.key))
            time.sleep(SETTLE_S)
    return given


def measure(world, proxies, folder, redis):
    meant = meet(proxies, redis)
    load = world.load("load", [proxy.ports[0] for proxy in proxies], "-c", CONNECTIONS, "-r", RATE_PER_S + HOT_PER_S, "-d", 3600, "-u", SUBJECTS - QUIET,
                      "-k", round(1000 * HOT_PER_S / (RATE_PER_S + HOT_PER_S)), "-s", SEED)
    began = time.monotonic()
    time.sleep(10)  # nearly all subjects have asked
    before = orders_store.take(redis)
    looks = orders_store.look([f"{folder}/{one}.sock" for one in "abc"[:PROXIES]], meant.quiet)
    looked = orders_store.take(redis)
    given = give_orders(world, folder, meant, redis)
    after = orders_store.take(redis)
    seconds = time.monotonic() - began
    totals = load.stop()
    rows, others = hot_rows(load)
    rounds = {verb: [(one, effective_ms(rows, one)) for one in ones] for verb, ones in given.items()}
    events = [event for proxy in proxies for event in proxy.events("admin") + proxy.events("reset") + proxy.events("grant")]
    return Found(rounds, others, totals["sent"] / seconds, looks, Stores(before, looked, after), meant, events)


def judge_order(judge, verb, rows, found):
    answered, told = [one.answered_ms for one, _ in rows], [late for _, late in rows if late is not None]
    judge.tell(f"{verb}: answered after, median, slowest of {len(rows)}", f"{statistics.median(answered):.1f} ms, {max(answered):.1f} ms")
    judge.check(f"{verb}: rounds in which each proxy refused before and admitted behind", f"{len(told)} of {len(rows)}", "all", len(told) == len(rows))
    if told:
        slowest = [statistics.median(told), rig.percentile(sorted(told), 0.9), max(told)]
        judge.check(f"{verb}: the whole fleet obeys after, median, 90 %, slowest", ", ".join(f"{late:.1f} ms" for late in slowest),
                    f"≤ {BOUND_MS} ms", max(told) <= BOUND_MS)
    if verb == "reset":
        at_once = sum(is_reset_at_once(one) for one, _ in rows)
        judge.check("reset: rounds in which minute, hour and day began anew at once, in Redis", f"{at_once} of {len(rows)}", "all", at_once == len(rows))
    us = {"event": "admin", "verb": verb, "by": os.getuid(), "pid": os.getpid()}
    asked = [event for event in found.events if us.items() <= event.items()]
    done = [event for event in found.events if event["event"] == verb and event["subject"] == found.meant.name]
    judge.equal(f"{verb}: lines that say who asked, what became of it in each quota", [len(asked), len(done)], [len(rows), 2 * len(rows)])


def judge_store(judge, found):
    """What leases give back changes keys too, so every byte is held only of a quota without."""
    quiet_keys, ours = found.meant.quiet_keys, {found.meant.key, found.meant.exact_key}
    before, looked, after = found.stores
    judge.equal("show and explain, 10,000 in all: answers", dict(found.looks), {"told": orders_store.READS})
    for what, old, new, wanted in (("10,000 looks", before, looked, set()), ("all orders", looked, after, ours)):
        changed, touched = orders_store.changed(old, new, quiet_keys), orders_store.ordered(old, new)
        judge.check(f"behind {what}: keys without traffic and leases that are not the same to the last byte", f"{changed} of {len(quiet_keys):,}", "0",
                    changed == 0)
        judge.check(f"behind {what}: keys of all that have been reset or granted", f"{len(touched)} of {len(new):,}",
                    "those two of the one that is meant" if wanted else "0, none new", touched == wanted and len(new) <= SUBJECTS + QUIET + 2)
    judge.at_least("subjects that had asked", len(before) - QUIET - 1, 95 * SUBJECTS // 100)


def judge_all(judge, found):
    judge.check("requests a second", f"{found.rate:,.0f}", f"≥ {0.95 * (RATE_PER_S + HOT_PER_S):,.0f}", found.rate >= 0.95 * (RATE_PER_S + HOT_PER_S))
    judge.check("answers to all other subjects", rig.text_of(dict(found.others)), "only 200", set(found.others) - {"end"} == {"200"})
    for verb, rows in found.rounds.items():
        judge_order(judge, verb, rows, found)
    judge_store(judge, found)


def policy(backend, store, admin):
    """The load goes to the quota with leases; another counts every request in Redis."""
    quota = {"key": ["user"], "limits": {"minute": LIMIT, "hour": LIMIT, "day": HIGH}}
    config = forward(backend, store=store, workers=2, quotas={"user": quota, "exact": {**quota, "accuracy": "exact"}}, route={"quotas": ["user"]},
                     admin={"address": admin}, **rig.USERS)
    config["routes"].insert(0, {"name": "exact", "path": "/exact", "upstream": "app", "quotas": ["exact"]})
    return config


def run(world):
    redis, backend, folder = world.redis(), world.backend(), world.folder
    store = {"type": "redis", "servers": [redis.address], "fleet_size": PROXIES, "decision_timeout": "1s", "command_timeout": "2s"}
    proxies = []
    for name in "abc"[:PROXIES]:
        proxies.append(world.proxy(policy(backend, store, f"unix:{folder}/{name}.sock"), name))
    rig.wait_for(lambda: redis.client.pubsub_numsub("sluice:recall")[0][1] == PROXIES, "all listen")
    found = measure(world, proxies, folder, redis)
    for proxy in proxies:
        proxy.stop()
    return found


def main(options):
    world, judge, weather = rig.World("orders"), rig.Judge("orders"), report.Weather()
    world.rounds = options.rounds
    try:
        judge_all(judge, run(world))
    finally:
        judge.note(f"The machine meanwhile: {weather.stop()}.  The load average was {os.getloadavg()[0]:.0f} at the end.")
        world.end(options.keep)
    report.print_table(judge)
    if options.write:
        text = (f"{report.dated(judge, f'scripts/orders {options.rounds}', options.build)}\n\n"
                f"Everything on one machine: {PROXIES} proxies of 2 workers, {SUBJECTS:,} subjects at {RATE_PER_S:,} requests a second, the one that is meant "
                f"at {HOT_PER_S} more; {QUIET:,} of the subjects ask before and not meanwhile, also by a quota without leases.\n\n"
                f"{report.table(judge)}\n\n{judge.notes[0]}\n")
        report.write_section(PAGE, "orders", text)
    print(f"orders: {'kept' if judge.is_kept else 'BROKEN'}")
    return 0 if judge.is_kept else 1
