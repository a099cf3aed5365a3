# SPDX-License-Identifier: Apache-2.0
"""A parser of its own for the judges: HTTP/1.1 by the letter of RFC 9112, nothing forgiven.  Takes: bytes received so far.
Gives: a whole message, None while it is incomplete, or Malformed.  Shares no code with Sluice or its harness."""
import re

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# Control bytes but CR, LF and NUL may pass in values (RFC 9110 section 5.5); that they did is noted.
_FIELD = re.compile(rb"(" + TOKEN + rb"):[ \t]*((?:[^\0\t\n\r ](?:[^\0\n\r]*[^\0\t\n\r ])?)?)[ \t]*")
_CONTROL = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")
_REQUEST = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])")
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2}) ([^\0\r\n]*)")
_EXTENSION = rb"(?:[ \t]*;[ \t]*" + TOKEN + rb'(?:[ \t]*=[ \t]*(?:' + TOKEN + rb'|"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t\x20-\x7e\x80-\xff])*"))?)*'
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,16})" + _EXTENSION)
_LENGTH = re.compile(rb"[0-9]{1,60}")
HEAD_MAX = 1 << 21


class Malformed(Exception):
    """These bytes are no HTTP/1.1."""


class Message:
    """method and target of a request, status and reason of a response.  complete is False for a response that its
    connection's end cut short; keeps says whether its sender lets the connection live."""

    def __init__(self, first, fields):
        self.first, self.fields = first, fields
        self.method = self.target = self.reason = None
        self.status, self.minor = 0, 1
        self.body, self.trailers = b"", []
        self.framing = "none"
        self.complete, self.keeps = True, True
        self.interim = []
        self.has_controls = bool(_CONTROL.search(first) or any(_CONTROL.search(v) for _, v in fields))

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower().encode()]

    def one(self, name):
        """The only value of a field, None when it is not there."""
        values = self.all(name)
        if len(values) > 1:
            raise Malformed(f"{name} occurs {len(values)} times")
        return values[0] if values else None


def _lines(block):
    lines = block.split(b"\r\n")
    for line in lines:
        if b"\r" in line or b"\n" in line:
            raise Malformed(f"bare CR or LF in {line[:80]!r}")
    return lines


def _fields(lines):
    fields = []
    for line in lines:
        match = _FIELD.fullmatch(line)
        if not match:
            raise Malformed(f"header line {line[:80]!r}")
        fields.append((match[1], match[2]))
    return fields


def _head(data, at):
    """(lines, where the body begins), None while it is incomplete."""
    end = data.find(b"\r\n\r\n", at)
    if end < 0:
        bare = re.search(rb"(?<!\r)\n|\r(?=[^\n])", data[at:])
        if bare:
            raise Malformed(f"bare CR or LF in {bytes(data[at:at + 120])!r}")
        if len(data) - at > HEAD_MAX:
            raise Malformed("a head without end")
        return None
    return _lines(bytes(data[at:end])), end + 4


def _coding(message):
    """True for a body in chunks.  Any coding before a last "chunked" is passed over."""
    values = message.all("Transfer-Encoding")
    if not values:
        return False
    codings = [c for c in (c.strip().lower() for c in b",".join(values).split(b",")) if c]
    if not codings or codings[-1] != b"chunked" or b"chunked" in codings[:-1] or message.minor == 0:
        raise Malformed(f"Transfer-Encoding {values!r} in HTTP/1.{message.minor}")
    if message.all("Content-Length"):
        raise Malformed("Content-Length and Transfer-Encoding together")
    return True


def _length(message):
    values = message.all("Content-Length")
    if not values:
        return None
    if len(values) > 1 or not _LENGTH.fullmatch(values[0]):
        raise Malformed(f"Content-Length {values!r}")
    return int(values[0])


def _chunks(data, at, message):
    """Where the message ends, None while it is incomplete; the data so far is in message.body either way."""
    parts = []
    while True:
        end = data.find(b"\n", at)
        line = bytes(data[at:end - 1]) if end > at and data[end - 1] == 0x0d else None
        message.body = b"".join(parts)
        if end < 0:
            return None
        match = _CHUNK.fullmatch(line) if line is not None else None
        if not match:
            raise Malformed(f"chunk line {bytes(data[at:end + 1])[:80]!r}")
        size, at = int(match[1], 16), end + 1
        if size == 0:
            break
        parts.append(bytes(data[at:at + size]))
        message.body = b"".join(parts)
        if len(data) < at + size + 2:
            return None
        if data[at + size:at + size + 2] != b"\r\n":
            raise Malformed(f"no CRLF behind a chunk but {bytes(data[at + size:at + size + 2])!r}")
        at += size + 2
    if data[at:at + 2] == b"\r\n":
        return at + 2
    end = data.find(b"\r\n\r\n", at)
    if end < 0:
        return None
    message.trailers = _fields(_lines(bytes(data[at:end])))
    return end + 4


def _keeps(message):
    options = [o.strip().lower() for v in message.all("Connection") for o in v.split(b",")]
    message.keeps = b"close" not in options and (message.minor == 1 or b"keep-alive" in options)


def parse_request(data):
    """(message, bytes that it takes) or None."""
    head = _head(data, 0)
    if head is None:
        return None
    lines, at = head
    match = _REQUEST.fullmatch(lines[0])
    if not match:
        raise Malformed(f"request line {lines[0][:120]!r}")
    message = Message(lines[0], _fields(lines[1:]))
    message.method, message.target, message.minor = match[1].decode(), match[2].decode("latin-1"), int(match[3])
    if message.minor == 1 and len(message.all("Host")) != 1:
        raise Malformed(f"Host {message.all('Host')!r}")
    _keeps(message)
    if _coding(message):
        message.framing = "chunked"
        end = _chunks(data, at, message)
        return None if end is None else (message, end)
    length = _length(message)
    if length is None:
        return message, at
    message.framing = "length"
    message.body = bytes(data[at:at + length])
    return (message, at + length) if len(data) - at >= length else None


def _response_head(data, at):
    head = _head(data, at)
    if head is None:
        return None
    lines, at = head
    match = _STATUS.fullmatch(lines[0])
    if not match:
        raise Malformed(f"status line {lines[0][:120]!r}")
    message = Message(lines[0], _fields(lines[1:]))
    message.minor, message.status, message.reason = int(match[1]), int(match[2]), match[3]
    _keeps(message)
    return message, at


def parse_response(data, method, has_ended):
    """(message, bytes) or None; method is a function of the message's head.  With has_ended an unfinished body gives a message
    that is not complete.  1xx responses (but 101) are gathered in front of the final one."""
    at, interim = 0, []
    while True:
        head = _response_head(data, at)
        if head is None:
            return None
        message, at = head
        if message.status >= 200 or message.status == 101:
            break
        interim.append(message)
    message.interim = interim
    if message.status == 101:
        message.keeps = False
        return message, at
    is_chunked, length = _coding(message), _length(message)
    if method(message) == "HEAD" or message.status in (204, 304):
        return message, at
    if is_chunked:
        message.framing = "chunked"
        end = _chunks(data, at, message)
    elif length is not None:
        message.framing = "length"
        message.body = bytes(data[at:at + length])
        end = at + length if len(data) - at >= length else None
    else:
        message.framing, message.keeps = "close", False
        message.body = bytes(data[at:])
        end = len(data) if has_ended else None
    if end is None:
        if not has_ended:
            return None
        message.complete, end = False, len(data)
    return message, end
