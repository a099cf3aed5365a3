# SPDX-License-Identifier: Apache-2.0
"""500 event streams through one proxy, one of whose routes is busy beside them: they arrive in order, none is lost, and no event
is later than 50 ms, or later by that than the machine itself was."""
from harness.configs import forward

import event_streams
import rig

PAGE = rig.ROOT / "docs" / "backends.md"
STREAMS, DIRECT, SECONDS, EVENTS_PER_S = 500, 50, 60, 5
RATE_PER_S = 200  # of plain requests meanwhile
SEED = 20261204


def run(world, judge):
    seconds, port = world.scaled(SECONDS), event_streams.serve(world, EVENTS_PER_S)
    config = forward(f"127.0.0.1:{port}")
    config["upstreams"]["plain"] = {"servers": [world.backend().address]}
    config["routes"].insert(0, {"name": "plain", "prefix": "/bytes/", "upstream": "plain"})
    proxy = world.proxy(config)
    load = world.load("plain", proxy.ports, "-c", 16, "-r", RATE_PER_S, "-d", seconds + 2, "-b", 20000, "-s", SEED)
    said = event_streams.Reader(world, seconds, proxy.ports[0], STREAMS, port, DIRECT).said()
    load.wait(30)
    through, direct = said["groups"]
    event_streams.judge_streams(judge, said, f"{STREAMS} streams through the proxy, {seconds} s", STREAMS * EVENTS_PER_S * seconds)
    judge.tell("events: p50, p99, p99.9, slowest", event_streams.ms(through["delays"]))
    judge.tell(f"the same of {DIRECT} streams straight from the server", event_streams.ms(direct["delays"]))
    judge.tell("how late the reader woke from its timer: the same", event_streams.ms(said["own"]))
    judge.equal("plain requests beside that were not answered 200", sum(row.status not in ("200", "end") for row in load.rows()), 0)
    proxy.stop()
    judge.note(f"{EVENTS_PER_S} events a second in each stream, spread evenly; {RATE_PER_S} plain requests a second beside them.  An event says when it was sent; server and reader "
               "are processes on this machine and share its clock.  Streams without the proxy and a timer of the reader show what the machine alone does.")
