# SPDX-License-Identifier: Apache-2.0
"""Nothing is lost from the access log without being said: a million requests over thirty rotations, hostile bytes, a reader that stands still for
a minute, and a full disk."""
import collections
import concurrent.futures
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time

from harness import log_bytes
from harness.client import Client
from harness.configs import forward
from harness.ports import take_port
from harness.proxy import BINARY, environment

import rig

PAGE = rig.ROOT / "docs" / "logs.md"
REQUESTS, ROTATIONS, RATE_PER_S, CONNECTIONS = 1_000_000, 30, 6000, 64
HOSTILE, HOSTILE_PROCESSES = 100_000, 4
STALL_S, STALL_RATE_PER_S, CALM_S = 60, 3000, 15
DISK_BYTES, DISK_RATE_PER_S = 1 << 20, 2000
SEED = 20261129
FIELDS = ("method", "host", "path", "query", "parent_id", "subjects.user", "subjects.segment")


def answers(load, judge, what):
    statuses = collections.Counter(row.status for row in load.rows())
    judge.check(f"{what}: answers", rig.text_of(dict(statuses)), "only 200", set(statuses) <= {"200", "end"})
    return statuses["200"]


# -- rotation

def reopen(proxy, turn):
    if turn % 2:
        proxy.signal(signal.SIGUSR1)
        return
    with socket.socket(socket.AF_UNIX) as admin:
        admin.settimeout(20)
        admin.connect(str(proxy.folder / "admin.sock"))
        admin.sendall(b"POST /v1/log:reopen HTTP/1.1\r\nHost: sluice\r\nContent-Length: 0\r\n\r\n")
        assert admin.recv(65536).startswith(b"HTTP/1.1 200 ")


def rotations(world, judge):
    count = world.scaled(REQUESTS)
    proxy = world.proxy(forward(world.backend(), admin={"address": "unix:admin.sock"}), "rotated")
    load = world.load("rotated", proxy.ports, "-c", CONNECTIONS, "-r", RATE_PER_S, "-m", count, "-d", 3600, "-s", SEED)
    pause_s = count / RATE_PER_S / (ROTATIONS + 1)
    parts = []
    for turn in range(ROTATIONS):
        time.sleep(pause_s)
        parts.append(proxy.folder / f"rotated.{turn}")
        os.rename(proxy.access_log, parts[-1])
        reopen(proxy, turn)
        rig.wait_for(proxy.access_log.exists, "the log file is there again")
    totals = load.wait(600)
    proxy.stop()
    reader = rig.LogReader()
    requests = sum(1 for part in [*parts, proxy.access_log] for _ in reader.read(part))
    answered = answers(load, judge, "rotation")
    judge.equal("rotation: requests, request lines", (totals["sent"], requests), (count, answered))
    judge.equal("rotation: files with lines", sum(part.stat().st_size > 0 for part in [*parts, proxy.access_log]), ROTATIONS + 1)
    judge.judge_log(reader)


# -- hostile bytes

def ask_hostile(port, seed, count):
    """{id of the answer: the request that was sent}."""
    rng, sent = random.Random(seed), {}
    for _ in range(count):
        request = log_bytes.hostile_request(rng)
        with Client(("127.0.0.1", port)) as client:
            client.send(request.message)
            sent[client.read()["X-request-id"].split("-")[0]] = request
    return sent


def hostile(world, judge):
    count = world.scaled(HOSTILE)
    proxy = world.proxy(log_bytes.config(), "hostile")
    with concurrent.futures.ProcessPoolExecutor(HOSTILE_PROCESSES) as pool:
        futures = [pool.submit(ask_hostile, proxy.ports[0], SEED + n, count // HOSTILE_PROCESSES) for n in range(HOSTILE_PROCESSES)]
        sent = {}
        for future in futures:
            sent.update(future.result())
    proxy.stop()
    reader, seen, longest, wrong = rig.LogReader(), collections.Counter(), 0, []
    for _ in reader.read(proxy.access_log):
        pass
    with open(proxy.access_log, "rb") as file:
        for line in file:
            if b'"event":"' in line:
                continue
            record = log_bytes.recover(line)
            request = sent.get(record["id"].decode())
            faults = log_bytes.faults_of(line, request) if request else ["nobody has sent it"]
            wrong += [f"{record['id'].decode()}: {fault}" for fault in faults]
            told, longest = log_bytes.told(record), max(longest, len(line))
            seen.update(["lines", *told, *[name for name in ("bytes", "cut") if name in record]])
            seen["values"] += len(told)
            seen["everywhere"] += bool(request) and len(request.places) == len(log_bytes.PLACES)
            seen["served"] += record.get("status") == 200
    judge.equal("hostile bytes: requests, request lines", (len(sent), seen["lines"]), (count, count))
    judge.tell("hostile bytes: requests that were served; that were hostile in every place", f"{seen['served']:,}; {seen['everywhere']:,}")
    judge.tell("hostile bytes: lines with bytes that are no UTF-8", f"{seen['bytes']:,}")
    judge.check("hostile bytes: lines that were cut and say so, longest line", f"{seen['cut']:,}, {longest:,} bytes", "some, ≤ 8,192",
                seen["cut"] > 0 and longest <= log_bytes.LINE_BYTES_MAX)
    judge.check("hostile bytes: values that were told, and not the bytes that were sent", f"{seen['values']:,}, {len(wrong)}", "none",
                seen["values"] > 0 and not wrong)
    judge.tell("hostile bytes: of these " + ", ".join(FIELDS), ", ".join(f"{seen[name]:,}" for name in FIELDS))
    for fault in wrong[:10]:
        judge.note(f"Wrong: {fault}")
    judge.judge_log(reader)


# -- a reader that stands still

class Reader(threading.Thread):
    """Reads a pipe, but for while it is told to stand still."""

    def __init__(self, pipe):
        super().__init__()
        self.pipe, self.lines, self.may_read = pipe, [], threading.Event()
        self.may_read.set()
        self.start()

    def run(self):
        for line in self.pipe:
            self.may_read.wait()
            self.lines.append(line)


def stalled(world, judge):
    stall_s, calm_s = world.scaled(STALL_S), CALM_S if not world.is_short else 3
    port, file = take_port(), world.folder / "piped.json"
    config = forward(world.backend(), listen=[{"address": f"127.0.0.1:{port}"}], workers=2, log={"access": "stdout", "error": str(world.folder / "piped.error")})
    file.write_text(json.dumps(config))
    process = world.keep(subprocess.Popen([BINARY, "run", "-c", str(file)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                          cwd=world.folder, env=environment(world.folder)), subprocess.Popen.kill)
    reader = Reader(process.stdout)
    rig.wait_for(lambda: port in rig.listening_ports(), "it listens")
    load = world.load("piped", [port], "-c", CONNECTIONS, "-r", STALL_RATE_PER_S, "-d", calm_s + stall_s + calm_s, "-s", SEED)
    time.sleep(calm_s)
    stall_from = time.time()
    reader.may_read.clear()
    time.sleep(stall_s)
    reader.may_read.set()
    stall_to = time.time()
    load.wait(600)
    process.send_signal(signal.SIGTERM)
    judge.equal("stalled reader: exit code", process.wait(60), 0)
    reader.join()
    records = [rig.access_log.parse_line(line) for line in reader.lines]
    events = rig.access_log.events_of(records, "dropped")
    lost = sum(line["n"] for line in events)
    answered = answers(load, judge, f"reader stopped for {stall_s} s at {STALL_RATE_PER_S:,}/s")
    # A line of an event may be among the lost ones; there are few of them.
    written = len(rig.access_log.requests_of(records))
    judge.equal("stalled reader: requests; written, said to be dropped", (answered, written + lost), (answered, answered))
    judge.tell("stalled reader: lines written, dropped", f"{written:,}, {lost:,}")
    judge.check("stalled reader: reasons", rig.text_of(sorted({word for line in events for word in line["reasons"]})), "target_stalled",
                world.is_short or {word for line in events for word in line["reasons"]} == {"target_stalled"})
    calm, still = [], []
    for row in load.rows():
        at = int(row.sent_us) / 1e6
        if at < stall_from - 0.5:
            calm.append(int(row.latency_us))
        elif stall_from + 0.5 < at < stall_to - 0.5:
            still.append(int(row.latency_us))
    p99 = [rig.percentile(sorted(values), 0.99) for values in (calm, still)]
    judge.check("stalled reader: p99 before, meanwhile", f"{p99[0] / 1000:.2f} ms, {p99[1] / 1000:.2f} ms", "≤ 2 ×", p99[1] <= 2 * p99[0])


# -- a full disk

def full_disk(world, judge):
    disk = world.folder / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)], check=False).returncode != 0:
        judge.note("Not run: a file system of its own for the full disk (root is needed for it).")
        return
    world.keep(disk, lambda path: subprocess.run(["umount", str(path)], check=False))
    filler, log = disk / "filler", disk / "access.log"
    filler.write_bytes(bytes(DISK_BYTES // 2))
    proxy = world.proxy(forward(world.backend(), log={"access": str(log)}), "full", wait=False)
    rig.wait_for(lambda: log.exists() and set(proxy.ports) <= rig.listening_ports(), "it serves")
    load = world.load("full", proxy.ports, "-c", CONNECTIONS, "-r", DISK_RATE_PER_S, "-d", 3600, "-s", SEED)
    rig.wait_for(lambda: "lines are dropped and counted" in proxy.stderr(), "the disk is full")
    time.sleep(world.scaled(20))
    size = log.stat().st_size
    torn = not log.read_bytes().endswith(b"}\n")
    filler.unlink()
    freed = time.monotonic()
    rig.wait_for(lambda: log.stat().st_size > size, "the log grows again")
    resumed_s = time.monotonic() - freed
    load.stop()
    proxy.stop()
    reader = rig.LogReader()
    requests = sum(1 for _ in reader.read(log))
    answered = answers(load, judge, "full disk")
    reasons = sorted({word for line in rig.access_log.events_of(reader.events, "dropped") for word in line["reasons"]})
    judge.equal("full disk: the last line while it was full is torn", torn, False)
    judge.check("full disk: the log grows again after", f"{resumed_s:.2f} s", "≤ 2 s", resumed_s <= 2)
    judge.check("full disk: requests; written, said to be dropped", f"{answered:,}; {requests:,}, {reader.dropped:,}", "no fewer in all, events apart",
                answered <= requests + reader.dropped <= answered + 60 and reader.dropped > 0)
    judge.equal("full disk: reasons", reasons, ["disk_full"])
    judge.judge_log(reader, may_drop=True)


def run(world, judge):
    rotations(world, judge)
    hostile(world, judge)
    stalled(world, judge)
    full_disk(world, judge)
    judge.note(f"{REQUESTS:,} requests at {RATE_PER_S:,} a second and {ROTATIONS} rotations, half by USR1 and half by `POST /v1/log:reopen`; {HOSTILE:,} "
               "requests with any bytes, or any that the wire allows there, in method, path, query, Host, X-Request-Id, user of Basic credentials, User-Agent, "
               "a header's name and its value, line breaks among them; a value that was told is held against all the bytes that were sent, or if the line says "
               "that it was cut against as many; a tmpfs of 1 MiB that is full and then has half of it freed.  The numbers of lines and of those that were dropped stand behind each part in its order.")
