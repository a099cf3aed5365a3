# SPDX-License-Identifier: Apache-2.0
"""Connections that the suite holds: cutting what is sent into pieces of which each is read before the next one leaves, and
reading what comes back.  One event loop, no threads."""
import asyncio

import strict
from harness.unread import unread_bytes

WHOLE, HALVES, BYTEWISE = "whole", "halves", "bytewise"
_MANY = 600  # bytes; beyond them "bytewise" sends single bytes only at both ends


def pieces(data, cut):
    """cut: WHOLE, HALVES, BYTEWISE, or an offset."""
    if cut == WHOLE or len(data) < 2:
        return [data]
    if cut == HALVES:
        cut = len(data) // 2
    if cut == BYTEWISE:
        if len(data) <= _MANY:
            return [data[i:i + 1] for i in range(len(data))]
        half = _MANY // 2
        return [data[i:i + 1] for i in range(half)] + [data[half:-half]] + [data[i:i + 1] for i in range(len(data) - half, len(data))]
    return [data[:cut], data[cut:]]


async def send(transport, data, cut, tail=b""):
    """Sends the pieces; each but the last one is read by the peer before the next one leaves.  tail leaves with the last one."""
    local, remote = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
    parts = pieces(data, cut)
    parts[-1] += tail
    for part in parts[:-1]:
        transport.write(part)
        await read_by_peer(transport, local, remote)
        if transport.is_closing():
            return
    transport.write(parts[-1])


async def read_by_peer(transport, local=None, remote=None, seconds=3):
    local = local or transport.get_extra_info("sockname")
    remote = remote or transport.get_extra_info("peername")
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    pause = 0
    while not transport.is_closing() and (transport.get_write_buffer_size() or unread_bytes(remote, local)):
        if loop.time() > until:
            return  # a peer that leaves bytes unread while it waits for something else
        await asyncio.sleep(pause)
        pause = min(pause + 0.00005, 0.002)


class Link(asyncio.Protocol):
    """A client's connection."""

    def __init__(self):
        self.data = bytearray()
        self.has_ended = self.was_reset = False
        self.changed = asyncio.Event()
        self.transport = None

    @classmethod
    async def open(cls, address):
        _, link = await asyncio.get_running_loop().create_connection(cls, *address)
        return link

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.data += data
        self.changed.set()

    def eof_received(self):
        self.has_ended = True
        self.changed.set()
        return True

    def connection_lost(self, exc):
        self.was_reset = self.was_reset or isinstance(exc, OSError)
        self.has_ended = True
        self.changed.set()

    async def response(self, method, until):
        """The next response; None at a clean end, at a reset before any byte of it, or when the time (of the loop) is over."""
        while True:
            parsed = strict.parse_response(self.data, method, self.has_ended) if self.data else None
            if parsed:
                message, taken = parsed
                del self.data[:taken]
                return message
            if self.has_ended or not await self.wait(until):
                return None

    async def wait(self, until):
        """False when the time is over."""
        self.changed.clear()
        left = until - asyncio.get_running_loop().time()
        if left <= 0:
            return False
        try:
            await asyncio.wait_for(self.changed.wait(), left)
        except asyncio.TimeoutError:
            return False
        return True

    def close(self):
        self.transport.abort()
