# SPDX-License-Identifier: Apache-2.0
"""500 event streams through one proxy, one of whose routes is busy beside them: they arrive in order, none is lost, and no event
is later than 50 ms, or later by that than the machine itself was."""
import json
import subprocess

from harness.configs import forward
from harness.ports import take_port
from harness.proxy import listening_ports

import rig

PAGE = rig.ROOT / "docs" / "backends.md"
STREAMS, DIRECT, SECONDS, EVENTS_PER_S = 500, 50, 60, 5
DELAY_MAX_MS = 50
RATE_PER_S = 200  # of plain requests meanwhile
SEED = 20261204


def start(world, *words, **kwargs):
    process = subprocess.Popen([str(rig.BUILD / "chaos_streams"), *map(str, words)], stdin=subprocess.DEVNULL, text=True, **kwargs)

    def end(made):
        if made.poll() is None:
            made.kill()
        made.wait()

    return world.keep(process, end)


def ms(delays):
    return (f"{delays['count']:,}: " + ", ".join(f"{delays[name] / 1000:.2f}" for name in ("p50", "p99", "p999", "max")) + f" ms; {delays['over']} above "
            f"{DELAY_MAX_MS} ms")


def run(world, judge):
    seconds, port = world.scaled(SECONDS), take_port()
    start(world, "serve", port, EVENTS_PER_S)
    rig.wait_for(lambda: port in listening_ports(), "the server of streams listens")
    config = forward(f"127.0.0.1:{port}")
    config["upstreams"]["plain"] = {"servers": [world.backend().address]}
    config["routes"].insert(0, {"name": "plain", "prefix": "/bytes/", "upstream": "plain"})
    proxy = world.proxy(config)
    load = world.load("plain", proxy.ports, "-c", 16, "-r", RATE_PER_S, "-d", seconds + 2, "-b", 20000, "-s", SEED)
    reader = start(world, "read", seconds, proxy.ports[0], STREAMS, port, DIRECT, stdout=subprocess.PIPE)
    said = json.loads(reader.communicate(timeout=seconds + 30)[0])
    load.wait(30)
    through, direct = said["groups"]
    expected = STREAMS * EVENTS_PER_S * seconds
    judge.check(f"{STREAMS} streams through the proxy, {seconds} s: events", f"{through['delays']['count']:,}", f"{expected:,} ± 1 %",
                abs(through["delays"]["count"] - expected) <= expected / 100)
    judge.equal("streams that ended, or whose events were not 0, 1, 2, ...", through["broken"], 0)
    slowest_ms, excess_ms = through["delays"]["max"] / 1000, said["excess"] / 1000
    judge.check("slowest event; at most so much later than the machine was itself in that tenth of a second", f"{slowest_ms:.2f} ms; {excess_ms:.2f} ms",
                f"one of them ≤ {DELAY_MAX_MS} ms", min(slowest_ms, excess_ms) <= DELAY_MAX_MS)
    judge.tell("events: p50, p99, p99.9, slowest", ms(through["delays"]))
    judge.tell(f"the same of {DIRECT} streams straight from the server", ms(direct["delays"]))
    judge.tell("how late the reader woke from its timer: the same", ms(said["own"]))
    judge.equal("plain requests beside that were not answered 200", sum(row.status not in ("200", "end") for row in load.rows()), 0)
    proxy.stop()
    judge.note(f"{EVENTS_PER_S} events a second in each stream, spread evenly; {RATE_PER_S} plain requests a second beside them.  An event says when it was sent; server and reader "
               "are processes on this machine and share its clock.  Streams without the proxy and a timer of the reader show what the machine alone does.")
