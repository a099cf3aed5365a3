# SPDX-License-Identifier: Apache-2.0
"""200 clients read 1 KiB a second of bodies of 100 MB, plain and over TLS: little memory for each, and none is cut off."""
import ctypes
import fcntl
import os
import re
import socket
import ssl
import subprocess
import termios
import time

from harness.configs import forward
from harness.ports import take_port
from harness.tls import Authority, client_context

import rig
from large import Large

PAGE = rig.ROOT / "docs" / "backends.md"
READERS, READ_S, READ_BYTES_PER_S, BODY_BYTES = 200, 20, 1024, 100_000_000
READER_MAX_KIB = 256
SEGMENT_BYTES = 1460  # of Ethernet: by those of loopback (64 KiB) the kernel gives each connection megabytes to send from
REQUEST = b"GET / HTTP/1.1\r\nHost: slow.test\r\n\r\n"
KINDS = ("plain", "TLS")


def pss_kib(pid):
    text = open(f"/proc/{pid}/smaps_rollup", encoding="ascii").read()
    return int(re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)[1])


def pipe_bytes(pid):
    """What is in the pipes of a process."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            path = f"/proc/{pid}/fd/{name}"
            target = os.readlink(path)
            if not target.startswith("pipe:") or target in found:
                continue
            with open(path, "rb", buffering=0, opener=lambda p, _: os.open(p, os.O_RDONLY | os.O_NONBLOCK)) as pipe:
                count = ctypes.c_int()
                fcntl.ioctl(pipe, termios.FIONREAD, count)
                found[target] = count.value
        except OSError:
            continue
    return sum(found.values())


def socket_bytes(proxy, server_port):
    """What the kernel holds for the proxy's connections to clients, to servers: buffers as they are accounted (skmem r, f, w)."""
    sums = []
    for side in (f"sport = :{proxy.ports[0]}", f"dport = :{server_port}"):
        said = subprocess.run(["ss", "-tmnH", "state", "established", side], capture_output=True, text=True, check=True).stdout
        sums.append(sum(int(r) + int(f) + int(w) for r, f, w in re.findall(r"skmem:\(r(\d+),.*?,f(\d+),w(\d+)", said)))
    return sums


class Reader:
    def __init__(self, proxy, context):
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
        self.sock.settimeout(20)
        self.sock.connect(proxy.address)
        if context is not None:
            self.sock = context.wrap_socket(self.sock, server_hostname="slow.test")
        self.sock.sendall(REQUEST)
        self.sock.setblocking(False)
        self.taken, self.is_cut = 0, False

    def read(self, most):
        try:
            data = self.sock.recv(most)
            self.taken += len(data)
            self.is_cut = self.is_cut or not data
        except OSError as error:  # ssl's errors are some too
            self.is_cut = self.is_cut or not isinstance(error, (BlockingIOError, ssl.SSLWantReadError))


def config_of(world, kind, large):
    config = {**forward(large, limits={"keepalive": "10m"}), "admin": {"metrics": f"127.0.0.1:{take_port()}"}}
    if kind == "plain":
        return config, None
    authority = Authority(world.folder / "tls")
    pair = authority.issue("slow.test")
    return {**config, "listen": [{"address": f"127.0.0.1:{take_port()}", "tls": pair.config}]}, client_context(authority)


def run_kind(world, judge, kind):
    large = world.keep(Large(BODY_BYTES), Large.stop)
    config, context = config_of(world, kind, large)
    proxy = world.proxy(config, kind)
    rig.wait_for(lambda: proxy.metrics()["sluice_exchanges_open"] == 0, "nothing is in progress")
    before = proxy.memory_kib("RssAnon"), pss_kib(proxy.child)
    readers = [Reader(proxy, context) for _ in range(READERS)]
    begin, most = time.monotonic(), [0, 0]
    while (passed_s := time.monotonic() - begin) < world.scaled(READ_S):
        for reader in readers:
            reader.read(max(1, int(passed_s * READ_BYTES_PER_S) - reader.taken))
        most = [max(most[0], proxy.memory_kib("RssAnon")), max(most[1], pss_kib(proxy.child))]
        time.sleep(0.25)
    kernel, piped = socket_bytes(proxy, large.port), pipe_bytes(proxy.child)
    is_open = proxy.metrics()["sluice_exchanges_open"]
    judge.at_most(f"{kind}: memory of the proxy for each of {READERS} readers, of its own (RssAnon)", (most[0] - before[0]) / READERS, READER_MAX_KIB, " KiB", 1)
    judge.at_most(f"{kind}: the same with what it shares with others (PSS)", (most[1] - before[1]) / READERS, READER_MAX_KIB, " KiB", 1)
    kernel_kib = [count / 1024 / READERS for count in (*kernel, piped)]
    judge.tell(f"{kind}: held by the kernel for each: connection to the client, to the server, pipe", ", ".join(f"{kib:.1f}" for kib in kernel_kib) + " KiB")
    judge.equal(f"{kind}: exchanges in progress at the end, readers that were cut off", [int(is_open), sum(reader.is_cut for reader in readers)], [READERS, 0])
    least = min(reader.taken for reader in readers)
    judge.check(f"{kind}: bytes taken by one, at least", f"{least:,}", f"≥ {READ_BYTES_PER_S * world.scaled(READ_S) // 2:,}",
                least >= READ_BYTES_PER_S * world.scaled(READ_S) // 2)
    for reader in readers:
        reader.sock.close()
    rig.wait_for(lambda: proxy.metrics()["sluice_exchanges_open"] == 0, "all of them are given up", 30)
    proxy.stop()
    large.cut()


def run(world, judge):
    for kind in KINDS:
        run_kind(world, judge, kind)
    judge.note(f"Memory is the most in {READ_S} s, less what it was before the first client.  What the kernel holds is counted at the end by ss and in /proc; how much that "
               "is depends on its settings (net.ipv4.tcp_rmem, tcp_wmem), which Sluice leaves alone.  A client's receive buffer is 4 KiB, its segments are those of Ethernet.")
