# SPDX-License-Identifier: Apache-2.0
"""A server of one body that is larger than any buffer on its way; holds none of it in memory."""
import socket
import threading

from harness.ports import take_port

BLOCK = bytes(range(256)) * 256


class Large:
    """Answers each connection's first request with so many bytes, a thread per connection."""

    def __init__(self, body_bytes):
        self.port, self.body_bytes = take_port(), body_bytes
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=1024)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

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

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
