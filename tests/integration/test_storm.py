# SPDX-License-Identifier: Apache-2.0
"""Everything at once: hostile clients and servers, every kind of quota, reloads, and a Redis that is stopped, killed, emptied and filled with garbage behind
a line that goes bad.  Whatever happens, the process lives, nothing stays behind, and nobody is told another's business.

SLUICE_STORM_S=300 SLUICE_STORM_SEED=7 makes it longer and another one."""
import collections
import json
import os
import random
import signal
import socket
import struct
import threading
import time

import pytest
from harness import http
from harness.configs import forward
from harness.metrics import scrape
from harness.ports import take_port
from harness.redis_wire import FAULTS, RedisWire
from harness.upgrade import accept_of
from harness.waiting import wait_for
from redis import RedisError

STORM_S = float(os.environ.get("SLUICE_STORM_S", "6"))
SEED = int(os.environ.get("SLUICE_STORM_SEED", "1"))
CLIENTS = 12
GAUGES = ("connections_open", "exchanges_open", "tunnels_open", "slots_held", "store_inflight")
RESET = struct.pack("ii", 1, 0)
COSTS = ("0", "1", "5", "99999999999999999999", "-1", "2147483647", "4294967296", "x", "")
WEBSOCKET = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13")]


# -- servers

def token_body(rng):
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + rng.choice([1, 2, 3600])))
    good = json.dumps({"token": {"project": {"id": f"p{rng.randrange(5)}"}, "expires_at": expires}}).encode()
    return rng.choice([b"[" * 100, b"[" * 60000, good[:rng.randrange(len(good))], good + b" " * 70000, good.replace(b"p", b"x" * 300), good, good, good])


def give_token(link, rng):
    fields = [("X-Subject-Token", f"tok{rng.randrange(30)}"), ("Content-Type", "application/json")]
    if rng.randrange(10) == 0:
        fields.append(("X-Subject-Token", "other"))
    data = http.response(status=201, fields=fields, body=token_body(rng))
    if rng.randrange(8) == 0:
        link.send(data[:rng.randrange(len(data))])
        link.reset()
        return False
    step = rng.choice([37, len(data), len(data)])
    for at in range(0, min(len(data), 600), step):
        link.send(data[at:at + step] if at + step < 600 else data[at:])
    return True


def give_tunnel(link, rng, message):
    link.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
              + accept_of(message["Sec-WebSocket-Key"]).encode() + b"\r\n\r\n")
    time.sleep(rng.random() * 0.05)
    link.send(b"xyz")
    if rng.randrange(2):
        link.reset()
    else:
        link.close()


def give_anything(link, rng, message):
    time.sleep(rng.choice([0, 0, 0, 0.01, 0.05]))
    status = rng.choice([200, 200, 200, 401, 403, 404, 429, 500, 204, 201])
    fields = [("X-Cost", rng.choice(COSTS)) for _ in range(rng.choice([0, 0, 1, 1, 1, 2]))]
    data = http.response(status=status, fields=fields, body=b"" if status == 204 or message.method == "HEAD" else b"body\n")
    end = rng.randrange(12)
    if end == 0:
        link.reset()
    elif end == 1:
        link.send(data[:len(data) // 2])
        link.close()
    else:
        link.send((b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" * 3 if end == 2 else b"") + data)
    return end > 1


def serve(link):
    rng = random.Random(f"{SEED} server {link.number}")
    try:
        while (message := link.read_request()) is not None:
            if message.target == "/up" and message["Upgrade"] and rng.randrange(3):
                give_tunnel(link, rng, message)
                return
            if not (give_token if message.target == "/tokens" else lambda l, r: give_anything(l, r, message))(link, rng):
                return
    except (http.Ended, OSError):
        pass


# -- the proxy

def config(server, store, port, number):
    """Four of them, of which a reload takes any."""
    limits = ({"limits": {"minute": 50, "hour": 100000}}, {"algorithm": "sliding", "limits": {"minute": 60}},
              {"algorithm": "token_bucket", "limits": {"minute": 600}, "burst": 20}, {"limits": {"second": 7, "minute": 400}})[number]
    is_live = store["type"] == "redis" and number in (1, 2)
    tier = {"key": ["plain"], "limits": "tier", "default_tier": "free", "members": "redis" if is_live else {"pro": ["u1"], "staff": ["u2"]}}
    quotas = {
        "user": {"key": ["user"], **limits, **({"charge": {"on": ["2xx", "5xx"]}} if number % 2 else {})},
        "con": {"key": ["user"], "in_flight": (3, 2, 5, 1)[number]},
        "both": {"key": ["user", "project"], "in_flight": 2, "limits": {"minute": 1000}, "on_failure": ("allow", "local", "deny", "local")[number]},
        "proj": {"key": ["project"], "limits": {"minute": 200}},
        "shade": {"key": ["user"], "mode": "shadow", "limits": {"second": 2}},
        "shade2": {"key": ["user"], "mode": "shadow", "in_flight": 1},
        "tier": {**tier, **({"exempt": {"preflight": True, "subjects": ["u3"]}} if number == 3 else {})},
    }
    user = {"from": ["header:X-User", "access_key"], "missing": ("ip", "shared", "skip", "ip")[number]}
    made = forward(server, quotas=quotas, store=store, subject_secret="other" if number == 2 else "test", workers=2, trusted_proxies=["127.0.0.1"],
                   admin={"metrics": f"127.0.0.1:{port}"}, tiers={"free": {"second": 20}, "pro": {"minute": 300}, "staff": "unlimited"},
                   identities={"user": {**user, **({"unverified": {"minute": 100}} if number != 1 else {})},
                               "project": {"from": ["token_project"], "missing": "shared"}, "plain": {"from": ["path:name", "basic_user"], "missing": "ip"}})
    app = {"upstream": "app"}
    made["routes"] = [
        {**app, "name": "tokens", "path": "/tokens", "learns": "token_project", "quotas": ["con", "user"]},
        {**app, "name": "tier", "path": "/t/{name}", "quotas": ["tier", "con"], "errors": "iva"},
        {**app, "name": "up", "prefix": "/up", "quotas": ["con"], "upgrade": ["websocket"]},
        {"name": "here", "prefix": "/here", "quotas": ["con", "user", "shade", "shade2"], "respond": {"status": 200, "text": "x" * 30000}},
        {**app, "name": "all", "prefix": "/", "quotas": ["user", "con", "both", "proj", "shade", "shade2"],
         "cost": {"estimate": 2, "response_header": "X-Cost", "max": 50}},
    ]
    made["upstreams"]["app"]["timeouts"] = {"connect": "1s", "first_byte": "2s", "read_idle": "1s", "tunnel_idle": "1s"}
    return made


# -- clients

def one_request(rng):
    """(method, bytes, target)"""
    target = rng.choice(["/", "/a", "/tokens", "/t/u1", "/t/u2", "/t/u3", "/t/u9", "/here", "/up"])
    fields = []
    if rng.randrange(5):
        fields.append(("X-User", rng.choice(["alice", "bob", f"r{rng.randrange(1000)}"])))
    elif rng.randrange(2):
        fields.append(("Authorization", f"SDK-HMAC-SHA256 Access=AK{rng.randrange(4)}, SignedHeaders=host, Signature=x"))
    if rng.randrange(2):
        fields.append(("X-Auth-Token", f"tok{rng.randrange(40)}"))
    if rng.randrange(2):
        fields.append(("X-Forwarded-For", f"10.0.0.{rng.randrange(20)}"))
    if rng.randrange(4) == 0:
        fields.append(("Accept", "application/xml"))
    method = rng.choice(["GET", "GET", "GET", "HEAD", "POST", "OPTIONS"])
    if target in ("/up", "/tokens"):
        method = "GET" if target == "/up" else "POST"
        fields += WEBSOCKET if target == "/up" else []
    if method == "OPTIONS":
        fields += [("Origin", "http://x"), ("Access-Control-Request-Method", "GET")]
    body = rng.choice([b"", b"abc", b"y" * 70000]) if method == "POST" else None
    return method, http.request(method, target, fields, body=body), target


class Storm:
    """What all clients saw.  wrong: answers that say what they must not."""

    def __init__(self, address):
        self.address, self.end = address, time.monotonic() + STORM_S
        self.wrong, self.counts, self.lock = [], collections.Counter(), threading.Lock()

    def note(self, word):
        with self.lock:
            self.counts[word] += 1

    def run(self, number):
        rng = random.Random(f"{SEED} client {number}")
        while time.monotonic() < self.end:
            try:
                with socket.create_connection(self.address, 5) as sock:
                    sock.settimeout(8)
                    self._talk(sock, rng)
            except (OSError, AssertionError, ValueError) as error:
                self.note(type(error).__name__)

    def _talk(self, sock, rng):
        reader = http.Reader(lambda: sock.recv(65536))
        for _ in range(rng.randrange(1, 8)):
            batch = [one_request(rng) for _ in range(rng.choice([1, 1, 1, 3]))]
            data = b"".join(part for _, part, _ in batch)
            how = rng.randrange(10)
            sock.sendall(data[:rng.randrange(len(data) + 1)] if how == 0 else data)
            if how < 2:  # gives up anywhere
                time.sleep(rng.choice([0, 0.001, 0.01]))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                return
            for method, _, target in batch:
                reply = reader.response(method)
                self.note(reply.status)
                self._judge(reply, method, target)
                if reply.status == 101 or (reply["Connection"] or "").lower() == "close":
                    return

    def _judge(self, reply, method, target):
        """An error of our own names the request and a policy of its route."""
        if reply.status != 429 or method == "HEAD" or reply.body.startswith(b"body"):
            return
        if (reply["X-request-id"] or "").split("-")[0].encode() not in reply.body:
            self.wrong.append(("id", reply))
        of_route = {"/here": (b"con", b"user"), "/t/u1": (b"tier", b"con", b"user.unverified")}.get(target)
        if of_route and b"policy " in reply.body and not any(b"policy " + name in reply.body for name in of_route):
            self.wrong.append(("policy", target, reply.body))


# -- the weather

def garbage(redis, rng):
    for key in list(redis.client.scan_iter("sluice:*"))[:20]:
        redis.client.delete(key)
        if rng.randrange(2):
            redis.client.lpush(key, "x")
        else:
            redis.client.set(key, os.urandom(rng.choice([0, 3, 24, 44, 300])), ex=5)


def stand_still(redis, rng):
    redis.pause()
    time.sleep(rng.choice([0.02, 0.3]))
    redis.resume()


def restart(redis, _):
    redis.kill()
    redis.start()


INCIDENTS = (
    stand_still, restart, garbage, garbage,
    lambda redis, _: redis.client.flushall(),
    lambda redis, _: redis.client.script_flush(),
    lambda redis, rng: redis.client.config_set("maxmemory", rng.choice(["1", "0", "0"])),
    lambda redis, rng: redis.client.hset("sluice:members:tier", mapping={"u1": rng.choice(["pro", "staff", "nobody", "z" * 500]), "u9": "pro"}),
)


def rage(storm, proxy, make, redis, wire):
    """Reloads and incidents, until the storm is over."""
    rng = random.Random(f"{SEED} weather")
    while time.monotonic() < storm.end:
        time.sleep(rng.choice([0.05, 0.3]))
        proxy.write_config({**make(rng.randrange(4)), "listen": proxy.config["listen"], "log": proxy.config["log"]})
        proxy.signal(signal.SIGHUP)
        if redis is None:
            continue
        wire.fault = rng.choice([None, None, None, *FAULTS])
        try:
            rng.choice(INCIDENTS)(redis, rng)
        except RedisError as error:
            storm.note(type(error).__name__)
    if redis is not None:
        wire.fault = None
        redis.client.config_set("maxmemory", "0")


def holds_slots(redis, key):
    return redis.client.type(key) == b"string" and len(redis.client.get(key) or b"") >= 24


@pytest.mark.slow
@pytest.mark.parametrize("store", ["memory", "redis"])
def test_storm(start, upstream, world, request, store):
    redis = wire = None
    store = {"type": store}
    if store["type"] == "redis":
        redis = request.getfixturevalue("redis")
        wire = RedisWire(redis)
        world.redises.append(wire)
        store |= {"servers": [wire.address], "decision_timeout": "60ms", "command_timeout": "200ms", "fleet_size": 1}
    server, port = upstream(serve), take_port()
    proxy = start(config(server, store, port, 0))
    storm = Storm(proxy.address)
    threads = [threading.Thread(target=storm.run, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    rage(storm, proxy, lambda number: config(server, store, port, number), redis, wire)
    for thread in threads:
        thread.join()

    def is_calm():
        values = scrape(port)
        return all(values[f"sluice_{name}"] <= (name == "connections_open") for name in GAUGES if f"sluice_{name}" in values)

    wait_for(is_calm, "nothing is open, held or in flight")
    assert not storm.wrong, storm.wrong[:3]
    assert storm.counts[200] and storm.counts[429], storm.counts
    assert not proxy.events("child_restart"), proxy.stderr()[-3000:]
    if redis is not None:
        wait_for(lambda: not any(holds_slots(redis, key) for key in redis.client.scan_iter("sluice:f:*")), "no slot is held in Redis")
