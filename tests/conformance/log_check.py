# SPDX-License-Identifier: Apache-2.0
"""Compares what the upstreams saw with what Sluice's access log says, request by request: both carry the request's id."""
import collections
import re

import case as cases
from harness import access_log
from run import is_origin

_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_KEPT = frozenset("/\\%?#;\"<>")  # escapes of these, and of what is not visible, stay escapes


def _unescape(match):
    byte = chr(int(match[1], 16))
    return byte if "!" <= byte <= "~" and byte not in _KEPT else match[0].upper()


def logged_path(target):
    """The path of a target in the one spelling that the log has."""
    path = re.sub(r"^[a-zA-Z]+://[^/?]*", "", target).split("?")[0] or "/"
    return _ESCAPE.sub(_unescape, re.sub("/+", "/", path))


def _id_of(message):
    return message.one("X-request-id").split(b"-")[0].decode()


def read(path):
    """The request lines by id; every line is judged while it is read."""
    lines = access_log.read_lines(path)
    access_log.check_sequence(lines)
    by_id = collections.defaultdict(list)
    for line in access_log.requests_of(lines):
        by_id[line["id"]].append(line)
    return by_id


def _is_told(line, text, expected):
    """A long value is cut, and its line says so."""
    return text == expected or (line.get("cut") is True and len(text) >= 64 and expected.startswith(text))


def _forwarded_faults(by_id, seen, where):
    for id_, heads in seen.items():
        lines, head = by_id.get(id_, []), heads[0]
        if len(lines) != 1:
            yield f"{where[id_]}: {head.method} {head.target} at the upstream, {len(lines)} log lines"
            continue
        line = lines[0]
        if line.get("tries", 0) < len(heads):
            yield f"{where[id_]}: {len(heads)} times at the upstream, {line.get('tries', 0)} tries in the log"
        # A request in HTTP/1.0 may name no host; Sluice then writes its server's name.
        host = line.get("host", None if line["proto"] == "HTTP/1.1" else head.one("Host").decode("latin-1"))
        told = (line["method"], line["path"], host.lower())
        expected = (head.method, logged_path(head.target), head.one("Host").decode("latin-1").lower())
        if not all(_is_told(line, *pair) for pair in zip(told, expected)):
            yield f"{where[id_]}: the log says {told}, the upstream saw {expected}"


def _answer_faults(by_id, results):
    for result in results:
        for message in (*result.responses, *result.own_responses):
            if not message.all("X-request-id"):
                yield f"{result.case.name}: a response without X-request-id"
                continue
            lines = by_id.get(_id_of(message), [])
            if [line["status"] for line in lines] != [message.status]:
                yield f"{result.case.name}: the client got {message.status}, the log says {[line['status'] for line in lines]}"


def _size_faults(by_id, results):
    """When everything was forwarded the log's sizes add up to what the client sent, empty lines before requests aside."""
    for result in results:
        case = result.case
        if not isinstance(case, cases.RequestCase) or not result.seen or result.last != "ok" or result.faults:
            continue
        if not all(is_origin(m) for m in result.responses):
            continue
        lines = [line for m in result.responses for line in by_id[_id_of(m)]]
        told = sum(line["bytes_in"] for line in lines)
        skipped = result.sent - told
        if skipped != 0 and not (skipped in (2, 4) and (case.raw.startswith(b"\r\n") or b"\r\n\r\n\r\n" in case.raw)):
            yield f"{case.name}: {result.sent} bytes were sent, the log has {told}"


def faults_of(path, results):
    """Every disagreement as a line; none when the log tells the truth."""
    by_id = read(path)
    seen, where = collections.defaultdict(list), {}
    found = []
    for result in results:
        for one in result.all_seen:
            ids = one.message.all("X-request-id")
            if len(ids) != 1:
                found.append(f"{result.case.name}: X-request-id {ids!r} at the upstream")
                continue
            id_ = _id_of(one.message)
            seen[id_].append(one.message)
            where[id_] = f"{result.case.name} ({result.cut})"
    found += _forwarded_faults(by_id, seen, where)
    found += [f"the log has {line['method']} {line['path']} as forwarded and answered; no upstream saw it"
              for id_, lines in by_id.items() for line in lines if line["end"] == "ok" and id_ not in seen]
    return found + [*_answer_faults(by_id, results), *_size_faults(by_id, results)]
