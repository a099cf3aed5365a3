# SPDX-License-Identifier: Apache-2.0
"""A line to a redis-server that goes bad when a test says so: what Redis answers is lost, late, cut, doubled or made up."""
import socket
import threading

from .threaded import Threaded

STEP_S = 0.05
GRANTS_WILD = b"*10\r\n:1\r\n:4294967295\r\n:999999\r\n:1\r\n:1\r\n:4294967295\r\n:4294967295\r\n:4294967295\r\n:0\r\n:4294967295\r\n"

# How the line is bad: (what happens to a piece that Redis said, as a list of pieces to send; None: all later ones are lost too)
FAULTS = {
    "black hole": None,  # nothing is passed on either way, and nothing is read
    "answers lost": lambda data: [],
    "a byte a second": lambda data: [data[i:i + 1] for i in range(len(data))],
    "half an answer": lambda data: [data[:len(data) // 2]],
    "half an answer, then the end": lambda data: [data[:len(data) // 2], None],
    "answers doubled": lambda data: [data + data],
    "more than was asked for": lambda data: [data + b":1\r\n"],
    "an array of 2147483647": lambda data: [b"*2147483647\r\n" + data],
    "a string of 512 MiB": lambda data: [b"$536870912\r\n", b"x" * 65536],
    "nested 10,000 deep": lambda data: [b"*1\r\n" * 10000 + data],
    "a line without end": lambda data: [b"+" + b"a" * (1 << 20)] * 3,
    "numbers that cannot be": lambda data: [GRANTS_WILD],
    "errors": lambda data: [b"-ERR what?\r\n"],
    "another protocol": lambda data: [b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"],
    "nothing that is text": lambda data: [bytes(b ^ 0xa5 for b in data)],
}


class RedisWire(Threaded):
    """Owner: a test.  fault: a name of FAULTS, or None."""

    def __init__(self, real):
        self.real, self.fault = real, None
        self._over = threading.Event()
        super().__init__()

    def _serve(self, sock):
        try:
            far = socket.create_connection(("127.0.0.1", self.real.port), 5)
        except OSError:
            sock.close()
            return
        for end in (sock, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.settimeout(None)
        self.sockets.append(far)
        threading.Thread(target=self._pass, args=(far, sock, True), daemon=True).start()
        self._pass(sock, far, False)

    def _wait_while_hole(self):
        was_hole = False
        while self.fault == "black hole" and not self._over.wait(STEP_S):
            was_hole = True
        return was_hole

    def _pass(self, source, target, is_answer):
        try:
            while data := source.recv(65536):
                self._wait_while_hole()
                fault = self.fault if is_answer else None
                if fault is None:
                    target.sendall(data)
                elif not self._spoil(target, fault, data):
                    break
        except OSError:
            pass
        for sock in (source, target):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _spoil(self, target, fault, data):
        for piece in FAULTS[fault](data):
            if piece is None:
                return False
            target.sendall(piece)
            if fault == "a byte a second" and self._is_over_after(1):
                return False
        return True

    def _is_over_after(self, seconds):
        """False when the fault still lasts."""
        for _ in range(round(seconds / STEP_S)):
            if self._over.wait(STEP_S) or self.fault != "a byte a second":
                return True
        return False

    def stop(self):
        self._over.set()
        super().stop()
        for sock in self.sockets:
            sock.close()
