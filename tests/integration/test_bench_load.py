# SPDX-License-Identifier: Apache-2.0
"""The load generator of scripts/bench and check.instructions: what it sends, and that no wrong answer gets past it."""
import collections
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import threading

import pytest
from harness.tls import Authority, server_context

LOAD = pathlib.Path(os.environ["SLUICE_BIN"]).parent / "bench_load"
REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\nX-User: @@@@@@@@@@@@\r\n\r\n"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nxxxxx"


class Server:
    """Answers each request, told by its length, with the same bytes; keeps what it was sent."""

    def __init__(self, answer, request_bytes=len(REQUEST), is_closing=False):
        self.answer, self.request_bytes, self.is_closing = answer, request_bytes, is_closing
        self.requests, self.connections = [], 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        data = b""
        with peer:
            while part := peer.recv(65536):
                data += part
                while len(data) >= self.request_bytes:
                    self.requests.append(data[:self.request_bytes])
                    data = data[self.request_bytes:]
                    peer.sendall(self.answer)
                    if self.is_closing:
                        return


@pytest.fixture
def load(tmp_path):
    file = tmp_path / "request"
    file.write_bytes(REQUEST)

    def run(server, *words):
        return subprocess.run([LOAD, "-p", str(server.port), "-q", file, "-B", "5", *map(str, words)], capture_output=True, text=True,
                              check=False, timeout=60)
    return run


def test_as_many_as_asked_for_over_as_many_connections(load):
    server = Server(GOOD)
    run = load(server, "-n", 100, "-c", 4)
    told = json.loads(run.stdout)
    assert (run.returncode, told["requests"], told["connects"]) == (0, 100, 4)
    assert (len(server.requests), server.connections) == (100, 4)
    assert set(server.requests) == {REQUEST.replace(b"@" * 12, b"0" * 12)}
    assert 0 < told["p50_us"] <= told["p99_us"]


@pytest.mark.parametrize("answer, complaint", [
    (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nxxxxx", "expected 200"),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nxxxxx", "expected 200"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nxxxx", "a body of 4 bytes"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nxxxxy", "not the server's"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nxxxxxx", "1 bytes too many"),
    (b"HTTP/1.1 200 OK\r\n\r\nxxxxx", "no Content-Length"),
    (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 9000 + b"\r\n\r\n", "a head of more than"),
])
def test_a_wrong_answer_ends_it(load, answer, complaint):
    run = load(Server(answer), "-n", 3)
    assert run.returncode == 1
    assert complaint in run.stderr


def test_half_an_answer_ends_it(load):
    run = load(Server(GOOD[:-1], is_closing=True), "-n", 3)
    assert run.returncode == 1
    assert "ended within an answer" in run.stderr


def test_a_refusal_may_be_what_is_wanted(load):
    server = Server(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 3\r\n\r\nno!")
    assert load(server, "-n", 10, "-s", 429).returncode == 0
    run = load(Server(GOOD), "-n", 10, "-s", 429)
    assert run.returncode == 1 and "expected 429" in run.stderr


def test_users_by_lot(load):
    server = Server(GOOD)
    assert load(server, "-n", 2000, "-u", 1000, "-z", 1).returncode == 0
    users = collections.Counter(int(request.split(b"X-User: ")[1][:12]) for request in server.requests)
    assert sum(users.values()) == 2000
    assert all(0 <= user < 1000 for user in users)
    # The first of a thousand has a share of 1 / H(1000) = 0.134, the second half of that.
    assert 200 < users[0] < 340
    assert 90 < users[1] < 180


def test_a_connection_per_request(load):
    server = Server(GOOD, is_closing=True)
    run = load(server, "-n", 50, "-1")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["connects"] == 50
    assert (len(server.requests), server.connections) == (50, 50)


def test_bodies_are_sent_whole(load):
    server = Server(GOOD, request_bytes=len(REQUEST) + 300_000)
    run = load(server, "-n", 5, "-b", 300_000)
    assert run.returncode == 0, run.stderr
    assert [request[len(REQUEST):] == b"y" * 300_000 for request in server.requests] == [True] * 5


class Secured:
    """A server that speaks TLS 1.3; with several keys it takes another one for each connection, and opens no ticket of another."""

    def __init__(self, folder, is_closing=False, keys=1):
        self.handshakes, self.is_closing = collections.Counter(), is_closing
        self.contexts = [server_context(Authority(folder / "tls").issue("bench")) for _ in range(keys)]
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        self.contexts.append(self.contexts.pop(0))
        with contextlib.suppress(OSError), self.contexts[0].wrap_socket(peer, server_side=True) as secured:
            self.handshakes[secured.session_reused, secured.version(), secured.cipher()[0]] += 1
            data = b""
            while part := secured.recv(65536):
                data += part
                while len(data) >= len(REQUEST):
                    data = data[len(REQUEST):]
                    secured.sendall(GOOD)
                    if self.is_closing:
                        secured.settimeout(0)  # the peer's end is not waited for
                        secured.unwrap()


ONE = ("TLSv1.3", "TLS_AES_128_GCM_SHA256")


def test_requests_over_tls(load, tmp_path):
    server = Secured(tmp_path)
    run = load(server, "-n", 100, "-c", 4, "-t", "full")
    assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(run.stdout)["connects"] == 4 and server.handshakes == {(False, *ONE): 4}


@pytest.mark.parametrize("word, whole", [("full", 40), ("resumed", 4)])
def test_a_handshake_per_request(load, tmp_path, word, whole):
    """Whole each, or resumed but for the first one of each place."""
    server = Secured(tmp_path, is_closing=True)
    run = load(server, "-n", 40, "-c", 4, "-1", "-t", word)
    assert (run.returncode, run.stderr) == (0, "")
    assert server.handshakes == collections.Counter({(False, *ONE): whole, (True, *ONE): 40 - whole}) - collections.Counter()


def test_a_server_that_resumes_nothing_has_another_job(load, tmp_path):
    run = load(Secured(tmp_path, is_closing=True, keys=2), "-n", 40, "-c", 1, "-1", "-t", "resumed")
    assert run.returncode == 1 and "Protocol error" in run.stderr


def test_at_a_fixed_rate_no_more_are_sent(load):
    server = Server(GOOD)
    run = load(server, "-d", 0.5, "-r", 100, "-c", 4)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["connects"] == server.connections == 4  # each has had an answer before the first that is due
    assert 5 <= told["requests"] == len(server.requests) <= 54


@pytest.mark.parametrize("words", [[], ["-p", "1"], ["-p", "1", "-q", "x", "more"], ["-Z"]])
def test_what_it_does_not_understand(words):
    run = subprocess.run([LOAD, *words], capture_output=True, text=True, check=False)
    assert run.returncode == 2 and run.stderr.startswith(("usage: load", str(LOAD)))
