# SPDX-License-Identifier: Apache-2.0
"""100,000 users, paths, methods and hosts, and 10,000 routes: the metrics page stays small, quick to get and as Prometheus wants it."""
import time

from harness import exposition
from harness.client import Client
from harness.metrics import scrape_families
from harness.ports import take_port

import rig

REQUESTS, BATCH = 100_000, 250
ROUTES, QUOTAS, UPSTREAMS = 9499, 1000, 500  # a file has 10,000 routes at most
SERIES_MAX, SCRAPE_MAX_MS, SCRAPES = 5000, 200, 200


def configuration():
    """Names for every family of the page, far more than it shows."""
    routes = [{"name": f"route-{n}", "path": f"/r/{n}", "quotas": [f"quota-{n % QUOTAS}"], "respond": {"status": 200, "text": "x"}} for n in range(ROUTES)]
    routes += [{"name": f"to-{n}", "path": f"/to/{n}", "upstream": f"upstream-{n}"} for n in range(UPSTREAMS)]
    routes += [{"name": "all", "prefix": "/", "quotas": ["user"], "respond": {"status": 200, "text": "x"}}]
    quotas = {f"quota-{n}": {"key": ["ip"], "limits": {"day": 1000000}, **({"mode": "shadow"} if n % 2 else {})} for n in range(QUOTAS)}
    quotas["user"] = {"key": ["user"], "limits": {"day": 1}}
    return {**rig.USERS, "routes": routes, "quotas": quotas, "upstreams": {f"upstream-{n}": {"servers": [f"127.0.0.1:{k}" for k in range(1, 4)]} for n in range(UPSTREAMS)},
            "log": {"access": "off"}, "admin": {"metrics": f"127.0.0.1:{take_port()}"}}


def request(n):
    return f"M{n} /p{n}/{n * 7919} HTTP/1.1\r\nHost: h{n}.example\r\nX-User: u{n}\r\nUser-Agent: a{n}\r\n\r\n".encode()


def series_of(families):
    return {(s.name, *sorted(s.labels.items())) for family in families.values() for s in family.samples}


def measure(port):
    """(milliseconds, page) of one scrape."""
    begin = time.monotonic()
    with Client(("127.0.0.1", port)) as client:
        page = client.ask("GET", "/metrics").body
    return 1000 * (time.monotonic() - begin), page


def run(world, judge):
    proxy = world.proxy(configuration())
    port = int(proxy.config["admin"]["metrics"].rsplit(":", 1)[1])
    count = world.scaled(REQUESTS)
    proxy.ask("first")
    before = series_of(scrape_families(port))
    statuses, times, began = {}, [], time.monotonic()
    for at in range(0, count, BATCH):
        with Client(proxy.address) as client:
            client.send(b"".join(request(n) for n in range(at, at + BATCH)))
            for _ in range(BATCH):
                status = client.read().status
                statuses[status] = statuses.get(status, 0) + 1
        if len(times) < SCRAPES and at % (10 * BATCH) == 0:
            times.append(measure(port)[0])
    took_s = time.monotonic() - began
    idle = sorted(measure(port)[0] for _ in range(50))
    with Client(proxy.address) as client:
        for n in range(0, ROUTES, 7):
            assert client.ask("GET", f"/r/{n}").status == 200
    families = scrape_families(port)
    after, page = series_of(families), measure(port)[1]
    judge.equal(f"answers to {count:,} requests in {took_s:.0f} s, each with a user, path, method and host of its own", statuses, {200: count})
    judge.at_most("series on the page", len(after), SERIES_MAX)
    judge.equal("series that the traffic made", len(after - before), 0)
    judge.equal("faults of the page against the format and the rules for names", exposition.lint(families, "sluice_")[:3], [])
    judge.tell("bytes of the page", f"{len(page):,}")
    times.sort()
    judge.at_most(f"a scrape during the load: median {rig.percentile(times, 0.5):.1f} ms; the slowest of {len(times)}", times[-1], SCRAPE_MAX_MS, " ms", 1)
    judge.at_most(f"a scrape without load: median {rig.percentile(idle, 0.5):.1f} ms; the slowest of {len(idle)}", idle[-1], SCRAPE_MAX_MS, " ms", 1)
    routes = sum(s.value for s in families["sluice_route_requests_total"].samples)
    judge.equal("requests of all routes, as the page has them", routes, count + 1 + len(range(0, ROUTES, 7)))
    judge.equal("series that are folded, as the page has them, is above 0", families["sluice_metrics_series_folded"].samples[0].value > 0, True)
    proxy.stop()
    judge.note(f"The configuration has {ROUTES + UPSTREAMS + 1:,} routes, {QUOTAS:,} quotas and {UPSTREAMS} upstreams of 3 servers; docs/metrics.md says which of them the page shows.")
