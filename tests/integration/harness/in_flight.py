# SPDX-License-Identifier: Apache-2.0
"""Limits on requests in flight: configurations, an upstream that keeps requests and counts them, and what stands in Redis."""
import signal
import socket
import struct
import threading
import time

import redis

from . import http
from .client import Client
from .configs import forward
from .http import request
from .metrics import scrape
from .ports import take_port
from .upstream import answering
from .waiting import PATIENCE_S, wait_for

USERS = {"identities": {"user": {"from": ["header:X-User"]}}, "subject_secret": "test"}
MESSAGE = "The throttling threshold has been reached: policy {} over ratelimit,limit:{},time:in flight"


def in_redis(server, **more):
    """A slow machine is no store that is away."""
    return {"type": "redis", "servers": [server.address], "decision_timeout": "3s", "command_timeout": "5s", "fleet_size": 1, **more}


def limited(server, store, limit, quota=None, **more):
    """All requests of a user share `limit` slots."""
    admin = {"metrics": f"127.0.0.1:{take_port()}"}
    return forward(server, quotas={"con": {"key": ["user"], "in_flight": limit, **(quota or {})}}, store=store, admin=admin, **USERS,
                   **more)


def user_request(user="alice", method="GET", path="/", **kwargs):
    return request(method, path, [("X-User", user)], **kwargs)


def ask(client, user="alice", **kwargs):
    client.send(user_request(user, **kwargs))
    return client.read(kwargs.get("method", "GET"))


def page_of(proxy):
    return scrape(int(proxy.config["admin"]["metrics"].rsplit(":", 1)[1]))


def held(proxy):
    return page_of(proxy)["sluice_slots_held"]


def wait_until_free(*proxies):
    """Nobody holds a slot, and the store knows it."""
    for proxy in proxies:
        wait_for(lambda p=proxy: held(p) == 0, "all slots are given back")
        for address in proxy.config["store"].get("servers", []):
            with redis.Redis(port=int(address.rsplit(":", 1)[1])) as client:
                wait_for(lambda c=client: not c.keys("sluice:f:*"), "Redis knows of no slot")


def wait_until_up(connect, *proxies):
    """Every worker counts in its store."""
    def is_up(proxy):
        for _ in range(4):
            with connect(proxy) as client:
                line = proxy.line_of(ask(client, "probe"))
            if line["quotas"][0].get("source") not in ("store", "lease"):
                return False
        return True

    for proxy in proxies:
        wait_for(lambda p=proxy: is_up(p), "the proxy counts in its store")


STRAY = "/stray"  # a request that is answered at once and not counted: nobody knows when it comes


class Gate:
    """An upstream that keeps requests until it is opened, and knows how many it had at once."""

    def __init__(self):
        self.lock, self.inside, self.most = threading.Lock(), 0, 0
        self.is_open = threading.Event()

    def serve(self, link):
        try:
            while (message := link.read_request()) is not None:
                if message.target == STRAY:
                    link.send(http.response())
                    continue
                with self.lock:
                    self.inside += 1
                    self.most = max(self.most, self.inside)
                self.is_open.wait(4 * PATIENCE_S)
                with self.lock:
                    self.inside -= 1
                link.send(http.response(body=b"" if message.method == "HEAD" else b"done\n"))
        except (http.Ended, OSError):
            link.server.broken += 1

    def wait_for(self, count):
        wait_for(lambda: self.inside == count, f"{count} requests at the upstream")


def hold(connect, proxy, gate, count, user="alice"):
    """So many more requests of the user are at the upstream."""
    before, clients = gate.inside, []
    for number in range(count):
        clients.append(connect(proxy))
        clients[-1].send(user_request(user))
        gate.wait_for(before + number + 1)
    return clients


def fill(connect, proxy, gate, limit, user="alice"):
    """Exactly `limit` are admitted, and the next is refused."""
    clients = hold(connect, proxy, gate, limit, user)
    with connect(proxy) as client:
        assert ask(client, user).status == 429
    return clients


def let_go(gate, clients):
    """They are answered, and the gate is shut again."""
    gate.is_open.set()
    replies = [client.read() for client in clients]
    assert all(reply.status == 200 for reply in replies)
    gate.wait_for(0)
    gate.is_open.clear()
    for client in clients:
        client.close()
    return replies


def wait_until_up_open(connect, gate, *proxies):
    """wait_until_up through a gate, which stays shut."""
    gate.is_open.set()
    wait_until_up(connect, *proxies)
    gate.is_open.clear()
    gate.most = 0


def reload(proxy, number, **changed):
    """The file with these members instead, in force."""
    proxy.write_config({**proxy.config, **changed})
    proxy.signal(signal.SIGHUP)
    proxy.wait_for_event("reload", number)


def flood(proxy, count, users=("alice",)):
    """So many connections with a request each, all sent before any answer is read."""
    socks = []
    for number in range(count):
        sock = socket.create_connection(proxy.address)
        sock.settimeout(PATIENCE_S)
        sock.sendall(user_request(users[number % len(users)]))
        socks.append(sock)
    return socks


def statuses_of(socks):
    """The statuses of those that were answered by now."""
    statuses = []
    for sock in socks:
        sock.setblocking(False)
        try:
            statuses.append(int(sock.recv(65536).split(b" ", 2)[1]))
        except BlockingIOError:
            statuses.append(None)
        sock.setblocking(True)
    return statuses


def holders_of(value):
    """[(id, sequence, count, deadline)] of a key's value."""
    assert value[:4] == b"\1\0\0\0" and len(value) % 20 == 4, value
    return [struct.unpack_from("<8sIII", value, at) for at in range(4, len(value), 20)]


def sum_of(value, server):
    """The slots that are held now."""
    now = server.client.time()[0]
    return sum(count for _, _, count, deadline in holders_of(value) if deadline > now) if value else 0


def held_in(server):
    return sum(sum_of(server.client.get(key) or b"", server) for key in server.client.keys("sluice:f:*"))


def hammer(proxies, seconds, threads=20):
    """Clients that ask again at once, whatever they were told; gives how many answers of each status."""
    counts, lock, until = {}, threading.Lock(), time.monotonic() + seconds

    def run(proxy):
        client = Client(proxy.address)
        while time.monotonic() < until:
            status = ask(client).status
            with lock:
                counts[status] = counts.get(status, 0) + 1
        client.close()

    running = [threading.Thread(target=run, args=(proxies[i % len(proxies)],)) for i in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return counts


class Counting(Gate):
    """Answers soon, and counts who was there at once."""

    def serve(self, link):
        def answer(_):
            with self.lock:
                self.inside += 1
                self.most = max(self.most, self.inside)
            time.sleep(0.002)
            with self.lock:
                self.inside -= 1
            return http.response(body=b"done\n")

        answering(answer)(link)
