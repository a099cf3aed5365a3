# SPDX-License-Identifier: Apache-2.0
"""All cases, the cuts that they are sent in, and one proxy's way through them."""
import asyncio
import collections

import case as cases
import judge
import origin
import requests_chunks
import requests_flow
import requests_framing
import requests_syntax
import requests_target
import responses
import run
import wire
from harness.ports import take_port

REQUESTS = [*requests_framing.CASES, *requests_chunks.CASES, *requests_syntax.CASES, *requests_target.CASES, *requests_flow.CASES]
RESPONSES = list(responses.CASES)
CUTS = (wire.WHOLE, wire.HALVES, wire.BYTEWISE)
LANES = 12
_OFFSETS_BYTES_MAX = 400  # longer cases are cut in halves and bytewise alone


def size_of(case):
    """Bytes that can be cut."""
    if isinstance(case, cases.RequestCase):
        return len(case.parts[0])
    return max((len(step) for step in case.script if isinstance(step, bytes)), default=0)


def every_offset(chosen):
    return [(case, cut) for case in chosen if size_of(case) <= _OFFSETS_BYTES_MAX for cut in range(1, size_of(case))]


def _spread(rows, count):
    """So many of them, from everywhere in the list."""
    return [rows[i * len(rows) // count] for i in range(min(count, len(rows)))]


def sample(valid, bad):
    """Short cases: `valid` ones that must be forwarded, `bad` ones that must be refused, half of them responses."""
    short = [c for c in REQUESTS if size_of(c) < 140]
    is_valid = {c.name: all(o.refused is None for o in c.allow) for c in short}
    answers = [c for c in RESPONSES if size_of(c) < 140]
    is_good = {c.name: all(isinstance(o, cases.Relay) for o in c.allow) for c in answers}
    half = valid // 2, bad // 2
    return (_spread([c for c in short if is_valid[c.name]], valid - half[0]) + _spread([c for c in answers if is_good[c.name]], half[0])
            + _spread([c for c in short if not is_valid[c.name]], bad - half[1]) + _spread([c for c in answers if not is_good[c.name]], half[1]))


class Verdict:
    """What one proxy's run came to."""

    def __init__(self, results):
        self.results = results
        self.faults = []  # (result, level, reason)
        self.differs = []  # results whose outcome is another one than that of the whole message
        self.differs_upstream = []  # ... and the upstream saw something else
        whole = {id(r.case): r.signature for r in results if r.cut == wire.WHOLE}
        sides = {id(r.case): r.upstream_side for r in results if r.cut == wire.WHOLE and isinstance(r.case, cases.RequestCase)}
        for result in results:
            fault = judge.fault_of(result)
            if fault:
                self.faults.append((result, *fault))
            if id(result.case) in whole and result.signature != whole[id(result.case)]:
                self.differs.append(result)
                if result.upstream_side != sides.get(id(result.case), result.upstream_side):
                    self.differs_upstream.append(result)

    def of_cut(self, cut, kind):
        return [row for row in self.faults if row[0].cut == cut and isinstance(row[0].case, kind)]

    def score(self, kind):
        """{level: (right, all)} of the cases sent whole, each at its own level, but a fault at the level that it breaks."""
        total, wrong = collections.Counter(), collections.Counter()
        rows = {id(result): level for result, level, _ in self.faults}
        for result in self.results:
            if result.cut != wire.WHOLE or not isinstance(result.case, kind):
                continue
            level = rows.get(id(result), result.case.level)
            total[level] += 1
            wrong[level] += id(result) in rows
        return {level: (total[level] - wrong[level], total[level]) for level in (cases.MUST, cases.SHOULD, cases.HARDENING)}

    def smuggled(self):
        """Cases (whole) in which the upstream saw a request that neither stands in the case's first line nor in any right outcome."""
        found = []
        for result in self.results:
            if result.cut != wire.WHOLE or not isinstance(result.case, cases.RequestCase):
                continue
            first = result.case.raw.lstrip(b"\r\n").split(b"\r\n")[0].decode("latin-1").split()
            meant = {seen[:2] for outcome in result.case.allow for seen in outcome.seen} | {cases.AFTER_SEEN[:2], tuple(first[:2])}
            if {seen[:2] for seen in result.seen} - meant:
                found.append(result)
        return found

    def garbage(self):
        """Cases (whole) in which one side got bytes that are no HTTP/1.1, or a client another one's answer."""
        return [r for r, level, _ in self.faults if r.cut == wire.WHOLE and (r.faults or r.malformed or r.next != "ok")]


def drive(proxy_class, folder, jobs, patience_s):
    """Start the proxy, run the jobs, stop it: (proxy, results, exit code)."""
    ports = [take_port() for _ in range(LANES)]
    proxy = proxy_class(folder, ports)
    proxy.start()
    try:
        lanes = [run.Lane(("127.0.0.1", front), origin.Origin(port), patience_s) for front, port in zip(proxy.ports, ports)]
        results = asyncio.run(run.run_all(lanes, jobs))
    finally:
        code = proxy.stop()
    return proxy, results, code
