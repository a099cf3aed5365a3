# SPDX-License-Identifier: Apache-2.0
"""A server's name moves to another address and is followed; its resolver is dead for a minute, then answers in 5 s, and nobody waits for it."""
import collections
import ctypes
import socket
import struct
import threading
import time

from harness.configs import forward
from harness.ports import take_port

import rig

PAGE = rig.ROOT / "docs" / "backends.md"
INTERVAL_S, FOLLOW_S, ANSWER_S = 2, 2, 5
HEALTHY_S, DEAD_S, SLOW_S = 10, 60, 20
RATE_PER_S, CONNECTIONS, CLOSE_PERMILLE = 500, 16, 100
SLOWEST_MS = 1000   # by far less than a resolver that is waited for
SEED = 20261203
OLD, NEW = "127.0.0.2", "127.0.0.3"
RESOLVER = "127.0.0.53"
OTHERS = 5          # names beside, which lead to the same servers
CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000


class Resolver:
    """A name server for names under .test (UDP, A and AAAA), all of which lead to one address; how: answers, dead or slow."""

    def __init__(self, address):
        self.address, self.how, self.questions = address, "answers", 0
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((RESOLVER, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                question, peer = self.sock.recvfrom(4096)
            except OSError:
                return
            self.questions += 1
            if self.how == "slow":
                threading.Timer(ANSWER_S, self._answer, (question, peer)).start()
            elif self.how == "answers":
                self._answer(question, peer)

    def _answer(self, question, peer):
        end = question.index(b"\0", 12) + 5  # behind name, type and class
        is_a = question[end - 4:end - 2] == b"\0\1"
        answer = question[:2] + struct.pack(">HHHHH", 0x8180, 1, int(is_a), 0, 0) + question[12:end]
        if is_a:
            answer += b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(self.address)
        try:
            self.sock.sendto(answer, peer)
        except OSError:
            pass  # it is over

    def stop(self):
        self.sock.close()


def with_resolver(file):
    """Runs in the child before the proxy does: a mount namespace in which this file is /etc/resolv.conf."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter():
        for step in (lambda: libc.unshare(CLONE_NEWNS), lambda: libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None),
                     lambda: libc.mount(str(file).encode(), b"/etc/resolv.conf", None, MS_BIND, None)):
            if step() != 0:
                raise OSError(ctypes.get_errno(), "a mount namespace for the proxy (it needs root)")

    return enter


class Probe(threading.Thread):
    """Asks over a fresh connection each time: who answered what was sent when, in wall time."""

    def __init__(self, proxy):
        super().__init__(daemon=True)
        self.proxy, self.rows, self.faults, self.is_over = proxy, [], [], False
        self.start()

    def run(self):
        while not self.is_over:
            sent_s = time.time()
            try:
                reply = self.proxy.ask()
                self.rows.append((sent_s, reply["X-Server"]))
            except Exception as fault:  # pylint: disable=broad-except
                self.faults.append(repr(fault))
            time.sleep(0.02)

    def stop(self):
        self.is_over = True
        self.join(20)


class Phases:
    """What is going on, and since when, in wall time."""

    def __init__(self):
        self.rows = []

    def begin(self, name):
        self.rows.append((name, time.time()))

    def of(self, at_s):
        return next((name for name, since_s in reversed(self.rows) if at_s >= since_s), None)


def move(resolver, address):
    resolver.address = address
    return time.time()


def run(world, judge):
    port, folder = take_port(), world.folder
    for host in (OLD, NEW):
        world.backend(host=host, port=port)
    resolver = world.keep(Resolver(OLD), Resolver.stop)
    file = folder / "resolv.conf"
    file.write_text(f"nameserver {RESOLVER}\noptions timeout:{ANSWER_S + 2} attempts:2\n", encoding="ascii")
    config = forward(f"app.test:{port}")
    config["upstreams"]["app"]["resolve"] = f"{INTERVAL_S}s"
    for n in range(OTHERS):
        config["upstreams"][f"other{n}"] = {"servers": [f"other{n}.test:{port}"], "resolve": f"{INTERVAL_S}s"}
        config["routes"].insert(0, {"name": f"other{n}", "prefix": f"/other{n}/", "upstream": f"other{n}"})
    proxy = world.proxy(config, before=with_resolver(file))
    rig.wait_for(lambda: proxy.ask().status == 200, "the name is known")
    load = world.load("names", proxy.ports, "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", 3600, "-n", CLOSE_PERMILLE, "-s", SEED)
    phases, moves, questions, probe = Phases(), [], {}, Probe(proxy)
    for name, seconds, how in (("healthy", HEALTHY_S, "answers"), ("dead", DEAD_S, "dead"), ("healthy again", HEALTHY_S, "answers"),
                               (f"answers in {ANSWER_S} s", SLOW_S, "slow")):
        resolver.how, before = how, resolver.questions
        phases.begin(name)
        if how == "answers":
            if name != "healthy":  # what was asked of a dead one is over when it has been given up
                time.sleep(2 * (ANSWER_S + 2))
            for address in (NEW, OLD):
                moves.append((name, address, move(resolver, address)))
                time.sleep(INTERVAL_S + FOLLOW_S + 1)
        else:
            at = move(resolver, NEW if how == "slow" else OLD)
            if how == "slow":
                moves.append((name, NEW, at))
            time.sleep(world.scaled(seconds) if how == "dead" else seconds)
        questions[name] = resolver.questions - before
    probe.stop()
    load.stop()
    proxy.stop()
    judge_waits(judge, load, phases)
    judge.check("questions that the resolver was asked", rig.text_of(questions), "some in each part", all(questions.values()))
    judge_moves(judge, probe, moves)
    reader = rig.LogReader()
    for _ in reader.read(proxy.access_log):
        pass
    judge.judge_log(reader)
    judge.note(f"{RATE_PER_S} requests a second from {CONNECTIONS} connections, one in {1000 // CLOSE_PERMILLE} of which is the last of its connection; `resolve` is {INTERVAL_S} s, {OTHERS} "
               "more names are looked up beside.  The resolver is a thread of this test on loopback, which the C library asks by /etc/resolv.conf.  A dead one takes questions and "
               "never answers.  Who answers is asked over a fresh connection every 20 ms.")


def judge_waits(judge, load, phases):
    waits, statuses = collections.defaultdict(list), collections.Counter()
    for row in load.rows():
        if row.status != "end":
            statuses[row.status] += 1
            waits[phases.of(int(row.sent_us) / 1e6)].append(int(row.latency_us) / 1000)
    judge.check("answers", rig.text_of(dict(statuses)), "only 200", set(statuses) == {"200"})
    for name, some in waits.items():
        some.sort()
        judge.check(f"resolver {name}: requests; p50, p99, slowest",
                    f"{len(some):,}; {rig.percentile(some, 0.5):.1f}, {rig.percentile(some, 0.99):.1f}, {some[-1]:.1f} ms", f"≤ {SLOWEST_MS} ms",
                    some[-1] <= SLOWEST_MS)


def judge_moves(judge, probe, moves):
    judge.equal("requests over fresh connections that failed", len(probe.faults), 0)
    ends = [at for _, _, at in moves[1:]] + [probe.rows[-1][0]]
    for (name, address, at), end in zip(moves, ends):
        # A worker asks for four names at a time: with a slow resolver one waits for the answer to another, and then for its own.
        bound = INTERVAL_S + FOLLOW_S + (2 * ANSWER_S if name.startswith("answers") else 0)
        rows = [(sent, who) for sent, who in probe.rows if at <= sent < end]
        stale = [sent - at for sent, who in rows if who != address]
        judge.check(f"resolver {name}: moved to {address}, the last request that went to the old address came after",
                    f"{max(stale, default=0):.2f} s ({len(stale)} of {len(rows)})", f"≤ {bound} s, and then the new one",
                    len(stale) < len(rows) and max(stale, default=0) <= bound and rows[-1][1] == address)
