# SPDX-License-Identifier: Apache-2.0
"""A gibibyte up and a gibibyte down through one proxy, with sides that are slow for a while: every byte arrives, memory stays small."""
import hashlib
import socket
import time

from harness.configs import forward

import rig
from harness.threaded import Threaded

BYTES = 1 << 30
BLOCK = 1 << 18
MEMORY_MAX_KIB = 64 * 1024
SLOW_BYTES = 24 << 20       # so much of each transfer is read slowly ...
SLOW_BYTES_PER_S = 8 << 20  # ... at this rate
SEED = 20260102


def blocks():
    """The same gibibyte every time; no two blocks alike, so that a lost or doubled one shows."""
    base = hashlib.shake_256(SEED.to_bytes(8, "big")).digest(BLOCK - 8)
    for number in range(BYTES // BLOCK):
        yield number.to_bytes(8, "big") + base


def expected_digest():
    digest = hashlib.sha256()
    for block in blocks():
        digest.update(block)
    return digest.hexdigest()


class Taker:
    """Receives a body: slowly at first, then as fast as it comes.  Undoes chunks when there are any."""

    def __init__(self, sock, rest, is_chunked, length):
        self.sock, self.buffer, self.is_chunked, self.length = sock, bytearray(rest), is_chunked, length
        self.digest, self.taken, self.began = hashlib.sha256(), 0, time.monotonic()

    def _fill(self):
        if self.taken < SLOW_BYTES:
            due = self.began + self.taken / SLOW_BYTES_PER_S
            time.sleep(max(0.0, due - time.monotonic()))
        data = self.sock.recv(1 << 16 if self.taken < SLOW_BYTES else 1 << 20)
        assert data, f"the connection ended after {self.taken} bytes"
        self.buffer += data

    def _line(self):
        while (end := self.buffer.find(b"\r\n")) < 0:
            self._fill()
        line = bytes(self.buffer[:end])
        del self.buffer[:end + 2]
        return line

    def _take(self, count):
        while count > 0:
            if not self.buffer:
                self._fill()
            part = self.buffer[:count]
            self.digest.update(part)
            self.taken += len(part)
            count -= len(part)
            del self.buffer[:len(part)]

    def run(self):
        if not self.is_chunked:
            self._take(self.length)
            return self.digest.hexdigest()
        while (size := int(self._line(), 16)) > 0:
            self._take(size)
            assert self._line() == b""
        assert self._line() == b""
        return self.digest.hexdigest()


def send_body(sock, is_chunked):
    for block in blocks():
        sock.sendall(b"%x\r\n%s\r\n" % (len(block), block) if is_chunked else block)
    if is_chunked:
        sock.sendall(b"0\r\n\r\n")


def read_head(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        assert part, f"the connection ended in a head: {data!r}"
        data += part
    head, rest = data.split(b"\r\n\r\n", 1)
    fields = {}
    for line in head.split(b"\r\n")[1:]:
        name, value = line.split(b":", 1)
        fields[name.strip().lower()] = value.strip()
    return head.split(b"\r\n")[0], fields, rest


def framing(is_chunked):
    return b"Transfer-Encoding: chunked\r\n" if is_chunked else b"Content-Length: %d\r\n" % BYTES


class Server(Threaded):
    """Takes one upload (POST), answering its SHA-256, or gives one download (GET) per connection."""

    def _serve(self, sock):
        with sock:
            line, fields, rest = read_head(sock)
            if line.startswith(b"GET"):
                is_chunked = b"/chunked" in line
                sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + framing(is_chunked) + b"\r\n")
                send_body(sock, is_chunked)
                return
            taker = Taker(sock, rest, b"transfer-encoding" in fields, int(fields.get(b"content-length", 0)))
            digest = taker.run().encode()
            sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(digest), digest))


def upload(address, is_chunked):
    with socket.create_connection(address) as sock:
        sock.settimeout(60)
        sock.sendall(b"POST /up HTTP/1.1\r\nHost: big\r\n" + framing(is_chunked) + b"\r\n")
        send_body(sock, is_chunked)
        line, fields, rest = read_head(sock)
        while len(rest) < int(fields[b"content-length"]):
            rest += sock.recv(4096)
        return line, rest.decode()


def download(address, is_chunked):
    with socket.create_connection(address) as sock:
        sock.settimeout(60)
        sock.sendall(b"GET %s HTTP/1.1\r\nHost: big\r\n\r\n" % (b"/chunked" if is_chunked else b"/length"))
        line, fields, rest = read_head(sock)
        return line, Taker(sock, rest, b"transfer-encoding" in fields, int(fields.get(b"content-length", 0))).run()


def run(world, judge):
    server = world.keep(Server(), Server.stop)
    proxy = world.proxy(forward(server, quotas={"ip": {"key": ["ip"], "limits": {"day": 1000000}}}))
    expected = expected_digest()
    judge.tell("memory before (VmRSS, VmHWM)", f"{proxy.memory_kib('VmRSS'):,} KiB, {proxy.memory_kib('VmHWM'):,} KiB")
    for transfer in (upload, download):
        for is_chunked in (False, True):
            what = f"{transfer.__name__} of {BYTES >> 20} MiB, {'chunked' if is_chunked else 'Content-Length'}"
            begin, cpu = time.monotonic(), proxy.cpu_s()
            line, digest = transfer(proxy.address, is_chunked)
            seconds = time.monotonic() - begin
            judge.check(what, f"{line.split(b' ')[1].decode()}, SHA-256 {'as sent' if digest == expected else digest} "
                              f"({seconds:.1f} s, {proxy.cpu_s() - cpu:.2f} s of CPU)", "200, SHA-256 as sent",
                        line.startswith(b"HTTP/1.1 200") and digest == expected)
            judge.at_most("memory of the child afterwards (VmHWM)", proxy.memory_kib("VmHWM"), MEMORY_MAX_KIB, " KiB")
    child = proxy.child
    proxy.stop()
    reader = rig.LogReader()
    lines = list(reader.read(proxy.access_log))
    judge.equal("how the exchanges ended", [line["end"] for line in lines], ["ok"] * 4)
    judge.check("bytes in the log", ", ".join(f"{max(line['bytes_in'], line['bytes_out']):,}" for line in lines),
                f"≥ {BYTES:,} each", all(max(line["bytes_in"], line["bytes_out"]) >= BYTES for line in lines))
    judge.judge_log(reader)
    judge.note(f"Each side that receives takes the first {SLOW_BYTES >> 20} MiB at {SLOW_BYTES_PER_S >> 20} MiB/s, the rest as fast as it "
               f"comes.  Serving process {child}.")
