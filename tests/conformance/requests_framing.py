# SPDX-License-Identifier: Apache-2.0
"""Where a request's body ends: Transfer-Encoding, Content-Length, and both.  RFC 9112 sections 6 and 7, RFC 9110 section 8.6."""
from case import HARDENING, MUST, SHOULD, Table, dropped, forward, named, refuse

CASES = Table()

CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
BAD = (400, 422, 501)


def post(*lines, body=b"", target=b"/te", method=b"POST"):
    return b"\r\n".join((method + b" " + target + b" HTTP/1.1", b"Host: a.test", *lines, b"", b"")) + body


CHUNKED = forward(("POST", "/te", b"hello"))
NO_BODY_THEN_REFUSED = refuse(after=(("POST", "/te", b""),))
AS_LENGTH = forward(("POST", "/te", CHUNKS), absent=("Transfer-Encoding",))
LENGTH_LINE = b"Content-Length: %d" % len(CHUNKS)

# (what stands in the line, level, right outcomes of a body in chunks)
_RIGHT = (CHUNKED,)
_EITHER = (CHUNKED, refuse(*BAD))
_REFUSED = (refuse(*BAD),)

_SPELLINGS = [
    # case and spaces that the grammar allows
    *((line, MUST, _RIGHT) for line in (
        b"Transfer-Encoding: chunked", b"transfer-encoding: chunked", b"TRANSFER-ENCODING: chunked", b"Transfer-Encoding:chunked",
        b"Transfer-Encoding: Chunked", b"Transfer-Encoding: CHUNKED", b"tRANSFER-eNCODING: cHuNkEd", b"Transfer-Encoding:    chunked",
        b"Transfer-Encoding: chunked   ", b"Transfer-Encoding:  chunked  ")),
    # allowed too, but what some servers read otherwise
    *((line, HARDENING, _EITHER) for line in (
        b"Transfer-Encoding:\tchunked", b"Transfer-Encoding: \tchunked", b"Transfer-Encoding: chunked\t", b"Transfer-Encoding:\tchunked\t",
        b"Transfer-Encoding: chunked \t ", b"Transfer-Encoding: ,chunked", b"Transfer-Encoding: chunked,", b"Transfer-Encoding: , ,chunked",
        b"Transfer-Encoding: chunked, ,")),
    # chunked is not the last coding, or there once
    *((b"Transfer-Encoding:" + value, MUST, _REFUSED) for value in (
        b" xchunked", b" x-chunked", b" chunked2", b" chunkedchunked", b" chunke", b" hunked", b" identity", b" gzip", b" deflate", b" compress",
        b" chunked, gzip", b" chunked, identity", b" chunked, chunked", b" chunked,chunked", b" chunked chunked", b" chun ked", b" chunked x",
        b' "chunked"', b" 'chunked'", b' "chunk\\ed"', b" chunked/1", b" =chunked", b" chunked=1", b" chunked:", b" :chunked", b" chunked.",
        b" [chunked]", b" (chunked)", b" chunked(x)", b" chunked\\", b" chunk%65d", b" ch\xc3\xbcnked", b" \xffchunked", b" chunked\xa0",
        b" \xa0chunked", b" \x85chunked", b" \xe2\x80\x8bchunked", b" \xef\xbd\x83hunked", b" chunked\x7f", b" chunked\x1f", b" \x0cchunked",
        b" chunked\x0c", b" \x0bchunked", b" chunked\x0b", b" \x08chunked", b"\x0bchunked", b"\x01chunked", b" chunked\x1b", b"", b" ", b"\t",
        b" ,", b" trailers", b" none", b" 0", b" true", b" chunked, cow", b" chunked, x-foo")),
    *((b"Transfer-Encoding:" + value, SHOULD, _REFUSED) for value in (
        b" chunked;q=1", b" chunked; foo=bar", b" chunked;", b" chunked ; x", b" chunked;q=0", b' chunked;a="b"')),
    *((b"Transfer-Encoding: " + coding + b", chunked", SHOULD,
       (refuse(*BAD), forward(("POST", "/te", b"hello"), present=(("Transfer-Encoding", coding + b", chunked"),))))
      for coding in (b"gzip", b"deflate", b"identity", b"x-unknown", b"compress", b"gzip, deflate")),
    # NUL may be read as a space
    *((b"Transfer-Encoding:" + value, MUST, _EITHER) for value in (b" chunked\0", b"\0chunked", b" \0 chunked")),
    (b"Transfer-Encoding: chun\0ked", MUST, _REFUSED),
    # folded lines: refused, or the fold read as spaces
    *((b"Transfer-Encoding:" + value, MUST, _EITHER) for value in (
        b"\r\n chunked", b"\r\n\tchunked", b" \r\n chunked", b" chunked\r\n ", b" chunked\r\n\t", b"\r\n \r\n chunked")),
    (b"Transfer-Encoding: chun\r\n ked", MUST, _REFUSED),
    (b"Transfer-Encoding: chunked\r\n , identity", MUST, _REFUSED),
    (b"Transfer-Encoding: identity\r\n , chunked", MUST, (refuse(*BAD), CHUNKED)),
    # two lines are one list
    (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", MUST, _REFUSED),
    (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", MUST, _REFUSED),
    (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow", MUST, _REFUSED),
    (b"Transfer-Encoding: chunked\r\ntransfer-encoding: gzip", MUST, _REFUSED),
    (b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", SHOULD, _EITHER),
    (b"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked", SHOULD, _REFUSED),
    (b"Transfer-Encoding:\r\nTransfer-Encoding: chunked", HARDENING, _EITHER),
    (b"Transfer-Encoding: chunked\r\nTransfer-Encoding:", HARDENING, _EITHER),
    # line ends: LF alone may be read as one
    (b"X: y\nTransfer-Encoding: chunked", HARDENING, _EITHER),
    (b"Transfer-Encoding: chunked\nX: y", HARDENING, _EITHER),
    (b"Transfer-Encoding:\n chunked", MUST, _EITHER),
    # CR alone may be read as a space, then this is the value of X, or as nothing
    (b"X: y\rTransfer-Encoding: chunked", MUST, (refuse(*BAD), NO_BODY_THEN_REFUSED)),
    (b"X: y\r\rTransfer-Encoding: chunked", MUST, (refuse(*BAD), NO_BODY_THEN_REFUSED)),
    (b"X: \rxTransfer-Encoding: chunked", MUST, (refuse(*BAD), NO_BODY_THEN_REFUSED)),
    (b"Transfer-Encoding: chunked\rX: y", MUST, _REFUSED),
    (b"Transfer-Encoding:\rchunked", MUST, _EITHER),
    (b"Transfer-Encoding: chunked\r", MUST, _EITHER),
    (b"\rTransfer-Encoding: chunked", MUST, _REFUSED),
]

_NOT_THE_NAME = [  # white space and what is no token: refused
    *((line, MUST) for line in (
        b"Transfer-Encoding : chunked", b"Transfer-Encoding\t: chunked", b"Transfer-Encoding  : chunked", b"Transfer-Encoding \t : chunked",
        b"Transfer-Encoding\r\n : chunked")),
    *((line, SHOULD) for line in (
        b"Transfer Encoding: chunked", b"Transfer-\0Encoding: chunked", b"Transfer-Encoding\0: chunked", b"\0Transfer-Encoding: chunked",
        b"Transfer-Encoding\x0b: chunked", b"\x0bTransfer-Encoding: chunked", b"\x0cTransfer-Encoding: chunked", b'"Transfer-Encoding": chunked',
        b"Transfer-Encoding\xa0: chunked", b"\xa0Transfer-Encoding: chunked", b"Transfer-Encod\xc4\xb1ng: chunked", b"(Transfer-Encoding): chunked",
        b"Transfer-Encoding;: chunked", b"Transfer-Encoding=: chunked", b"Transfer-Encoding,: chunked", b"Transfer/Encoding: chunked",
        b"Transfer@Encoding: chunked", b"[Transfer-Encoding]: chunked", b"Transfer-Encoding", b"Transfer-Encoding chunked",
        b": Transfer-Encoding: chunked", b":chunked", b"\xef\xbb\xbfTransfer-Encoding: chunked",
        b"{Transfer-Encoding}: chunked", b"Transfer\\Encoding: chunked", b"Transfer-Encoding\x7f: chunked")),
]
_OTHER_NAMES = (  # tokens, but other ones: no framing at all
    b"Transfer_Encoding", b"TRANSFER_ENCODING", b"Transfer.Encoding", b"TransferEncoding", b"X-Transfer-Encoding", b"Transfer-Encoding-",
    b"-Transfer-Encoding", b"Transfer--Encoding", b"Transfer-Encodin", b"ransfer-Encoding", b"Transfer-Encoding2", b"'Transfer-Encoding'",
    b"Transfer-Encoding!", b"Transfer+Encoding", b"Transfer~Encoding", b"HTTP_TRANSFER_ENCODING", b"Transfer-Encoding%20")


def _spellings():
    for line, level, allow in _SPELLINGS:
        name = named(line)
        CASES.request(f"chunks, {name}", "9112 6.1", level, post(line, body=CHUNKS), *allow)
        with_length = [refuse(*BAD)]
        if CHUNKED in allow:
            with_length.append(forward(("POST", "/te", b"hello"), keep=False))
        if NO_BODY_THEN_REFUSED in allow:
            with_length.append(AS_LENGTH)
        CASES.request(f"length before {name}", "9112 6.3", MUST, post(LENGTH_LINE, line, body=CHUNKS), *with_length)
        CASES.request(f"length behind {name}", "9112 6.3", MUST, post(line, LENGTH_LINE, body=CHUNKS), *with_length)
    for line, level in _NOT_THE_NAME:
        name = named(line)
        fold = b"\r\n :" in line
        CASES.request(f"chunks, {name}", "9112 5.1", level, post(line, body=CHUNKS), refuse(*BAD))
        CASES.request(f"length and {name}", "9112 5.1", level, post(LENGTH_LINE, line, body=CHUNKS), refuse(*BAD),
                      *((AS_LENGTH,) if fold else ()))
    for text in _OTHER_NAMES:
        line = text + b": chunked"
        CASES.request(f"chunks, {named(line)}", "9110 5.1", HARDENING, post(line, body=CHUNKS), NO_BODY_THEN_REFUSED, refuse(400))
        CASES.request(f"length and {named(line)}", "9110 5.1", HARDENING, post(LENGTH_LINE, line, body=CHUNKS), AS_LENGTH, refuse(400))
    # A line that begins with a space continues the one before: refused, or part of X.
    for blank in (b" ", b"\t", b"  ", b" \t"):
        line = b"X: y\r\n" + blank + b"Transfer-Encoding: chunked"
        CASES.request(f"chunks, {named(line)}", "9112 5.2", MUST, post(line, body=CHUNKS), refuse(400), NO_BODY_THEN_REFUSED)
        CASES.request(f"length and {named(line)}", "9112 5.2", MUST, post(LENGTH_LINE, line, body=CHUNKS), refuse(400), AS_LENGTH)
        first = post(body=CHUNKS).replace(b"Host: a.test\r\n", blank + b"Transfer-Encoding: chunked\r\nHost: a.test\r\n")
        CASES.request(f"first line {named(blank + b'Transfer-Encoding: chunked')}", "9112 2.2", MUST, first, refuse(400),
                      NO_BODY_THEN_REFUSED)


HELLO = forward(("POST", "/te", b"hello"))

_LENGTHS_REFUSED = (
    b"", b" ", b"\t", b" +5", b" -5", b" -0", b" +0", b" 0x5", b" 0X5", b" 5h", b" 0b101", b" 0o5", b" 5 5", b" 5 6", b" 5, 6", b" 6, 5", b" 5,6",
    b" 5.0", b" 5.", b" .5", b" 5e0", b" 5E0", b" 5;", b" 5;x", b" 5a", b" a5", b" five", b" \xd9\xa5", b" \xef\xbc\x95", b' "5"', b" '5'",
    b" 5\x0b", b" \x0b5", b" \x0c5", b" 5\x0c", b" 5_0", b" _5", b" 5'", b" 1'000", b" 1,000", b" 5L", b" 5U", b" 5\xa0", b" \xa05", b" 5/1", b" (5)",
    b" 5 ;", b" 5=5", b" NaN", b" inf", b" null", b" -1", b" --5", b" +-5", b" 5-", b" 5+0", b" %35", b" \\5", b" 5\\", b" 5\x7f", b" 5\x1f", b" 5,",
    b" ,5", b" ,", b" 5,,5", b" 5 ,x", b" 5#", b" $5", b" 18446744073709551616", b" 18446744073709551621", b" 18446744073709551615000005",
    b" 36893488147419103237", b" 340282366920938463463374607431768211461", b" " + b"9" * 100, b" " + b"9" * 1000)

_LENGTHS_EITHER = (b" 05", b" 005", b" 0000000000000000000000000000005", b"\t5", b" 5\t", b" \t5 \t", b" 5, 5", b" 5,5", b" 5 , 5", b" 5,5,5",
                   b" 5\0", b"\x005", b"\r\n 5", b" 5\r\n ", b"\r\n\t5")
_LENGTHS_LARGE = (b"9223372036854775807", b"9223372036854775808", b"18446744073709551615", b"4294967301", b"1099511627776", b"999999999999999999",
                  b"4294967295", b"2147483648")


def _lengths():
    for line in (b"Content-Length: 5", b"content-length: 5", b"CONTENT-LENGTH: 5", b"Content-Length:5", b"Content-Length:   5   "):
        CASES.request(named(line), "9110 8.6", MUST, post(line, body=b"hello"), HELLO)
    for value in _LENGTHS_REFUSED:
        name = f"Content-Length:{named(value) if len(value) < 60 else f' 9 x {len(value) - 1}'}"
        CASES.request(name, "9112 6.3", HARDENING if value in (b" 5,", b" ,5", b" 5,,5") else MUST,
                      post(b"Content-Length:" + value, body=b"hello"), refuse(400, 413, 431),
                      *((HELLO,) if value in (b" 5,", b" ,5", b" 5,,5") else ()))
    for value in _LENGTHS_EITHER:
        CASES.request(f"Content-Length:{named(value)}", "9112 6.3", MUST, post(b"Content-Length:" + value, body=b"hello"),
                      refuse(400), forward(("POST", "/te", b"hello")))
    for value in _LENGTHS_LARGE:
        CASES.request(f"Content-Length: {value.decode()}, and 5 bytes", "9110 8.6", MUST,
                      post(b"Content-Length: " + value, body=b"hello"), dropped(), ends=True, follow=False)
    for lines, allow in (
            ((b"Content-Length: 5", b"Content-Length: 5"), (refuse(400), HELLO)),
            ((b"Content-Length: 5", b"X: y", b"content-length: 5"), (refuse(400), HELLO)),
            ((b"Content-Length: 5",) * 3, (refuse(400), HELLO)),
            ((b"Content-Length: 5", b"Content-Length: 05"), (refuse(400), HELLO)),
            ((b"Content-Length: 5", b"Content-Length: 6"), (refuse(400),)),
            ((b"Content-Length: 6", b"Content-Length: 5"), (refuse(400),)),
            ((b"Content-Length: 0", b"Content-Length: 5"), (refuse(400),)),
            ((b"Content-Length: 5", b"Content-Length: 0"), (refuse(400),)),
            ((b"Content-Length: 5", b"Content-Length:"), (refuse(400),)),
            ((b"Content-Length:", b"Content-Length: 5"), (refuse(400),)),
            ((b"Content-Length: 5", b"Content-Length: x"), (refuse(400),)),
            ((b"Content-Length: 5", b"Content-Length: +5"), (refuse(400),)),
            ((b"Content-Length: 5, 5", b"Content-Length: 5"), (refuse(400), HELLO))):
        CASES.request("twice: " + named(b"; ".join(lines)), "9112 6.3", MUST, post(*lines, body=b"hello"), *allow)
    # Names that are nearly Content-Length.  By the letter there is no body, and what follows is a request of its own.
    inner = b"GET /inner HTTP/1.1\r\nHost: a.test\r\n\r\n"
    no_body = forward(("POST", "/te", b""), ("GET", "/inner", b""))
    for text in (b"Content_Length", b"Content.Length", b"ContentLength", b"X-Content-Length", b"Content-Length-", b"-Content-Length", b"Content--Length"):
        CASES.request(f"named {named(text)}", "9110 5.1", HARDENING, post(text + b": %d" % len(inner), body=inner), no_body, refuse(400))
    for text in (b"Content-Length ", b"Content-Length\t", b"Content Length", b"Content-Length\0", b"\0Content-Length", b"\x0bContent-Length",
                 b"Content-Length\xa0", b'"Content-Length"', b"Content-Length:", b"", b" ", b"Content-Length;"):
        allow = (refuse(400),)
        CASES.request(f"named {named(text)!r}", "9112 5.1", MUST if text.strip(b" \t") != text else SHOULD,
                      post(text + b": %d" % len(inner), body=inner), *allow)
    for blank in (b" ", b"\t"):
        CASES.request(f"folded {named(blank)}Content-Length", "9112 5.2", MUST,
                      post(b"X: y\r\n" + blank + b"Content-Length: %d" % len(inner), body=inner), refuse(400), no_body)


def _attacks():
    """The classic pairs: one side believes Content-Length, the other Transfer-Encoding."""
    closes = {"keep": False}
    inner = b"GET /inner HTTP/1.1\r\nHost: a.test\r\n\r\n"
    for length in (0, 3, 6, 44, 1000):
        for order in (0, 1):
            lines = (b"Content-Length: %d" % length, b"Transfer-Encoding: chunked")
            lines = lines if order == 0 else lines[::-1]
            CASES.request(f"CL.TE, length {length}, {'length' if order == 0 else 'coding'} first", "9112 6.1", MUST,
                          post(*lines, body=b"0\r\n\r\nG"), refuse(400), forward(("POST", "/te", b""), **closes))
            CASES.request(f"CL.TE, inner request, length {length}, {'length' if order == 0 else 'coding'} first", "9112 6.1", MUST,
                          post(*lines, body=b"0\r\n\r\n" + inner), refuse(400), forward(("POST", "/te", b""), **closes))
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(inner), inner)
            CASES.request(f"TE.CL, length {length}, {'length' if order == 0 else 'coding'} first", "9112 6.1", MUST, post(*lines, body=body),
                          refuse(400), forward(("POST", "/te", inner), **closes))
    for first, second in ((b"chunked", b"x"), (b"x", b"chunked"), (b"chunked", b"identity"), (b"identity", b"chunked")):
        lines = (b"Content-Length: 4", b"Transfer-Encoding: " + first, b"Transfer-encoding: " + second)
        allow = [refuse(*BAD)]
        if first == b"identity":
            allow.append(forward(("POST", "/te", inner), **closes))
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(inner), inner)
        CASES.request(f"TE.TE, {first.decode()} and {second.decode()}", "9112 6.1", MUST, post(*lines, body=body), *allow)
    for method in (b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"PUT", b"PATCH", b"FOO"):
        text = method.decode()
        CASES.request(f"CL.0 with {text}", "9112 6.3", MUST, post(b"Content-Length: %d" % len(inner), body=inner, method=method),
                      forward((text, "/te", inner)), *((refuse(),) if method in (b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"FOO") else ()))
        CASES.request(f"0.CL with {text}", "9112 6.3", MUST, post(b"Content-Length: 0", body=inner, method=method),
                      forward((text, "/te", b""), ("GET", "/inner", b"")), *((refuse(),) if method == b"FOO" else ()))
        CASES.request(f"chunks with {text}", "9112 6.3", MUST, post(b"Transfer-Encoding: chunked", body=CHUNKS, method=method),
                      forward((text, "/te", b"hello")), *((refuse(),) if method in (b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"FOO") else ()))
        CASES.request(f"no framing with {text}", "9112 6.3", MUST, post(method=method), forward((text, "/te", b"")),
                      *((refuse(411, 501, 405, 400, keep=None),) if method not in (b"GET", b"HEAD") else ()))
    for minor, lines, allow in (
            (0, (b"Transfer-Encoding: chunked",), (refuse(*BAD), forward(("POST", "/te", b"hello"), keep=False),
                                                NO_BODY_THEN_REFUSED, forward(("POST", "/te", b""), keep=False))),
            (0, (b"Transfer-Encoding: chunked", b"Connection: keep-alive"), (refuse(*BAD), forward(("POST", "/te", b"hello"), keep=False))),
            (0, (b"Content-Length: 15", b"Transfer-Encoding: chunked"), (refuse(*BAD), forward(("POST", "/te", b"hello"), keep=False))),
            (0, (b"Content-Length: 15", b"Transfer-Encoding: chunked", b"Connection: keep-alive"),
             (refuse(*BAD), forward(("POST", "/te", b"hello"), keep=False))),
            (0, (b"Transfer-Encoding: identity", b"Content-Length: 15"), (refuse(*BAD),))):
        raw = post(*lines, body=CHUNKS).replace(b"HTTP/1.1", b"HTTP/1.%d" % minor)
        CASES.request(f"HTTP/1.0 with {named(b'; '.join(lines))}", "9112 6.1", MUST, raw, *allow)


_spellings()
_lengths()
_attacks()
