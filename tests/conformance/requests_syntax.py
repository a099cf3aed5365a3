# SPDX-License-Identifier: Apache-2.0
"""Bytes where they may not be, line ends, header names and sizes.  RFC 9112 sections 2 to 5, RFC 9110 section 5."""
from case import HARDENING, MUST, SHOULD, Table, forward, refuse

CASES = Table()
GET = ("GET", "/sx", b"")
CONTROLS = [bytes((b,)) for b in (*range(0x20), 0x7f)]
NOT_TOKEN = [bytes((b,)) for b in b' "(),/:;<=>?@[\\]{}']
TOKEN_MARKS = [bytes((b,)) for b in b"!#$%&'*+.^_`|~-"]


def get(*lines, first=b"GET /sx HTTP/1.1"):
    return b"\r\n".join((first, b"Host: a.test", *lines, b"", b""))


def _hex(byte):
    return f"0x{byte[0]:02x}"


def _bytes():
    for byte in CONTROLS:
        where = _hex(byte)
        # HTAB is white space in a value; CR, LF and NUL may be read as SP.
        value_allow = (refuse(400),) if byte not in b"\t\r\0" else (refuse(400), forward(GET)) if byte != b"\t" else (forward(GET),)
        if byte == b"\n":
            value_allow = (refuse(400),)  # "zz" then is a line without a colon
        CASES.request(f"{where} in a header value", "9110 5.5", MUST if byte in b"\0\r\n\t" else HARDENING, get(b"X: ab" + byte + b"zz"), *value_allow)
        CASES.request(f"{where} at the end of a header value", "9110 5.5", HARDENING, get(b"X: ab" + byte), refuse(400), *(
            (forward(GET),) if byte in b"\0\t\r" else ()))
        CASES.request(f"{where} in a header name", "9112 2.2", MUST if byte in b"\r\t" else SHOULD, get(b"X-a" + byte + b"b: c"), refuse(400))
        CASES.request(f"{where} in the target", "9112 3.2", MUST if byte == b"\r" else SHOULD, get(first=b"GET /s" + byte + b"x HTTP/1.1"), refuse(400, 505))
        CASES.request(f"{where} in the method", "9112 3", MUST if byte == b"\r" else SHOULD, get(first=b"GE" + byte + b"T /sx HTTP/1.1"), refuse(400, 501, 505))
        CASES.request(f"{where} in the version", "9112 2.3", MUST if byte == b"\r" else SHOULD, get(first=b"GET /sx HTTP/1" + byte + b".1"), refuse(400, 505))
        CASES.request(f"{where} before the method", "9112 3", HARDENING, byte + get(), refuse(400, 501), *((forward(GET),) if byte == b"\n" else ()))
    for byte in NOT_TOKEN:
        where = repr(byte.decode())
        if byte != b":":
            CASES.request(f"{where} in a header name", "9112 2.2", SHOULD, get(b"X-a" + byte + b"b: c"), refuse(400))
            CASES.request(f"{where} at the end of a header name", "9112 5.1", MUST if byte == b" " else SHOULD, get(b"X-a" + byte + b": c"), refuse(400))
        CASES.request(f"{where} at the beginning of a header name", "9112 2.2", MUST if byte == b" " else SHOULD, get(b"Y: z", byte + b"X-a: c"), refuse(400), *(
            (forward(GET),) if byte == b" " else ()))
        CASES.request(f"{where} in the method", "9112 3", SHOULD, get(first=b"GE" + byte + b"T /sx HTTP/1.1"), refuse(400, 501, 505))
    for byte in TOKEN_MARKS:
        where = repr(byte.decode())
        CASES.request(f"{where} in a header name", "9110 5.6.2", SHOULD, get(b"X-a" + byte + b"b: c"), forward(GET))
        CASES.request(f"{where} in the method", "9110 9.1", HARDENING, get(first=b"GE" + byte + b"T /sx HTTP/1.1"),
                      forward((f"GE{byte.decode()}T", "/sx", b"")), refuse(400, 405, 501, keep=None))
    for byte in (b"\x80", b"\xa0", b"\xe9", b"\xff"):
        CASES.request(f"{_hex(byte)} in a header value", "9110 5.5", SHOULD, get(b"X: a" + byte + b"b"), forward(GET))
        CASES.request(f"{_hex(byte)} in a header name", "9112 2.2", SHOULD, get(b"X-a" + byte + b"b: c"), refuse(400))
        CASES.request(f"{_hex(byte)} in the method", "9112 3", SHOULD, get(first=b"GE" + byte + b"T /sx HTTP/1.1"), refuse(400, 501))
    for value in (b"", b" ", b"  a  b  ", b"a,b;c=\"d\"", b"\ta\t", b"~!@#$%^&*()_+{}|:\"<>?`-=[]\\;',./"):
        CASES.request(f"value {value.decode()!r}", "9110 5.5", MUST, get(b"X:" + value), forward(GET))


def _lines():
    head = b"GET /sx HTTP/1.1\r\nHost: a.test\r\nX: y\r\n\r\n"
    lines = head.split(b"\r\n")

    def ended(at, end):
        return b"".join(line + (end if i == at else b"\r\n") for i, line in enumerate(lines[:4]))

    places = ("the request line", "Host", "the last header", "the head")
    for at, place in enumerate(places):
        raw = ended(at, b"\n")
        CASES.request(f"LF alone behind {place}", "9112 2.2", HARDENING, raw, refuse(400), forward(GET))
        allow = (refuse(400),) + ((forward(GET),) if at in (1, 2) else ())
        CASES.request(f"CR CR LF behind {place}", "9112 2.2", MUST, ended(at, b"\r\r\n"), *allow)
        CASES.request(f"CR alone behind {place}", "9112 2.2", MUST, ended(at, b"\r"), refuse(400))
        CASES.request(f"LF CR behind {place}", "9112 2.2", MUST, ended(at, b"\n\r"), refuse(400, silent=False),
                      *((forward(GET, keep=None),) if at == 3 else ()))
        CASES.request(f"NUL CR LF behind {place}", "9110 5.5", MUST if at in (1, 2) else SHOULD, ended(at, b"\0\r\n"), *allow)
        CASES.request(f"CR NUL LF behind {place}", "9112 2.2", MUST, ended(at, b"\r\0\n"), refuse(400))
        CASES.request(f"VT behind {place}", "9112 2.2", SHOULD, ended(at, b"\x0b"), refuse(400, 505))
    CASES.request("LF alone everywhere", "9112 2.2", HARDENING, head.replace(b"\r\n", b"\n"), refuse(400), forward(GET))
    CASES.request("LF LF ends the head early", "9112 2.2", HARDENING, get(b"X: y\n\nGET /inner HTTP/1.1", b"Host: a.test"), refuse(400), silentless(),
                  forward(GET, ("GET", "/inner", b"")))
    CASES.request("CR CR in a value", "9112 2.2", MUST, get(b"X: a\r\rGET /inner HTTP/1.1"), refuse(400), forward(GET))
    CASES.request("CR CR LF CR CR LF", "9112 2.2", MUST, get(b"X: a\r\r\n\r\r\nGET /inner HTTP/1.1", b"Host: a.test"), refuse(400))
    for fold in (b"\r\n ", b"\r\n\t", b"\r\n  \t", b"\r\n \r\n ", b"\n ", b"\r\n \0"):
        CASES.request(f"obs-fold {fold!r}", "9112 5.2", MUST, get(b"X: a" + fold + b"b"), refuse(400), forward(GET))
    CASES.request("obs-fold into Host", "9112 5.2", MUST, b"GET /sx HTTP/1.1\r\nHost: a.test\r\n b.test\r\n\r\n", refuse(400))
    CASES.request("obs-fold before Host's value", "9112 5.2", MUST, b"GET /sx HTTP/1.1\r\nHost:\r\n a.test\r\n\r\n", refuse(400), forward(GET))
    CASES.request("space before the first header", "9112 2.2", MUST, b"GET /sx HTTP/1.1\r\n Host: a.test\r\nX: y\r\n\r\n", refuse(400))
    CASES.request("line of spaces before the headers", "9112 2.2", MUST, b"GET /sx HTTP/1.1\r\n \r\nHost: a.test\r\n\r\n", refuse(400), forward(GET))
    CASES.request("line of spaces behind the headers", "9112 5.2", MUST, get(b"X: y", b" "), refuse(400), forward(GET))
    CASES.request("folded request line", "9112 3", SHOULD, b"GET /sx\r\n HTTP/1.1\r\nHost: a.test\r\n\r\n", refuse(400, 505))
    CASES.request("one empty line first", "9112 2.2", SHOULD, b"\r\n" + get(), forward(GET))
    CASES.request("two empty lines first", "9112 2.2", HARDENING, b"\r\n\r\n" + get(), forward(GET), refuse(400))
    CASES.request("a hundred empty lines first", "9112 2.2", HARDENING, b"\r\n" * 100 + get(), forward(GET), refuse(400))
    CASES.request("an empty line between two requests", "9112 2.2", SHOULD, get() + b"\r\n" + get(), forward(GET, GET))


def silentless():
    """The first request is served, what follows is refused."""
    return refuse(400, after=(GET,))


def _names():
    for line in (b"X : y", b"X\t: y", b"X  : y", b"Host : a.test", b"Cookie : a=b"):
        CASES.request(f"white space before the colon: {line.decode()!r}", "9112 5.1", MUST, get(line), refuse(400))
    for line in (b": y", b":", b"::", b" : y"):
        CASES.request(f"empty name: {line.decode()!r}", "9112 2.2", MUST if line[0] == 32 else SHOULD, get(line), refuse(400), *((forward(GET),) if line[0] == 32 else ()))
    for line in (b"X", b"X y", b"X=y", b"\xff\xff", b"GET /inner HTTP/1.1", b"{}", b"X;y", b"HTTP/1.1 200 OK"):
        CASES.request(f"no colon: {line!r}", "9112 2.2", SHOULD, get(line), refuse(400))
    CASES.request("a name of 200 bytes", "9110 5.1", SHOULD, get(b"X" * 200 + b": y"), forward(GET))
    CASES.request("a name of 200 KB", "9110 5.4", HARDENING, get(b"X" * 200_000 + b": y"), refuse(400, 413, 431))
    CASES.request("a value of 8000 bytes", "9110 5.4", SHOULD, get(b"X: " + b"y" * 8000), forward(GET), refuse(400, 431))
    CASES.request("a value of 2 MB", "9110 5.4", HARDENING, get(b"X: " + b"y" * 2_000_000), refuse(400, 413, 431))
    CASES.request("50 headers", "9110 5.4", SHOULD, get(*(b"X-%d: y" % i for i in range(50))), forward(GET))
    CASES.request("20,000 headers", "9110 5.4", HARDENING, get(*(b"X-%d: y" % i for i in range(20_000))), refuse(400, 413, 431))
    CASES.request("2000 empty headers", "9110 5.4", HARDENING, get(*([b"X:"] * 2000)), refuse(400, 413, 431), forward(GET))
    CASES.request("one header twice", "9110 5.3", MUST, get(b"X: a", b"X: b"), forward(GET))
    CASES.request("two Cookies", "9110 5.3", SHOULD, get(b"Cookie: a=b", b"Cookie: c=d"), forward(GET))
    for name in (b"Content-Type", b"Authorization", b"User-Agent", b"Referer", b"From", b"If-Modified-Since"):
        CASES.request(f"{name.decode()} twice", "9110 5.3", HARDENING, get(name + b": a", name + b": b"), forward(GET), refuse(400))


def _protocols():
    for name, raw in (
            ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 40), ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n"),
            ("SMTP", b"EHLO a.test\r\n"), ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"), ("RTSP", b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"),
            ("SIP", b"INVITE sip:a@b SIP/2.0\r\nVia: x\r\n\r\n"), ("PROXY protocol 1", b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n" + get()),
            ("PROXY protocol 2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12) + get()), ("a response", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            ("Redis", b"*1\r\n$4\r\nPING\r\n"), ("JSON", b'{"a": 1}\r\n\r\n'), ("zeros", bytes(64)), ("spaces", b" " * 64 + b"\r\n\r\n")):
        CASES.request(f"not HTTP/1.1: {name}", "9112 3", HARDENING, raw, refuse(400, 405, 501, 505, silent=True))


_bytes()
_lines()
_names()
_protocols()
