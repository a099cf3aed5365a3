# SPDX-License-Identifier: Apache-2.0
"""A client that sends exact bytes and reads exact responses."""
import select
import socket
import ssl
import struct

from . import http
from .waiting import PATIENCE_S

_LINGER_RESET = struct.pack("ii", 1, 0)
_TCP_REPAIR, _TCP_REPAIR_QUEUE, _TCP_QUEUE_SEQ, _TCP_RECV_QUEUE, _TCP_REPAIR_OFF_QUIETLY = 19, 20, 21, 1, -1  # linux/tcp.h


def is_refused(address):
    """Nobody listens there."""
    try:
        socket.create_connection(address, 1).close()
        return False
    except OSError:
        return True


class Client:
    """One connection.  address is (host, port) or the path of a Unix socket; tls is a context of ssl, name what it asks for."""

    def __init__(self, address, source=None, receive_buffer=None, timeout=PATIENCE_S, tls=None, name=None, session=None):
        if isinstance(address, (str, bytes)):
            family = socket.AF_UNIX
        else:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if family != socket.AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            self.sock.bind((source, 0))
        self.sock.settimeout(timeout)
        self.sock.connect(address)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname=name, suppress_ragged_eofs=False, session=session)
        self.reader = http.Reader(lambda: self.sock.recv(65536))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.sendall(data)

    def send_bytewise(self, data):
        """Each byte in a segment of its own (TCP_NODELAY is on)."""
        for at in range(len(data)):
            self.sock.sendall(data[at:at + 1])

    def ask(self, *args, **kwargs):
        """Send http.request(...) and read its response."""
        self.send(http.request(*args, **kwargs))
        return self.read(kwargs.get("method", args[0] if args else "GET"))

    def read(self, method="GET"):
        return self.reader.response(method)

    def end_output(self):
        if isinstance(self.sock, socket.socket):
            socket.socket.shutdown(self.sock, socket.SHUT_WR)  # under TLS without a word
        else:
            self.sock.end_output()  # harness.tls.Ending

    def say_unreachable(self):
        """A router tells the peer that its last segments did not reach us (RFC 792: host unreachable), which is no reason to end a
        connection.  For root."""
        here, there = self.sock.getsockname(), self.sock.getpeername()
        self.sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
        self.sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR_QUEUE, _TCP_RECV_QUEUE)
        expected = self.sock.getsockopt(socket.IPPROTO_TCP, _TCP_QUEUE_SEQ) & 0xFFFFFFFF
        self.sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, _TCP_REPAIR_OFF_QUIETLY)
        lost = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, socket.IPPROTO_TCP, 0, socket.inet_aton(there[0]), socket.inet_aton(here[0]))
        lost += struct.pack("!HHI", there[1], here[1], expected)
        message = struct.pack("!BBHI", 3, 1, 0, 0) + lost
        total = sum(struct.unpack(f"!{len(message) // 2}H", message))
        total = (total & 0xFFFF) + (total >> 16)
        checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
            raw.sendto(message[:2] + struct.pack("!H", checksum) + message[4:], (there[0], 0))

    def expect_end(self):
        """The peer ends the connection cleanly and says nothing more."""
        try:
            rest = self.reader.buffer + self.sock.recv(65536)
        except ConnectionResetError as error:
            raise AssertionError("the connection was reset instead of closed") from error
        assert not rest, f"more than expected: {bytes(rest)!r}"

    def expect_reset(self):
        """The peer resets the connection; what it said before is given back."""
        said = bytes(self.reader.buffer)
        try:
            while data := self.sock.recv(65536):
                said += data
        except (ConnectionResetError, ssl.SSLEOFError):
            return said
        raise AssertionError(f"a clean end instead of a reset, behind {said[-200:]!r}")

    def expect_gone(self):
        """The peer ends the connection in whatever way; what it still says is given back."""
        said = bytes(self.reader.buffer)
        try:
            while data := self.sock.recv(65536):
                said += data
        except (ConnectionResetError, ssl.SSLEOFError):
            pass
        return said

    def is_quiet(self, seconds=0.0):
        """True when there is nothing to read (no data, no end) within the time."""
        if self.reader.buffer or (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()):
            return False
        return not select.select([self.sock], [], [], seconds)[0]

    def reset(self):
        """Close with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        self.sock.close()

    def close(self):
        self.sock.close()
