# SPDX-License-Identifier: Apache-2.0
"""Reads an access log and refuses anything that the format does not promise."""
import json

LINE_BYTES_MAX = 8192


def _unique(pairs):
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names)), f"a member occurs twice: {names}"
    return dict(pairs)


def parse_line(line):
    assert len(line) <= LINE_BYTES_MAX, f"a line of {len(line)} bytes"
    assert line.endswith(b"\n"), f"a torn line: {line!r}"
    record = json.loads(line.decode("utf-8"), object_pairs_hook=_unique)
    assert isinstance(record, dict) and record["v"] == 1, record
    return record


def read_lines(path):
    """Every line as a dictionary: requests and events in order."""
    if not path.exists():
        return []
    return [parse_line(line) for line in path.read_bytes().splitlines(keepends=True)]


def read_lines_so_far(path):
    """While the writer works the last line may be incomplete."""
    if not path.exists():
        return []
    data = path.read_bytes()
    return [parse_line(line) for line in data[:data.rfind(b"\n") + 1].splitlines(keepends=True)]


def check_sequence(lines):
    """Per boot, seq counts 1, 2, 3... without a gap, but for lines that are said to be dropped."""
    dropped = sum(line["n"] for line in events_of(lines, "dropped"))
    last = {}
    gaps = 0
    for line in lines:
        boot, seq = line["boot"], line["seq"]
        if boot in last:
            assert seq > last[boot], f"seq {seq} after {last[boot]}"
            gaps += seq - last[boot] - 1
        else:
            assert seq == 1 or dropped, f"boot {boot} begins with seq {seq}"
            gaps += seq - 1
        last[boot] = seq
    assert gaps == dropped, f"{gaps} numbers are missing, {dropped} lines were said to be dropped"


def requests_of(lines):
    return [line for line in lines if "event" not in line]


def events_of(lines, name=None):
    return [line for line in lines if "event" in line and name in (None, line["event"])]
