# SPDX-License-Identifier: Apache-2.0
"""More subjects than a table holds, made up or made to collide: who has spent a quota stays spent, and memory stays bounded."""
import itertools
import os
import random
import threading

import pytest
from harness import http
from harness.configs import respond
from harness.metrics import scrape
from harness.ports import take_port
from harness.waiting import wait_for

HOT = [f"hot{number}" for number in range(20)]
LIMIT = 3
CROWD = int(os.environ.get("SLUICE_CROWD", "40000"))  # 1000000 fills the table that stands in for Redis
TABLE = 262144        # its places
BATCH = 500


def colliding(pair, count):
    """Keys that are one to hashes without a key: of a * 31 + b ("Aa", "BB") and of a * 33 + b ("Ez", "FY")."""
    return ["".join(parts) for parts in itertools.islice(itertools.product(pair, repeat=17), count)]


def crowd(rng):
    share = min(CROWD // 5, 1 << 17)
    keys = colliding(("Aa", "BB"), share) + colliding(("Ez", "FY"), share)
    keys += [f"{rng.getrandbits(64):016x}" for _ in range(CROWD - len(keys))]
    rng.shuffle(keys)
    return keys


def flood(client, keys):
    """Each key once; how many were admitted."""
    admitted = 0
    for at in range(0, len(keys), BATCH):
        batch = keys[at:at + BATCH]
        threading.Thread(target=client.send, args=(b"".join(http.request(fields=[("X-Key", key)]) for key in batch),)).start()
        heads = bytearray()
        while heads.count(b"HTTP/1.1 ") < len(batch) or not heads.endswith((b"here\n", b"}")):
            data = client.sock.recv(1 << 18)
            assert data, bytes(heads[-500:])
            heads += data
        admitted += heads.count(b"HTTP/1.1 200 ")
    return admitted


def config(store):
    made = respond(store=store, subject_secret="test", log={"access": "off"}, limits={"requests_per_connection": "unlimited"},
                   quotas={"q": {"key": ["key"], "limits": {"366 days": LIMIT}}}, identities={"key": {"from": ["header:X-Key"]}})
    made["routes"][0]["quotas"] = ["q"]
    made["admin"] = {"metrics": f"127.0.0.1:{take_port()}"}
    return made


def ask(client, key):
    return client.ask(fields=[("X-Key", key)]).status


def numbers(proxy):
    return scrape(int(proxy.config["admin"]["metrics"].rsplit(":", 1)[1]))


@pytest.mark.parametrize("store", ["memory", "redis"])
def test_a_crowd_frees_nobody_who_has_spent(start, connect, redis, store):
    """Of the embedded store, and of the table that decides while Redis is away."""
    made = {"memory": {"type": "memory", "subjects": 1000},
            "redis": {"type": "redis", "servers": [redis.address], "fleet_size": 1, "decision_timeout": "150ms"}}[store]
    proxy = start(config(made))
    client = connect(proxy)
    wait_for(lambda: ask(client, "probe") in (200, 429) and (store == "memory" or redis.client.dbsize() > 1), "the store counts")
    for key in HOT:
        assert [ask(client, key) for _ in range(LIMIT + 1)] == [200] * LIMIT + [429]
    if store == "redis":
        redis.kill()
        wait_for(lambda: not numbers(proxy)["sluice_store_up"], "the loss of Redis is known")
    before_kib = proxy.memory_kib()
    keys = crowd(random.Random(30))
    admitted = 0
    for at in range(0, len(keys), 10000):
        admitted += flood(client, keys[at:at + 10000])
        assert [ask(client, key) for key in HOT] == [429] * len(HOT), f"after {at + 10000}"
    places = 1000 if store == "memory" else TABLE
    assert admitted <= min(len(keys), 1.3 * places + LIMIT), "newcomers to a full table share one bucket"
    if store == "memory":
        assert numbers(proxy)["sluice_store_overflow_total"] >= len(keys) - 1.3 * places
    if not os.environ.get("SLUICE_SANITIZE"):
        assert proxy.memory_kib() - before_kib < (8 if store == "memory" else 64) * 1024
    if store == "redis":
        redis.start()
        wait_for(lambda: numbers(proxy)["sluice_store_up"], "Redis is back")
        assert [ask(client, key) for key in HOT] == [429] * len(HOT), "and it is told what was spent"
