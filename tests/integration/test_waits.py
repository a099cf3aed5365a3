# SPDX-License-Identifier: Apache-2.0
"""Who is refused and waits exactly as long as Retry-After says is served: a thousand subjects under each algorithm."""
import heapq
import os
import threading
import time

import pytest
from harness import http
from harness.configs import forward
from harness.waiting import wait_for

SUBJECTS = 1000
THREADS = 4
PAUSE_S = 0.002  # between two of a thread that begin
# of the route's name: its one quota, and its headers' jitter
WINDOWS = {
    "fixed": ({"limits": {"3 seconds": 2}}, "0%"),
    "jitter": ({"limits": {"3 seconds": 2}}, "3s"),
    "sliding": ({"limits": {"3 seconds": 2}, "algorithm": "sliding"}, "0%"),
    "bucket": ({"limits": {"3 seconds": 2}, "algorithm": "token_bucket"}, "0%"),
    "two": ({"limits": {"second": 1, "3 seconds": 2}}, "0%"),
}
MINUTES = {"minute": ({"limits": {"minute": 2}}, "0%")}


def stores(redis):
    return {"memory": {"type": "memory"},
            "redis": {"type": "redis", "servers": [redis.address], "decision_timeout": "10s", "command_timeout": "10s", "fleet_size": 1}}


def config_of(server, store, quotas):
    """A route /NAME/ for each, with the quota NAME alone."""
    made = forward(server, store=store, subject_secret="test", identities={"user": {"from": ["header:X-User"]}},
                   limits={"requests_per_connection": "unlimited", "keepalive": "1h"})
    made["quotas"] = {name: {"key": ["user"], "on_failure": "deny", **quota} for name, (quota, _) in quotas.items()}
    made["routes"] = [{"name": name, "prefix": f"/{name}/", "upstream": "app", "quotas": [name], "headers": {"retry_after_jitter": jitter}}
                      for name, (_, jitter) in quotas.items()]
    return made


class Waiter:
    """One subject: asks until it is refused, waits as told by its own clock, asks once more."""

    def __init__(self, route, number):
        self.request = http.request("GET", f"/{route}/", [("X-User", f"user{number}")])
        self.route, self.statuses, self.told, self.after = route, [], None, None

    def ask(self, client):
        """The instant at which it asks again; None: it has been.  Until it is refused it asks at once, or on a slow machine nobody
        would ask twice in one window."""
        while True:
            client.send(self.request)
            reply = client.read()
            if self.told is not None:
                self.after = reply.status
                return None
            self.statuses.append(reply.status)
            if reply.status == 429:
                self.told = int(reply["Retry-After"])
                return time.monotonic() + self.told


def run(client, waiters):
    """All of them over one connection, each when its time has come."""
    due = [(time.monotonic() + number * PAUSE_S, number) for number in range(len(waiters))]
    while due:
        at, number = heapq.heappop(due)
        time.sleep(max(0.0, at - time.monotonic()))
        again = waiters[number].ask(client)
        if again is not None:
            heapq.heappush(due, (again, number))


def served_after_waiting(connect, proxy, quotas, subjects):
    """{route: its waiters}, when all have been refused, waited and asked again."""
    everybody = {name: [Waiter(name, n) for n in range(subjects)] for name in quotas}
    mixed = [waiter for row in zip(*everybody.values()) for waiter in row]
    failures = []

    def work(share):
        try:
            run(connect(proxy), share)
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)

    threads = [threading.Thread(target=work, args=(mixed[n::THREADS],)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    return everybody


@pytest.fixture(params=["memory", "redis"])
def store(request, redis):
    return stores(redis)[request.param]


def check(everybody):
    for name, waiters in everybody.items():
        assert all(waiter.statuses[:-1] == [200] * (len(waiter.statuses) - 1) and len(waiter.statuses) >= 2 for waiter in waiters), name
        assert all(waiter.told >= 1 for waiter in waiters), name
        # One in a thousand may come back early: they wait by the monotonic clock, windows end by the wall clock, which is slewed.
        late = [waiter.told for waiter in waiters if waiter.after != 200]
        assert len(late) <= len(waiters) // 1000, f"{name}: {len(late)} of {len(waiters)} came back as told and were refused: {late[:9]}"


def test_who_waits_as_told_is_served(start, upstream, connect, store):
    proxy = start(config_of(upstream(), store, WINDOWS))
    wait_for(lambda: {connect(proxy).ask("GET", f"/{name}/", [("X-User", "probe")]).status for name in WINDOWS} <= {200, 429},
             "the store answers")
    everybody = served_after_waiting(connect, proxy, WINDOWS, SUBJECTS)
    check(everybody)
    for name, most in (("fixed", 3), ("jitter", 6), ("sliding", 6), ("bucket", 2), ("two", 3)):
        assert max(waiter.told for waiter in everybody[name]) <= most, name
    assert len({waiter.told for waiter in everybody["jitter"]}) >= 3, "jitter spreads those who come back"


@pytest.mark.skipif(not os.environ.get("SLUICE_MINUTES"), reason="waits for whole minutes: SLUICE_MINUTES=1")
def test_who_waits_for_the_minute_is_served(start, upstream, connect, store):
    proxy = start(config_of(upstream(), store, MINUTES))
    wait_for(lambda: connect(proxy).ask("GET", "/minute/", [("X-User", "probe")]).status == 200, "the store answers")
    check(served_after_waiting(connect, proxy, MINUTES, SUBJECTS))
