# SPDX-License-Identifier: Apache-2.0
"""The recording upstream: reads strictly, keeps everything, says in every answer what it saw and where.  For a response case it
plays back raw bytes instead when the request's target is /case."""
import asyncio
import socket
import struct

import case as cases
import strict
import wire

_RESET = struct.pack("ii", 1, 0)


class Seen:
    """A whole request and the connection that it came on."""

    def __init__(self, connection, message):
        self.connection, self.message = connection, message

    @property
    def what(self):
        return self.message.method, self.message.target, self.message.body


class Origin:
    """One lane's upstream.  Lanes are never shared by two cases at once, so all that arrives belongs to the case at hand."""

    def __init__(self, port):
        self.port = port
        self.server = None
        self.connections = 0
        self.links = set()
        self.begin()

    async def start(self):
        self.server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), "127.0.0.1", self.port, backlog=512)

    def stop(self):
        self.server.close()
        for link in list(self.links):
            link.transport.abort()

    def begin(self, script=None, cut=wire.WHOLE):
        self.seen, self.faults = [], []
        self.script, self.cut = script, cut
        self.late = asyncio.Event()
        self.late_sent = asyncio.Event()
        self.case_connections = []


def answer(seen):
    message = seen.message
    text = f"saw {message.method} {message.target} {len(message.body)}\n".encode("latin-1")
    head = f"HTTP/1.1 200 OK\r\nX-Origin: {seen.connection}\r\nX-Origin-Method: {message.method}\r\nContent-Length: {len(text)}\r\n\r\n"
    return head.encode("latin-1") + (b"" if message.method == "HEAD" else text)


class _Connection(asyncio.Protocol):
    def __init__(self, origin):
        self.origin = origin
        self.number = origin.connections
        origin.connections += 1
        self.data = bytearray()
        self.transport = None
        self.is_playing = self.has_ended = False

    def connection_made(self, transport):
        self.transport = transport
        self.origin.links.add(self)

    def connection_lost(self, exc):
        self.has_ended = True
        self.origin.links.discard(self)

    def data_received(self, data):
        self.data += data
        if not self.is_playing:
            self._serve()

    def _serve(self):
        while self.data and not self.is_playing and not self.transport.is_closing():
            try:
                parsed = strict.parse_request(self.data)
            except strict.Malformed as fault:
                self.origin.faults.append(str(fault))
                self.transport.write(b"HTTP/1.1 400 Bad Request\r\nX-Origin: fault\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                self.transport.close()
                return
            if parsed is None:
                return
            message, taken = parsed
            del self.data[:taken]
            seen = Seen(self.number, message)
            self.origin.seen.append(seen)
            if message.target == "/case" and self.origin.script:
                self.is_playing = True
                self.origin.case_connections.append(self)
                asyncio.get_running_loop().create_task(self._play(self.origin.script, self.origin.late, self.origin.late_sent))
            else:
                self.transport.write(answer(seen))
                if not message.keeps:
                    self.transport.close()

    async def _play(self, script, late, late_sent):
        for step in script:
            if step == cases.CLOSE:
                self.transport.close()
            elif step == cases.RESET and not self.transport.is_closing():
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                self.transport.abort()
            elif step == cases.LATE:
                await late.wait()
            elif isinstance(step, bytes):
                await wire.send(self.transport, step, self.origin.cut)
        if cases.LATE in script:
            await self._delivered()
        late_sent.set()
        self.is_playing = False
        self._serve()

    async def _delivered(self):
        """Until the bytes are in the proxy's socket; whether it looks at them is its affair."""
        while not self.transport.is_closing() and self.transport.get_write_buffer_size():
            await asyncio.sleep(0.001)
