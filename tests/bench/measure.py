# SPDX-License-Identifier: Apache-2.0
"""Measuring one proxy: it is started, asked, loaded, and judged by what it answered and logged."""
import collections
import http.client
import json
import pathlib
import signal
import subprocess
import sys
import time

import callgrind
import peers
import scenarios
from harness.ports import take_port
from harness.tls import client_context

COUNTERS = ("instructions:u", "instructions:k", "cycles:u", "cycles:k")
LOG_DELAY_S = 0.1  # the longest that a proxy keeps lines to itself
SYSCALLS = "raw_syscalls:sys_enter"


class Void(Exception):
    """What was measured does not count."""


def wait_until(condition, what, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"bench: waited in vain: {what()}")
        time.sleep(0.02)


class Place:
    """Where a scenario runs: programs, ports, processors; and the backend and the Redis that it needs."""

    def __init__(self, build, folder, proxy_cpus=None, load_cpu=None, upstream_cpu=None):
        self.build, self.folder = build, folder
        self.proxy_cpus, self.load_cpu, self.upstream_cpu = proxy_cpus, load_cpu, upstream_cpu
        self.port, self.redis_port = take_port(), take_port()
        self.peer_ports = collections.defaultdict(take_port)
        self.running = []
        folder.mkdir(parents=True, exist_ok=True)

    def pinned(self, cpu, *command):
        return [*(["taskset", "-c", str(cpu)] if cpu is not None else []), *map(str, command)]

    def open(self, scenario):
        start = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        self.running.append(subprocess.Popen(self.pinned(self.upstream_cpu, self.build / "bench_upstream", self.port,
                                                         scenario.answer_bytes, scenario.body_bytes), **start))
        if scenario.store == "redis":
            self.running.append(subprocess.Popen(self.pinned(
                self.upstream_cpu, "redis-server", "--port", self.redis_port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                "--dir", self.folder), **start))
            wait_until(lambda: self.redis("ping") == "PONG", lambda: "redis-server answers")

    def redis(self, *words):
        return subprocess.run(["redis-cli", "-p", str(self.redis_port), *words], capture_output=True, text=True,
                              check=False).stdout.strip()

    def redis_calls(self):
        """How many commands of clients Redis has carried out."""
        rows = (line.split(":", 1) for line in self.redis("info", "commandstats").splitlines() if line.startswith("cmdstat_"))
        calls = {name[8:]: int(fields.split("calls=")[1].split(",")[0]) for name, fields in rows}
        return sum(calls.get(name, 0) for name in ("evalsha", "eval", "fcall"))

    def close(self):
        for process in reversed(self.running):
            process.terminate()
            process.wait()
        self.running = []

    def load_command(self, peer, connections=None):
        """The load generator with what the scenario asks, but for how long."""
        scenario = peer.scenario
        return [self.build / "bench_load", "-p", peer.port, "-q", self.folder / "request", "-c", connections or scenario.connections,
                "-s", scenario.status, "-B", scenario.answer_bytes, "-b", scenario.body_bytes, "-u", scenario.users, "-z", scenario.zipf,
                *(["-1"] if scenario.is_churning else []), *(["-t", scenario.tls] if scenario.tls else [])]

    def make_peer(self, name, scenario, program=None):
        peer = peers.KINDS[name](self.folder, scenario, self.peer_ports[name], self.port, self.redis_port,
                                 program or self.build / "sluice")
        (self.folder / "request").write_bytes(scenario.request())
        return peer


def ask(peer):
    """One request by another client than the load generator: (status, body)."""
    scenario = peer.scenario
    connection = (http.client.HTTPSConnection("127.0.0.1", peer.port, timeout=20, context=client_context()) if scenario.tls
                  else http.client.HTTPConnection("127.0.0.1", peer.port, timeout=20))
    headers = {name: scenario.unmarked(value) for name, value in (*scenarios.HEADERS.items(), *scenario.headers)}
    connection.request("POST" if scenario.body_bytes else "GET", scenario.unmarked(scenario.path), b"y" * scenario.body_bytes or None, headers)
    response = connection.getresponse()
    try:
        return response.status, response.read()
    finally:
        connection.close()


def answers(peer):
    if peer.process.poll() is not None:
        sys.exit(f"bench: {peer.name} in {peer.scenario.name} ended at once: {peer.output()[-1000:]}")
    try:
        return bool(peer.worker_pids()) and ask(peer)[0] > 0
    except (OSError, http.client.HTTPException):
        return False


def check_answer(peer):
    status, body = ask(peer)
    if status != peer.scenario.status or (status == 200 and body != b"x" * peer.scenario.answer_bytes):
        sys.exit(f"bench: {peer.name} in {peer.scenario.name} answers {status} {body[:100]!r}\n{peer.output()[-1000:]}")


def wait_until_ready(peer):
    """It answers, and as the scenario wants it (the first requests may be below the limit)."""
    wait_until(lambda: answers(peer) and ask(peer)[0] == peer.scenario.status,
               lambda: f"{peer.name} answers {peer.scenario.status}: {peer.output()[-1000:]}", 60)
    check_answer(peer)


def cpu_time(pids):
    """(microseconds of CPU time, user ticks, system ticks) of processes with all their threads."""
    total_us = user = system = 0
    for pid in pids:
        total_us += sum(int((task / "schedstat").read_text().split()[0]) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()) / 1000
        words = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        user, system = user + int(words[11]), system + int(words[12])
    return total_us, user, system


class Perf:
    """Counters of processes between start and stop; absent where the machine has none."""

    def __init__(self):
        self.events = [event for event in (*COUNTERS, SYSCALLS) if self.works(event)]

    @staticmethod
    def works(event):
        try:
            run = subprocess.run(["perf", "stat", "-x,", "-e", event, "true"], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return False
        return run.returncode == 0 and "<not" not in run.stderr

    def counts_instructions(self):
        return "instructions:k" in self.events

    def start(self, pids):
        if not self.events:
            return None
        perf = subprocess.Popen(["perf", "stat", "-x,", "-e", ",".join(self.events), "-p", ",".join(map(str, pids))],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(0.15)  # it attaches before the load begins; a later start would only lose a few requests
        return perf

    @staticmethod
    def stop(perf):
        if perf is None:
            return {}
        perf.send_signal(signal.SIGINT)
        rows = (line.split(",") for line in perf.communicate()[1].splitlines())
        return {row[2]: float(row[0]) for row in rows if len(row) > 2 and row[0].replace(".", "").isdigit()}


def load(place, peer, seconds=None, requests=None, rate=None, connections=None, before=()):
    """Load until it is over and answered; what the generator tells.  Void when an answer was wrong.  before: words in front of it."""
    command = [*before, *place.pinned(place.load_cpu, *place.load_command(peer, connections))]
    command += ["-n", str(requests)] if requests else ["-d", str(seconds)]
    command += ["-r", f"{rate:.0f}"] if rate else []
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise Void(f"{peer.name}: {run.stderr.strip()}")
    return json.loads(run.stdout)


def check_log(peer, requests):
    """How many log lines are missing once the proxy has had its time to write them (all do with a delay).  Void when one of ours is
    missing, when there are too many, or when another proxy saves work by losing more than a few."""
    if not peer.scenario.has_log:
        return 0
    lines, deadline = 0, time.monotonic() + 5
    while lines < requests and time.monotonic() < deadline:
        time.sleep(LOG_DELAY_S / 4)
        lines += peer.new_log_lines()
    lost = requests - lines
    if lost < 0 or lost > peer.log_loss_max * requests:
        raise Void(f"{peer.name}: {lines} log lines of {requests} requests")
    return lost


def settle_logs(running):
    """Until what was asked before stands in the logs."""
    logging = [peer for peer in running if peer.scenario.has_log]
    quiet = time.monotonic() + 4 * LOG_DELAY_S
    while logging and time.monotonic() < quiet:
        if any([peer.new_log_lines() for peer in logging]):
            quiet = time.monotonic() + 4 * LOG_DELAY_S
        time.sleep(LOG_DELAY_S / 2)


def burst(place, peer, perf, seconds):
    """One burst of load on one proxy; a figure per column."""
    pids = peer.worker_pids()
    watch = perf.start(pids)
    redis_before = place.redis_calls() if peer.scenario.store == "redis" else 0
    before = cpu_time(pids)
    try:
        told = load(place, peer, seconds)
    finally:
        us, user, system = (b - a for a, b in zip(before, cpu_time(pids)))
        counts = perf.stop(watch)
    requests = told["requests"]
    lost = check_log(peer, requests)
    figures = {"lost": lost, "rps": requests / told["seconds"], "busy": us / told["seconds"] / 1e6, "us": us / requests, "us_user": us / requests * user / max(user + system, 1)}
    figures["us_kernel"] = figures["us"] - figures["us_user"]
    if "instructions:k" in counts:
        figures["insn_u"], figures["insn_k"] = counts["instructions:u"] / requests, counts["instructions:k"] / requests
    if "cycles:k" in counts:
        figures["kcycles"] = (counts["cycles:u"] + counts["cycles:k"]) / requests / 1000
    if SYSCALLS in counts:
        figures["syscalls"] = counts[SYSCALLS] / requests
    if peer.scenario.store == "redis":
        figures["redis"] = (place.redis_calls() - redis_before) / requests
    return figures


def latency(place, peer, rate, seconds, before):
    told = load(place, peer, seconds, rate=rate, before=before)
    return {"p50": told["p50_us"], "p99": told["p99_us"], "lost": check_log(peer, told["requests"])}


def run_callgrind(place, name, scenario, requests, connections=None, program=None, environment=()):
    """The profile of the processes that served so many requests, with their start and their end."""
    peer = place.make_peer(name, scenario, program=program)
    out = peer.folder / "callgrind"
    peer.start(place.proxy_cpus, [*environment, "valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={out}.%p"])
    try:
        wait_until_ready(peer)
        pids = peer.worker_pids()
        load(place, peer, requests=requests, connections=connections)
    finally:
        peer.stop()
    profile = callgrind.Profile(collections.Counter(), collections.Counter())
    for pid in pids:
        profile = profile.plus(callgrind.read(f"{out}.{pid}"))
    return profile


def profile_per_request(place, name, scenario, few, many, connections=None, program=None, environment=()):
    """User instructions and calls per request: of `many` requests less those of `few`, so that start and end fall out."""
    short, long = (run_callgrind(place, name, scenario, count, connections, program, environment) for count in (few, many))
    return long.minus(short, many - few)
