# SPDX-License-Identifier: Apache-2.0
"""One of three servers is killed under load and comes back; then all three fail, and extra tries stay within the budget."""
import collections
import time

from harness.configs import forward
from harness.ports import take_port

import rig

PAGE = rig.ROOT / "docs" / "backends.md"
RATE_PER_S, CONNECTIONS = 3000, 64
FAILED_MAX = 5
GOOD_S, AWAY_S, BACK_S, BAD_S = 4, 6, 6, 6
PERCENT, MINIMUM = 20, 3
SEED = 20261201


def config_of(servers):
    config = forward(*servers, admin={"metrics": f"127.0.0.1:{take_port()}"})
    config["upstreams"]["app"]["health"] = {"check": {"path": "/", "interval": "1s", "timeout": "1s"}, "eject_on": ["500"]}
    return config


def failed_of(load):
    """[(when it was over, status)] of what was no 200."""
    return [(rig.ended_s(row), row.status) for row in load.rows() if row.status not in ("200", "end")]


def run_killed(world, judge):
    servers = [world.backend() for _ in range(3)]
    victim = servers[2]
    proxy = world.proxy(config_of(servers), "killed")
    load = world.load("killed", proxy.ports, "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", 3600, "-s", SEED)
    time.sleep(GOOD_S)
    killed_s = time.time()
    victim.kill()
    down = proxy.wait_for_event("server_down")[0]
    time.sleep(AWAY_S)
    again_s = time.time()
    victim.start()
    up = proxy.wait_for_event("server_up")[0]
    time.sleep(BACK_S)
    totals = load.stop()
    values = proxy.metrics()
    proxy.stop()
    failed = failed_of(load)
    judge.at_least("killed: requests a second", totals["sent"] / (time.time() - killed_s + GOOD_S), RATE_PER_S * 9 // 10)
    judge.check("killed: failed requests, of all", f"{len(failed)} of {totals['sent']:,} {rig.text_of(dict(collections.Counter(s for _, s in failed)))}",
                f"≤ {FAILED_MAX}", len(failed) <= FAILED_MAX)
    judge.equal("killed: failed after the server was found down", sum(at > rig.time_of(down) + 1 for at, _ in failed), 0)
    judge.tell("killed: found down after, because", f"{(rig.time_of(down) - killed_s) * 1000:.0f} ms, {down['reason']}")
    judge.tell("killed: in use again after its start", f"{(rig.time_of(up) - again_s) * 1000:.0f} ms")
    judge.tell("killed: extra tries", f"{values['sluice_upstream_extra_tries_total']:.0f}")
    reader, shares = rig.LogReader(), collections.Counter()
    for line in reader.read(proxy.access_log):
        if rig.time_of(line) > rig.time_of(up) + 2:
            shares[line["server"]] += 1
    judge.judge_log(reader)
    share = shares[victim.address] / max(1, sum(shares.values()))
    judge.check("killed: its share of the requests from 2 s after that on", f"{share:.1%}", "a third", 0.32 <= share <= 0.35)


def run_all_bad(world, judge, how, path, is_dead):
    servers = [world.backend() for _ in range(3)]
    proxy = world.proxy(config_of(servers), "all-" + how.replace(" ", "-"))
    world.load(f"good-{len(judge.rows)}", proxy.ports, "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", 2, "-s", SEED).wait(30)
    before = proxy.metrics()
    if is_dead:
        for server in servers:
            server.kill()
    load = world.load(f"bad-{len(judge.rows)}", proxy.ports, "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", BAD_S, "-s", SEED, "-p", path)
    sent = load.wait(60)["sent"]
    values = proxy.metrics()
    proxy.stop()
    made = values["sluice_upstream_extra_tries_total"] - before["sluice_upstream_extra_tries_total"]
    statuses = collections.Counter(row.status for row in load.rows())
    is_whole = set(statuses) <= ({"500", "502"} if path != "/" else {"502"}) and sum(statuses.values()) == sent
    judge.check(f"all three {how}: answers", rig.text_of(dict(statuses)), "all told", is_whole)
    bound = PERCENT / 100 * sent + MINIMUM
    judge.check(f"all three {how}: extra tries", f"{made:,.0f} for {sent:,} requests ({made / sent:.1%})", f"≤ {PERCENT} % + {MINIMUM} = {bound:,.0f}",
                made <= bound)
    reader = rig.LogReader()
    tries = sum(line.get("tries", 1) - 1 for line in reader.read(proxy.access_log) if line["path"] == path)
    judge.judge_log(reader)
    judge.check(f"all three {how}: extra tries by the log, from the beginning", f"{tries:,}", f"≥ {made:,.0f}, and the same bound", made <= tries <= bound)


def run(world, judge):
    run_killed(world, judge)
    for how, path, is_dead in (("killed", "/", True), ("answer 500", "/status/500", False), ("close without an answer", "/cut", False)):
        run_all_bad(world, judge, how, path, is_dead)
    judge.note(f"{RATE_PER_S:,} requests a second from {CONNECTIONS} connections to two workers; checks every second.  Each part in which all servers fail takes {BAD_S} s "
               "and begins 2 s after good ones, so that kept connections are there.  A status is never tried again.")
