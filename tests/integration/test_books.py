# SPDX-License-Identifier: Apache-2.0
"""The books of quotas: what the log lines say was charged, given back and added is what the store has counted."""
import base64
import collections
import os
import random
import socket
import struct
import threading
import time

import pytest
from harness import http
from harness.client import Client
from harness.configs import forward
from harness.waiting import PATIENCE_S, wait_for

USERS = [f"u{number}" for number in range(6)]
CAMPAIGN_S = float(os.environ.get("SLUICE_CAMPAIGN_S", "6"))
RESET = struct.pack("ii", 1, 0)


def as_user(user):
    return [("Authorization", "Basic " + base64.b64encode(f"{user}:p".encode()).decode())]


def serve_anyhow(link):
    """Statuses and costs at random, and an end in the middle."""
    rng = random.Random(f"server {link.number}")
    try:
        while link.read_request() is not None:
            time.sleep(rng.choice([0, 0, 0.005, 0.03]))
            if rng.randrange(10) == 0:
                link.reset()
                return
            fields = [("X-Cost", str(rng.randrange(9)))] if rng.randrange(2) else []
            link.send(http.response(status=rng.choice([200, 200, 404, 500, 401]), fields=fields, body=b"ok\n"))
    except (http.Ended, OSError):
        link.server.broken += 1


def converse(rng, address):
    """One connection: some requests, perhaps several at once, perhaps an end in the middle of one."""
    with socket.create_connection(address, PATIENCE_S) as sock:
        sock.settimeout(PATIENCE_S)
        reader = http.Reader(lambda: sock.recv(65536))
        for _ in range(rng.randrange(1, 9)):
            requests = [http.request("POST", "/", as_user(rng.choice(USERS)), body=b"x" * rng.choice([1, 3000]))
                        for _ in range(rng.choice([1, 1, 3]))]
            data = b"".join(requests)
            if rng.randrange(4) == 0:
                sock.sendall(data[:rng.randrange(len(data) + 1)] if rng.randrange(2) else data)
                time.sleep(rng.choice([0, 0.001, 0.006]))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                return
            sock.sendall(data)
            for _ in requests:
                reader.response("POST")


def run_clients(address, until):
    def work(seed):
        rng = random.Random(seed)
        while not until():
            try:
                converse(rng, address)
            except (OSError, http.Ended):
                pass  # the server has ended it

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    return threads


def windows_of(line):
    return [entry for entry in line.get("quotas", []) if entry["w"] != "in_flight"]


def charged_by(lines):
    """By quota and user, what the lines say in all."""
    sums = collections.Counter()
    for line in lines:
        for entry in windows_of(line):
            kept = entry["charged"] - entry.get("refunded", 0) + entry.get("added", 0)
            sums[entry["q"], line["subjects"]["user"]] += kept
            assert line["decision"] not in ("refuse", "degraded_refuse") or kept == 0, f"a refused request was charged: {line}"
    return sums


def differences(proxy, sums):
    """What the store has counted beyond the lines; each look is a request that is counted itself."""
    found = {}
    for user in USERS:
        with Client(proxy.address) as client:
            line = proxy.line_of(client.ask("GET", "/", as_user(user)))
        for entry in windows_of(line):
            found[entry["q"], user] = entry["used"] - entry["charged"] - sums[entry["q"], user]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("store", ["memory", "redis", "redis that pauses"])
def test_the_books_agree(start, upstream, request, store):
    """Costs that are settled, refunds by status, slots, and clients that leave at every moment.  While Redis pauses what is
    given back may be lost, so there it has counted as much as the lines say, or more."""
    redis = None if store == "memory" else request.getfixturevalue("redis")
    pauses = store == "redis that pauses"
    where = {"type": "memory"} if redis is None else {
        "type": "redis", "servers": [redis.address], "decision_timeout": "150ms" if pauses else "4s", "command_timeout": "5s", "fleet_size": 1}
    quotas = {"all": {"key": ["user"], "limits": {"366 days": 1000000}},
              "good": {"key": ["user"], "limits": {"366 days": 1000000}, "charge": {"on": ["2xx"]}},
              "slots": {"key": ["user"], "in_flight": 3}}
    proxy = start(forward(
        upstream(serve_anyhow), quotas=quotas, store=where, subject_secret="test", identities={"user": {"from": ["basic_user"]}},
        route={"cost": {"estimate": 3, "response_header": "X-Cost", "max": 7}}))
    wait_for(lambda: differences(proxy, collections.Counter()) and proxy.requests()[-1]["quotas"][0].get("source") == "store",
             "the proxy counts in its store")
    end = time.monotonic() + CAMPAIGN_S
    threads = run_clients(proxy.address, lambda: time.monotonic() > end)
    while pauses and time.monotonic() < end:
        redis.pause()
        time.sleep(0.3)
        redis.resume()
        time.sleep(0.3)
    for thread in threads:
        thread.join()
    seen = []

    def agree():
        seen[:] = [differences(proxy, charged_by(proxy.requests()))]
        # A look that was settled between the lines and the next look shows in the one after it.
        return all(more >= 0 if pauses else more == 0 for more in seen[0].values())

    wait_for(agree, "what is given back has arrived, and the books agree")
    assert any(charged_by(proxy.requests()).values())
