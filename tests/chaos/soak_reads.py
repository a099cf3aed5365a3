# SPDX-License-Identifier: Apache-2.0
"""Somebody looks inside while the soak runs: the verbs that only read, one after the other, also while programs and configurations change."""
import collections
import json
import signal
import subprocess
import threading
import time

from harness.proxy import BINARY, environment

import rig

PAUSE_S, TAIL_S = 3, 3
VERBS = (("status",), ("top",), ("top", "--refused"), ("errors",), ("tail",), ("explain", "GET", "/bytes/1", "-H", "X-User: hot"))


class Reads(threading.Thread):
    """count: by verb, how often it gave a whole answer; faults: (when, verb, what)."""

    def __init__(self, proxy):
        super().__init__(daemon=True)
        self.proxy, self.count, self.faults, self._told_to_stop = proxy, collections.Counter(), [], threading.Event()
        self.lines = 0  # of tails
        self.start()

    def run(self):
        turn = 0
        while not self._told_to_stop.wait(PAUSE_S):
            verb = VERBS[turn % len(VERBS)]
            turn += 1
            fault = self._tail() if verb == ("tail",) else self._read(verb)
            if fault:
                self.faults.append((time.time(), verb[0], fault))
            else:
                self.count[verb[0]] += 1

    def _read(self, verb):
        done = self.proxy.verb(*verb, "--json")
        if done.returncode != 0:
            return f"exit code {done.returncode}: {done.stderr[:200]}"
        return None if isinstance(json.loads(done.stdout), dict) else "no object"

    def _tail(self):
        """For a while.  It ends by itself only when its program does."""
        before = self.proxy.pid
        process = subprocess.Popen([BINARY, "tail", "-c", str(self.proxy.file), "--json"], cwd=self.proxy.folder, env=environment(self.proxy.folder, rig.SECRETS),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        timer = threading.Timer(TAIL_S, process.terminate)
        timer.start()
        out, err = process.communicate()
        timer.cancel()
        lines = out[:out.rfind(b"\n") + 1].splitlines()
        self.lines += sum(isinstance(json.loads(line), dict) for line in lines)
        if process.returncode == -signal.SIGTERM and lines or self.proxy.pid != before:
            return None
        return f"exit code {process.returncode}, {len(lines)} lines: {err[:200]!r}"

    def stop(self):
        self._told_to_stop.set()
        self.join(60)
