# SPDX-License-Identifier: Apache-2.0
"""Certificates are replaced a hundred times under load, with a reload each: no handshake and no request fails, old connections live on, the new one is served."""
import os
import signal
import threading
import time

from harness.client import Client
from harness.configs import forward
from harness.ports import take_port
from harness.tls import Authority, client_context

import rig

PAGE = rig.ROOT / "docs" / "backends.md"
REPLACEMENTS, PAUSE_S = 100, 0.15
THREADS, HELD = 4, 8
NAME = "a.example"


class Served:
    """The certificates that may be served: the one before may be until the reload is told of."""

    def __init__(self, der):
        self.lock, self.allowed = threading.Lock(), {der}

    def add(self, der):
        with self.lock:
            self.allowed.add(der)

    def only(self, der):
        with self.lock:
            self.allowed = {der}


class Visitor(threading.Thread):
    """A new connection, a request, an end, again and again; every other thread resumes the session of the connection before."""

    def __init__(self, proxy, context, served, is_resuming):
        super().__init__(daemon=True)
        self.proxy, self.context, self.served, self.is_resuming = proxy, context, served, is_resuming
        self.count, self.resumed, self.faults, self.is_over, self.session = 0, 0, [], False, None
        self.start()

    def _visit(self):
        before = set(self.served.allowed)
        with Client(self.proxy.address, tls=self.context, name=NAME, session=self.session) as client:
            der, is_resumed = client.sock.getpeercert(True), client.sock.session_reused
            reply = client.ask("GET", "/")
            if self.is_resuming:
                self.session = client.sock.session
        if reply.status != 200:
            self.faults.append(f"status {reply.status}")
        if not is_resumed and der not in before | self.served.allowed:
            self.faults.append("a certificate that was replaced")
        self.count += 1
        self.resumed += is_resumed

    def run(self):
        while not self.is_over:
            try:
                self._visit()
            except Exception as fault:  # pylint: disable=broad-except
                self.faults.append(repr(fault))

    def stop(self):
        self.is_over = True
        self.join(30)


def replace(authority, pair):
    """In the way of a careful operator: each file whole at every moment, the reload when both are there."""
    fresh = authority.issue(NAME, stem="site.next")
    os.replace(authority.folder / "site.next.key", pair.key)
    os.replace(authority.folder / "site.next.crt", pair.certificate)
    return fresh.der


def run(world, judge):
    turns = world.scaled(REPLACEMENTS)
    authority = Authority(world.folder / "tls")
    pair = authority.issue(NAME, stem="site")
    config = {**forward(world.backend()), "listen": [{"address": f"127.0.0.1:{take_port()}", "tls": pair.config}],
              "admin": {"metrics": f"127.0.0.1:{take_port()}"}}
    proxy = world.proxy(config)
    child, context, served = proxy.child, client_context(authority), Served(pair.der)
    held = [Client(proxy.address, tls=context, name=NAME) for _ in range(HELD)]
    first = [client.ask("GET", "/").status for client in held]
    visitors = [Visitor(proxy, context, served, n % 2 == 1) for n in range(THREADS)]
    began, wrong, statuses, waits = time.monotonic(), 0, set(first), []
    for turn in range(1, turns + 1):
        der = replace(authority, pair)
        served.add(der)
        at = time.monotonic()
        proxy.signal(signal.SIGHUP)
        rig.wait_for(lambda n=turn: len(proxy.events("reload")) >= n, f"reload {turn} is in the log")
        waits.append(time.monotonic() - at)
        served.only(der)
        with Client(proxy.address, tls=context, name=NAME) as client:
            wrong += client.sock.getpeercert(True) != der
            statuses.add(client.ask("GET", "/").status)
        statuses |= {client.ask("GET", "/").status for client in held}
        time.sleep(PAUSE_S)
    seconds = time.monotonic() - began
    for visitor in visitors:
        visitor.stop()
    old = {client.sock.getpeercert(True) for client in held}
    values = proxy.metrics()
    for client in held:
        client.close()
    judge.equal("the same child serves", proxy.child == child, True)
    proxy.stop()
    faults = [fault for visitor in visitors for fault in visitor.faults]
    count = sum(visitor.count for visitor in visitors)
    results = {name.split('"')[1]: int(value) for name, value in values.items() if name.startswith("sluice_tls_handshakes_total{")}
    judge.check(f"{turns} replacements in {seconds:.0f} s: new connections with a request each, those that failed", f"{count:,}, {len(faults)}", "0 failed", not faults)
    for fault in faults[:3]:
        judge.note(f"Failed: {fault}.")
    judge.at_least("new connections", count, turns * 5)
    judge.tell("of them resumed", f"{sum(visitor.resumed for visitor in visitors):,}")
    bad = {name: n for name, n in results.items() if name not in ("ok", "resumed") and n}
    judge.check("handshakes as the proxy counts them", rig.text_of({name: n for name, n in results.items() if n}), "ok and resumed", not bad)
    judge.equal("first connection behind a reload that was served another certificate than the new one", wrong, 0)
    judge.equal(f"answers on {HELD} connections of before the first replacement, {turns + 1} each, and on fresh ones", statuses, {200})
    judge.equal("these still have their old certificate", old == {pair.der}, True)
    waits.sort()
    judge.tell("from the signal until the log tells of the reload: median, slowest", f"{rig.percentile(waits, 0.5) * 1000:.0f}, {waits[-1] * 1000:.0f} ms")
    reader, lines = rig.LogReader(), {}
    for line in reader.read(proxy.access_log):
        lines[line["end"]] = lines.get(line["end"], 0) + 1
    judge.judge_log(reader)
    judge.check("how exchanges ended", rig.text_of(lines), "only ok", set(lines) == {"ok"})
    judge.note(f"{THREADS} threads connect, verify, ask and end as fast as they can, every other one with the session of its last connection.")
