# SPDX-License-Identifier: Apache-2.0
"""Servers close idle connections after random 0 to 50 ms, just when the next request is on its way: no GET fails, no POST is delivered twice."""
import collections

from harness.configs import forward
from harness.ports import take_port

import rig

PAGE = rig.ROOT / "docs" / "backends.md"
GETS, POSTS = 100_000, 20_000
REQUESTS = 121_000         # 17 % of them POST
POST_PERMILLE = 170
RATE_PER_S, CONNECTIONS = 4000, 64
IDLE_MS = 50
DIED_MIN = 100             # kept connections that died when they were used: else nothing was tested
SEED = 20261202


def run(world, judge):
    requests = world.scaled(REQUESTS)
    lists = [world.folder / f"ids-{n}" for n in range(2)]
    servers = [world.backend("-i", ids, "-c", IDLE_MS) for ids in lists]
    proxy = world.proxy(forward(*servers, admin={"metrics": f"127.0.0.1:{take_port()}"}))
    load = world.load("idle", proxy.ports, "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", 120, "-m", requests, "-b", 1000, "-w", POST_PERMILLE, "-i", "-s", SEED)
    totals = load.wait(180)
    values = proxy.metrics()
    proxy.stop()
    for server in servers:
        server.stop()
    delivered = collections.Counter(int(line) for ids in lists for line in ids.read_text(encoding="ascii").split())
    reader, statuses, died, ends = rig.LogReader(), collections.defaultdict(collections.Counter), collections.Counter(), collections.Counter()
    for line in reader.read(proxy.access_log):
        statuses[line["method"]][line["status"]] += 1
        ends[line["end"]] += 1
        died[line["method"]] += line.get("tries", 1) > 1 or line["status"] == 502
    judge.judge_log(reader)
    judge.equal("requests sent", totals["sent"], requests)
    judge.at_least("GET", sum(statuses["GET"].values()), world.scaled(GETS))
    judge.at_least("POST", sum(statuses["POST"].values()), world.scaled(POSTS))
    judge.check("GET: answers", rig.text_of(dict(statuses["GET"])), "only 200", set(statuses["GET"]) == {200})
    judge.check("POST: answers", rig.text_of(dict(statuses["POST"])), "200, or 502 (not delivered again)", set(statuses["POST"]) <= {200, 502})
    twice = sum(count > 1 for count in delivered.values())
    judge.check("POST: ids that a server saw twice, of those that one saw", f"{twice} of {len(delivered):,}", "0", twice == 0 and -1 not in delivered)
    judge.check("POST: answered 200, seen by a server", f"{statuses['POST'][200]:,}, {len(delivered):,}", "each of those answered",
                statuses["POST"][200] <= len(delivered) <= sum(statuses["POST"].values()))
    judge.at_least("kept connections that were dead when a GET took them", died["GET"], world.scaled(DIED_MIN))
    judge.tell("the same of a POST", f"{died['POST']:,}")
    judge.tell("extra tries made, refused by the budget",
               f"{values['sluice_upstream_extra_tries_total']:,.0f}, {values['sluice_upstream_extra_tries_refused_total']:,.0f}")
    seen = collections.Counter(row.status for row in load.rows())
    judge.equal("answers that clients saw are those in the log", dict(seen), {str(s): n for s, n in (statuses["GET"] + statuses["POST"]).items()})
    judge.tell("how exchanges ended", rig.text_of(dict(ends)))
    judge.note(f"{RATE_PER_S:,} requests a second from {CONNECTIONS} connections to two workers and two servers, bodies of up to 1000 bytes in both directions.")
