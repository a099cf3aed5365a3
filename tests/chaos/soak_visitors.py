# SPDX-License-Identifier: Apache-2.0
"""Who is there beside the load of the soak: WebSockets and requests over TLS, plain WebSockets, event streams, malformed requests."""
import asyncio
import collections
import contextlib
import random
import threading
import time

import websockets
from harness import http
from harness.client import Client

import event_streams
from soak_world import EVENTS_PER_S, NAME, SECURED, SIDE

TALKERS, MESSAGES, BETWEEN_S = 4, (10, 60), 0.25  # of each kind, plain and over TLS; a connection has so many messages
TLS_PER_S, TLS_REQUESTS = 10, 20                  # a connection has so many requests
STREAMS, DIRECT, STREAM_S = 12, 4, 20
MALFORMED_S = 2
SEED = 20261201


class Visitor(threading.Thread):
    """One kind.  seen: what it counts; faults: (when, what).  Ends soon after stop()."""

    def __init__(self, place):
        super().__init__(daemon=True)
        self.place, self.seen, self.faults, self.told_to_stop = place, collections.Counter(), [], threading.Event()

    def run(self):
        while not self.told_to_stop.is_set():
            try:
                self.visit()
            except Exception as fault:  # pylint: disable=broad-except
                self.faults.append((time.time(), repr(fault)[:200]))
                self.told_to_stop.wait(0.5)

    def visit(self):
        raise NotImplementedError

    def stop(self):
        self.told_to_stop.set()
        self.join(90)
        if self.is_alive():
            self.faults.append((time.time(), "it does not end"))


class Secured(Visitor):
    """Requests on connections over TLS, of which every other one resumes a session."""

    session = None

    def visit(self):
        address = ("127.0.0.1", self.place.ports[SECURED])
        with Client(address, tls=self.place.tls, name=NAME, session=self.session) as client:
            self.seen["connections"] += 1
            self.seen["resumed"] += client.sock.session_reused
            for n in range(TLS_REQUESTS):
                if self.told_to_stop.wait(1 / TLS_PER_S):
                    break
                try:
                    reply = client.ask("GET", f"/bytes/{n * 1000}", [("X-User", f"tls-{n}")])
                except http.Ended:
                    if n == 0 or client.reader.buffer:
                        raise
                    self.seen["ended between two requests"] += 1  # as a client may be at any time; it asks again
                    return
                self.seen[str(reply.status)] += 1
                if reply.status != 200:
                    self.faults.append((time.time(), f"status {reply.status}"))
                elif len(reply.body) != n * 1000:
                    self.faults.append((time.time(), f"{len(reply.body)} bytes of {n * 1000}"))
                if reply["Connection"] == "close":
                    break
            self.session = client.sock.session if self.seen["connections"] % 2 else None


class Malformed(Visitor):
    """A header that cannot be, on a connection of its own."""

    def visit(self):
        with Client(("127.0.0.1", self.place.ports[SIDE])) as client:
            client.send(b"GET /malformed HTTP/1.1\r\nHost: soak.test\r\nX-Odd: \x01\r\n\r\n")
            self.seen[str(client.read().status)] += 1
        self.told_to_stop.wait(MALFORMED_S)


class Streams(Visitor):
    """Event streams that end after a while, and begin again: some are open at any reload, rotation and upgrade."""

    def __init__(self, place):
        super().__init__(place)
        self.said = []

    def visit(self):
        # Through the listener of the others: who leaves here is not the load.
        reader = event_streams.Reader(self.place.world, STREAM_S, self.place.ports[SIDE], STREAMS, self.place.events_port, DIRECT)
        self.said.append(reader.said())
        self.place.world.forget(reader.process)
        self.seen["streams"] += STREAMS

    @property
    def expected(self):
        return len(self.said) * STREAMS * STREAM_S * EVENTS_PER_S


class Talkers(Visitor):
    """WebSockets, plain and over TLS, to a server of python3-websockets that gives back what it gets.  All in this thread."""

    def run(self):
        try:
            asyncio.run(self._all())
        except Exception as fault:  # pylint: disable=broad-except
            self.faults.append((time.time(), repr(fault)[:200]))

    def visit(self):
        """Not used: _talk is."""

    async def _all(self):
        async with websockets.serve(self._give_back, "127.0.0.1", self.place.chat_port, compression=None):
            await asyncio.gather(*(self._talk(kind, n) for kind in (False, True) for n in range(TALKERS)))

    @staticmethod
    async def _give_back(connection):
        with contextlib.suppress(websockets.ConnectionClosed):
            async for message in connection:
                await connection.send(message)

    async def _talk(self, secured, number):
        rng = random.Random(f"{SEED} {secured} {number}")
        while not self.told_to_stop.is_set():
            try:
                await self._converse(secured, rng)
            except Exception as fault:  # pylint: disable=broad-except
                self.faults.append((time.time(), repr(fault)[:200]))
                await asyncio.sleep(0.5)

    async def _converse(self, secured, rng):
        kind = "over TLS" if secured else "plain"
        async with websockets.connect(self.place.uri(secured), ssl=self.place.context(secured), server_hostname=NAME if secured else None,
                                      compression=None, ping_interval=None) as connection:
            for _ in range(rng.randint(*MESSAGES)):
                message = rng.randbytes(rng.choice((20, 500, 70000)))
                await connection.send(message)
                if await asyncio.wait_for(connection.recv(), 20) != message:
                    self.faults.append((time.time(), f"another message came back, {kind}"))
                self.seen[f"messages {kind}"] += 1
                if self.told_to_stop.is_set():
                    break
                await asyncio.sleep(BETWEEN_S)
            await connection.close(1000, "done")
        self.seen[f"conversations {kind}"] += 1
        if connection.close_code != 1000:
            self.faults.append((time.time(), f"closed with {connection.close_code}"))


def start_all(place):
    """{name: visitor}"""
    visitors = {"TLS": Secured(place), "malformed": Malformed(place), "streams": Streams(place), "WebSocket": Talkers(place)}
    for visitor in visitors.values():
        visitor.start()
    return visitors
