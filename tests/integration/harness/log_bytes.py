# SPDX-License-Identifier: Apache-2.0
"""Requests of hostile bytes, what a line of the access log has to tell of them, and the bytes that it tells."""
import base64
import collections
import json
import re

from .configs import respond

# As docs/logs.md says it.
ESCAPE = re.compile(rb"\\(?:u00([89a-f][0-9a-f])|.)", re.DOTALL)
LINE_BYTES_MAX = 8192
PARENT_BYTES_MAX = 128

ALNUM = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
TOKEN = ALNUM + b"!#$%&'*+-.^_`|~"
SEGMENT = ALNUM + b"!$&'()*+,-.:=@[]^_`{|}~"
TARGET = SEGMENT + b"/%;\\?"
VALUE = bytes([9, *range(32, 127), *range(128, 256)])
FAVOURITES = [b'"', b"\\", b"\\u0041", b"\\u00e9", b"\x00", b"\r", b"\n", b"\x7f", b"\xff", b"\xc3", b"\xe2\x80\xae", "é".encode(), b"\xc2\x85", b"\xc2\x9b", b"%00",
              b"%ff", b"%0d%0a", b"/../", b"//", b"<b>", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\t", b" ", b'",', b'"}', b"%41", b"%c3%a9", b"&", b"="]

PLACES = ("method", "path", "query", "host", "agent", "name", "value", "parent", "user")
PLAIN = {"method": b"GET", "path": b"/a", "query": b"b=c", "host": b"test.local", "agent": b"x", "name": b"X-Name", "value": b"y", "parent": b"", "user": None}
LENGTHS = {"method": 30, "path": 60, "query": 60, "host": 40, "agent": 60, "name": 20, "value": 60, "parent": 60, "user": 30}
LONG = {"path": 7000, "query": 7000, "agent": 9000, "value": 9000, "parent": 300, "user": 900, "method": 100}
WIRE = {"method": TOKEN, "path": TARGET, "query": TARGET, "host": ALNUM + b".-_", "agent": VALUE, "name": TOKEN, "value": VALUE, "parent": VALUE, "user": None}

Sent = collections.namedtuple("Sent", "message places what")


def config():
    """Every field and every kind of subject that shows what a client wrote."""
    identities = {"user": {"from": ["basic_user"], "missing": "skip"}, "segment": {"from": ["path:segment"], "missing": "skip"},
                  "verb": {"from": ["method"]}, "site": {"from": ["host"], "missing": "skip"}}
    made = respond(identities=identities, quotas={name: {"key": [name], "limits": {"day": 100_000_000}} for name in identities})
    answer = made["routes"][0].pop("respond")
    made["routes"][0] |= {"respond": answer, "quotas": ["user", "verb", "site"]}
    made["routes"].insert(0, {"name": "segment", "path": "/u/{segment}", "respond": answer, "quotas": list(identities)})
    return made


# -- what is sent

def _any_bytes(rng, length):
    """Quotes, escapes, line breaks and halves of characters more often than others."""
    return b"".join(rng.choice(FAVOURITES) if rng.random() < 0.3 else bytes([rng.randrange(256)]) for _ in range(length))


def _wire_bytes(rng, place, length):
    """As the place may have them, so that they come as far as the line."""
    if place == "user":
        text = _any_bytes(rng, length)
        return text if rng.random() < 0.3 else re.sub("[\0-\x1f:\x7f-\x9f]", "", text.decode("utf-8", "replace")).encode()
    if place == "path" and rng.random() < 0.7:  # a good one
        escapes, plain = [b"/", b"//", b"%41", b"%c3%a9", b"%22", b"%5B"], SEGMENT.replace(b".", b"")
        return b"".join(rng.choice(escapes) if rng.random() < 0.2 else bytes([rng.choice(plain)]) for _ in range(length))
    if place == "host":
        name = b".".join(bytes(rng.choices(ALNUM + b"-_", k=rng.randrange(1, 9))) for _ in range(max(1, length // 8)))
        return name + (b":%d" % rng.randrange(1, 65536) if rng.random() < 0.3 else b"")
    return bytes(rng.choices(WIRE[place], k=length))


def hostile_bytes(rng, place, is_wire):
    length = rng.randrange(LENGTHS[place])
    if place in LONG and rng.random() < 0.08:
        length = rng.randrange(LONG[place])
    text = _wire_bytes(rng, place, length) if is_wire else _any_bytes(rng, length)
    # Both in this order would end the line, and what follows would be of another place.
    return text if place == "user" else re.sub(rb"\r+\n", b"\n", text)


def hostile_request(rng):
    """A Sent: of one or two places, or of all at once, any bytes, or any that the wire allows there."""
    chance = rng.random()
    places = PLACES if chance < 0.15 else rng.sample(PLACES, rng.randrange(1, 3))
    is_wire = rng.random() < 0.7
    what = {**PLAIN, **{place: hostile_bytes(rng, place, is_wire) for place in places}}
    if "path" in places:
        what["path"] = b"/u/" + what["path"].replace(b"/", b"") if rng.random() < 0.3 else b"/" + what["path"]
    if what["method"] in (b"HEAD", b"CONNECT", b""):
        what["method"] = b"G"
    lines = [what["method"] + b" " + what["path"] + b"?" + what["query"] + b" HTTP/1.1", b"Host: " + what["host"], b"User-Agent: " + what["agent"],
             what["name"] + b": " + what["value"], b"Connection: close"]
    if what["parent"]:
        lines.insert(2, b"X-Request-Id: " + what["parent"])
    if what["user"] is not None:
        lines.insert(2, b"Authorization: Basic " + base64.b64encode(what["user"] + b":secret"))
    return Sent(b"\r\n".join(lines) + b"\r\n\r\n", tuple(places), what)


# -- what is told

def recover(line):
    """A line as a dictionary whose strings are bytes: those that came in."""
    if line.endswith(b',"bytes":true}\n'):
        line = ESCAPE.sub(lambda found: bytes([int(found[1], 16)]) if found[1] else found[0], line)
    return as_bytes(json.loads(line.decode("utf-8", "surrogateescape")))


def as_bytes(value):
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, list):
        return [as_bytes(one) for one in value]
    return {name: as_bytes(one) for name, one in value.items()} if isinstance(value, dict) else value


def judged(path):
    """The path in its one spelling (docs/configuration.md, Paths); None when nobody may say how it is read."""
    def one(found):
        byte = bytes([int(found[1], 16)])
        return byte if byte in SEGMENT else b"%" + found[1].upper()

    if re.search(rb"%(?![0-9A-Fa-f]{2})|[;\\]", path):
        return None
    path = re.sub(rb"/+", b"/", re.sub(rb"%([0-9A-Fa-f]{2})", one, path))
    return None if re.search(rb"%(?:[01]|7F|2F|5C|25[0-9A-Fa-f]{2})|(?:^|/)\.\.?(?:/|$)", path) else path


def _is_user(text):
    try:
        return bool(text) and not re.search("[\0-\x1f\x7f-\x9f]", text.decode())
    except UnicodeDecodeError:
        return False


def expected(what):
    """{field: bytes} of a request that comes as far as its quotas."""
    path, _, query = (what["path"] + b"?" + what["query"]).partition(b"?")
    parent, host = what["parent"].strip(b" \t"), what["host"].strip(b" \t")
    site = re.sub(rb":\d+$", b"", host).lower()
    user = (what["user"] or b"").split(b":")[0]
    segment = re.fullmatch(rb"/u/([^/]+)", judged(path) or b"")
    names = [part.split(b"=")[0] for part in query.split(b"&")]
    told = {"method": what["method"], "host": host, "path": judged(path), "query": [name for name in names if name],
            "parent_id": parent if len(parent) <= PARENT_BYTES_MAX else b"", "subjects.verb": what["method"], "subjects.site": site.removesuffix(b"."),
            "subjects.user": user if _is_user(user) else b"", "subjects.segment": segment[1] if segment else b""}
    return {name: value for name, value in told.items() if value}


def told(record):
    """What the line tells of these."""
    found = {name: record[name] for name in ("method", "host", "path", "query", "parent_id") if name in record}
    return {**found, **{"subjects." + name: value for name, value in record.get("subjects", {}).items()}}


def _is_begin(value, whole):
    if isinstance(whole, list):  # each name of a query may be cut
        return len(value) <= len(whole) and all(_is_begin(*pair) for pair in zip(value, whole))
    return whole.startswith(value)


def faults_of(line, sent):
    """Why this line does not tell what was sent; empty: it does.  A line that is not cut has to tell all of it, and one that is cut a beginning."""
    record, faults = recover(line), []
    found, right, is_cut = told(record), expected(sent.what), record.get("cut") is True
    if record.get("status") != 200:  # what was not read is not there, and a path may be as it was sent
        path = (sent.what["path"] + b"?").partition(b"?")[0]
        right = {name: value for name, value in {**right, **({"path": path} if found.get("path") == path else {})}.items() if name in found}
    if len(line) > LINE_BYTES_MAX:
        faults.append(f"{len(line)} bytes")
    if is_cut == (found == right):
        faults.append("cut" if is_cut else "not cut")
    for name in sorted(set(found) | set(right)):
        mine, its = found.get(name), right.get(name)
        if its is None or (mine is None and not is_cut) or not (mine == its or (is_cut and (mine is None or _is_begin(mine, its)))):
            faults.append(f"{name}: {mine!r} for {its!r}")
    return faults
