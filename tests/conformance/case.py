# SPDX-License-Identifier: Apache-2.0
"""What a case is.  The tables (requests_*.py, responses_*.py) are lists of these; nothing here knows a proxy.

A case is bytes, the RFC section that they are about, its level, and every outcome that is right.  Levels:
MUST       an RFC 9110 or 9112 requirement on the recipient, or one of the sender that forwarding would break
SHOULD     the RFCs' advice
HARDENING  the RFCs leave it open; one of the outcomes listed is safe, others have been attacks
"""
import dataclasses

MUST, SHOULD, HARDENING = "MUST", "SHOULD", "HARDENING"

# What a proxy may answer to a request that it does not forward.
REFUSALS = frozenset((400, 403, 405, 408, 411, 413, 414, 417, 421, 422, 426, 431, 501, 505))

# Behind every request of a case stands this one, in the same segment: who mistakes the end of a message shows it here.
AFTER = b"GET /after HTTP/1.1\r\nHost: a.test\r\n\r\n"
AFTER_SEEN = ("GET", "/after", b"")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """seen: what the upstream gets, as (method, target, body), AFTER aside.  refused: the statuses of which one follows
    from the proxy itself, None when it refuses nothing.  keep: does the connection live on (AFTER is answered), None: as it
    likes.  absent: names that no forwarded head may have; present: (name, value) that the first one has exactly once."""

    seen: tuple = ()
    refused: frozenset = None
    keep: bool = None
    absent: tuple = ()
    present: tuple = ()
    silent: bool = False  # the connection may also end without an answer


def forward(*seen, keep=True, absent=(), present=()):
    return Outcome(tuple(seen), None, keep, tuple(absent), tuple(present))


def refuse(*statuses, after=(), keep=False, silent=False):
    return Outcome(tuple(after), frozenset(statuses) or REFUSALS, keep, silent=silent)


def dropped():
    """The client left in the middle: whatever the proxy says, nothing reaches the upstream as a request."""
    return Outcome((), frozenset(range(200, 600)), False, silent=True)


@dataclasses.dataclass(frozen=True)
class RequestCase:
    name: str
    section: str
    level: str
    raw: bytes
    allow: tuple
    follow: bool = True  # AFTER stands behind it
    ends: bool = False   # then the client ends its side: the message is not whole
    last: int = None     # bytes of the client's last request, where raw goes on behind it

    @property
    def bytes(self):
        return self.raw + AFTER if self.follow else self.raw

    @property
    def parts(self):
        """(what is cut, what leaves with its last piece).  A client that said, in one of the right readings, that this is its last
        request may not send another (RFC 9112 section 9.6); when that one comes later, it may meet a connection that is gone."""
        is_last = any(o.keep is False and o.refused is None for o in self.allow)
        end = self.last or len(self.raw)
        return (self.bytes[:end], self.bytes[end:]) if is_last or self.last else (self.bytes, b"")


# Steps of a hostile origin beside bytes.
CLOSE, RESET, LATE = "close", "reset", "late"


@dataclasses.dataclass(frozen=True)
class Relay:
    """The client gets this response whole.  reused: may the upstream connection serve another request (None: as it likes).
    keep: does the client's connection live on."""

    status: int = 200
    body: bytes = b""
    reason: bytes = None
    absent: tuple = ()
    present: tuple = ()
    trailers: tuple = None
    interim: tuple = None
    reused: bool = None
    keep: bool = None


@dataclasses.dataclass(frozen=True)
class Bad:
    """The proxy answers itself (502 or another 5xx), or ends the connection without an answer; the upstream's connection
    is not used again."""

    silent: bool = True


@dataclasses.dataclass(frozen=True)
class Broken:
    """The head went out; the client sees that the body is not whole.  What arrives is a beginning of this body."""

    status: int = 200
    body: bytes = b""


@dataclasses.dataclass(frozen=True)
class ResponseCase:
    name: str
    section: str
    level: str
    script: tuple  # bytes, CLOSE, RESET, LATE (what follows comes when the client has its response)
    allow: tuple
    request: bytes = b"GET /case HTTP/1.1\r\nHost: a.test\r\n\r\n"

    @property
    def method(self):
        return self.request.split(b" ", 1)[0].decode()


def named(text):
    """Bytes as part of a case's name."""
    return text.decode("latin-1").encode("unicode_escape").decode()


class Table(list):
    """A list of cases whose names are unique."""

    def __init__(self):
        super().__init__()
        self._names = set()

    def put(self, case):
        assert case.name not in self._names, f"two cases are named {case.name!r}"
        self._names.add(case.name)
        self.append(case)

    def request(self, name, section, level, raw, *allow, **more):
        self.put(RequestCase(name, section, level, raw, allow, **more))

    def response(self, name, section, level, script, *allow, **more):
        self.put(ResponseCase(name, section, level, script if isinstance(script, tuple) else (script,), allow, **more))
