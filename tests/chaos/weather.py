# SPDX-License-Identifier: Apache-2.0
"""A process of its own that only sleeps: how late it wakes tells how busy the machine was.  Prints JSON when told to stop."""
import json
import signal
import sys
import time

SLEEP_S = 0.002


def main():
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    lates_ms = []  # one per 50 ms: the worst
    worst, until = 0.0, time.monotonic() + 0.05
    while not stopped:
        begin = time.monotonic()
        time.sleep(SLEEP_S)
        now = time.monotonic()
        worst = max(worst, (now - begin - SLEEP_S) * 1000)
        if now > until:
            lates_ms.append(round(worst, 2))
            worst, until = 0.0, now + 0.05
    lates_ms.sort()
    pick = {name: lates_ms[min(len(lates_ms) - 1, int(len(lates_ms) * share))] if lates_ms else 0
            for name, share in (("median", 0.5), ("p99", 0.99), ("max", 1))}
    json.dump(pick, sys.stdout)


main()
