# SPDX-License-Identifier: Apache-2.0
"""Five hundred reloads in five minutes under load on kept and on new connections and beside open streams, each with another good configuration: no client
notices, counts, threads and memory stay."""
import collections
import signal
import statistics
import subprocess
import time

from harness.configs import forward
from harness.ports import take_port
from harness.proxy import BINARY, environment
from harness.replies import trio_of

import event_streams
import rig
from variants import vary

RELOADS, PERIOD_S = 500, 0.6
KEPT_PER_S, FRESH_PER_S, CONNECTIONS = 3000, 500, 64
STREAMS, DIRECT, EVENTS_PER_S = 50, 10, 5
WARM_UP = 0.1   # of the reloads: memory is compared with that behind them
LIMIT = 1_000_000_000
GROWTH_MAX = 1.05
GONE_S = 30      # limits.drain_timeout
POOL_IDLE_S = 6  # unused connections to servers are closed after 4 s
SEED = 20260105


def reload(proxy, turn):
    """By signal and by verb in turn."""
    if turn % 2:
        done = subprocess.run([BINARY, "reload", "-c", str(proxy.file)], cwd=proxy.folder, env=environment(proxy.folder, rig.SECRETS),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        proxy.signal(signal.SIGHUP)
    rig.wait_for(lambda: len(proxy.events("reload")) == turn, f"reload {turn} is in the log")


def sizes_of(proxy):
    """(memory, descriptors, threads)"""
    return proxy.memory_kib(), proxy.descriptors(), proxy.memory_kib("Threads")


def reload_all(proxy, count):
    """What the serving process held behind each reload, and how long they took in all."""
    began, sizes = time.monotonic(), []
    for turn in range(1, count + 1):
        proxy.write_config(vary(proxy.config, turn, LIMIT))
        reload(proxy, turn)
        sizes.append(sizes_of(proxy))
        time.sleep(max(0, began + turn * PERIOD_S - time.monotonic()))
    return sizes, time.monotonic() - began


def judge_sizes(sizes, before, after, judge):
    warm = max(1, int(len(sizes) * WARM_UP))
    early, late = (statistics.median(kib for kib, *_ in part) for part in (sizes[warm:2 * warm], sizes[-warm:]))
    judge.check(f"VmRSS behind reloads {warm} to {2 * warm}, and behind the last {warm}", f"{early:,.0f} KiB, {late:,.0f} KiB ({(late / early - 1) * 100:+.1f} %)",
                "≤ +5 %", late <= early * GROWTH_MAX)
    judge.tell("descriptors under load", f"{min(n for _, n, _ in sizes)} to {max(n for _, n, _ in sizes)}")
    judge.equal("descriptors before and after the load", after[1], before[1])
    judge.equal("threads before, meanwhile and after", sorted({n for *_, n in [before, *sizes, after]}), [before[2]])


def judge_log(proxy, count, judge):
    reader = rig.LogReader()
    ends, of_streams, gens = collections.Counter(), collections.Counter(), set()
    for line in reader.read(proxy.access_log):
        gens.add(line["gen"])
        (of_streams if line["path"] == "/events" else ends)[line["end"]] += 1
    judge.judge_log(reader)
    judge.check("ends in the log", rig.text_of(dict(ends)), "only ok", set(ends) == {"ok"})
    judge.equal("ends of streams in the log: their clients left", dict(of_streams), {"client_abort": STREAMS})
    judge.equal("reloads in the log", [e["gen"] for e in reader.events if e["event"] == "reload"] == list(range(2, count + 2)), True)
    judge.check("generations that served requests", len(gens), f"≥ {count * 9 // 10}", len(gens) >= count * 9 // 10)


def run(world, judge):
    count = world.scaled(RELOADS)
    stream_s = int(count * PERIOD_S) + 5
    events_port = event_streams.serve(world, EVENTS_PER_S)
    config = forward(world.backend(), world.backend(), quotas={"user": {"key": ["user"], "limits": {"day": LIMIT}}}, **rig.USERS,
                     limits={"requests_per_connection": "unlimited"}, admin={"address": "unix:admin.sock", "metrics": f"127.0.0.1:{take_port()}"})
    config["upstreams"]["events"] = {"servers": [f"127.0.0.1:{events_port}"]}
    config["routes"].insert(0, {"name": "events", "path": "/events", "upstream": "events"})
    proxy = world.proxy(config)
    proxy.wait_until_settled()
    processes, before = proxy.processes(), sizes_of(proxy)
    streams = event_streams.Reader(world, stream_s, proxy.ports[0], STREAMS, events_port, DIRECT)
    loads = [world.load("kept", proxy.ports, "-c", CONNECTIONS, "-r", KEPT_PER_S, "-d", 3600, "-s", SEED),
             world.load("fresh", proxy.ports, "-c", CONNECTIONS, "-r", FRESH_PER_S, "-d", 3600, "-s", SEED + 1, "-n", 1000)]
    time.sleep(2)
    sizes, seconds = reload_all(proxy, count)
    since, held = time.monotonic(), int(proxy.metrics()["sluice_generations_alive"])
    said = streams.said()
    judge.check("sluice_generations_alive while streams of before the first reload are open", held, "≥ 2", held >= 2)
    rig.judge_generations(proxy, since, GONE_S, judge)
    totals = [load.stop() for load in loads]
    judge.equal("the same parent and child serve", proxy.processes() == processes, True)
    descriptors, (memory, _, threads) = proxy.descriptors_soon(before[1], POOL_IDLE_S), sizes_of(proxy)
    after = memory, descriptors, threads
    limit, remaining, _ = trio_of(proxy.ask("user-0"))
    proxy.stop()
    judge.check(f"{count} reloads took", f"{seconds:.0f} s", f"≤ {count * PERIOD_S * 1.1:.0f} s", seconds <= count * PERIOD_S * 1.1)
    statuses = [collections.Counter(row.status for row in load.rows()) for load in loads]
    for name, found in zip(("kept connections", "a connection each"), statuses):
        judge.check(f"answers, {name}", rig.text_of(dict(found)), "only 200", set(found) == {"200"})
    judge.equal("kept connections closed by the proxy", totals[0]["closes"], 0)
    for name, total, rate in zip(("kept connections", "a connection each"), totals, (KEPT_PER_S, FRESH_PER_S)):
        judge.at_least(f"requests sent, {name}", total["sent"], int(0.95 * rate * seconds))
    judge.equal("counted", limit - remaining - 1, sum(found["200"] for found in statuses))
    event_streams.judge_streams(judge, said, f"{STREAMS} streams, {stream_s} s", STREAMS * EVENTS_PER_S * stream_s)
    judge.tell("events: p50, p99, p99.9, slowest", event_streams.ms(said["groups"][0]["delays"]))
    judge.tell(f"the same of {DIRECT} streams straight from the server", event_streams.ms(said["groups"][1]["delays"]))
    judge_log(proxy, count, judge)
    judge_sizes(sizes, before, after, judge)
    judge.note(f"A reload every {PERIOD_S} s, by SIGHUP and by `sluice reload` in turn; the load: {KEPT_PER_S:,} requests a second on {CONNECTIONS} kept connections, {FRESH_PER_S} a second "
               f"on a connection each, {STREAMS} event streams with {EVENTS_PER_S} events a second.")
