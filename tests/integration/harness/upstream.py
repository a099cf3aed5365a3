# SPDX-License-Identifier: Apache-2.0
"""A backend server that does what a test tells it, byte by byte, and remembers what it was sent."""
import socket
import ssl
import struct
import threading
import traceback

from . import http
from .ports import take_port
from .waiting import PATIENCE_S, wait_for

_LINGER_RESET = struct.pack("ii", 1, 0)


class Link:
    """One accepted connection.  Thread: its own."""

    def __init__(self, server, sock, number):
        self.server, self.sock, self.number = server, sock, number
        self.reader = http.Reader(self._receive)
        self.received = 0  # bytes
        self.has_ended = threading.Event()  # set when the proxy's end or reset was seen

    def _receive(self):
        try:
            data = self.sock.recv(65536)
        except (ConnectionResetError, ssl.SSLError):
            data = b""
        if not data:
            self.has_ended.set()
        self.received += len(data)
        return data

    def read_request(self):
        """The next request, None when the proxy has ended the connection.  Remembered by the server."""
        message = self.reader.request()
        if message is not None:
            self.remember(message)
        return message

    def read_request_head(self):
        message = self.reader.request_head()
        if message is not None:
            self.remember(message)
        return message

    def remember(self, message):
        message.connection = self.number
        self.server.requests.append(message)

    def send(self, data):
        self.sock.sendall(data)

    def wait_for_end(self):
        """Until the proxy closes or resets the connection."""
        while self._receive():
            pass

    def close(self):
        self.sock.close()

    def end_output(self):
        if isinstance(self.sock, socket.socket):
            socket.socket.shutdown(self.sock, socket.SHUT_WR)  # under TLS without a word
        else:
            self.sock.end_output()  # harness.tls.Ending

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        self.sock.close()


def answering(answer):
    """A serve function: keep-alive, answer(request) gives the bytes of each response."""

    def serve(link):
        try:
            while (message := link.read_request()) is not None:
                link.send(answer(message))
        except http.Ended:
            link.server.broken += 1

    return serve


def hello(message):
    """What a server says by default."""
    body = b"" if message.method == "HEAD" else b"hello from upstream\n"
    fields = [("Content-Type", "text/plain"), ("Server", "backend/1")]
    if message.method == "HEAD":
        fields.append(("Content-Length", "20"))
    return http.response(fields=fields, body=body, length=message.method != "HEAD")


class Upstream:
    """Listens on a port of its own; serve(link) runs for each connection in a thread of its own."""

    def __init__(self, serve=None, answer=None, port=None, tls=None, host="127.0.0.1"):
        self.host = host
        self.tls = tls  # a context of ssl
        self.refused = []  # why handshakes failed
        self.serve = serve or answering(answer or hello)
        self.requests = []     # in order of arrival
        self.connections = 0   # ever accepted
        self.broken = 0        # requests that ended before they were whole
        self.links = []        # open ones
        self.faults = []       # tracebacks of serve functions
        self.port = port or take_port()
        self._lock = threading.Lock()
        self._is_open = True
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((host, self.port))
        self._listener.listen(512)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(4 * PATIENCE_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                link = Link(self, sock, self.connections)
                self.connections += 1
                self.links.append(link)
            threading.Thread(target=self._run, args=(link,), daemon=True).start()

    def _run(self, link):
        try:
            if self.tls is not None:
                link.sock = self.tls.wrap_socket(link.sock, server_side=True, suppress_ragged_eofs=False)
        except OSError as error:  # ssl.SSLError is one
            self.refused.append(error)
            link.close()
            with self._lock:
                self.links.remove(link)
            return
        try:
            self.serve(link)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            link.has_ended.set()  # the proxy left while we wrote
        except Exception:  # pylint: disable=broad-except
            if self._is_open:
                self.faults.append(traceback.format_exc())
        finally:
            link.close()
            with self._lock:
                self.links.remove(link)

    def wait_for_requests(self, count):
        wait_for(lambda: len(self.requests) >= count, f"{count} requests at the upstream, {len(self.requests)} came")
        return self.requests[:count]

    def stop(self):
        """Stops listening and drops every connection; once."""
        if not self._is_open:
            return
        self._is_open = False
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            links = list(self.links)
        for link in links:
            try:
                link.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
