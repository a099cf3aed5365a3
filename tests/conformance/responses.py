# SPDX-License-Identifier: Apache-2.0
"""Hostile and odd responses.  RFC 9112 sections 4, 6, 7 and 8, RFC 9110 sections 5, 6 and 15."""
from case import CLOSE, HARDENING, LATE, MUST, RESET, SHOULD, Bad, Broken, Relay, Table, named

CASES = Table()
BAD = Bad()
BODY = b"the case's own bytes"
N = b"Content-Length: %d" % len(BODY)
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
TE = b"Transfer-Encoding: chunked"
EXTRA = b"HTTP/1.1 200 OK\r\nX-Case: extra\r\nContent-Length: 5\r\n\r\nEXTRA"
HEAD = b"HEAD /case HTTP/1.1\r\nHost: a.test\r\n\r\n"
OLD = b"GET /case HTTP/1.0\r\nHost: a.test\r\n\r\n"


def r(*fields, first=b"HTTP/1.1 200 OK", body=b""):
    return b"\r\n".join((first, b"X-Case: 1", *fields, b"", b"")) + body


WHOLE = Relay(200, BODY)
LIVES = Relay(200, BODY, keep=True)
DISCARDED = Relay(200, BODY, reused=False)


def put(name, section, level, script, *allow, **more):
    CASES.response(name, section, level, script, *allow, **more)


def _good():
    put("a length", "9112 6.2", MUST, r(N, body=BODY), LIVES)
    put("chunks", "9112 7.1", MUST, r(TE, body=CHUNKS), LIVES)
    put("length 0", "9112 6.2", MUST, r(b"Content-Length: 0"), Relay(200, b"", keep=True))
    put("to the end of the connection", "9112 6.3", MUST, (r(body=BODY), CLOSE), Relay(200, BODY))
    put("to the end, empty", "9112 6.3", MUST, (r(), CLOSE), Relay(200, b""))
    put("length and Connection: close", "9112 9.6", MUST, (r(N, b"Connection: close", body=BODY), CLOSE), Relay(200, BODY, keep=True, reused=False))
    put("Connection: close, and the server stays", "9112 9.6", MUST, r(N, b"Connection: close", body=BODY), DISCARDED)
    put("HTTP/1.0 with a length", "9112 9.3", MUST, (r(N, first=b"HTTP/1.0 200 OK", body=BODY), CLOSE), DISCARDED)
    put("HTTP/1.0, and the server stays", "9112 9.3", MUST, r(N, first=b"HTTP/1.0 200 OK", body=BODY), DISCARDED)
    put("HTTP/1.0 with keep-alive", "9112 9.3", HARDENING, r(N, b"Connection: keep-alive", first=b"HTTP/1.0 200 OK", body=BODY), WHOLE)
    put("HTTP/1.0 to the end", "9112 6.3", MUST, (r(first=b"HTTP/1.0 200 OK", body=BODY), CLOSE), WHOLE)
    put("chunks with trailers", "9112 7.1.2", MUST, r(TE, b"Trailer: X-T", body=CHUNKS[:-2] + b"X-T: y\r\n\r\n"), Relay(200, BODY, trailers=((b"X-T", b"y"),)))
    put("chunks with extensions", "9112 7.1.1", MUST, r(TE, body=b'%x;a=b;c="d"\r\n%s\r\n0;e\r\n\r\n' % (len(BODY), BODY)), WHOLE)
    put("chunks to an HTTP/1.0 client", "9112 6.1", MUST, r(TE, body=CHUNKS), Relay(200, BODY, absent=("Transfer-Encoding",), keep=False), request=OLD)
    put("length to an HTTP/1.0 client", "9112 6.2", MUST, r(N, body=BODY), Relay(200, BODY, keep=False), request=OLD)
    put("64 KiB in one chunk", "9112 7.1", MUST, r(TE, body=b"10000\r\n" + b"x" * 65536 + b"\r\n0\r\n\r\n"), Relay(200, b"x" * 65536))
    put("a body of 1 MB", "9112 6.2", MUST, r(b"Content-Length: 1000000", body=b"x" * 1_000_000), Relay(200, b"x" * 1_000_000))
    put("1000 chunks of one byte", "9112 7.1", MUST, r(TE, body=b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n"), Relay(200, b"x" * 1000))
    for status in (200, 201, 202, 203, 206, 300, 301, 302, 307, 308, 400, 401, 403, 404, 409, 410, 418, 429, 451, 500, 501, 502, 503, 504, 599, 299, 499):
        put(f"status {status}", "9110 15", MUST, r(N, first=b"HTTP/1.1 %d Some Reason" % status, body=BODY), Relay(status, BODY))
    for name, fields, gone in (("Connection: X-Hop", (b"Connection: X-Hop", b"X-Hop: secret"), ("X-Hop",)), ("Keep-Alive", (b"Keep-Alive: timeout=5",), ("Keep-Alive",)),
                               ("Connection: a, X-Hop", (b"Connection: a, X-Hop", b"x-hop: secret"), ("X-Hop",)),
                               ("Proxy-Connection", (b"Proxy-Connection: keep-alive",), ("Proxy-Connection",)),
                               ("Upgrade", (b"Connection: Upgrade", b"Upgrade: h2c"), ("Upgrade",))):
        put(f"{name} stays on its hop", "9110 7.6.1", MUST if name.startswith("Conn") else SHOULD, r(N, *fields, body=BODY), Relay(200, BODY, absent=gone))
    for name in (b"Content-Length", b"content-length, x"):
        put(f"Connection: {name.decode()}", "9110 7.6.1", MUST, r(N, b"Connection: " + name, body=BODY), WHOLE, BAD)
    put("Connection: Transfer-Encoding", "9110 7.6.1", MUST, r(TE, b"Connection: Transfer-Encoding", body=CHUNKS), WHOLE, BAD)
    put("Connection: Set-Cookie", "9110 7.6.1", HARDENING, r(N, b"Connection: Set-Cookie", b"Set-Cookie: a=b", body=BODY), WHOLE, BAD)
    for value in (b"", b" a  b ", b"\xe9\xff", b'"a,b";c', b"\ta\tb"):
        put(f"value {value!r}", "9110 5.5", SHOULD, r(N, b"X-V:" + value, body=BODY), Relay(200, BODY, present=(("X-V", value.strip()),)))
    put("two Set-Cookie", "9110 5.3", MUST, r(N, b"Set-Cookie: a=b", b"Set-Cookie: c=d", body=BODY), WHOLE)
    put("no Date, no Server, no type", "9110 6.6.1", SHOULD, r(N, body=BODY), WHOLE)


def _kept():
    """A connection whose response was whole serves the next request (RFC 9112 section 9.3: SHOULD)."""
    for name, script, more in (("a length", r(N, body=BODY), {}), ("chunks", r(TE, body=CHUNKS), {}), ("length 0", r(b"Content-Length: 0"), {}),
                               ("204", r(first=b"HTTP/1.1 204 No Content"), {}), ("304", r(first=b"HTTP/1.1 304 Not Modified"), {}),
                               ("HEAD with a length", r(N), {"request": HEAD}), ("100 and a length", b"HTTP/1.1 100 Continue\r\n\r\n" + r(N, body=BODY), {}),
                               ("a length of 1 MB", r(b"Content-Length: 1000000", body=b"x" * 1_000_000), {}),
                               ("1000 chunks", r(TE, body=b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n"), {}), ("500 and a length", r(N, first=b"HTTP/1.1 500 X", body=BODY), {})):
        status = int(script.rsplit(b"HTTP/1.1 ", 1)[1][:3])
        body = {"a length of 1 MB": b"x" * 1_000_000, "1000 chunks": b"x" * 1000}.get(name, b"" if status in (204, 304) or "HEAD" in name or name == "length 0" else BODY)
        put(f"used again behind {name}", "9112 9.3", SHOULD, script, Relay(status, body, reused=True, keep=True), **more)


def _without_body():
    for status in (204, 304):
        first = b"HTTP/1.1 %d Nothing" % status
        put(f"{status}", "9112 6.3", MUST, r(first=first), Relay(status, b"", keep=True))
        put(f"{status} with bytes behind it", "9112 6.3", HARDENING, r(first=first, body=BODY), Relay(status, b"", reused=False), BAD)
        put(f"{status} with chunks behind it", "9112 6.3", HARDENING, r(TE, first=first, body=CHUNKS), Relay(status, b"", reused=False, absent=("Transfer-Encoding",)), BAD)
        put(f"{status} with a length and bytes", "9112 6.3", HARDENING, r(N, first=first, body=BODY), Relay(status, b"", reused=False), BAD)
        put(f"{status} with length 0", "9110 8.6", SHOULD if status == 204 else MUST, r(b"Content-Length: 0", first=first), Relay(status, b""), BAD)
        put(f"{status} and a whole response behind it", "9112 9.2", HARDENING, r(first=first, body=EXTRA), Relay(status, b"", reused=False), BAD)
        put(f"{status} and a late response", "9112 9.2", MUST, (r(first=first), LATE, EXTRA), Relay(status, b""), BAD)
    put("304 with the length that the body would have", "9110 15.4.5", MUST, r(N, first=b"HTTP/1.1 304 Not Modified"), Relay(304, b"", keep=True))
    put("205 with length 0", "9110 15.3.6", MUST, r(b"Content-Length: 0", first=b"HTTP/1.1 205 Reset Content"), Relay(205, b"", keep=True))
    put("205 with a body", "9110 15.3.6", HARDENING, r(N, first=b"HTTP/1.1 205 Reset Content", body=BODY), Relay(205, BODY), Relay(205, b""), BAD)
    for name, fields in (("length", (N,)), ("chunks", (TE,)), ("nothing", ()), ("length 0", (b"Content-Length: 0",))):
        put(f"HEAD with {name}", "9112 6.3", MUST, r(*fields), Relay(200, b"", keep=True), request=HEAD)
        put(f"HEAD with {name} and the body", "9112 6.3", HARDENING, r(*fields, body=BODY), Relay(200, b"", reused=False), BAD, request=HEAD)
        put(f"HEAD with {name} and a response behind it", "9112 9.2", HARDENING, r(*fields, body=EXTRA), Relay(200, b"", reused=False), BAD, request=HEAD)
    put("HEAD with chunks and their bytes", "9112 6.3", HARDENING, r(TE, body=CHUNKS), Relay(200, b"", reused=False), BAD, request=HEAD)


BOTH = (Relay(200, BODY, reused=False), BAD)
_CODINGS_BAD = (b" xchunked", b" x-chunked", b" chunked2", b" identity", b" gzip", b" chunked, gzip", b" chunked, identity", b" chunked, chunked", b" chunked chunked", b" chun ked",
                b' "chunked"', b" 'chunked'", b" chunked;q=1", b" chunked;", b" chunked\\", b" \xffchunked", b" chunked\xa0", b" \xc2\xa0chunked", b"", b" ", b" ,", b" none", b" 0",
                b" trailers", b" chunked, x", b" =chunked", b" chunked:", b" chunked\x0b", b"\x0bchunked", b" \x0cchunked", b" chunked\x01", b" chunked\x7f", b" chunked\0",
                b"\0chunked", b" chun\0ked")


def _framing():
    for line in (b"transfer-encoding: chunked", b"TRANSFER-ENCODING: CHUNKED", b"Transfer-Encoding:chunked", b"Transfer-Encoding:  chunked  ", b"Transfer-Encoding: Chunked"):
        put(named(line), "9112 6.1", MUST, r(line, body=CHUNKS), WHOLE)
    for line in (b"Transfer-Encoding:\tchunked", b"Transfer-Encoding: chunked\t", b"Transfer-Encoding: chunked,", b"Transfer-Encoding: ,chunked"):
        put(named(line), "9112 6.1", HARDENING, r(line, body=CHUNKS), WHOLE, BAD)
    # Without chunked at the end the body goes on until the connection does: forwarded like that, or refused.
    for value in _CODINGS_BAD:
        line = b"Transfer-Encoding:" + value
        allow = [BAD, Relay(200, CHUNKS, reused=False)]
        if value in (b" chunked\0", b"\0chunked"):
            allow.append(WHOLE)
        put(f"chunks, {named(line)}", "9112 6.3", MUST, (r(line, body=CHUNKS), CLOSE), *allow)
        put(f"length and {named(line)}", "9112 6.3", MUST, (r(N, line, body=BODY), CLOSE), BAD, Relay(200, BODY, reused=False))
    for coding in (b"gzip", b"identity", b"x"):
        put(f"Transfer-Encoding: {coding.decode()}, chunked", "9112 6.1", SHOULD, r(b"Transfer-Encoding: " + coding + b", chunked", body=CHUNKS), BAD,
            Relay(200, BODY, present=(("Transfer-Encoding", coding + b", chunked"),)))
    for lines in ((TE, TE), (TE, b"Transfer-Encoding: identity"), (TE, b"Transfer-Encoding: x"), (TE, b"transfer-encoding: gzip")):
        put("two: " + named(b"; ".join(lines)), "9112 6.1", MUST, (r(*lines, body=CHUNKS), CLOSE), BAD, Relay(200, CHUNKS, reused=False))
    put("two: identity, then chunked", "9112 6.1", SHOULD, (r(b"Transfer-Encoding: identity", TE, body=CHUNKS), CLOSE), BAD, WHOLE)
    for name in (b"Transfer-Encoding ", b"Transfer-Encoding\t", b" Transfer-Encoding", b"\tTransfer-Encoding", b"Transfer-Encoding\0", b"Transfer Encoding", b"Transfer-Encoding\x0b",
                 b"\x0bTransfer-Encoding", b'"Transfer-Encoding"', b"Transfer-Encoding\xa0"):
        # A proxy MUST remove white space before the colon of a response; a fold becomes spaces.
        allow = [BAD]
        if name.strip(b" \t") == b"Transfer-Encoding":
            allow += [WHOLE, Relay(200, BODY, reused=False)] if name[:1] != b" " and name[:1] != b"\t" else [Relay(200, BODY), Relay(200, CHUNKS)]
        put(f"named {name!r}, chunks", "9112 5.1", MUST if name.strip(b" \t") == b"Transfer-Encoding" else HARDENING, (r(name + b": chunked", body=CHUNKS), CLOSE), *allow)
        more = [Relay(200, BODY)] if name[:1] in b" \t" else []
        put(f"named {name!r}, length", "9112 5.1", HARDENING, (r(N, name + b": chunked", body=BODY), CLOSE), BAD, *more)
    for order in (0, 1):
        lines = (N, TE) if order == 0 else (TE, N)
        put(f"length and chunks, {'length' if order == 0 else 'chunks'} first", "9112 6.3", HARDENING, r(*lines, body=CHUNKS), *BOTH)
        lines = (b"Content-Length: 3", TE) if order == 0 else (TE, b"Content-Length: 3")
        put(f"a shorter length and chunks, {order}", "9112 6.3", HARDENING, r(*lines, body=CHUNKS), *BOTH)
        lines = (b"Content-Length: 300", TE) if order == 0 else (TE, b"Content-Length: 300")
        put(f"a longer length and chunks, {order}", "9112 6.3", HARDENING, r(*lines, body=CHUNKS), *BOTH)
    put("chunks in HTTP/1.0", "9112 6.1", MUST, (r(TE, first=b"HTTP/1.0 200 OK", body=CHUNKS), CLOSE), BAD, Relay(200, CHUNKS, reused=False), DISCARDED)
    size = b"%d" % len(BODY)
    for value in (b"", b" ", b" +" + size, b" -" + size, b" -1", b" 0x14", b" " + size + b" " + size, b" " + size + b", 21", b" 20.0", b" 2e1", b" 20;", b" 20a", b" twenty", b' "20"', b" 20\x0b",
                  b" \x0b20", b" 20_", b" 20\x7f", b" 18446744073709551636", b" " + b"9" * 50, b" \xd9\xa2\xd9\xa0", b" 20 x", b" 20\xa0", b" x20", b" NaN", b" 20-", b" %32%30"):
        put(f"Content-Length:{named(value)}", "9112 6.3", MUST, (r(b"Content-Length:" + value, body=BODY), CLOSE), BAD)
    for value in (b" 020", b" 0000000000000000000000020", b" 20, 20", b"\t20", b" 20\t", b" 20,20", b" 20\0", b"\r\n 20"):
        put(f"Content-Length:{named(value)}", "9112 6.3", MUST, (r(b"Content-Length:" + value, body=BODY), CLOSE), BAD, WHOLE)
    for first, second in ((20, 20), (20, 21), (21, 20), (0, 20), (20, 0), (20, 3)):
        allow = (BAD, WHOLE) if first == second else (BAD,)
        put(f"Content-Length twice, {first} and {second}", "9112 6.3", MUST, (r(b"Content-Length: %d" % first, b"Content-Length: %d" % second, body=BODY), CLOSE), *allow)
    for name in (b"Content-Length ", b" Content-Length", b"Content-Length\0", b"Content Length", b"\x0bContent-Length"):
        allow = [BAD]
        if name == b"Content-Length ":
            allow.append(WHOLE)
        if name == b" Content-Length":
            allow.append(Relay(200, BODY, reused=False))
        put(f"named {name!r}", "9112 5.1", MUST if name.strip(b" ") == b"Content-Length" else HARDENING, (r(name + b": 20", body=BODY), CLOSE), *allow)


def _status_lines():
    for name, first, level, allow in (
            ("no reason, with its space", b"HTTP/1.1 200 ", MUST, (Relay(200, BODY),)),
            ("no reason and no space", b"HTTP/1.1 200", SHOULD, (WHOLE, BAD)),
            ("a reason of 200 bytes", b"HTTP/1.1 200 " + b"r" * 200, SHOULD, (WHOLE,)),
            ("a reason of 300 KB", b"HTTP/1.1 200 " + b"r" * 300_000, HARDENING, (BAD,)),
            ("a reason with UTF-8", "HTTP/1.1 200 für dich".encode(), SHOULD, (WHOLE,)),
            ("a reason with a tab", b"HTTP/1.1 200 a\tb", SHOULD, (WHOLE, BAD)),
            ("two spaces before the status", b"HTTP/1.1  200 OK", MUST, (BAD, WHOLE)),
            ("two spaces behind the status", b"HTTP/1.1 200  OK", MUST, (BAD, WHOLE)),
            ("tab for a space", b"HTTP/1.1\t200 OK", HARDENING, (BAD, WHOLE)),
            ("space last", b"HTTP/1.1 200 OK ", SHOULD, (WHOLE, BAD))):
        put(f"status line: {name}", "9112 4", level, r(N, first=first, body=BODY), *allow)
    for first in (b"HTTP/2.0 200 OK", b"HTTP/0.9 200 OK", b"HTTP/3.1 200 OK", b"HTTP/2 200", b"HTTP/1 200 OK", b"ICY 200 OK", b"RTSP/1.0 200 OK", b"SIP/2.0 200 OK", b"http/1.1 200 OK",
                  b"HTTP/1.1x 200 OK", b"HTTP/01.1 200 OK", b"HTTP/1.10 200 OK", b"HTTP/1.1", b"HTTP/1.1 ", b"HTTP/1.1 OK", b"HTTP/1.1 OK 200", b"200 OK", b"HTTP/1.1 99 X",
                  b"HTTP/1.1 099 X", b"HTTP/1.1 000 X", b"HTTP/1.1 20 X", b"HTTP/1.1 2 X", b"HTTP/1.1 1000 X", b"HTTP/1.1 2000 X", b"HTTP/1.1 20x X", b"HTTP/1.1 abc X",
                  b"HTTP/1.1 2e2 X", b"HTTP/1.1 -20 X", b"HTTP/1.1 +200 X", b"HTTP/1.1 0xC8 X", b"HTTP/1.1 200OK", b"HTTP/1.1 200.0 X", b"HTTP/1.1 65736 X", b"HTTP/1.1 4294967496 X",
                  b" HTTP/1.1 200 OK", b"XHTTP/1.1 200 OK", b"HTTP/1.1\x0b200 OK", b"HTTP/1.1 \xb2\xb0\xb0 OK", b"GET / HTTP/1.1", b"<html>", b"\x15\x03\x03\0\2\2F", b""):
        put(f"status line {named(first)!r}", "9112 4", HARDENING, (r(N, first=first, body=BODY), CLOSE), BAD)
    for status in (600, 700, 999):
        put(f"status {status}", "9110 15", HARDENING, r(N, first=b"HTTP/1.1 %d X" % status, body=BODY), BAD)
    put("HTTP/1.2", "9110 2.5", SHOULD, (r(N, first=b"HTTP/1.2 200 OK", body=BODY), CLOSE), BAD, WHOLE)
    put("HTTP/0.9: a body alone", "9112 2.3", HARDENING, (BODY, CLOSE), BAD)
    put("an empty line first", "9112 2.2", HARDENING, (b"\r\n" + r(N, body=BODY), CLOSE), BAD, WHOLE)


def _bytes():
    for byte in (*range(0x20), 0x7f):
        text = bytes((byte,))
        allow = (WHOLE,) if byte == 9 else (BAD, WHOLE) if byte in (0, 13) else (BAD,)
        put(f"0x{byte:02x} in a header value", "9110 5.5", MUST if byte in (0, 9, 13) else HARDENING, (r(N, b"X-V: ab" + text + b"zz", body=BODY), CLOSE), *allow)
        put(f"0x{byte:02x} in a header name", "9110 5.1", MUST if byte == 13 else HARDENING, (r(N, b"X-a" + text + b"b: c", body=BODY), CLOSE), BAD)
        reason = (WHOLE, BAD) if byte == 9 else (BAD,)
        put(f"0x{byte:02x} in the reason", "9112 4", MUST if byte == 13 else HARDENING, (r(N, first=b"HTTP/1.1 200 a" + text + b"b", body=BODY), CLOSE), *reason)
    for line in (b": y", b":", b"X", b"X y", b"X y: z", b"X\xe9: y", b"(X): y", b"X;: y", b"HTTP/1.1 200 OK", b"@"):
        put(f"header line {named(line)!r}", "9112 5", HARDENING, (r(N, line, body=BODY), CLOSE), BAD)
    for line in (b"X : y", b"X\t: y", b"X  : y"):
        put(f"header line {named(line)!r}", "9112 5.1", MUST, (r(N, line, body=BODY), CLOSE), BAD, WHOLE)
    for fold in (b"\r\n ", b"\r\n\t", b"\r\n \r\n "):
        put(f"obs-fold {fold!r}", "9112 5.2", MUST, (r(N, b"X-V: a" + fold + b"b", body=BODY), CLOSE), BAD, WHOLE)
    put("space before the first header", "9112 2.2", HARDENING, (r(N, first=b"HTTP/1.1 200 OK\r\n X: y", body=BODY), CLOSE), BAD)
    lines = r(N, body=b"").split(b"\r\n")
    for at, place in enumerate(("the status line", "a header", "Content-Length", "the head")):
        for name, end in (("LF alone", b"\n"), ("CR alone", b"\r"), ("CR CR LF", b"\r\r\n"), ("LF CR", b"\n\r")):
            head = b"".join(line + (end if i == at else b"\r\n") for i, line in enumerate(lines[:4]))
            allow = [BAD]
            if name == "LF alone" or (name == "CR CR LF" and at in (1, 2)):
                allow.append(WHOLE)
            put(f"{name} behind {place}", "9112 2.2", HARDENING if name == "LF alone" else MUST, (head + BODY, CLOSE), *allow)
    put("LF alone everywhere", "9112 2.2", HARDENING, (r(N).replace(b"\r\n", b"\n") + BODY, CLOSE), BAD, WHOLE)


def _sizes():
    put("a header of 300 KB", "9110 5.4", HARDENING, (r(N, b"X: " + b"y" * 300_000, body=BODY), CLOSE), BAD)
    put("a head of 2 MB", "9110 5.4", HARDENING, (r(N, *([b"X: " + b"y" * 1000] * 2000), body=BODY), CLOSE), BAD)
    put("20,000 headers", "9110 5.4", HARDENING, (r(N, *([b"X: y"] * 20_000), body=BODY), CLOSE), BAD)
    put("a name of 200 KB", "9110 5.4", HARDENING, (r(N, b"X" * 200_000 + b": y", body=BODY), CLOSE), BAD)
    put("50 headers", "9110 5.4", SHOULD, r(N, *(b"X-%d: y" % i for i in range(50)), body=BODY), WHOLE)
    put("a value of 3000 bytes", "9110 5.4", SHOULD, r(N, b"X-V: " + b"y" * 3000, body=BODY), WHOLE)


def _interims():
    c = b"HTTP/1.1 100 Continue\r\n\r\n"
    e = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    put("100 first", "9110 15.2", MUST, c + r(N, body=BODY), WHOLE)
    put("102 first", "9110 15.2", MUST, b"HTTP/1.1 102 Processing\r\n\r\n" + r(N, body=BODY), WHOLE)
    put("103 first", "9110 15.2", MUST, e + r(N, body=BODY), WHOLE)
    put("an unknown 1xx first", "9110 15.2", MUST, b"HTTP/1.1 199 X\r\n\r\n" + r(N, body=BODY), WHOLE)
    put("100 ten times", "9110 15.2", HARDENING, c * 10 + r(N, body=BODY), WHOLE, BAD)
    put("100 a hundred times", "9110 15.2", HARDENING, (c * 100 + r(N, body=BODY), CLOSE), WHOLE, BAD)
    put("103 with 10,000 others", "9110 15.2", HARDENING, (e * 10_000 + r(N, body=BODY), CLOSE), WHOLE, BAD)
    put("100 with a length of 0", "9110 15.2", HARDENING, (b"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n" + r(N, body=BODY), CLOSE), WHOLE, BAD)
    put("100 with a length", "9110 8.6", HARDENING, (b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nEXTRA" + r(N, body=BODY), CLOSE), BAD)
    put("100 with chunks", "9112 6.1", HARDENING, (b"HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nEXTRA\r\n0\r\n\r\n" + r(N, body=BODY), CLOSE), BAD)
    put("100 with bytes behind it", "9110 15.2", HARDENING, (c + b"EXTRA" + r(N, body=BODY), CLOSE), BAD)
    put("100 and the end", "9110 15.2", MUST, (c, CLOSE), BAD)
    put("100 and a reset", "9110 15.2", MUST, (c, RESET), BAD)
    put("100 to an HTTP/1.0 client", "9110 15.2", MUST, c + r(N, body=BODY), Relay(200, BODY, interim=(), keep=False), request=OLD)
    put("100 behind the response", "9112 9.2", HARDENING, r(N, body=BODY + c), Relay(200, BODY, reused=False), BAD)
    put("100, late", "9112 9.2", MUST, (r(N, body=BODY), LATE, c), WHOLE)
    for name, fields in (("", ()), (" to websocket", (b"Connection: Upgrade", b"Upgrade: websocket")), (" to h2c", (b"Connection: Upgrade", b"Upgrade: h2c"))):
        put(f"101{name}, unasked", "9110 15.2.2", HARDENING, (r(*fields, first=b"HTTP/1.1 101 Switching Protocols", body=BODY), CLOSE), BAD)
    put("101 with a response behind it", "9110 15.2.2", HARDENING, (r(first=b"HTTP/1.1 101 Switching Protocols") + r(N, body=BODY), CLOSE), BAD)
    put("101 behind 100", "9110 15.2.2", HARDENING, (c + r(b"Connection: Upgrade", b"Upgrade: x", first=b"HTTP/1.1 101 X"), CLOSE), BAD)


def _truncated():
    whole = r(N, body=BODY)
    chunked = r(TE, body=b"5\r\nfirst\r\n6\r\nsecond\r\n0\r\nX-T: y\r\n\r\n")
    at_body = whole.index(b"\r\n\r\n") + 4
    for way, end in (("ends", CLOSE), ("resets", RESET)):
        put(f"the server {way} without a byte", "9112 8", MUST, (end,), BAD)
        for cut in (1, 8, 12, 16, 18, 25, at_body - 3, at_body - 1):
            put(f"the server {way} behind byte {cut} of the head", "9112 8", MUST, (whole[:cut], end), BAD)
        for cut in (0, 1, len(BODY) - 1):
            put(f"the server {way} behind byte {cut} of the body", "9112 8", MUST, (whole[:at_body + cut], end), Broken(200, BODY), BAD)
        start = chunked.index(b"\r\n\r\n") + 4
        for name, cut in (("before the chunks", 0), ("in a size", 1), ("behind a size", 3), ("in a chunk", 5), ("behind a chunk's data", 8), ("behind a chunk", 10), ("in the last size", 21 + 1),
                          ("behind the last size", 21 + 3), ("in a trailer", 21 + 6), ("before the last CRLF", 21 + 3 + 8), ("in the last CRLF", 21 + 3 + 9)):
            put(f"the server {way} {name}", "9112 8", MUST, (chunked[:start + cut], end), Broken(200, b"firstsecond"), BAD)
        put(f"the server {way} in a long body", "9112 8", MUST, (r(b"Content-Length: 200000", body=b"x" * 150_000), end), Broken(200, b"x" * 200_000), BAD)
        put(f"the server {way} in a length's body, HTTP/1.0 client", "9112 8", MUST, (whole[:at_body + 4], end), Broken(200, BODY), BAD, request=OLD)
        put(f"the server {way} in chunks, HTTP/1.0 client", "9112 8", SHOULD, (chunked[:start + 12], end), Broken(200, b"firstsecond"), BAD, request=OLD)
    put("a body to the end, and a reset", "9112 8", SHOULD, (r(body=BODY), RESET), Broken(200, BODY), BAD)
    put("a body to the end, and a reset, HTTP/1.0 client", "9112 8", HARDENING, (r(body=BODY), RESET), Broken(200, BODY), BAD, request=OLD)


def _bad_chunks():
    for name, chunks in (
            ("size 0x5", b"0x5\r\nfirst\r\n0\r\n\r\n"), ("size +5", b"+5\r\nfirst\r\n0\r\n\r\n"), ("size -5", b"-5\r\nfirst\r\n0\r\n\r\n"), ("no size", b"\r\nfirst\r\n0\r\n\r\n"),
            ("size of 17 digits", b"10000000000000005\r\nfirst\r\n0\r\n\r\n"), ("size of 32 digits", b"f" * 32 + b"\r\nfirst\r\n0\r\n\r\n"), ("size 2^64-1", b"f" * 16 + b"\r\nfirst\r\n0\r\n\r\n"),
            ("size xyz", b"xyz\r\nfirst\r\n0\r\n\r\n"), ("size with NUL", b"5\0\r\nfirst\r\n0\r\n\r\n"), ("size with underscore", b"5_\r\nfirst\r\n0\r\n\r\n"), ("a space before the size", b" 5\r\nfirst\r\n0\r\n\r\n"),
            ("no CRLF behind the data", b"5\r\nfirst0\r\n\r\n"), ("a byte too much", b"5\r\nfirst!\r\n0\r\n\r\n"), ("CR alone behind the size", b"5\rfirst\r\n0\r\n\r\n"),
            ("CR alone in an extension", b"5;a\rb\r\nfirst\r\n0\r\n\r\n"), ("NUL in an extension", b"5;a\0b\r\nfirst\r\n0\r\n\r\n"), ("CR CR LF behind the data", b"5\r\nfirst\r\r\n0\r\n\r\n"),
            ("a trailer without a colon", b"5\r\nfirst\r\n0\r\nX\r\n\r\n"), ("a trailer with a bad name", b"5\r\nfirst\r\n0\r\nX y: z\r\n\r\n"),
            ("an empty trailer name", b"5\r\nfirst\r\n0\r\n: z\r\n\r\n"), ("a folded first trailer", b"5\r\nfirst\r\n0\r\n X: z\r\n\r\n"), ("CR X for the end", b"5\r\nfirst\r\n0\r\n\rX"),
            ("a second chunk that is none", b"5\r\nfirst\r\nGET / HTTP/1.1\r\n\r\n"), ("a response for a chunk", b"5\r\nfirst\r\n" + EXTRA)):
        put(f"chunks: {name}", "9112 7.1", MUST if "digits" in name or "2^64" in name or "CR" in name.replace("CRLF", "") else HARDENING, (r(TE, body=chunks), CLOSE), Broken(200, b"firstsecond!"), BAD)
    for name, chunks in (("LF behind the size", b"5\nfirst\r\n0\r\n\r\n"), ("LF behind the data", b"5\r\nfirst\n0\r\n\r\n"), ("LF everywhere", b"5\nfirst\n0\n\n"), ("LF in an extension", b"5;a\nfirst\r\n0\r\n\r\n"),
                         ("a space behind the size", b"5 \r\nfirst\r\n0\r\n\r\n")):
        put(f"chunks: {name}", "9112 7.1", HARDENING, (r(TE, body=chunks), CLOSE), Broken(200, b"first"), BAD, *((Relay(200, b"first"),) if "space" in name else ()))
    for line in (b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Set-Cookie: a=b", b"Host: b", b"Connection: close"):
        put(f"chunks: trailer {line.decode()}", "9110 6.5.1", MUST, (r(TE, body=b"5\r\nfirst\r\n0\r\n" + line + b"\r\n\r\n"), CLOSE), Broken(200, b"first"), BAD, Relay(200, b"first"))
    put("chunks: trailers of 2 MB", "9112 7.1.2", HARDENING, (r(TE, body=b"5\r\nfirst\r\n0\r\n" + (b"X: " + b"y" * 1000 + b"\r\n") * 2000 + b"\r\n"), CLOSE), Broken(200, b"first"), BAD)
    put("chunks: an extension of 300 KB", "9112 7.1.1", HARDENING, (r(TE, body=b"5;" + b"a" * 300_000 + b"\r\nfirst\r\n0\r\n\r\n"), CLOSE), Broken(200, b"first"), BAD)


def _too_much():
    for name, base, body in (("a length", r(N, body=BODY), BODY), ("chunks", r(TE, body=CHUNKS), BODY), ("length 0", r(b"Content-Length: 0"), b"")):
        whole, gone = Relay(200, body), Relay(200, body, reused=False)
        put(f"bytes behind {name}", "9112 9.2", HARDENING, base + b"EXTRA", gone, BAD)
        put(f"one byte behind {name}", "9112 9.2", HARDENING, base + b"X", gone, BAD)
        put(f"CRLF behind {name}", "9112 9.2", HARDENING, base + b"\r\n", gone, whole, BAD)
        put(f"a second response behind {name}", "9112 9.2", HARDENING, base + EXTRA, gone, BAD)
        put(f"ten responses behind {name}", "9112 9.2", HARDENING, base + EXTRA * 10, gone, BAD)
        put(f"100 KB behind {name}", "9112 9.2", HARDENING, base + b"E" * 100_000, gone, BAD)
        put(f"late bytes behind {name}", "9112 9.2", MUST, (base, LATE, b"EXTRA"), whole, BAD)
        put(f"a late response behind {name}", "9112 9.2", MUST, (base, LATE, EXTRA), whole, BAD)
        put(f"a late end behind {name}", "9112 9.5", MUST, (base, LATE, CLOSE), Relay(200, body, keep=True), BAD)
        put(f"a late reset behind {name}", "9112 9.5", MUST, (base, LATE, RESET), Relay(200, body, keep=True), BAD)
        put(f"late bytes and an end behind {name}", "9112 9.2", MUST, (base, LATE, EXTRA, CLOSE), whole, BAD)
    put("a length that is shorter than the body by one", "9112 9.2", HARDENING, r(b"Content-Length: 19", body=BODY), Relay(200, BODY[:-1], reused=False), BAD)
    put("a second head instead of a body", "9112 6.3", MUST, (r(b"Content-Length: 10", body=b"HTTP/1.1 2"), CLOSE), Relay(200, b"HTTP/1.1 2"))
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
        request = f"{method} /case HTTP/1.1\r\nHost: a.test\r\n{'Content-Length: 0' if method in ('POST', 'PUT', 'PATCH') else 'X: y'}\r\n\r\n".encode()
        put(f"{method}, and a second response", "9112 9.2", HARDENING, r(N, body=BODY) + EXTRA, Relay(200, BODY, reused=False), BAD, request=request)
        put(f"{method}, and the server ends without a byte", "9112 8", MUST, (CLOSE,), BAD, request=request)
        put(f"{method}, cut short", "9112 8", MUST, (r(N, body=BODY[:5]), CLOSE), Broken(200, BODY), BAD, request=request)


for _fill in (_good, _kept, _without_body, _framing, _status_lines, _bytes, _sizes, _interims, _truncated, _bad_chunks, _too_much):
    _fill()
