# SPDX-License-Identifier: Apache-2.0
"""Waiting for a condition or for a place in a calendar window; never for luck."""
import os
import time

# Sanitized programs are several times slower; a condition that holds ends the wait at once either way.
PATIENCE_S = 40 if os.environ.get("SLUICE_SANITIZE") else 20


def wait_for(condition, what, seconds=PATIENCE_S):
    """The first true value of condition(); fails with the sentence `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for: {what}")
        time.sleep(0.004)


def wait_for_room(period_s, room_s):
    """Return when at least room_s seconds are left in the current UTC window of period_s seconds."""
    while period_s - time.time() % period_s < room_s:
        time.sleep(0.01)
    return int(time.time() // period_s * period_s)


def wait_for_next_window(period_s):
    """Return right after the next UTC window of period_s seconds began; gives its start."""
    now = time.time()
    start = (now // period_s + 1) * period_s
    while time.time() < start:
        time.sleep(min(0.01, max(0.0005, start - time.time())))
    return int(start)
