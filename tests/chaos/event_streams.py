# SPDX-License-Identifier: Apache-2.0
"""Event streams through a proxy (streams.c): no event is lost, and how late each of them is."""
import json
import subprocess

from harness.ports import take_port

import rig

DELAY_MAX_MS = 50


def start(world, *words, **kwargs):
    process = subprocess.Popen([str(rig.BUILD / "chaos_streams"), *map(str, words)], stdin=subprocess.DEVNULL, text=True, **kwargs)

    def end(made):
        if made.poll() is None:
            made.kill()
        made.wait()

    return world.keep(process, end)


def serve(world, events_per_s):
    """A server of streams; gives its port."""
    port = take_port()
    start(world, "serve", port, events_per_s)
    rig.wait_for(lambda: port in rig.listening_ports(), "the server of streams listens")
    return port


class Reader:
    """Reads `count` streams through the proxy and `direct` straight from the server, for so many seconds."""

    def __init__(self, world, seconds, proxy_port, count, port, direct):
        self.seconds = seconds
        self.process = start(world, "read", seconds, proxy_port, count, port, direct, stdout=subprocess.PIPE)

    def said(self):
        """What it has measured, at its end."""
        out = self.process.communicate(timeout=self.seconds + 60)[0]
        assert self.process.returncode == 0, f"the reader of streams ended with {self.process.returncode}"
        return json.loads(out)


def ms(delays):
    return (f"{delays['count']:,}: " + ", ".join(f"{delays[name] / 1000:.2f}" for name in ("p50", "p99", "p999", "max")) + f" ms; {delays['over']} above "
            f"{DELAY_MAX_MS} ms")


def judge_streams(judge, said, what, expected):
    """In order and complete; late by no more than the machine itself was."""
    through = said["groups"][0]
    slowest_ms, excess_ms = through["delays"]["max"] / 1000, said["excess"] / 1000
    judge.check(f"{what}: events", f"{through['delays']['count']:,}", f"{expected:,} ± 1 %", abs(through["delays"]["count"] - expected) <= expected / 100)
    judge.equal("streams that ended, or whose events were not 0, 1, 2, ...", through["broken"], 0)
    judge.check("slowest event; at most so much later than the machine was itself in that tenth of a second", f"{slowest_ms:.2f} ms; {excess_ms:.2f} ms",
                 f"one of them ≤ {DELAY_MAX_MS} ms", min(slowest_ms, excess_ms) <= DELAY_MAX_MS)
