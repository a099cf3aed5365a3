# SPDX-License-Identifier: Apache-2.0
"""Clients that hold a connection as long as they are let: with a head, a body or a response that does not end."""
import array
import collections
import fcntl
import select
import socket
import termios
import threading
import time

_FRAME = b"Host: slow.test\r\nUser-Agent: slow\r\n"
_TICK_S = 0.02

# kind -> (what it sends at once, what it adds each interval, how many bytes it reads each interval)
KINDS = {
    "header": (b"GET /slow HTTP/1.1\r\n" + _FRAME, b"X-Slow: 1\r\n", 0),
    "body": (b"POST /slow HTTP/1.1\r\n" + _FRAME + b"Content-Length: 1000000\r\n\r\n", b"x", 0),
    "stall": (b"GET %s HTTP/1.1\r\n" + _FRAME + b"\r\n", b"", 0),
    "trickle": (b"GET %s HTTP/1.1\r\n" + _FRAME + b"\r\n", b"", 5),
}
READERS = ("stall", "trickle")

# How it ended: "408" (any status of a response), "reset", "end", or "held" to the last; how many seconds after its first
# byte, or, of one that reads, after its kernel last took a byte: then the proxy's patience begins.
Cut = collections.namedtuple("Cut", "kind how seconds")


class _Attacker:
    def __init__(self, kind, address, source, large_path):
        self.kind = kind
        first, self.more, self.read_bytes = KINDS[kind]
        self.cut = None
        self.sock = socket.socket()
        if kind in READERS:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            first = first % large_path.encode()
        self.sock.settimeout(20)
        self.sock.bind((source, 0))
        self.sock.connect(address)
        self.sock.sendall(first)
        self.began = time.monotonic()
        self.read_already, self.taken = 0, 0
        self.sock.setblocking(False)
        self.next_at = self.began

    def end(self, how):
        self.cut = Cut(self.kind, how, time.monotonic() - self.began)
        self.sock.close()

    def _read(self, count):
        try:
            data = self.sock.recv(count)
        except BlockingIOError:
            return
        except OSError:
            self.end("reset")
            return
        self.read_already += len(data)
        if not data:
            self.end("end")
        elif self.kind not in READERS:
            self.end(data[9:12].decode("latin-1"))

    def look(self):
        """Of one that reads: has its kernel taken more?"""
        waiting = array.array("i", [0])
        fcntl.ioctl(self.sock, termios.FIONREAD, waiting)
        if self.read_already + waiting[0] != self.taken:
            self.taken, self.began = self.read_already + waiting[0], time.monotonic()

    def on_event(self, what):
        if what & (select.EPOLLERR | select.EPOLLHUP):
            self._read(65536) if self.kind not in READERS else self.end("reset")
        elif self.kind not in READERS:
            self._read(65536)

    def on_interval(self):
        if self.read_bytes:
            self._read(self.read_bytes)
        if self.cut is None and self.more:
            try:
                self.sock.send(self.more)
            except BlockingIOError:
                pass
            except OSError:
                self.end("reset")


class Attackers:
    """So many of each kind, from one source address, in a thread; counts is {kind: number}."""

    def __init__(self, address, counts, source="127.0.0.2", interval_s=0.5, large_path="/"):
        self.cuts = []
        self._interval_s, self._is_over = interval_s, False
        self._args = [(kind, address, source, large_path) for kind, count in counts.items() for _ in range(count)]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        epoll, attackers = select.epoll(), {}
        for args in self._args:
            attacker = _Attacker(*args)
            attackers[attacker.sock.fileno()] = attacker
            epoll.register(attacker.sock, 0 if attacker.kind in READERS else select.EPOLLIN)
        while attackers and not self._is_over:
            for fd, what in epoll.poll(_TICK_S):
                attackers[fd].on_event(what)
            now = time.monotonic()
            for attacker in attackers.values():
                if attacker.cut is None and attacker.kind in READERS:
                    attacker.look()
                if attacker.cut is None and attacker.next_at <= now:
                    attacker.next_at = now + self._interval_s
                    attacker.on_interval()
            for fd in [fd for fd, attacker in attackers.items() if attacker.cut]:
                self.cuts.append(attackers.pop(fd).cut)
        for attacker in attackers.values():
            attacker.end("held")
            self.cuts.append(attacker.cut)
        epoll.close()

    def are_over(self, seconds):
        """A function that tells whether all were cut, or so many seconds have passed."""
        until = time.monotonic() + seconds
        return lambda: not self._thread.is_alive() or time.monotonic() > until

    def wait(self, seconds):
        """The cuts, when all were cut or the time is over."""
        self._thread.join(seconds)
        self._is_over = True
        self._thread.join(20)
        return self.cuts
