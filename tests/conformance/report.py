# SPDX-License-Identifier: Apache-2.0
"""docs/conformance.md from what the runs gave."""
import collections
import dataclasses
import re

import case as cases
import wire

KINDS = ((cases.RequestCase, "requests"), (cases.ResponseCase, "responses"))
_WHY_MAX = 200
_EXAMPLES = 3  # of the cases that a proxy fails in the same way


@dataclasses.dataclass
class Facts:
    date: str
    commit: str
    machine: str
    command: str
    missing: list
    counts: dict
    offsets: str


@dataclasses.dataclass
class Row:
    version: str
    verdict: object
    runs: int
    seconds: float
    log_faults: list = None


def details(row):
    """Every failed case of a proxy, a line each."""
    return [f"{kind} {level} {section} {name}: {why}" for kind, level, section, name, why in _failed(row)]


def own_faults(row):
    """What is wrong with Sluice, one line each."""
    lines = [f"{level} {r.case.section} {r.case.name} ({r.cut}): {why}" for r, level, why in row.verdict.faults]
    lines += [f"{r.case.name}: another outcome when cut at {r.cut}: {r.text()}" for r in row.verdict.differs]
    return lines + [f"log: {fault}" for fault in row.log_faults or ()]


def _cell(text):
    """Inside a table: one line, nothing that Markdown or a terminal takes for more than text."""
    plain = "".join(c if " " <= c <= "~" else f"\\x{ord(c):02x}" for c in text)
    plain = plain if len(plain) <= _WHY_MAX else plain[:_WHY_MAX] + "…"
    return plain.replace("|", "&#124;").replace("<", "&lt;").replace("`", "&#96;").replace("[", "&#91;")


def _table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(map(str, row)) + " |" for row in rows), ""]


def _failed(row):
    """(kind, level, RFC section, name, why) of each case that failed when sent whole; requests first, then by level."""
    faults = [(r, level, why) for r, level, why in row.verdict.faults if r.cut == wire.WHOLE]
    order = {cases.MUST: 0, cases.SHOULD: 1, cases.HARDENING: 2}
    faults.sort(key=lambda f: (isinstance(f[0].case, cases.ResponseCase), order[f[1]]))
    return [("response" if isinstance(r.case, cases.ResponseCase) else "request", level, r.case.section, r.case.name, why)
            for r, level, why in faults]


def is_sluice(row):
    return row.version.startswith("sluice")


def failed_alike(failed):
    """A table with a row for all cases of a section that failed in the same way: how many, and the names of a few."""
    groups = collections.defaultdict(list)
    for kind, level, section, name, why in failed:
        groups[kind, level, section, re.split("; | / ", why)[0]].append(name)
    rows = []
    for (kind, level, section, what), names in groups.items():
        more = f", and {len(names) - _EXAMPLES} more" if len(names) > _EXAMPLES else ""
        rows.append((kind, level, section, len(names), _cell(what), ", ".join(map(_cell, names[:_EXAMPLES])) + more))
    return _table(("", "level", "RFC", "cases", "what is wrong", "which"), rows)


def _cases(results):
    return len({id(result.case) for result in results})


def _scores(rows):
    scores = [{name: row.verdict.score(kind) for kind, name in KINDS} for row in rows]
    lines = []
    for _, name in KINDS:
        for level in (cases.MUST, cases.SHOULD, cases.HARDENING):
            cells = []
            for score in scores:
                right, total = score[name][level]
                cells.append(f"{total - right} of {total}" if total != right else "0")
            lines.append((f"{name}: {level} failed", *cells))
    lines.append(("cases in which the upstream saw a request that the client did not send", *(len(r.verdict.smuggled()) for r in rows)))
    lines.append(("cases in which a side got what is no HTTP/1.1, or another one's answer", *(len(r.verdict.garbage()) for r in rows)))
    lines.append(("requests of which the upstream sees something else when their bytes are cut", *(_cases(r.verdict.differs_upstream) for r in rows)))
    lines.append(("cases of which any side sees something else then (a refusal lost to a reset, say)", *(_cases(r.verdict.differs) for r in rows)))
    lines.append(("runs", *(r.runs for r in rows)))
    return lines


_INTRO = """# HTTP/1.1 conformance, side by side

Raw bytes go to each proxy, in front of an upstream that records and reads strictly; raw bytes come back from the upstream. Every case names
its RFC section, its level and each outcome that is right; the tables are in `tests/conformance/`, made to be read and added to. This page
is what one run printed; it is written by `scripts/conformance --write`.

- **MUST**: a requirement of RFC 9110 or 9112 on the recipient, or one on the sender that forwarding would break.
- **SHOULD**: their advice, above all 400 for what does not match the grammar (RFC 9112 section 2.2).
- **HARDENING**: the RFCs leave it open, and one way has been used in attacks or is read differently by servers.

Behind every request stands another one in the same segment, and after every case a new client asks: who mistakes the end of a message, or
leaves bytes on a connection, shows it there. A fault is counted at the level that it breaks: to send bytes that are no HTTP, or another one's
answer, breaks a MUST (RFC 9110 section 2.2) whatever the case was about. The proxies are plain reverse proxies with kept-alive upstream
connections and otherwise their own defaults (`tests/conformance/proxies.py`).
"""


def page(facts, rows, backend_rows):
    requests, answers = (facts.counts[k] for k in ("RequestCase", "ResponseCase"))
    lines = [_INTRO, "## The run", "", f"{facts.date}, commit {facts.commit}, {facts.machine}: `{facts.command.strip()}`. {requests} requests and "
             f"{answers} responses, each in one piece, in two, and byte by byte (every piece is read before the next one leaves); Sluice in addition with "
             f"{facts.offsets} of up to 400 bytes cut at every offset.", ""]
    if facts.missing:
        lines += [f"Not installed, so not run: {', '.join(facts.missing)}.", ""]
    lines += _table(("", *(row.version for row in rows)), _scores(rows))
    for row in rows:
        if row.log_faults is None:
            continue
        seen = sum(len(r.all_seen) for r in row.verdict.results)
        lines += [f"Sluice's access log against what the upstreams saw ({seen} requests, matched by their ids: method, path, host, tries, sizes, statuses): "
                  f"{len(row.log_faults)} disagreements.", ""]
    if backend_rows:
        lines += ["## Real servers behind Sluice", "", "The requests that can only be forwarded, again, to real servers. Each writes down what it read; a request that it "
                  "answered with 200 must stand in its record and in the log with the same id, method, path and size of body, and nothing else may.", ""]
        lines += _table(("server", "requests counted", "refused by the server", "disagreements"),
                        [(n, c, r, len(f)) if c is not None else (n, why, "", "") for n, c, r, f, why in backend_rows])
    lines += ["## What fails", "", "Of Sluice every fault, of the others one line for all that fail alike; "
              "`scripts/conformance --details` prints every case of all.", ""]
    for row in rows:
        lines += [f"### {row.version}", ""]
        if is_sluice(row):
            faults = own_faults(row)
            lines += _table(("fault",), [(_cell(fault),) for fault in faults]) if faults else ["None.", ""]
        else:
            lines += failed_alike(_failed(row))
    return "\n".join(lines).rstrip("\n") + "\n"
