# SPDX-License-Identifier: Apache-2.0
"""A server that looks like a node of a Redis Cluster: what it says of slots is the test's, the rest a real server answers."""
import socket

from .threaded import Threaded


def read_line(file):
    line = file.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError
    return line


def read_value(file):
    """One RESP value, as its bytes."""
    line = read_line(file)
    if line[:1] == b"$" and int(line[1:]) >= 0:
        return line + file.read(int(line[1:]) + 2)
    if line[:1] == b"*":
        return line + b"".join(read_value(file) for _ in range(max(0, int(line[1:]))))
    return line


def words_of(command):
    """The words of a command's bytes."""
    parts = command.split(b"\r\n")
    return [parts[i + 1] for i in range(1, len(parts) - 1, 2)]


def slots(*ranges):
    """The reply to CLUSTER SLOTS of (begin, end, host or None, port)."""
    out = [b"*%d\r\n" % len(ranges)]
    for begin, end, host, port in ranges:
        name = b"$-1\r\n" if host is None else b"$%d\r\n%s\r\n" % (len(host), host.encode())
        out.append(b"*3\r\n:%d\r\n:%d\r\n*3\r\n%s:%d\r\n$2\r\nid\r\n" % (begin, end, name, port))
    return b"".join(out)


class RedisFront(Threaded):
    """answer(words): bytes to say instead of asking the real server, or None."""

    def __init__(self, real, answer):
        self.real, self.answer = real, answer
        super().__init__()

    def _serve(self, sock):
        back = socket.create_connection(("127.0.0.1", self.real.port))
        front_file, back_file = sock.makefile("rb"), back.makefile("rb")
        try:
            while True:
                command = read_value(front_file)
                said = self.answer(words_of(command))
                if said is None:
                    back.sendall(command)
                    said = read_value(back_file)
                sock.sendall(said)
        except (ConnectionError, OSError, ValueError):
            pass
        finally:
            sock.close()
            back.close()

    def stop(self):
        super().stop()
        self.cut()
