# SPDX-License-Identifier: Apache-2.0
"""Several requests on a connection, fields for one hop, expectations, bodies where few are.  RFC 9110 sections 7, 9 and 10, RFC 9112 section 9."""
from case import HARDENING, MUST, SHOULD, Table, dropped, forward, refuse

CASES = Table()
GOOD = b"GET /p%d HTTP/1.1\r\nHost: a.test\r\n\r\n"


def head(first, *fields, body=b""):
    return b"\r\n".join((first, b"Host: a.test", *fields, b"", b"")) + body


def get(*fields, minor=1, body=b""):
    return head(b"GET /fl HTTP/1.%d" % minor, *fields, body=body)


def ok(**more):
    return forward(("GET", "/fl", b""), **more)


BAD_ONES = {
    "a bad request line": b"GET  HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "no Host": b"GET /bad HTTP/1.1\r\n\r\n",
    "two lengths": b"POST /bad HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "an unknown coding": b"POST /bad HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: cow\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "a space before the colon": b"GET /bad HTTP/1.1\r\nHost: a.test\r\nX : y\r\n\r\n",
    "a bad chunk": b"POST /bad HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    "a NUL in a name": b"GET /bad HTTP/1.1\r\nHost: a.test\r\nX\0: y\r\n\r\n",
}


def _pipelines():
    for count in (2, 3, 5):
        raw = b"".join(GOOD % i for i in range(count))
        CASES.request(f"{count} requests at once", "9112 9.3.2", MUST, raw, forward(*(("GET", f"/p{i}", b"") for i in range(count))))
    for count in (2, 3, 5):
        for at in range(count):
            for name, bad in BAD_ONES.items():
                if count == 5 and name not in ("a bad request line", "a bad chunk", "two lengths"):
                    continue
                raw = b"".join(bad if i == at else GOOD % i for i in range(count))
                before = tuple(("GET", f"/p{i}", b"") for i in range(at))
                CASES.request(f"{name} as number {at + 1} of {count}", "9112 9.3.2", MUST, raw, refuse(400, 413, 422, 501, 502, 505, after=before,
                                                                                                         silent=name == "a bad chunk"))
    post = b"POST /b HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello"
    chunked = b"POST /c HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: y\r\n\r\n"
    head_ = b"HEAD /h HTTP/1.1\r\nHost: a.test\r\n\r\n"
    b, c, h, g = ("POST", "/b", b"hello"), ("POST", "/c", b"hello"), ("HEAD", "/h", b""), ("GET", "/p0", b"")
    for name, raw, seen in (
            ("length then chunks", post + chunked, (b, c)), ("chunks then length", chunked + post, (c, b)), ("three bodies", post + chunked + post, (b, c, b)),
            ("HEAD between GETs", GOOD % 0 + head_ + GOOD % 0, (g, h, g)), ("HEAD then a body", head_ + post, (h, b)), ("two HEADs", head_ * 2, (h, h)),
            ("chunks, HEAD, chunks", chunked + head_ + chunked, (c, h, c))):
        CASES.request(f"at once: {name}", "9112 9.3.2", MUST, raw, forward(*seen))
    for name, raw, seen in (("GET", GOOD % 0, g), ("POST", post, b), ("chunks", chunked, c)):
        closing = raw.replace(b"Host: a.test", b"Host: a.test\r\nConnection: close", 1)
        CASES.request(f"{name} with close, and more behind it", "9112 9.6", MUST, closing, forward(seen, keep=False))
    for name, raw in (("in the request line", b"GET /p"), ("in a header", b"GET /p HTTP/1.1\r\nHo"), ("before the last CRLF", b"GET /p HTTP/1.1\r\nHost: a.test\r\n"),
                      ("in the last CRLF", b"GET /p HTTP/1.1\r\nHost: a.test\r\n\r"), ("before a body", post[:-5]), ("in a body", post[:-2]), ("at once", b"\r\n")):
        CASES.request(f"the client ends {name}", "9112 8", MUST, raw, dropped(), ends=True, follow=False)


def _connection():
    for value in (b"close", b"Close", b"CLOSE", b"close, x", b"x, close", b"keep-alive, close", b"close, keep-alive", b" close ", b",close", b"close,"):
        CASES.request(f"Connection: {value.decode()!r}", "9112 9.6", MUST, get(b"Connection: " + value), ok(keep=False, absent=("Connection-Close",)),
                      *((refuse(400),) if value in (b",close", b"close,") else ()))
    CASES.request("two Connection fields, the second says close", "9112 9.6", MUST, get(b"Connection: x", b"Connection: close"), ok(keep=False))
    for value in (b"keep-alive", b"x", b"Keep-Alive", b"x, y, z"):
        CASES.request(f"Connection: {value.decode()}", "9112 9.3", MUST, get(b"Connection: " + value), ok())
    # What Connection names is for this hop alone.
    for name in ("X-Hop", "X-Other", "Foo"):
        for value in (name, name.lower(), name.upper(), f"close, {name}", f"{name}, keep-alive", f"a, {name} ,b"):
            CASES.request(f"Connection: {value} names {name}", "9110 7.6.1", MUST, get(b"Connection: " + value.encode(), name.encode() + b": secret"),
                          ok(keep="close" not in value, absent=(name,)))
    for name in ("Keep-Alive", "Proxy-Connection", "TE", "Upgrade"):
        CASES.request(f"{name} is for one hop", "9110 7.6.1", MUST if name in ("Keep-Alive", "Upgrade") else SHOULD,
                      get(f"Connection: {name}".encode(), f"{name}: x".encode()), ok(absent=(name,)), refuse(400, 426, keep=None))
        CASES.request(f"{name}, not named by Connection", "9110 7.6.1", SHOULD, get(f"{name}: x".encode()), ok(absent=(name,)))
    # An attack: to have a field removed that the message needs.
    inner = b"GET /inner HTTP/1.1\r\nHost: a.test\r\n\r\n"
    whole = forward(("GET", "/fl", inner))
    for value in (b"Content-Length", b"content-length", b"close, Content-Length", b"Content-Length, x"):
        CASES.request(f"Connection: {value.decode()} and a body", "9110 7.6.1", MUST,
                      get(b"Connection: " + value, b"Content-Length: %d" % len(inner), body=inner), refuse(400),
                      forward(("GET", "/fl", inner), keep=False) if b"close" in value else whole)
    for value in (b"Transfer-Encoding", b"transfer-encoding, x"):
        CASES.request(f"Connection: {value.decode()} and chunks", "9110 7.6.1", MUST,
                      get(b"Connection: " + value, b"Transfer-Encoding: chunked", body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(inner), inner)), refuse(400), whole)
    for value in (b"Host", b"host, x"):
        CASES.request(f"Connection: {value.decode()}", "9110 7.6.1", MUST, get(b"Connection: " + value), refuse(400), ok())
    for name in ("Cookie", "Authorization", "Cache-Control", "X-Forwarded-For", "Forwarded", "Via", "Content-Type"):
        CASES.request(f"Connection: {name}", "9110 7.6.1", HARDENING, get(f"Connection: {name}".encode(), f"{name}: by=x".encode()), refuse(400), ok())
    for value in (b"", b",", b", ,", b"x,,y"):
        CASES.request(f"Connection: {value.decode()!r}", "9110 5.6.1", HARDENING, get(b"Connection: " + value), ok(), refuse(400))
    for value in (b"x y", b'"close"', b"x;y", b"close;q=1", b"\xff", b"x=y", b"(x)"):
        CASES.request(f"Connection: {value.decode('latin-1')!r}", "9110 7.6.1", HARDENING, get(b"Connection: " + value), ok(), refuse(400))
    CASES.request("100 options in Connection", "9110 7.6.1", HARDENING, get(b"Connection: " + b", ".join(b"x-%d" % i for i in range(100))), ok(), refuse(400))


def _upgrade():
    for fields in ((b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"), (b"Connection: Upgrade", b"Upgrade: h2c"),
                   (b"Upgrade: h2c",), (b"Connection: upgrade", b"Upgrade: H2C, websocket"), (b"Connection: Upgrade", b"Upgrade: TLS/1.2"),
                   (b"Connection: Upgrade", b"Upgrade: HTTP/2.0"), (b"Connection: Upgrade", b"Upgrade: foo/2")):
        CASES.request(" and ".join(f.decode() for f in fields), "9110 7.8", HARDENING,
                      get(*fields), ok(absent=("HTTP2-Settings", "Upgrade")), refuse(400, 403, 426, 501, keep=None))
    CASES.request("h2c with a body", "9110 7.8", HARDENING, head(b"POST /fl HTTP/1.1", b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 5", body=b"hello"),
                  forward(("POST", "/fl", b"hello"), absent=("HTTP2-Settings", "Upgrade")), refuse(400, 403, 426, 501, keep=None))


def _expect():
    body = {"body": b"hello"}
    post = ("POST", "/fl", b"hello")
    for value in (b"100-continue", b"100-Continue"):
        CASES.request(f"Expect: {value.decode()} with the body at once", "9110 10.1.1", MUST,
                      head(b"POST /fl HTTP/1.1", b"Content-Length: 5", b"Expect: " + value, **body), forward(post))
    CASES.request("Expect: 100-continue with chunks", "9110 10.1.1", MUST,
                  head(b"POST /fl HTTP/1.1", b"Transfer-Encoding: chunked", b"Expect: 100-continue", body=b"5\r\nhello\r\n0\r\n\r\n"), forward(post))
    CASES.request("Expect: 100-continue without a body", "9110 10.1.1", MUST, get(b"Expect: 100-continue"), ok(), refuse(400, 417))
    CASES.request("Expect: 100-continue in HTTP/1.0", "9110 10.1.1", MUST,
                  head(b"POST /fl HTTP/1.0", b"Content-Length: 5", b"Expect: 100-continue", **body), forward(post, keep=False))
    for value in (b"100-continue, x", b"x", b"200-ok", b"100-continue;q=1", b"", b"100", b"100-continue 100-continue", b"\t100-continue", b"100-continue\0", b'"100-continue"'):
        CASES.request(f"Expect: {value.decode()!r}", "9110 10.1.1", HARDENING, head(b"POST /fl HTTP/1.1", b"Content-Length: 5", b"Expect: " + value, **body),
                      refuse(400, 417, keep=None), *(() if b"\0" in value else (forward(post),)))
    CASES.request("Expect twice", "9110 10.1.1", HARDENING, head(b"POST /fl HTTP/1.1", b"Content-Length: 5", b"Expect: 100-continue", b"Expect: 100-continue", **body),
                  refuse(400, 417, keep=None), forward(post))


def _methods():
    for method in ("POST", "PUT", "PATCH"):
        for name, fields, body, seen in (("length", (b"Content-Length: 5",), b"hello", b"hello"), ("length 0", (b"Content-Length: 0",), b"", b""),
                                         ("chunks", (b"Transfer-Encoding: chunked",), b"5\r\nhello\r\n0\r\n\r\n", b"hello")):
            CASES.request(f"{method} with {name}", "9112 6", MUST, head(method.encode() + b" /fl HTTP/1.1", *fields, body=body), forward((method, "/fl", seen)))
    for name, fields, body in (("length", (b"Content-Length: 5",), b"hello"), ("chunks", (b"Transfer-Encoding: chunked",), b"5\r\nhello\r\n0\r\n\r\n")):
        CASES.request(f"TRACE with {name}", "9110 9.3.8", SHOULD, head(b"TRACE /fl HTTP/1.1", *fields, body=body), refuse(keep=None), forward(("TRACE", "/fl", b"hello")))
    CASES.request("TRACE", "9110 9.3.8", MUST, head(b"TRACE /fl HTTP/1.1"), refuse(keep=None), forward(("TRACE", "/fl", b"")))
    for size in (1, 4096, 65536, 300_000):
        CASES.request(f"a body of {size} bytes", "9112 6.2", MUST, head(b"POST /fl HTTP/1.1", b"Content-Length: %d" % size, body=b"x" * size),
                      forward(("POST", "/fl", b"x" * size)))
    for value in (b"0", b"1", b"x", b"-1", b"99999999999999999999"):
        CASES.request(f"GET with Max-Forwards: {value.decode()}", "9110 7.6.2", MUST, get(b"Max-Forwards: " + value), ok(), *((refuse(400),) if value not in (b"0", b"1") else ()))


def _versions():
    CASES.request("HTTP/1.0", "9112 9.3", MUST, get(minor=0), ok(keep=False))
    CASES.request("HTTP/1.0 with keep-alive", "9112 9.3", HARDENING, get(b"Connection: keep-alive", minor=0), ok(keep=None))
    CASES.request("HTTP/1.0 with keep-alive and close", "9112 9.3", MUST, get(b"Connection: keep-alive, close", minor=0), ok(keep=False))
    CASES.request("HTTP/1.0 with Keep-Alive alone", "9112 9.3", SHOULD, get(b"Keep-Alive: timeout=5", minor=0), ok(keep=False))
    CASES.request("HTTP/1.0 with a length", "9112 6.3", MUST, head(b"POST /fl HTTP/1.0", b"Content-Length: 5", body=b"hello"), forward(("POST", "/fl", b"hello"), keep=False))
    CASES.request("HTTP/1.0 HEAD", "9112 9.3", MUST, head(b"HEAD /fl HTTP/1.0"), forward(("HEAD", "/fl", b""), keep=False))
    CASES.request("HTTP/1.0 without keep-alive, two requests", "9112 9.3", MUST, get(minor=0) + get(minor=0), ok(keep=False),
                  last=len(get(minor=0)))
    CASES.request("HTTP/1.0 with a body and no length", "9112 6.3", MUST, head(b"POST /fl HTTP/1.0", body=b"GET /inner HTTP/1.0\r\n\r\n"),
                  forward(("POST", "/fl", b""), keep=False), refuse(400, 411), last=len(head(b"POST /fl HTTP/1.0")))
    CASES.request("HTTP/0.9", "9112 2.3", HARDENING, b"GET /fl\r\n", refuse(400, 505, silent=True))
    CASES.request("HTTP/0.9 with LF", "9112 2.3", HARDENING, b"GET /fl\n", refuse(400, 505, silent=True))


_pipelines()
_connection()
_upgrade()
_expect()
_methods()
_versions()
