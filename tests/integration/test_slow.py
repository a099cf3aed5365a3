# SPDX-License-Identifier: Apache-2.0
"""Clients that hold heads, bodies and responses as long as they can: each is cut and says so in the log, nobody else notices."""
import collections

from harness.client import Client
from harness.configs import forward
from harness.slow import Attackers
from harness.waiting import PATIENCE_S, wait_for

LIMITS = {"header_timeout": "1s", "body_grace": "1s", "body_min_rate": "1KiB/s", "write_stall": "1s", "read_min_rate": "1KiB/s"}
OWN_SOURCE = "127.0.0.2"
LARGE_BYTES = 64 << 20  # no socket holds it
BLOCK = b"slow" * 16384
COUNTS = {"header": 60, "body": 20, "stall": 10, "trickle": 10}


def serve_large(link):
    """One body that is too large to be taken at once; ends when the proxy gives it up."""
    if link.read_request() is None:
        return
    try:
        link.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % LARGE_BYTES)
        for _ in range(LARGE_BYTES // len(BLOCK)):
            link.send(BLOCK)
    except OSError:
        pass


def start_proxy(start, upstream):
    config = forward(upstream(), limits=LIMITS)
    config["upstreams"]["large"] = {"servers": [upstream(serve_large).address]}
    config["routes"].insert(0, {"name": "large", "prefix": "/large", "upstream": "large"})
    return start(config)


def ask_until(is_over, address):
    """A good client: a kept connection and one for each request in turn; its statuses."""
    statuses = collections.Counter()
    with Client(address) as kept:
        while not is_over():
            statuses[kept.ask("GET", "/kept").status] += 1
            with Client(address) as fresh:
                statuses[fresh.ask("GET", "/fresh", [("Connection", "close")]).status] += 1
    return statuses


def own_lines(proxy):
    return [line for line in proxy.requests() if line["client_ip"] == OWN_SOURCE]


def test_slow_clients_are_cut_and_others_do_not_notice(start, upstream):
    proxy = start_proxy(start, upstream)
    with Client(proxy.address) as client:
        assert client.ask("GET", "/").status == 200
    attackers = Attackers(proxy.address, COUNTS, OWN_SOURCE, interval_s=0.1, large_path="/large")
    statuses = ask_until(attackers.are_over(2 * PATIENCE_S), proxy.address)
    cuts = collections.Counter((cut.kind, cut.how) for cut in attackers.wait(0))
    assert set(statuses) == {200}
    # Slow senders are told; a reader of a broken response sees a reset, never a clean end.
    assert cuts == {("header", "408"): 60, ("body", "408"): 20, ("stall", "reset"): 10, ("trickle", "reset"): 10}
    lines = wait_for(lambda: len(own_lines(proxy)) >= sum(COUNTS.values()) and own_lines(proxy), "each attacker has its log line")
    ends = collections.Counter(line["end"] for line in lines)
    assert ends["header_timeout"] == 60 and ends["body_timeout"] == 20, ends
    # Who reads a little may be cut for either: the kernel says what a client took in steps.
    assert ends["write_stall"] >= 10 and ends["write_stall"] + ends["slow_read"] == 20, ends
    assert len(lines) == 100
