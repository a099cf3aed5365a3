# SPDX-License-Identifier: Apache-2.0
"""Twice as many connections as allowed, slow readers of large responses, twice the load that can be served: the others are served."""
import collections
import resource
import select
import socket
import threading
import time

from harness.client import Client
from harness.configs import forward

import rig
from large import Large

CAP, CONNECTIONS = 4000, 8000
ADMIN_MAX_MS = 100
READERS, READ_S, READ_BYTES_PER_S, BODY_BYTES = 200, 20, 1024, 100 << 20
READER_MAX_KIB = 256
PEAK_S, OVERLOAD_S = 8, 20
REQUEST = b"GET / HTTP/1.1\r\nHost: crowd.test\r\n\r\n"


# ---- more connections than allowed ----

class Admin(threading.Thread):
    """Asks the admin socket all the time; how long each answer took."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.waits_ms, self.is_over = path, [], False
        self.start()

    def run(self):
        while not self.is_over:
            began = time.monotonic()
            client = Client(str(self.path))
            status = client.ask("GET", "/v1/status").status
            client.close()
            self.waits_ms.append((time.monotonic() - began) * 1000 if status == 200 else float("inf"))
            time.sleep(0.02)

    def stop(self):
        self.is_over = True
        self.join()
        return sorted(self.waits_ms)


def ask(sock):
    """The status of one answer, or how there was none."""
    try:
        sock.sendall(REQUEST)
        data = b""
        while b"\r\n\r\n" not in data:
            part = sock.recv(4096)
            if not part:
                return "closed"
            data += part
        return data[9:12].decode()
    except (ConnectionResetError, BrokenPipeError):
        return "closed"


def run_cap(world, judge):
    admin_path = world.folder / "admin.sock"
    proxy = world.proxy(forward(world.backend(), limits={"connections": CAP, "keepalive": "10m"}, admin={"address": f"unix:{admin_path}"}), "cap")
    proxy.ask()
    before_kib, before_fds = proxy.memory_kib(), proxy.descriptors()
    admin, first, held = Admin(admin_path), collections.Counter(), []
    for index in range(CONNECTIONS):
        sock = socket.create_connection(proxy.address, 20, source_address=(f"127.0.{2 + index // 100}.1", 0))
        status = ask(sock)
        first[status] += 1
        if status == "200":
            held.append(sock)
        else:
            sock.close()
    again = collections.Counter(ask(sock) for sock in held)
    full_kib = proxy.memory_kib()
    for sock in held:
        sock.close()
    rig.wait_for(lambda: proxy.descriptors() <= before_fds + 4, "their descriptors are closed", 30)
    judge.check(f"cap {CAP:,}: first answers of {CONNECTIONS:,} connections", rig.text_of(dict(first)),
                f"200: about {CAP:,}, else 503 or closed", CAP - 8 <= first["200"] <= CAP and set(first) <= {"200", "503", "closed"})
    judge.equal("cap: those that are connected are served on", dict(again), {"200": first["200"]})
    waits = admin.stop()
    judge.at_most(f"cap: slowest of {len(waits):,} answers of the admin socket", waits[-1], ADMIN_MAX_MS, " ms", 1)
    judge.equal("cap: a connection afterwards", proxy.ask().status, 200)
    judge.tell("cap: memory before and full", f"{before_kib:,}, {full_kib:,} KiB")
    proxy.stop()


# ---- slow readers ----

def run_readers(world, judge):
    large = world.keep(Large(BODY_BYTES), Large.stop)
    proxy = world.proxy(forward(large, limits={"keepalive": "10m"}), "readers")
    poll, readers = select.epoll(), {}
    before_kib, most_kib = proxy.memory_kib("RssAnon"), 0
    for _ in range(READERS):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(proxy.address)
        sock.sendall(REQUEST)
        readers[sock.fileno()] = sock
        poll.register(sock, 0)
    until, taken, cut = time.monotonic() + READ_S, 0, 0
    while time.monotonic() < until:
        for sock in list(readers.values()):
            try:
                taken += len(sock.recv(READ_BYTES_PER_S // 4, socket.MSG_DONTWAIT))
            except BlockingIOError:
                pass
            except OSError:
                cut += 1
                del readers[sock.fileno()]
                sock.close()
        most_kib = max(most_kib, proxy.memory_kib("RssAnon"))
        time.sleep(0.25)
    judge.at_most(f"{READERS} readers of {BODY_BYTES >> 20} MiB, {READ_BYTES_PER_S:,} bytes a second each: memory for each",
                  (most_kib - before_kib) / READERS, READER_MAX_KIB, " KiB", 1)
    judge.equal("readers: cut", cut, 0)
    judge.tell("readers: bytes taken by one", f"{taken / READERS:,.0f}")
    for sock in readers.values():
        sock.close()
    rig.wait_for(lambda: proxy.descriptors() <= 60, "their descriptors are closed", 20)
    proxy.stop()


# ---- overload ----

def answers_of(load):
    statuses, hinted = collections.Counter(), 0
    for row in load.rows():
        statuses[row.status] += 1
        hinted += row.status == "503" and row.retry_after != "-"
    return statuses, hinted


def served(world, proxy, name, seconds, *options):
    """(load, totals, answered 200 a second, and a second of the proxy's processor time)"""
    cpu = proxy.cpu_s()
    load = world.load(name, proxy.ports, "-d", seconds, *options)
    totals = load.wait(seconds + 60)
    cpu = proxy.cpu_s() - cpu
    good = answers_of(load)[0]["200"]
    return load, totals, good / seconds, good / cpu


def run_overload(world, judge):
    proxy = world.proxy(forward(world.backend()), "overload")
    flat_out = ("-c", 64, "-r", 0, "-s", 20260108)
    before = served(world, proxy, "peak-before", PEAK_S, *flat_out)
    offered = int(2 * before[2])
    load, totals, per_s, per_cpu_s = served(world, proxy, "overload", OVERLOAD_S, "-c", 512, "-r", offered, "-s", 20260109)
    after = served(world, proxy, "peak-after", PEAK_S, *flat_out)
    statuses, hinted = answers_of(load)
    judge.tell("overload: offered, sent, missed because every connection was waiting", f"{offered:,}/s, {totals['sent']:,}, {totals['missed']:,}")
    part = per_s / ((before[2] + after[2]) / 2)
    cpu_part = per_cpu_s / ((before[3] + after[3]) / 2)
    judge.check("overload: served before, in it, after", f"{before[2]:,.0f}/s, {per_s:,.0f}/s, {after[2]:,.0f}/s ({part * 100:.0f} %)",
                "≥ 90 %, or the next row", max(part, cpu_part) >= 0.9)
    judge.tell("overload: served in a second of the proxy's processor time, before, in it, after",
               f"{before[3]:,.0f}, {per_cpu_s:,.0f}, {after[3]:,.0f} ({cpu_part * 100:.0f} %)")
    judge.check("overload: answers", rig.text_of(dict(statuses)), "only 200, and 503 with Retry-After",
                set(statuses) <= {"200", "503"} and hinted == statuses["503"])
    calm = world.load("calm", proxy.ports, "-c", 16, "-r", 200, "-d", 3, "-s", 20260110)
    calm.wait(60)
    statuses, _ = answers_of(calm)
    judge.equal("overload: answers afterwards", dict(statuses), {"200": sum(statuses.values())})
    proxy.stop()


def run(world, judge):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    run_cap(world, judge)
    run_readers(world, judge)
    run_overload(world, judge)
    judge.note("Load generator, backend and proxy share two processors, so answers a second depend on how these are shared out and on what else runs; then what a "
               "second of the proxy's own processor time yields tells whether being asked for more makes it do less.")
