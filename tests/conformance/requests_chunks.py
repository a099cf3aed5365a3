# SPDX-License-Identifier: Apache-2.0
"""Bodies in chunks: sizes, extensions, line ends, trailers.  RFC 9112 section 7.1."""
from case import HARDENING, MUST, SHOULD, Table, dropped, forward, named, refuse
from requests_framing import post

CASES = Table()
LINE = b"Transfer-Encoding: chunked"
# The head may have gone out already; then the upstream is left, and that may be called its fault.
REFUSED = refuse(400, 413, 431, 502, silent=True)


def _put(name, level, body, *allow, section="9112 7.1", **more):
    CASES.request(name, section, level, post(LINE, body=body, target=b"/ch"), *allow, **more)


def is_(body, **more):
    return forward(("POST", "/ch", body), **more)


HELLO = is_(b"hello")
TEN = is_(b"0123456789")


def _sizes():
    for size in (b"a", b"A", b"0a", b"000a", b"000000000000000A"):
        _put(f"size {size.decode()}", MUST, size + b"\r\n0123456789\r\n0\r\n\r\n", TEN)
    _put("size with 40 zeros in front", HARDENING, b"0" * 40 + b"a\r\n0123456789\r\n0\r\n\r\n", TEN, REFUSED)
    _put("size with 4000 zeros in front", HARDENING, b"0" * 4000 + b"a\r\n0123456789\r\n0\r\n\r\n", TEN, REFUSED)
    for size in (b"0x5", b"0X5", b"+5", b"-5", b" 5", b"\t5", b"5_", b"5_0", b"_5", b"", b" ", b"g", b"5g", b"5.0", b"5,", b"5h", b"$5", b"#5", b"5:", b"5=5",
                 b"5/1", b'"5"', b"'5'", b"5\0", b"\x005", b"5\x0b", b"\x0c5", b"5\x7f", b"5\x80", b"\xef\xbc\x95", b"5 5", b"five", b"0x", b"x5", b"-0",
                 b"+0", b"\\x5", b"%35", b"5%", b"5\r", b"\r5", b"--5", b"5-", b"05x"):
        _put(f"size {named(size)!r}", MUST if b"\r" in size else SHOULD, size + b"\r\nhello\r\n0\r\n\r\n", REFUSED)
    for size in (b"5 ", b"5\t", b"5  "):
        _put(f"size {named(size)!r}", HARDENING, size + b"\r\nhello\r\n0\r\n\r\n", HELLO, REFUSED)
    for size in (b"10000000000000005", b"ffffffffffffffff5", b"100000000000000005", b"1" + b"0" * 31 + b"5", b"f" * 32, b"f" * 17, b"fffffffffffffffffffffffb",
                 b"10000000000000000", b"f" * 16, b"8000000000000000", b"8000000000000005", b"fffffffffffffffb"):
        _put(f"size {size.decode()}", MUST, size + b"\r\nhello\r\n0\r\n\r\n", REFUSED)
    for size in (b"7fffffffffffffff", b"100000005", b"ffffffff"):
        _put(f"size {size.decode()}, and 5 bytes", MUST, size + b"\r\nhello\r\n0\r\n\r\n", dropped(), ends=True, follow=False)
    for last in (b"00000", b"0000000000000000"):
        _put(f"last chunk {last.decode()}", MUST, b"5\r\nhello\r\n" + last + b"\r\n\r\n", HELLO)
    for last in (b"-0", b"0x0", b"0 0", b"", b"\0", b"00x"):
        _put(f"last chunk {named(last)!r}", SHOULD, b"5\r\nhello\r\n" + last + b"\r\n\r\n", REFUSED)


def _extensions():
    good = (b";a", b";a=b", b';a="b"', b";a;b", b";a=b;c=d", b';a="b;c"', b';a="b\\"c"', b';a=""', b';a="\xe9"', b';a="x\ty"', b";a=b;c;d=e")
    for text in good:
        _put(f"extension {named(text)}", MUST, b"5" + text + b"\r\nhello\r\n0" + text + b"\r\n\r\n", HELLO, section="9112 7.1.1")
    for text in (b" ;a", b"; a", b" ; a", b";a =b", b";a= b", b"; a = b ", b";a ", b"\t;a"):
        _put(f"extension {named(text)!r}, with blanks", HARDENING, b"5" + text + b"\r\nhello\r\n0\r\n\r\n", HELLO, REFUSED, section="9112 7.1.1")
    for text in (b";", b";;", b";a;", b";=", b";=b", b";a=", b';a="', b';a="b', b";a=b c", b";a=b=c", b';a="b"c', b";a,b", b";a/b", b";\xe9", b"=a"):
        _put(f"extension {named(text)!r}", HARDENING, b"5" + text + b"\r\nhello\r\n0\r\n\r\n", REFUSED,
             *((HELLO,) if text != b"=a" else ()), section="9112 7.1.1")
    for text in (b";a\0", b";\0", b";a=\0b", b';a="\0"', b";a\x0bb", b";a\x7f", b";a\x01"):
        _put(f"extension {named(text)!r}", HARDENING, b"5" + text + b"\r\nhello\r\n0\r\n\r\n", REFUSED, section="9112 7.1.1")
    # Attacks on readers that end the line at another byte than their neighbour.
    inner = b"GET /inner HTTP/1.1\r\nHost: a.test\r\n\r\n"
    for name, text in (("CR", b";a\rb"), ("CR at the end", b";a\r"), ("CR in quotes", b';a="\r"'), ("CR before x", b";\rx")):
        _put(f"extension with {name}", MUST, b"5" + text + b"\r\nhello\r\n0\r\n\r\n", REFUSED, section="9112 2.2")
    for name, text in (("LF", b";a\nxx"), ("LF alone", b";\n"), ("LF in quotes", b';a="\n"'), ("LF CR", b";a\n\r")):
        _put(f"extension with {name}", HARDENING, b"5" + text + b"\r\nhello\r\n0\r\n\r\n", REFUSED, section="9112 2.2")
    body = b"2;\nxx\r\n%x\r\n0\r\n\r\n%s\r\n0\r\n\r\n" % (len(inner) + 5, inner)
    _put("TERM.EXT", HARDENING, body, REFUSED, section="9112 7.1.1")
    body = b"2;\rxx\r\n%x\r\n0\r\n\r\n%s\r\n0\r\n\r\n" % (len(inner) + 5, inner)
    _put("EXT.TERM with CR", MUST, body, REFUSED, section="9112 7.1.1")
    _put("extension of 300 KB", SHOULD, b"5;a=" + b"b" * 300_000 + b"\r\nhello\r\n0\r\n\r\n", REFUSED, section="9112 7.1.1")
    _put("300 chunks of one byte, each with an extension of 900", HARDENING, b"".join(b"1;a=" + b"b" * 900 + b"\r\nx\r\n" for _ in range(300)) + b"0\r\n\r\n",
         REFUSED, is_(b"x" * 300), section="9112 7.1.1")


def _line_ends():
    for name, body in (
            ("behind the size", b"5\nhello\r\n0\r\n\r\n"), ("behind the data", b"5\r\nhello\n0\r\n\r\n"), ("everywhere", b"5\nhello\n0\n\n"),
            ("behind the last size", b"5\r\nhello\r\n0\n\r\n"), ("at the end", b"5\r\nhello\r\n0\r\n\n"), ("twice at the end", b"5\r\nhello\r\n0\n\n"),
            ("behind a trailer", b"5\r\nhello\r\n0\r\nX-T: y\n\r\n")):
        _put(f"LF alone {name}", HARDENING, body, REFUSED, *((HELLO,) if name == "behind a trailer" else ()), section="9112 2.2")
    for name, body in (
            ("behind the size", b"5\rhello\r\n0\r\n\r\n"), ("behind the data", b"5\r\nhello\r0\r\n\r\n"), ("and CRLF behind the size", b"5\r\r\nhello\r\n0\r\n\r\n"),
            ("and CRLF behind the data", b"5\r\nhello\r\r\n0\r\n\r\n"), ("at the end", b"5\r\nhello\r\n0\r\n\r\r\n"), ("and X at the end", b"5\r\nhello\r\n0\r\n\rX"),
            ("behind LF", b"5\n\rhello\r\n0\r\n\r\n"), ("behind LF in the data", b"5\r\nhello\n\r0\r\n\r\n")):
        _put(f"CR alone {name}", MUST, body, REFUSED, section="9112 2.2")
    for name, body in (
            ("no CRLF behind the data", b"5\r\nhello0\r\n\r\n"), ("two bytes for CRLF", b"5\r\nhelloXX0\r\n\r\n"), ("one byte more", b"5\r\nhello!\r\n0\r\n\r\n"),
            ("one byte less", b"5\r\nhell\r\n0\r\n\r\n"), ("two CRLF behind the data", b"5\r\nhello\r\n\r\n0\r\n\r\n"),
            ("an empty line first", b"\r\n5\r\nhello\r\n0\r\n\r\n"), ("a space behind the data", b"5\r\nhello \r\n0\r\n\r\n"),
            ("CRLF before the data", b"5\r\n\r\nhello\r\n0\r\n\r\n"), ("size and data on one line", b"5 hello\r\n0\r\n\r\n")):
        _put(name, SHOULD, body, REFUSED)


def _trailers():
    good = ((b"X-T: y", HELLO), (b"X-T: y\r\nX-U: z", HELLO), (b"x-checksum:abc", HELLO), (b"X-T:", HELLO), (b"X-T: \xe9", HELLO))
    for lines, allow in good:
        _put(f"trailer {named(lines)}", MUST, b"5\r\nhello\r\n0\r\n" + lines + b"\r\n\r\n", allow, section="9112 7.1.2")
    # Never merged into the head; to drop, to pass on and to refuse are all right.
    for line in (b"Content-Length: 0", b"Transfer-Encoding: chunked", b"Host: b.test", b"Connection: close", b"Authorization: x", b"Content-Type: a/b",
                 b"Cookie: a=b", b"Set-Cookie: a=b", b"Trailer: X", b"TE: trailers", b"Expect: 100-continue", b"X-Forwarded-For: 1.1.1.1",
                 b"Content-Encoding: gzip", b"Cache-Control: no-store", b"Max-Forwards: 0", b"Upgrade: h2c", b"Range: bytes=0-", b"If-Match: x",
                 b"X-request-id: aaaa", b"Forwarded: for=1.1.1.1"):
        name = line.split(b":")[0].decode()
        _put(f"trailer that may be none: {named(line)}", HARDENING if name.startswith(("X-", "Forwarded")) else MUST,
             b"5\r\nhello\r\n0\r\n" + line + b"\r\n\r\n", REFUSED,
             is_(b"hello", **({"absent": (name,)} if name in ("Authorization", "Cookie", "Range", "If-Match", "Content-Type") else {})),
             section="9110 6.5.1")
    # Trailers may be dropped unread as long as their end is found.
    for lines in (b"X-T : y", b" X-T: y", b": y", b"X-T", b"X T: y", b"X-T: a\r\n b", b"X-T: a\rb", b"X-T: a\0b", b"X-\0T: y", b"X-T: a\x01b", b"X-T: a\x7fb",
                  b"X-\xe9: y", b"\0", b"@", b"GET /inner HTTP/1.1\r\nHost: a.test", b"0", b"5\r\nhello\r\n0"):
        _put(f"trailer {named(lines)!r}", HARDENING, b"5\r\nhello\r\n0\r\n" + lines + b"\r\n\r\n", REFUSED, HELLO, section="9112 7.1.2")
    _put("2000 trailers", HARDENING, b"5\r\nhello\r\n0\r\n" + b"X-T: y\r\n" * 2000 + b"\r\n", REFUSED, HELLO, section="9112 7.1.2")
    _put("trailers of 400 KB", HARDENING, b"5\r\nhello\r\n0\r\n" + (b"X-T: " + b"y" * 1000 + b"\r\n") * 400 + b"\r\n", REFUSED, section="9112 7.1.2")
    _put("one trailer of 300 KB", HARDENING, b"5\r\nhello\r\n0\r\nX-T: " + b"y" * 300_000 + b"\r\n\r\n", REFUSED, section="9112 7.1.2")


def _whole():
    _put("no data", MUST, b"0\r\n\r\n", is_(b""))
    _put("two chunks", MUST, b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", is_(b"hello world"))
    _put("data that looks like framing", MUST, b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", is_(b"0\r\n\r\n"))
    inner = b"GET /inner HTTP/1.1\r\nHost: a.test\r\n\r\n"
    _put("data that looks like a request", MUST, b"%x\r\n%s\r\n0\r\n\r\n" % (len(inner), inner), is_(inner))
    _put("a request behind the last chunk", MUST, b"5\r\nhello\r\n0\r\n\r\n" + inner, forward(("POST", "/ch", b"hello"), ("GET", "/inner", b"")))
    _put("64 KiB in one chunk", MUST, b"10000\r\n" + b"x" * 65536 + b"\r\n0\r\n\r\n", is_(b"x" * 65536))
    _put("200 chunks of 7 bytes", MUST, b"7\r\nabcdefg\r\n" * 200 + b"0\r\n\r\n", is_(b"abcdefg" * 200))
    for name, body in (("before the last chunk", b"5\r\nhello\r\n"), ("in the data", b"5\r\nhel"), ("in the size", b"5"), ("in the last chunk", b"5\r\nhello\r\n0\r\n"),
                       ("in a trailer", b"5\r\nhello\r\n0\r\nX-T"), ("before anything", b"")):
        _put(f"the client ends {name}", MUST, body, dropped(), follow=False, ends=True, section="9112 8")


_sizes()
_extensions()
_line_ends()
_trailers()
_whole()
