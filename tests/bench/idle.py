# SPDX-License-Identifier: Apache-2.0
"""What an idle keep-alive connection costs a proxy, beyond the kernel's socket.

Anonymous memory (Pss_Anon of smaps_rollup, summed over the process tree) before and with the connections: program text
that is paged in meanwhile and shared memory of fixed size are no part of a connection, and pages that a fork left shared
count once.  The connections ask one after the other, so one upstream connection serves them all and none is counted."""
import pathlib
import resource
import socket
import statistics
import time

CONNECTIONS = 8000
PER_ADDRESS = 100  # a proxy may limit the connections of one address
IDLE_S = 10
TITLES = ("KiB a connection", "range", "anonymous KiB before", "with them", "idle CPU ms in 10 s", "a fresh request meanwhile, ms")


def raise_descriptors():
    """For this process and what it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < CONNECTIONS + 1000:
        raise SystemExit(f"bench: idle needs {CONNECTIONS + 1000} descriptors, the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def tree(pid):
    pids = [pid]
    for one in pids:
        pids += map(int, pathlib.Path(f"/proc/{one}/task/{one}/children").read_text().split())
    return pids


def anonymous_kib(pid):
    total = 0
    for one in tree(pid):
        for line in pathlib.Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss_Anon:"):
                total += int(line.split()[1])
    return total


def cpu_ms(pid):
    return sum(int((task / "schedstat").read_text().split()[0]) for one in tree(pid)
               for task in pathlib.Path(f"/proc/{one}/task").iterdir()) / 1e6


def ask(sock, request):
    """One request; ends on anything but a whole 200."""
    sock.sendall(request)
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        if not part:
            raise SystemExit(f"bench: idle: the connection ended: {data!r}")
        data += part
    head, body = data.split(b"\r\n\r\n", 1)
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += sock.recv(65536)
    if not head.startswith(b"HTTP/1.1 200 "):
        raise SystemExit(f"bench: idle: {head!r}")


def connect(port, index):
    return socket.create_connection(("127.0.0.1", port), 20, source_address=(f"127.0.{1 + index // PER_ADDRESS}.1", 0))


def measure(peer, request):
    """Figures of one proxy that has just been started and warmed up."""
    pid = peer.process.pid
    before = anonymous_kib(pid)
    socks = []
    try:
        for index in range(CONNECTIONS):
            socks.append(connect(peer.port, index))
            ask(socks[-1], request)
        full, cpu = anonymous_kib(pid), cpu_ms(pid)
        time.sleep(IDLE_S)
        cpu = cpu_ms(pid) - cpu
        began = time.monotonic()
        with connect(peer.port, CONNECTIONS) as fresh:
            ask(fresh, request)
        fresh_ms = (time.monotonic() - began) * 1000
        for sock in socks[::CONNECTIONS // 100]:  # they are alive, not only counted
            ask(sock, request)
    finally:
        for sock in socks:
            sock.close()
    return {"each": (full - before) / CONNECTIONS, "before": before, "full": full, "cpu": cpu, "fresh": fresh_ms}


def each(rounds):
    """KiB a connection, the middle of the rounds."""
    return statistics.median(r["each"] for r in rounds)


def table(figures, versions):
    lines = ["### idle", "", f"{CONNECTIONS:,} keep-alive connections that have each had one answer.", "",
             "| proxy | " + " | ".join(TITLES) + " |", "|---|" + "---|" * len(TITLES)]
    for name, rounds in figures.items():
        middle = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
        costs = [r["each"] for r in rounds]
        lines.append(f"| {versions[name]} | {middle['each']:.2f} | {min(costs):.2f} to {max(costs):.2f} | {middle['before']:,.0f} | "
                     f"{middle['full']:,.0f} | {middle['cpu']:.1f} | {middle['fresh']:.1f} |")
    return "\n".join(lines) + "\n"
