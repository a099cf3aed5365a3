# SPDX-License-Identifier: Apache-2.0
"""A hundred reloads under load, each with another good configuration: no client notices, counts and memory stay."""
import collections
import copy
import signal
import statistics
import subprocess
import time

from harness.configs import forward
from harness.proxy import BINARY, environment
from harness.replies import trio_of

import rig

RELOADS = 100
RATE_PER_S, CONNECTIONS = 2000, 64
WARM_UP = 20
LIMIT = 1_000_000_000
GROWTH_MAX = 1.05
POOL_IDLE_S = 6  # unused connections to servers are closed after 4 s


def vary(config, turn):
    """The turn's configuration: limits, names, timeouts, servers, extra routes, quotas and listeners come and go."""
    config = copy.deepcopy(config)
    config["quotas"]["user"]["limits"]["day"] = LIMIT + turn % 2 * 1000
    config["routes"][0]["name"] = f"all{turn % 3}"
    config["upstreams"]["app"]["timeouts"] = {"first_byte": f"{20 + turn % 5}s"}
    config["limits"] = {"keepalive": f"{50 + turn % 7}s"}
    if turn % 2:
        config["quotas"]["extra"] = {"key": ["ip"], "limits": {"minute": 1000000}}
        config["routes"].insert(0, {"name": "extra", "path": f"/extra/{turn}", "quotas": ["extra"], "respond": {"text": "x"}})
    if turn % 3 == 1:
        config["upstreams"]["app"]["servers"].reverse()
    if turn % 4 == 2:
        config["listen"].append({"address": f"unix:{turn}.sock"})
    return config


def reload(proxy, turn):
    """By signal and by verb in turn."""
    if turn % 2:
        done = subprocess.run([BINARY, "reload", "-c", str(proxy.file)], cwd=proxy.folder, env=environment(proxy.folder, rig.SECRETS),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        proxy.signal(signal.SIGHUP)
    rig.wait_for(lambda: len(proxy.events("reload")) == turn, f"reload {turn} is in the log")


def run(world, judge):
    first, second = world.backend(), world.backend()
    config = forward(first, second, quotas={"user": {"key": ["user"], "limits": {"day": LIMIT}}}, **rig.USERS,
                     admin={"address": "unix:admin.sock"})
    proxy = world.proxy(config)
    child, before = proxy.child, proxy.descriptors()
    load = world.load("reloads", proxy.ports, "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", 3600, "-s", 20260105)
    time.sleep(2)
    sizes = []
    for turn in range(1, RELOADS + 1):
        proxy.write_config(vary(proxy.config, turn))
        reload(proxy, turn)
        time.sleep(0.15)
        sizes.append((proxy.memory_kib(), proxy.descriptors()))
    totals = load.stop()
    judge.equal("the same child serves", proxy.child == child, True)
    time.sleep(POOL_IDLE_S)
    after = proxy.descriptors()
    limit, remaining, _ = trio_of(proxy.ask("user-0"))
    proxy.stop()
    statuses = collections.Counter(row.status for row in load.rows())
    judge.check("answers", rig.text_of(dict(statuses)), "only 200", set(statuses) == {"200"})
    judge.equal("connections closed by the proxy", totals["closes"], 0)
    judge.at_least("requests sent", totals["sent"], RELOADS * 100)
    judge.equal("counted", limit - remaining - 1, statuses["200"])
    reader = rig.LogReader()
    ends, gens = collections.Counter(), set()
    for line in reader.read(proxy.access_log):
        ends[line["end"]] += 1
        gens.add(line["gen"])
    judge.judge_log(reader)
    judge.check("ends in the log", rig.text_of(dict(ends)), "only ok", set(ends) == {"ok"})
    judge.equal("reloads in the log", [e["gen"] for e in reader.events if e["event"] == "reload"] == list(range(2, RELOADS + 2)), True)
    judge.check("generations that served requests", len(gens), f"≥ {RELOADS * 9 // 10}", len(gens) >= RELOADS * 9 // 10)
    early = statistics.median(rss for rss, _ in sizes[WARM_UP:WARM_UP + 10])
    late = statistics.median(rss for rss, _ in sizes[-10:])
    judge.check(f"VmRSS around reload {WARM_UP + 5} and at the end", f"{early:,.0f} KiB, {late:,.0f} KiB ({(late / early - 1) * 100:+.1f} %)",
                "≤ +5 %", late <= early * GROWTH_MAX)
    judge.tell("descriptors under load", f"{min(n for _, n in sizes)} to {max(n for _, n in sizes)}")
    judge.equal("descriptors before and after the load", after, before)
