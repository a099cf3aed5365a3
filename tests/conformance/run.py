# SPDX-License-Identifier: Apache-2.0
"""Runs cases over lanes.  A lane is a door of the proxy (front) and the one upstream behind it; a lane runs one case at a time,
many lanes run at once.  Gives a Result per case and cut; judge.py says what it is worth."""
import asyncio
import dataclasses

import case as cases
import strict
import wire

LAST = b"GET /last HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
NEXT = LAST.replace(b"/last", b"/next")
_OWN = ("/last", "/next")


@dataclasses.dataclass
class Lane:
    front: tuple
    origin: object
    patience_s: float


class Result:
    """What happened, without a verdict."""

    def __init__(self, case, cut):
        self.case, self.cut = case, cut
        self.all_seen = []       # origin.Seen, the suite's own /last and /next among them
        self.faults = []         # what the upstream could not read
        self.responses = []      # in order, /last aside
        self.malformed = None    # what the client could not read
        self.is_0_9 = False      # it got the upstream's text without a head
        self.closed = False      # by the proxy, before /last
        self.silent = False      # ... without an answer
        self.hangs = False
        self.last = None         # a fault, "ok", or None when the connection had ended
        self.next = None         # a fault or "ok"
        self.reused = False      # response cases: the connection served another request
        self.left_open = False   # ... and was not ended
        self.late_taken = False
        self.own_responses = []
        self.sent = 0            # bytes of the case, for the log

    @property
    def seen(self):
        return [s.what for s in self.all_seen if s.what[1] not in _OWN]

    @property
    def upstream_side(self):
        """What must not depend on how a request was cut, as an upstream sees it."""
        return self.seen, bool(self.faults)

    @property
    def signature(self):
        """What must not depend on how bytes were cut.  How much of a broken response got through, may."""
        if isinstance(self.case, cases.ResponseCase):
            answers = [(m.status, m.reason, m.body, m.trailers, m.framing) for m in self.responses if m.complete and m.all("X-Case")]
            return answers, bool(self.malformed), self.hangs, self.last if answers else "ok", self.next
        answers = [(m.status, is_origin(m), m.complete, m.body if is_origin(m) else b"") for m in self.responses]
        return self.seen, answers, bool(self.faults), bool(self.malformed), self.closed, self.hangs, self.last, self.next

    def text(self):
        """One line for people."""
        words = [f"upstream saw {[f'{m} {t} {len(b)}' for m, t, b in self.seen]}" if self.seen else "upstream saw nothing"]
        words += [f"upstream could not read: {f}" for f in self.faults]
        words.append("client got " + (", ".join(f"{m.status}{'' if is_origin(m) else ' by the proxy'}"
                                                 f"{'' if m.complete else ' (cut short)'}" for m in self.responses) or "nothing"))
        if self.malformed:
            words.append(f"client could not read: {self.malformed}")
        words.append("closed" if self.closed else "hangs" if self.hangs else "lives on")
        if self.last not in (None, "ok"):
            words.append(f"then: {self.last}")
        if self.next != "ok":
            words.append(f"next client: {self.next}")
        return "; ".join(words)


def is_origin(message):
    """Is it the recording upstream's own answer?"""
    return bool(message.all("X-Origin"))


def echo_fault(message, seen):
    """None when the response tells of this request."""
    if message.status != 200 or not message.complete:
        return f"{message.status}{'' if message.complete else ' cut short'}"
    method, target, body = seen
    text = b"" if method == "HEAD" else f"saw {method} {target} {len(body)}\n".encode("latin-1")
    return None if message.body == text else f"the answer {message.body[:80]!r} to {method} {target}"


def _method(case, result):
    def of(message):
        told = message.all("X-Origin-Method")
        if told:
            return told[0].decode()
        return "HEAD" if getattr(case, "raw", b"").startswith(b"HEAD ") and not result.responses else "GET"

    return of


async def _ask_alone(link, request, target, until, result):
    """"ok", None when the connection ended instead, or a fault."""
    link.transport.write(request)
    while True:
        try:
            message = await link.response(_method(result.case, result), until)
        except strict.Malformed as fault:
            return f"malformed: {fault}"
        if message is None:
            return None if link.has_ended and not link.data else f"no answer but {bytes(link.data[:80])!r}"
        fault = echo_fault(message, ("GET", target, b""))
        if fault and request == LAST and is_origin(message):
            result.responses.append(message)  # one more than any right outcome has
            continue
        result.own_responses.append(message)
        return fault or "ok"


async def _next_client(lane, result):
    """After every case the next client gets its own answer, and nothing else."""
    until = asyncio.get_running_loop().time() + lane.patience_s + 2
    link = await wire.Link.open(lane.front)
    try:
        result.next = await _ask_alone(link, NEXT, "/next", until, result) or "the connection ended"
        while not link.has_ended and await link.wait(until):
            pass
        if link.data:
            result.next = f"more than its answer: {bytes(link.data[:80])!r}"
    finally:
        link.close()


def _answers_max(case):
    """How many responses the longest right outcome has."""
    follow = 1 if case.follow else 0
    return max(len(o.seen) + (o.refused is not None) + (follow if o.keep is not False else 0) for o in case.allow)


async def _read_answers(link, case, result, until):
    """As many as the longest right outcome has; more when they are there and the connection has ended."""
    most = _answers_max(case)
    method = _method(case, result)
    while len(result.responses) < most or (link.has_ended and link.data):
        try:
            message = await link.response(method, until)
        except strict.Malformed as fault:
            result.malformed = str(fault)
            result.is_0_9 = bytes(link.data[:4]) == b"saw "
            return
        if message is None:
            break
        result.responses.append(message)
    if link.has_ended and link.data:
        result.malformed = f"an unfinished response {bytes(link.data[:80])!r}"


def _is_refused(result):
    return bool(result.responses) and not is_origin(result.responses[-1])


async def run_request(lane, case, cut):
    loop = asyncio.get_running_loop()
    result = Result(case, cut)
    lane.origin.begin()
    link = await wire.Link.open(lane.front)
    try:
        result.sent = len(case.bytes)
        await wire.send(link.transport, case.parts[0], cut, case.parts[1])
        if case.ends and not link.transport.is_closing():
            await wire.read_by_peer(link.transport)
            if not link.transport.is_closing():
                link.transport.write_eof()
        until = loop.time() + lane.patience_s
        await _read_answers(link, case, result, until)
        # The end comes in a segment of its own.
        must_end = case.ends or _is_refused(result) or (result.responses and not result.responses[-1].keeps)
        while must_end and not link.has_ended and await link.wait(until):
            pass
        result.closed = link.has_ended
        result.silent = link.has_ended and not _is_refused(result)
        result.hangs = not link.has_ended and loop.time() >= until
        if not link.has_ended and not result.malformed:
            result.last = await _ask_alone(link, LAST, "/last", until + 1, result)
            result.closed = result.last is None
        elif link.has_ended and link.data and not result.malformed:
            result.malformed = f"more than the answers: {bytes(link.data[:80])!r}"
    finally:
        link.close()
    await _next_client(lane, result)
    result.all_seen, result.faults = list(lane.origin.seen), list(lane.origin.faults)
    return result


# ---- responses ----


async def _follow(link, result, until):
    """Another request on the client's connection, when that lives."""
    await asyncio.sleep(0)
    if link.data:
        result.last = f"bytes that nobody asked for: {bytes(link.data[:80])!r}"
        return
    if link.has_ended:
        result.closed = True
        return
    result.last = await _ask_alone(link, cases.AFTER, "/after", until, result)
    result.closed = result.last is None


async def _send_late(origin, patience_s):
    """What the server says when its response is at the client already."""
    origin.late.set()
    try:
        await asyncio.wait_for(origin.late_sent.wait(), patience_s)
    except asyncio.TimeoutError:
        pass  # it was never asked, or its connection is gone


async def run_response(lane, case, cut):
    loop = asyncio.get_running_loop()
    result = Result(case, cut)
    origin = lane.origin
    origin.begin(case.script, cut)
    link = await wire.Link.open(lane.front)
    try:
        result.sent = len(case.request)
        link.transport.write(case.request)
        until = loop.time() + lane.patience_s
        try:
            message = await link.response(lambda _: case.method, until)
        except strict.Malformed as fault:
            result.malformed, message = str(fault), None
        if message is not None:
            if message.framing == "close" and link.was_reset:
                message.complete = False
            result.responses.append(message)
        if cases.LATE in case.script:
            await _send_late(origin, lane.patience_s)
        result.hangs = message is None and not link.has_ended and not result.malformed
        result.silent = message is None and link.has_ended
        while message is not None and not message.keeps and not link.has_ended and await link.wait(until):
            pass
        if not result.hangs and not result.malformed and message is not None:
            await _follow(link, result, until + 1)
        else:
            result.closed = link.has_ended
    finally:
        link.close()
    await _next_client(lane, result)
    result.all_seen, result.faults = list(origin.seen), list(origin.faults)
    numbers = {c.number for c in origin.case_connections}
    result.reused = any(s.connection in numbers and s.what[1] in ("/after", "/next") for s in result.all_seen)
    result.left_open = any(not c.has_ended for c in origin.case_connections)
    return result


async def _lane_work(lane, queue, results, has_stopped):
    while not has_stopped():
        try:
            index, case, cut = queue.get_nowait()
        except asyncio.QueueEmpty:
            return
        run = run_request if isinstance(case, cases.RequestCase) else run_response
        results[index] = await run(lane, case, cut)


async def run_all(lanes, jobs, has_stopped=lambda: False):
    """jobs: (case, cut).  Gives results in the order of the jobs; None where has_stopped() came first."""
    for lane in lanes:
        await lane.origin.start()
    queue = asyncio.Queue()
    results = [None] * len(jobs)
    for index, (case, cut) in enumerate(jobs):
        queue.put_nowait((index, case, cut))
    try:
        await asyncio.gather(*(_lane_work(lane, queue, results, has_stopped) for lane in lanes))
    finally:
        for lane in lanes:
            lane.origin.stop()
    return results
