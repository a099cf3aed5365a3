# SPDX-License-Identifier: Apache-2.0
"""A server that gives each connection a thread; what it says is for who derives from it."""
import contextlib
import socket
import threading

from .ports import take_port


class Threaded:
    """_serve(sock) runs once for each connection and closes it."""

    def __init__(self):
        self.sockets = []  # all that were ever accepted
        self.port = take_port()
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=1024)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.sockets.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        raise NotImplementedError

    def stop(self):
        with contextlib.suppress(OSError):  # it may be stopped already
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def cut(self):
        """Ends the connections that are open."""
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
