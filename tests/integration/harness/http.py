# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 by hand: messages as exact bytes, and readers that accept nothing sloppy."""
import re

FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*")
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d) ([\t\x20-\x7e\x80-\xff]*)")
REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/1\.([01])")


class Malformed(AssertionError):
    """The peer wrote something that is not HTTP/1.1."""


class Ended(AssertionError):
    """The peer ended the connection in the middle of a message."""


class Message:
    """Fields and body of a message; names keep their spelling."""

    def __init__(self):
        self.minor, self.fields, self.body, self.trailers = 1, [], b"", []
        self.raw_head = b""
        self.raw_body = b""  # with its chunk framing
        self.chunks = None   # sizes, when chunked

    @property
    def raw(self):
        return self.raw_head + self.raw_body

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def __getitem__(self, name):
        """The value of a field that occurs exactly once, None when it does not occur."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} occurs {len(values)} times: {values}"
        return values[0] if values else None

    def names(self):
        return [n.lower() for n, _ in self.fields]


class Request(Message):
    def __init__(self):
        super().__init__()
        self.method = self.target = ""
        self.connection = None  # number of the connection that it came on

    def __repr__(self):
        return f"<{self.method} {self.target}>"


class Response(Message):
    def __init__(self):
        super().__init__()
        self.status, self.reason, self.interim = 0, "", []

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.body[:80]!r}>"


def request(method="GET", target="/", fields=(), body=None, host="test.local", minor=1, chunks=None):
    """The bytes of a request; fields are (name, value) pairs in order."""
    lines = [f"{method} {target} HTTP/1.{minor}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in fields]
    if chunks is not None:
        lines.append("Transfer-Encoding: chunked")
        body = chunked(chunks)
    elif body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


def response(status=200, reason="OK", fields=(), body=b"", length=True):
    """The bytes of a response with a Content-Length (unless length is False)."""
    lines = [f"HTTP/1.1 {status} {reason}"] + [f"{name}: {value}" for name, value in fields]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunked(chunks, trailers=()):
    text = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\n"
    return text + b"".join(f"{n}: {v}\r\n".encode("latin-1") for n, v in trailers) + b"\r\n"


class Reader:
    """Reads exact amounts from a function that gives some bytes, or b"" at the end."""

    def __init__(self, receive):
        self._receive = receive
        self.buffer = bytearray()

    def fill(self):
        data = self._receive()
        self.buffer += data
        return bool(data)

    def take(self, count):
        while len(self.buffer) < count:
            if not self.fill():
                raise Ended(f"ended after {len(self.buffer)} of {count} bytes: {bytes(self.buffer)[-200:]!r}")
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def until(self, end, limit=1 << 20):
        start = 0
        while True:
            at = self.buffer.find(end, start)
            if at >= 0:
                return self.take(at + len(end))
            start = max(0, len(self.buffer) - len(end))
            if len(self.buffer) > limit:
                raise Malformed(f"no {end!r} within {limit} bytes")
            if not self.fill():
                raise Ended(f"ended before {end!r}: {bytes(self.buffer)[-200:]!r}")

    def at_end(self):
        """True when the peer has ended and nothing is left."""
        return not self.buffer and not self.fill()

    def head(self, message, line_pattern):
        """Reads a head; gives the match of its first line, None at a clean end."""
        if self.at_end():
            return None
        message.raw_head = self.until(b"\r\n\r\n")
        lines = message.raw_head[:-4].split(b"\r\n")
        for line in lines:
            if b"\r" in line or b"\n" in line:
                raise Malformed(f"bare CR or LF in {line!r}")
        match = line_pattern.fullmatch(lines[0])
        if not match:
            raise Malformed(f"first line {lines[0]!r}")
        message.fields = [field_of(line) for line in lines[1:]]
        return match

    def chunked_body(self, message):
        message.chunks = []
        raw, data = [], []
        while True:
            line = self.until(b"\r\n")
            raw.append(line)
            if not re.fullmatch(rb"[0-9a-fA-F]{1,16}\r\n", line):
                raise Malformed(f"chunk size line {line!r}")
            size = int(line, 16)
            if size == 0:
                break
            message.chunks.append(size)
            block = self.take(size + 2)
            if block[-2:] != b"\r\n":
                raise Malformed(f"chunk ends with {block[-2:]!r}")
            raw.append(block)
            data.append(block[:-2])
        while True:
            line = self.until(b"\r\n")
            raw.append(line)
            if line == b"\r\n":
                break
            message.trailers.append(field_of(line[:-2]))
        message.body, message.raw_body = b"".join(data), b"".join(raw)

    def body(self, message, is_bodiless, to_end):
        """Reads the body as RFC 9112 section 6.3 says; to_end: without framing it lasts until the end."""
        lengths, encodings = message.all("content-length"), message.all("transfer-encoding")
        if lengths and encodings:
            raise Malformed(f"Content-Length {lengths} and Transfer-Encoding {encodings}")
        if is_bodiless:
            return
        if encodings:
            if encodings != ["chunked"]:
                raise Malformed(f"Transfer-Encoding {encodings}")
            self.chunked_body(message)
        elif lengths:
            if len(lengths) != 1 or not lengths[0].isdigit():
                raise Malformed(f"Content-Length {lengths}")
            message.body = message.raw_body = self.take(int(lengths[0]))
        elif to_end:
            while self.fill():
                pass
            message.body = message.raw_body = self.take(len(self.buffer))

    def request_head(self):
        """A request without its body, None at a clean end."""
        message = Request()
        match = self.head(message, REQUEST_LINE)
        if match is None:
            return None
        message.method, message.target = match[1].decode(), match[2].decode()
        message.minor = int(match[3])
        return message

    def request(self):
        message = self.request_head()
        if message is not None:
            self.body(message, is_bodiless=False, to_end=False)
        return message

    def response_head(self):
        message = Response()
        match = self.head(message, STATUS_LINE)
        if match is None:
            raise Ended("the connection ended instead of a response")
        message.minor, message.status, message.reason = int(match[1]), int(match[2]), match[3].decode("latin-1")
        return message

    def response(self, method="GET"):
        """The final response; interim ones are in its .interim."""
        interim = []
        while True:
            message = self.response_head()
            if message.status < 200 and message.status != 101:
                interim.append(message)
                continue
            message.interim = interim
            self.body(message, method == "HEAD" or message.status in (101, 204, 304), to_end=True)
            return message


def field_of(line):
    match = FIELD.fullmatch(line)
    if not match:
        raise Malformed(f"field line {line!r}")
    return match[1].decode("latin-1"), match[2].decode("latin-1")
