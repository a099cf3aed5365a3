# SPDX-License-Identifier: Apache-2.0
"""A server of one body that is larger than any buffer on its way; holds none of it in memory."""
from harness.threaded import Threaded

BLOCK = bytes(range(256)) * 256


class Large(Threaded):
    """Answers each connection's first request with so many bytes."""

    def __init__(self, body_bytes):
        self.body_bytes = body_bytes
        super().__init__()

    def _serve(self, sock):
        try:
            with sock:
                sock.recv(65536)
                sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % self.body_bytes)
                left = self.body_bytes
                while left > 0:
                    sock.sendall(BLOCK[:left])
                    left -= min(left, len(BLOCK))
        except OSError:
            pass  # the proxy has given it up
