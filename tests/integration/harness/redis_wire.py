# SPDX-License-Identifier: Apache-2.0
"""A line to a redis-server that goes bad when a test says so: what Redis answers is lost, late, cut, doubled or made up."""
import socket
import threading

STEP_S = 0.05
GRANTS_WILD = b"*9\r\n:1\r\n:4294967295\r\n:999999\r\n:1\r\n:1\r\n:4294967295\r\n:4294967295\r\n:4294967295\r\n:0\r\n"

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


class RedisWire:
    """Owner: a test.  fault: a name of FAULTS, or None."""

    def __init__(self, real):
        self.real, self.fault = real, None
        self._over = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.sockets = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.real.port), 5)
            except OSError:
                near.close()
                continue
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(None)
            self.sockets += [near, far]
            threading.Thread(target=self._pass, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, True), daemon=True).start()

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
        self.listener.close()
        for sock in self.sockets:
            sock.close()
