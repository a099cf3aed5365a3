# SPDX-License-Identifier: Apache-2.0
"""Clients and servers that do their worst, from a seed; every byte says whose it is.

A client's requests carry its tag, "T" and 12 hexadecimal digits, in target, field and body; a server repeats the
tag of its request in everything it says.  So a tag that shows up anywhere else is a byte that went astray.
"""
import random
import re
import socket
import struct
import time

from . import http
from .upgrade import HANDSHAKE, accept_of

TAG = re.compile(rb"T[0-9a-f]{12}")
HOW = re.compile(r"how=([a-z_]+)")
_RESET = struct.pack("ii", 1, 0)

METHODS = ("GET", "GET", "GET", "POST", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH")
SERVER_HOWS = ("length", "length", "length", "chunked", "chunked", "close", "empty", "not_modified", "big", "big_chunked",
               "interim", "interim_many", "bytewise", "torn", "torn_reset", "mutated", "early", "early_end", "extra",
               "silent_end", "silent_reset", "stall", "stall_body", "limits_field", "switch", "refuse_body", "huge")
TUNNEL_HOWS = ("echo", "echo", "talk", "talk_reset", "end_first", "reset", "big", "big_reset", "silent", "bad_accept", "no_switch", "length",
               "interim", "torn", "mutated")
STRANGE_PATHS = ("/loose/a/../{}", "/loose/%2e%2e/loose/{}", "/loose/a%2fb/{}", "/loose/a%5c{}", "/loose/a;x=1/{}", "/loose/a%252fb/{}",
                 "/loose/..;/{}", "/loose/a%2f..%2f{}", "/loose//../{}", "/a/../{}", "/a%2f{}", "/%2e%2e/{}", "/loose/../../{}")


def pieces(rng, data, how=None):
    """The data in random cuts."""
    how = how or rng.choice(("whole", "whole", "two", "some", "bytes"))
    if how == "whole" or len(data) < 2:
        return [data]
    if how == "bytes":
        cut = min(len(data), 400)
        return [data[i:i + 1] for i in range(cut)] + ([data[cut:]] if cut < len(data) else [])
    cuts = sorted(rng.randrange(1, len(data)) for _ in range(1 if how == "two" else 6))
    return [data[a:b] for a, b in zip([0] + cuts, cuts + [len(data)]) if a != b]


def mutated(rng, data):
    """A few bytes changed, gone, doubled or put in, among them those that framing is made of."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data) + 1) if rng.random() < 0.5 else min(len(data), rng.randrange(200))
        kind = rng.randrange(5)
        if kind == 0 and at < len(data):
            data[at] = rng.randrange(256)
        elif kind == 1:
            del data[at:at + rng.randint(1, 4)]
        elif kind == 2:
            data[at:at] = rng.choice((b"\r\n", b"\n", b"\r", b" ", b"\0", b":", b"\r\n\r\n", b"0\r\n\r\n", b"Transfer-Encoding: chunked\r\n",
                                      b"Content-Length: 3\r\n", b"Connection: close\r\n", b"\x80", b"ffffffffffffffff", b","))
        elif kind == 3:
            data[at:at] = data[at:at + rng.randint(1, 60)]
        else:
            del data[max(1, at):]
    return bytes(data)


class Server:
    """serve is for harness.upstream.Upstream."""

    def __init__(self, seed, tags):
        self.seed, self.tags = seed, tags
        self.wrong = []  # what must not have arrived

    def serve(self, link):
        rng = random.Random(f"{self.seed} server {link.number}")
        try:
            while (message := link.reader.request_head()) is not None:
                how = HOW.search(message.target)
                if not self._exchange(link, rng, message, how[1] if how else "length"):
                    return
        except http.Ended:
            pass  # a client broke off
        except http.Malformed as fault:
            self.wrong.append(f"the proxy sent {fault}")
        except (socket.timeout, OSError):
            pass

    def _check(self, message):
        tags = set(TAG.findall(message.raw)) & self.tags
        if len(tags) > 1:
            self.wrong.append(f"one request with the bytes of several clients: {tags}")

    def _exchange(self, link, rng, message, how):
        """False to leave the connection."""
        tag = (TAG.findall(message.raw_head) or [b""])[0]
        if how == "refuse_body":
            link.send(http.response(417, "No", [("X-Tag", tag.decode()), ("Connection", "close")], tag))
            return False
        if message["Expect"] and rng.random() < 0.8:
            link.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not how.startswith("early"):
            link.reader.body(message, is_bodiless=False, to_end=False)
        self._check(message)
        if message.target.startswith("/up/") and how in TUNNEL_HOWS[:10]:
            return self._tunnel(link, rng, message, how, tag)
        if how == "silent_end":
            return False
        if how == "silent_reset":
            link.reset()
            return False
        if how == "stall":
            time.sleep(rng.choice((0.05, 0.1, 1.6)))
        data, lives = self._response(rng, message, how, tag)
        if how == "mutated":
            data, lives = mutated(rng, data), False
        if how in ("torn", "torn_reset"):
            data, lives = data[:rng.randrange(len(data) + 1)], False
        for piece in pieces(rng, data, "bytes" if how == "bytewise" else "whole" if len(data) > 20000 or how == "extra" else None):
            link.send(piece)
        if how == "stall_body":
            time.sleep(rng.choice((0.05, 1.6)))
            return False
        if how == "early":
            link.reader.body(message, is_bodiless=False, to_end=False)
            self._check(message)
        if how == "torn_reset":
            link.reset()
        return lives

    def _tunnel(self, link, rng, message, how, tag):
        """Bytes may come with the 101, and either side may end first, cleanly or not."""
        key = (message.all("Sec-WebSocket-Key") or [""])[0]
        accept = "x" * 28 if how == "bad_accept" else accept_of(key)
        fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)]
        link.send(http.response(101, "Switching Protocols", fields, length=False) + tag * rng.choice((0, 1, 3000)))
        if how == "reset":
            link.reset()
            return False
        if how in ("big", "big_reset"):
            link.send(tag * rng.choice((5000, 60000)))
        if how == "end_first":
            link.end_output()
        if how == "silent":
            time.sleep(rng.choice((0.1, 1.5)))
        for _ in range(rng.choice((1, 3, 1000))):
            data = bytes(link.reader.buffer) or link.sock.recv(65536)
            link.reader.buffer.clear()
            if not data:
                break
            strangers = (set(TAG.findall(data)) & self.tags) - {tag}
            if strangers:
                self.wrong.append(f"a tunnel of {tag} with bytes of {strangers}")
            if how == "echo":
                link.send(data)
            if how.startswith("talk"):
                link.send(tag * rng.choice((1, 100)))
        if how.endswith("_reset"):
            link.reset()
        return False

    def _response(self, rng, message, how, tag):
        fields = [("X-Tag", tag.decode())] + [(f"X-{i}", "v" * rng.randrange(60)) for i in range(rng.randrange(3))]
        text = tag * rng.choice((0, 1, 5, 200, 1000))
        lives = how not in ("close", "early_end", "extra", "stall_body", "switch")
        if message.method == "HEAD":
            return http.response(fields=fields, length=False), lives
        if how == "empty":
            return http.response(204, "No Content", fields, length=False), lives
        if how == "not_modified":
            return http.response(304, "Not Modified", fields, length=False), lives
        if how == "huge":  # more than the kernel holds for a reader that does not read
            text = tag * 500000
        if how in ("big", "big_chunked"):
            text = tag * rng.choice((5000, 5041, 20000, 40000))
        if how in ("chunked", "big_chunked"):
            step = rng.choice((1, 13, 4096, 65536, 70000)) if len(text) < 5000 else rng.choice((4096, 65536, 70001))
            chunks = [text[i:i + step] for i in range(0, len(text), step)]
            trailers = [("X-Trailer", tag.decode())] * rng.randrange(2)
            head = http.response(fields=fields + [("Transfer-Encoding", "chunked")], length=False)
            return head + http.chunked(chunks, trailers), lives
        if how == "close":
            return http.response(fields=fields, length=False) + text, lives
        if how == "limits_field":
            fields += [("X-Large", "v" * rng.choice((30000, 32700, 33000)))]
        if how == "switch":
            return b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + tag, lives
        data = http.response(fields=fields, body=text)
        if how == "stall_body":
            data = http.response(fields=fields + [("Content-Length", len(text) + 5)], length=False) + text
        if how == "interim":
            data = b"HTTP/1.1 103 Early Hints\r\nX-Tag: %s\r\n\r\n" % tag + data
        if how == "interim_many":
            data = b"HTTP/1.1 102 Processing\r\n\r\n" * rng.choice((6, 7, 8, 9, 16, 33)) + data
        if how == "extra":
            data += http.response(body=b"stale " + tag)
        return data, lives


class Client:
    """One connection's worth of requests; run() gives a list of complaints."""

    def __init__(self, seed, number, address, tags):
        self.rng = random.Random(f"{seed} client {number}")
        self.address, self.tags = address, tags
        self.tag = b"T%012x" % self.rng.getrandbits(48)
        tags.add(self.tag)
        self.hows = []
        self.wrong = []
        self.is_ahead = False
        self.leave = self.rng.choice(("read",) * 6 + ("reset", "close", "half", "reset_late", "slow", "pause", "pause", "trickle", "trickle"))
        self.answers = []  # (id, status) of each final response that was read whole

    def _handshake(self):
        """Asks for a tunnel, and says something at once in one of three."""
        rng, tag = self.rng, self.tag.decode()
        self.hows.append(how := rng.choice(TUNNEL_HOWS))
        fields = [("X-Tag", tag), ("X-User", tag)] + HANDSHAKE
        if rng.random() < 0.1:
            del fields[rng.randrange(2, len(fields))]
        data = http.request("GET", f"/up/{tag}?how={how}", fields, minor=0 if rng.random() < 0.03 else 1)
        self.is_ahead = rng.random() < 0.6  # without a tunnel what follows is taken for a request
        return "GET", data + self.tag * rng.choice((1, 1000, 20000)) * self.is_ahead

    def _request(self, is_last):
        rng = self.rng
        method, how = rng.choice(METHODS), rng.choice(SERVER_HOWS)
        if how == "huge" and self.leave not in ("pause", "trickle", "reset_late"):
            how = "length"
        tag = self.tag.decode()
        self.hows.append(how)
        fields = [("X-Tag", tag), ("X-User", rng.choice((tag, tag, tag, "a")))]
        if rng.random() < (0.8 if is_last else 0.02):
            fields.append(("Connection", "close"))
        elif rng.random() < 0.1:
            fields.append(("Connection", "keep-alive"))
        if rng.random() < 0.05:
            fields.append(("X-Large", "v" * rng.choice((4000, 30000, 32700, 33000))))
        if rng.random() < 0.06:
            fields.append(("Max-Forwards", rng.choice(("0", "0", "1", "7", "-1", "x"))))
        if rng.random() < 0.06:
            fields.append(("TE", "trailers"))
        if rng.random() < 0.02:
            fields.append(("X_User", tag))
        minor = 0 if rng.random() < 0.07 else 1
        target = rng.choice((f"/t/{tag}?how={how}",) * 12 + (f"/here/{tag}",) * 3 + (f"/a/../{tag}", "*", f"http://test.local/t/{tag}?how={how}",
                             rng.choice(STRANGE_PATHS).format(tag)))
        kind = rng.random()
        if method in ("POST", "PUT", "PATCH") and kind < 0.9:
            body = self.tag * rng.choice((0, 1, 10, 1000, 6000, 20000))
            if kind < 0.4 and minor:
                step = rng.choice((7, 1000, 65536))
                step = max(step, len(body) // 500 + 1)
                data = http.request(method, target, fields, minor=minor, chunks=[body[i:i + step] for i in range(0, len(body), step)])
            else:
                if kind > 0.8:
                    fields.append(("Expect", "100-continue"))
                data = http.request(method, target, fields, minor=minor, body=body)
        else:
            data = http.request(method, target, fields, minor=minor)
        return method, data

    def run(self):
        rng = self.rng
        count = rng.choice((1, 1, 1, 2, 3, 8))
        requests = [self._request(i == count - 1) for i in range(count)]
        if rng.random() < 0.2:
            requests[-1] = self._handshake()
        data = b"".join(d for _, d in requests)
        is_mutated = rng.random() < 0.3
        if is_mutated:
            data = mutated(rng, data)
        if rng.random() < 0.15:
            data, is_mutated = data[:rng.randrange(len(data) + 1)], True
        leave = self.leave
        try:
            source = (f"127.0.0.{rng.randint(2, 5)}", 0)
            with socket.socket() as sock:
                sock.settimeout(20)
                if leave in ("pause", "trickle"):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.bind(source)
                sock.connect(self.address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._talk(sock, data, leave, [m for m, _ in requests], is_mutated)
        except socket.timeout:
            self.wrong.append(f"hangs: {leave}, {self.hows}, {data[:300]!r}")
        except OSError:
            pass
        return self.wrong

    def _talk(self, sock, data, leave, methods, is_mutated):
        rng = self.rng
        received = bytearray()
        sock.setblocking(False)
        for piece in pieces(rng, data):
            self._send(sock, piece, received)
            if leave == "reset" and rng.random() < 0.3:
                break
        if leave in ("reset", "close"):
            if leave == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            return
        sock.settimeout(20)
        if leave == "half":
            sock.shutdown(socket.SHUT_WR)
        if leave == "pause":
            time.sleep(rng.choice((0.1, 1.5, 3)))
        try:
            while part := sock.recv(300 if leave == "trickle" else rng.choice((100, 4096, 65536))):
                received += part
                if leave in ("slow", "trickle"):
                    time.sleep(0.002 if leave == "slow" else 0.02)
                if leave == "trickle" and len(received) > 20000:
                    break
                if leave == "reset_late" and rng.random() < 0.3:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    break
        except ConnectionError:
            pass
        self._judge(bytes(received), methods, is_mutated)

    def _send(self, sock, piece, received):
        """Reads while it cannot write, as real clients do."""
        deadline = time.monotonic() + 20
        while piece:
            try:
                piece = piece[sock.send(piece):]
            except BlockingIOError:
                try:
                    part = sock.recv(65536)
                except BlockingIOError:
                    time.sleep(0.001)
                    if time.monotonic() > deadline:
                        raise socket.timeout from None
                    continue
                if not part:
                    return
                received += part

    def _judge(self, received, methods, is_mutated):
        strangers = (set(TAG.findall(received)) & self.tags) - {self.tag}
        if strangers:
            self.wrong.append(f"bytes of {strangers} came to {self.tag}: {received[:300]!r}")
        parts = iter([received])
        reader = http.Reader(lambda: next(parts, b""))
        if received.startswith(b"HTTP/1.1 503 "):  # one connection too many: told before anything was read
            methods = ("GET",)
        reply = None
        try:
            for method in methods if not is_mutated else ("GET",):
                if not reader.at_end():
                    reply = reader.response(method)
                    self.answers.append((reply["X-request-id"], reply.status))
                if reply is not None and reply.status == 101:
                    return
            if not is_mutated and not self.is_ahead and not reader.at_end():
                self.wrong.append(f"more than was asked for: {bytes(reader.buffer)[:300]!r}, {self.hows}")
        except http.Ended:
            pass
        except http.Malformed as fault:
            if "mutated" not in self.hows and not is_mutated:
                self.wrong.append(f"the proxy sent {fault}, {self.hows}, {methods}")
