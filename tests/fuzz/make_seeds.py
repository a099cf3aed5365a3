#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_seeds.py [--check | --pages] - writes the inputs that were thought of, not found: tests/fuzz/corpus/<target>/seed-*.

Run it after a change to the tables below; what the fuzzers find beside them, scripts/fuzz --merge adds.  --check writes nothing: it
fails when the corpus is not what the tables say.  --pages takes over the configurations of conf/ and of docs/configuration.md as
they are (page-*), when they have something new to say; pages change often, so nothing holds the corpus to them.
"""
import pathlib
import re
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CLIENT_FIELDS = (b"Host: example.com:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\nCookie: sid=1; a=b\r\n"
                 b"Authorization: Bearer abc.def\r\nX-Forwarded-For: 10.0.0.1, ::1\r\n")

REQUESTS = [
    GET + b"\r\n",
    b"POST /v1/items?x=1&y=2 HTTP/1.1\r\n" + CLIENT_FIELDS + b"Content-Length: 5\r\n\r\nhello",
    b"\r\nGET http://example.com/a?b HTTP/1.1\r\nHost: example.com\r\n\r\n",
    b"\r\n\r\n" + GET + b"\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET / HTTP/0.9\r\n\r\n", b"GET / HTTP/2.0\r\n\r\n", b"GET /\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET  / HTTP/1.1\r\n\r\n", b"GET /  HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1 \r\n\r\n", b"GET /#f HTTP/1.1\r\n\r\n",
    b"GET /\x80 HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\nHost: a\n\n", b"GET / HTTP/1.1\r\nHost: a\n\r\n",
    GET + b" folded\r\n\r\n", GET + b"A: b\r\n\tc\r\n\r\n", GET + b"A : b\r\n\r\n", GET + b": b\r\n\r\n",
    GET + b"A: b\rc\r\n\r\n", GET + b"A: b\x00c\r\n\r\n", GET + b"A: b\x7f\r\n\r\n", GET + b"A\x00: b\r\n\r\n",
    GET + b"Content_Length: 3\r\n\r\n", GET + b"x_api_key: 1\r\n\r\n",
    GET + b"A: " + b"v" * 300 + b"\r\n\r\n", b"GET /" + b"a" * 600 + b" HTTP/1.1\r\n\r\n",
    GET + b"".join(b"F%d: " % i + b"v" * 150 + b"\r\n" for i in range(8)) + b"\r\n",
    GET + b"".join(b"F%d: v\r\n" % i for i in range(30)) + b"\r\n",
    GET + b"Connection: close, x-a\r\nX-A: 1\r\nKeep-Alive: 1\r\nUpgrade: h2c\r\nVia: 1.1 a\r\nTE: trailers\r\n\r\n",
    GET + b"A-Name-Of-More-Than-Sixteen-Bytes: a value of more than sixteen bytes\r\n\r\n",
]
RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"HTTP/1.1 200\r\n\r\n", b"HTTP/1.1 200 \r\n\r\n",
    b"HTTP/1.0 301 Moved\r\nLocation: /\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: w\r\n"
    b"Connection: upgrade\r\n\r\n\x81\x05hello", b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n2\r\nok\r\n0\r\n\r\n", b"HTTP/1.1 099 x\r\n\r\n", b"HTTP/1.1 600 x\r\n\r\n",
    b"HTTP/1.1 20 x\r\n\r\n", b"HTTP/1.1 200 a\x00b\r\n\r\n", b"HTTP/1.1 200 \xc3\xa9\r\n\r\n", b"HTTP/2.0 200 OK\r\n\r\n",
    b"HTTP/1.1  200 OK\r\n\r\n", b"ICY 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\nA: b\n\n",
    b"HTTP/1.1 204 x\r\n" + CHUNKED + b"\r\n", b"HTTP/1.1 200 x\r\nTransfer-Encoding: gzip\r\n\r\nabc",
    b"HTTP/1.1 204 x\r\nContent-Length: 3\r\n\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end",
    b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nServer: x\r\nDate: y\r\nAge: 1\r\n\r\n",
]
FRAMINGS = [
    b"Content-Length: 5\r\n\r\nhello", b"Content-Length: 05\r\n\r\nhello", b"Content-Length: +5\r\n\r\nhello",
    b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", b"Content-Length: 5, 5\r\n\r\nhello", b"Content-Length:\r\n\r\n",
    b"Content-Length: 9999999999999999999\r\n\r\n", b"Content-Length: 0\r\n\r\n", b"Content-Length: 5\t\r\n\r\nhello",
    CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\n", CHUNKED + b"Content-Length: 3\r\n\r\n0\r\n\r\n", CHUNKED + CHUNKED + b"\r\n0\r\n\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", b"Transfer-Encoding: xchunked\r\n\r\n", b"Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n",
    b"Content-Length: 0\r\nTransfer-Encoding:\r\n\r\n", b"Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n", b"Transfer-Encoding: identity\r\n\r\n",
    CHUNKED + b"\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\n", CHUNKED + b"\r\n0\r\nHost: b\r\n\r\n",
    b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx", b"Expect: 200-ok\r\n\r\n", b"Connection: close\r\n\r\n",
    b"Connection: keep-alive, x, Y\r\n\r\n", b"Connection: host\r\n\r\n", b"Connection: a b\r\n\r\n", b"Connection: content-length\r\n"
    b"Content-Length: 1\r\n\r\nx", b"Connection: " + b", ".join(b"o%d" % i for i in range(20)) + b"\r\n\r\n", b"Upgrade: h2c\r\n"
    b"Connection: upgrade\r\n\r\n", b"\r\nGET /next HTTP/1.1\r\n",
]
TARGETS = [
    (b"/", b"a"), (b"/a?b?c", b"a.b.:80"), (b"http://a", b"a"), (b"http://a?q", b"A"), (b"https://[::1]:8080/x", b"[::1]:8080"),
    (b"http://u@a/", b"a"), (b"http://a:0/", b"a:0"), (b"http://b/", b"a"), (b"ftp://a/", b"a"), (b"*", b"a"), (b"a", b"a"),
    (b"/", b"a:65536"), (b"/", b"a..b"), (b"/", b"1.2.3.4:1"), (b"/", b"[::1%25lo]"), (b"/", b"[v1.x]"), (b"/", b""), (b"/", b"a b"),
    (b"/", b"x" * 256), (b"http://" + b"y" * 256, b"y"), (b"/", b"a\t"), (b"/", b"_dmarc.a-b.c"),
]
BODIES = [
    b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\nGET", b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
    b"5;a\r\nhello\r\n0;b=c;d=\"e\\\"f\"\r\n\r\n", b"5;a=b;c=d\r\nhello\r\n0\r\n\r\n", b"5 ;a\r\nhello\r\n0\r\n\r\n", b"5;\r\nhello\r\n0\r\n\r\n",
    b"0\r\nX: y\r\nZ:\r\n\r\n", b"0\r\nContent-Length: 3\r\n\r\n", b"0\r\nIf-Match: x\r\n\r\n", b"0\r\n X: y\r\n\r\n", b"0\r\nX: y\n\r\n",
    b"0\r\n" + b"X: " + b"y" * 200 + b"\r\n\r\n", b"00000000000000005\r\nhello\r\n0\r\n\r\n", b"0000000000000005\r\nhello\r\n0\r\n\r\n",
    b"7fffffffffffffff\r\nx", b"8000000000000000\r\nx", b"ffffffffffffffff\r\n", b"-1\r\n", b"0x5\r\nhello\r\n", b"5\nhello\n0\n\n", b"5\r\nhelloX0\r\n\r\n",
    b"5\r\nhelloX\n0\r\n\r\n", b"5\r\nhello\rX", b"5\rXhello", b"0\r\n\n", b"0\r\n\rX", b"\r\n", b"g\r\n", b"1;" + b"e" * 80 + b"\r\nx\r\n0\r\n\r\n",
    b"1\r\nx\r\n" * 200 + b"0\r\n\r\n",
    b"".join(b"1;eeeeeeeeeeeeeeeeeeeeeeeeeeeee\r\nx\r\n" for _ in range(30)) + b"0\r\n\r\n",
]
PATHS = [
    b"", b"a/b", b"a//b///c", b"%61%2d%7e", b"%c3%a9", b"%2f", b"%5c", b"\\", b".", b"..", b"a/../b", b"a/./b", b"%2e%2e/", b"a/%2e", b"...",
    b"a;b", b"%3b", b"%00", b"%1f", b"%7f", b"%", b"%4", b"%zz", b"%252e%252e", b"%c0%ae", b"%e0%80%ae", b"%f0%80%80%af", b"%c0%af", b"%c1%9c",
    b"%2E%2F", b"a%20b", b"a b", b"\x80", b"%c3%28", b"a%3Fb%23c", b"{a}|^`[]", b"*", b"v1/:@!$&'()*+,=",
]
REPLIES = [
    b"+OK\r\n", b"-ERR no\r\n+x\r\n", b":42\r\n:-1\r\n", b"$-1\r\n*-1\r\n*0\r\n", b"$0\r\n\r\n$3\r\na\0b\r\n", b"*3\r\n:1\r\n$2\r\nab\r\n*1\r\n:7\r\n",
    b"*2\r\n:1\r\n", b"%1\r\n+a\r\n+b\r\n", b"HTTP/1.1 400 Bad Request\r\n", b":99999999999999999999\r\n", b"*2147483647\r\n", b"*65536\r\n:1\r\n",
    b"*65537\r\n", b"*-2\r\n", b"$-2\r\n", b"$65536\r\nabc", b"$9000\r\n" + b"x" * 9000 + b"\r\n", b"*1\r\n" * 7 + b":1\r\n", b"*1\r\n" * 9 + b":1\r\n",
    b"*200\r\n" + b":7\r\n" * 200, b"*4\r\n:1\r\n:0\r\n:1795338120\r\n:60\r\n", b"-NOSCRIPT No matching script.\r\n-LOADING x\r\n",
    b"$20\r\n# Server\r\nrole:mast\r\n", b"+" + b"y" * 3000, b"_\r\n", b"#t\r\n", b",1.5\r\n", b"(1\r\n", b":\r\n", b":1x\r\n", b"\r\n", b"$1\r\nab\r\n",
]
IDENTITIES = [
    b"SDK-HMAC-SHA256 Access=AK1, SignedHeaders=host, Signature=ff", b"SDK-HMAC-SHA256 Credential=AK1/20260101/x, Signature=f",
    b"SDK-HMAC-SHA256 Access=A, Access=B", b"Bearer abc.def", b"bearer  x y", b"Basic dTpw", b"sid=1; a=\"b%20c\"; sid=2", b"SID=x",
    b"key=a%20b+c&key=d", b"k%65y=%zz", b"key", b"10.0.0.1, 10.0.0.2:80, [2001:db8::1]:443", b"unknown, _hidden, 10.1.1.1",
    b"for=192.0.2.1;by=10.0.0.1;proto=http, for=\"[2001:db8::9]:47\"", b"for=\"_x\\\"y\"", b"10.0.0.1,\n10.0.0.2\n\n::ffff:10.0.0.3", b"EXAMPLE.com.:80",
    b"for=\"10.0.0.1", b"for=\"a\\", b"for=[::1]", b"::1", b"1.2.3.4, 1.2.3.04", b"for=10.0.0.1;for=10.0.0.2", b",,,", b"\xff\xfe", b"a" * 200,
]
ROUTES = [
    b"GET a.example.com /v1/p1/search pub\np/v1/{project}/search *.example.com GET,POST pub\nx/v1/ example.com\nx/\n",
    b"POST EXAMPLE.com. /v1 x\nx/v1\nx/v1/\np/v1 example.com.\n", b"OPTIONS h * l\nx/\n  OPTIONS\n\n", b"GET h /a//b\np/a//b\nx/{a}/{b}\np/{a}/{a}\n",
    b"GET h /v1/\np/v1/\np/v1/{a}\nx/v1/{a}\nx/v1/{a}/\n",
    b"GET a.b.c /x/y/z\nx/x/{n} *.c\np/x/{n}/{m} *.b.c\nx/x a.b.c\np/x/y/z  PUT\n", b"GET [::1] /\np/ [::1]\nx/ [::1]:80\n",
    b"G h /%2Fa\np/%2Fa\np/%2fa\np/a{b}\np/.\np/a;b\nx/{0}/{1}/{2}/{3}/{4}/{5}/{6}/{7}/{8}\n", b"GET h /a/\np/a/\nx/a/ H\nx/a .h\nx/a h..i\nx/a *.\n",
]


def record(path, query=b"", host=b"h", method=b"GET", charges=0, text=b"q", verdict=2):
    def span(data):
        units = (len(data) + 15) // 16
        if len(data) < 0x80:
            return bytes([len(data)]) + data
        return bytes([0x80 + units]) + data.ljust(16 * units, b" ")
    out = bytes([2]) + struct.pack(">H", 200) + b"\x07" + struct.pack(">Q", 1_795_338_120_000_000)[1:] + struct.pack(">II", 1, 1)
    out += b"\x01\x05" * 7 + b"\x20\x01" * 8
    out += bytes([charges])
    for _ in range(charges):
        out += b"\x03\x00" + struct.pack(">I", 5) + b"\x11"
        for window in range(4):
            out += bytes([window]) + struct.pack(">HIIIIB", 0, 60, 1_795_338_120, 7, 60, window & 1)
        out += span(text)
    out += struct.pack(">I", 5) + bytes([verdict]) + struct.pack(">II", 9, 9) + b"\x01\x03"
    for value in (path, query, host, method, b"HTTP/1.1", b"parent", b"pub", text, b"app", b"127.0.0.1:1", b"id", b"done", b"bare_lf"):
        out += span(value)
    return out + b"\x03" + span(text) + span(b"\xff\x9b") + span(b"")


RECORDS = [
    record(b"/"), record(b"/a\"b\\c\n\x1b[31m\x00\x7f"), record(b"/\xc3\xa9\xff\xed\xa0\x80\xc2\x9b\xf0\x9f\x98\x80"),
    record(b"/" + b"a" * 1900, b"k=v&a\"b=c&&=x&" + b"n" * 100), record(b"/" + b"\x01" * 1900, b"&".join(b"k%d=v" % i for i in range(300)), b"\xff" * 600),
    record(b"/", charges=8, text=b"q" * 120), record(b"/", charges=8, text=b"\x02" * 120, verdict=6), record(b"/", charges=1, verdict=5),
    record(b"/", charges=3, verdict=8), record(b"*", b"", b"", b"M" * 80, 2, b"\xe2\x82\xac" * 40, 3),
]
NUMBER = struct.pack(">QH", 1_795_338_120_482_000, 64)
FORMATS = [NUMBER + text for text in (
    b"plain text of more than sixteen bytes", b"short", b"a\"b\\c/\b\f\n\r\t\x00\x1f\x7f", b"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", b"\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80",
    b"\xc2\x80\xc2\x9f\xc2\xa0", b"1.2.3.4", b"1.2.3.04", b"::", b"2001:db8::1:0:0:1", b"::ffff:1.2.3.4", b"1:2:3:4:5:6:7:8", b"fe80::1%lo", b"\xe2\x82", b"x" * 15 + b"\xff" * 20)]
FORMATS += [struct.pack(">QH", number, 7) + b"seven bytes \xff" for number in (0, 9, 10, 2**64 - 1, 253402300799, 951782400 * 10**6, 4102444800)]
CONFIGS = [
    b"", b"{}", b"{ // c\n \"a\": [1, 2,], /* x */ }", b"{\"a\": 1, \"a\": 2}", b"{\"\\ud83d\\ude00\": \"\\ud800\"}", b"{\"a\": 1e999, \"b\": -0, \"c\": 01}", b"[" * 40,
    b"{'a': True}", b"{\"a\" 1}", b"{\"a\": \"x\ny\"}", b"\xef\xbb\xbf{}", b"{} x", b"{\"a\": nul", b"/* open", b"{\"a\": \"\\u00zz\\q\"}", b"{\"a\": \"\xff\"}", b"# no\n{}",
    b"{\"lsiten\": [\":80\"], \"routes\": {}, \"workers\": \"two\"}", b"{\"listen\": [{\"address\": \"127.0.0.1:1\", \"nmae\": 1}], \"limits\": {\"body\": \"12 MB\"}}",
]


TOKENS = [
    b'{"token":{"expires_at":"2026-11-29T12:00:00.000000Z","project":{"id":"p1"}}}',
    b'{"token": {"methods": ["password"], "user": {"domain": {"id": "default", "name": "Default"}, "id": "u", "name": "n", "password_expires_at": null}, "audit_ids": ["a"], "expires_at": "2027-01-01T00:00:00.000000Z", "issued_at": "2026-11-28T12:00:00.000000Z", "project": {"domain": {"id": "default", "name": "Default"}, "id": "a6944d763bf64ee6a275f1263fae0352", "name": "admin"}, "is_domain": false, "roles": [{"id": "r", "name": "admin"}], "catalog": [{"endpoints": [{"id": "e", "interface": "public", "url": "http://127.0.0.1/"}], "type": "identity", "id": "c", "name": "keystone"}]}}\n',
    b'{"token":{"expires_at":"2026-11-29T12:00:00+00:00","project":{"id":"p\\u0031"}}}', b'{"token":{"expires_at":"2026-11-29T12:00:00Z","domain":{"id":"d"}}}',
    b'{"token":{"expires_at":"2026-02-30T12:00:00Z","project":{"id":"p\\u0000"}}}', b'{"token":{"project":null}}', b"2026-11-28T12:00:00.000000Z", b"1999-12-31T23:59:60Z",
    b'{"token":' * 100, b'{"token":{"token":1,"token":2}}', b"",
]


def configurations():
    texts = [path.read_bytes() for path in sorted((ROOT / "conf").glob("*.json"))]
    texts += [text.encode() for text in re.findall(r"```json\w*\n(\{.*?)```", (ROOT / "docs" / "configuration.md").read_text(), re.DOTALL)]
    return texts


SEEDS = {}


def write(target, inputs):
    SEEDS[target] = {f"seed-{number:03}": data for number, data in enumerate(inputs)}


def put(target, kind, files):
    """These files and no others of their kind."""
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{kind}-*"):
        if old.name not in files:
            old.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def differing(target):
    """What the corpus has otherwise than the tables."""
    there = {path.name: path.read_bytes() for path in (HERE / "corpus" / target).glob("seed-*")}
    names = sorted(there.keys() | SEEDS[target].keys())
    return [f"tests/fuzz/corpus/{target}/{name}" for name in names if there.get(name) != SEEDS[target].get(name)]


def proxies():
    """Begins of connections with a PROXY header, good and bad."""
    signature, pair = b"\r\n\r\n\0\r\nQUIT\n", b"\xc0\0\2\1\xc6\x33\x64\2\4\xd2\1\xbb"
    lines = [b"TCP4 192.0.2.1 198.51.100.2 1234 443", b"TCP6 2001:db8::7 ::1 1 2", b"UNKNOWN", b"UNKNOWN a b", b"TCP4 ::1 ::1 1 2",
             b"TCP4 192.0.2.1 198.51.100.2 01 2"]
    parts = [b"\x21\x11\0\x0c" + pair, b"\x20\0\0\0", b"\x21\x21\0\x24" + b"\x20\1" * 18, b"\x21\x11\0\x13" + pair + b"\3\0\4abcd",
             b"\x21\x11\0\x0f" + pair + b"\4\0\0", b"\x21\x11\xff\xff", b"\x31\x11"]
    return [b"PROXY " + line + b"\r\nGET /" for line in lines] + [signature + part + b"GET /" for part in parts] + [b"GET / HTTP/1.1\r\n"]


def log_lines():
    """Lines of access logs, whole and torn."""
    head = b'{"v":1,"boot":"0a1b2c3d","seq":17,"ts":"2026-11-29T01:00:00.250Z"'
    window = b'{"q":"user","w":"5 minute","start":1795914000,"charged":1,"used":3,"limit":5,"reset_s":20,"source":"lease","refunded":1,"added":2}'
    slot = b'{"q":"slots","w":"in_flight","charged":1,"used":2,"limit":3,"source":"local","refused":true,"mode":"shadow"}'
    request = head + (b',"gen":2,"id":"00","client_ip":"203.0.113.7","method":"GET","host":"a","path":"/\\u00e9\\"","listener":"l","route":"r",'
                      b'"upstream":"u","server":"s","tries":1,"reused":false,"decision":"refuse","refused_by":["user/5 minute"],"tier":"free","near":true,'
                      b'"cost":2,"subjects":{"user":"alice","ip":"2001:db8::/64"},"quotas":[' + window + b"," + slot + b'],"retry_after":20,"status":429,'
                      b'"bytes_out":12,"end":"refused","t_header":1,"t_store":2,"t_total":3')
    events = [b',"event":"start","version":"0.1.0","gen":1,"previous_boot":"99","previous_seq":4}', b',"event":"dropped","n":3,"from_seq":14}',
              b',"event":"reset","subject":"alice","identity":"user","quota":"user","generation":1,"was":[{"w":"minute","used":5}],"by":0}']
    values = [b'{"a":[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}', b'{"a":-1.5e+3,"b":[true,false,null],"c":"\\ud83d\\ude00\\ud83d","d":9007199254740993}', b"{}", b"[]", b'{"a":1}x']
    deep = [b'{"a":' + b"[" * depth + b"1" + b"]" * depth + b',"b":2}' for depth in (15, 16)]  # the deepest that is read, and beyond
    values += [*deep, b'{"\\u0061":1,"b":"c","d":[],"e":{"f":[{},"g"]}, "h" : null}']
    return [request + end for end in (b"}", b',"cut":true}', b',"cut":true,"bytes":true}', b"")] + [head + event for event in events] + values


FILTERED = (b'{"v":1,"seq":7,"path":"/a\\"b","route":"search","refused_by":["ip/minute"],"near":true,"cost":5,'
            b'"subjects":{"user":"alice"},"quotas":[{"q":"ip","status":1}],"status":429,"t_total":150000}\n')
FILTERS = ["", "route=search", "route != a|\"search\" & status >= 429", "t_total>100ms&t_total<1h", "subject=alice|bob", "refused_by=ip/minute",
           "path=/a\"b", "near=true&cost=5", "rotue=x", "status>x", "route>a", "route=", "route=\"a", "route=a&"]


def main():
    write("http_request", [bytes([37 * i & 255]) + data for i, data in enumerate(REQUESTS)])
    write("http_response", [bytes([37 * i & 255]) + data for i, data in enumerate(RESPONSES)])
    messages = [b"\x01" + data for data in REQUESTS] + [b"\x00" + data for data in RESPONSES] + [b"\x02" + data for data in RESPONSES]
    messages += [b"\x01POST /x HTTP/1.1\r\nHost: a\r\n" + data for data in FRAMINGS] + [b"\x00HTTP/1.1 200 OK\r\n" + data for data in FRAMINGS]
    messages += [b"\x01POST / HTTP/1.0\r\n" + data for data in FRAMINGS[:12]]
    messages += [b"\x01OPTIONS " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n" for target, host in TARGETS]
    messages += [b"\x01GET " + target + b" HTTP/1.0\r\n\r\n" for target, _ in TARGETS]
    write("http_framing", messages)
    write("http_body", [bytes([i, 3 * i & 255]) + data for i, data in enumerate(BODIES)])
    write("http_path", PATHS)
    write("store_redis_reply", [bytes([i & 15, 5]) + data for i, data in enumerate(REPLIES)])
    write("identity", IDENTITIES)
    write("identity_token", TOKENS)
    write("route_pattern", ROUTES)
    write("record_access", RECORDS)
    write("base_fmt", FORMATS)
    write("config", CONFIGS)
    write("net_proxy", proxies())
    write("logtool_line", log_lines())
    write("admin_filter", [expression.encode() + b"\n" + FILTERED for expression in FILTERS])
    write("plan", CONFIGS[-3:])
    if sys.argv[1:] == ["--check"]:
        faults = [fault for target in SEEDS for fault in differing(target)]
        print("\n".join([*faults, "tests/fuzz/make_seeds.py writes them"]) if faults else "", end="\n" if faults else "")
        return 1 if faults else 0
    if sys.argv[1:] == ["--pages"]:
        for target in ("config", "plan"):
            put(target, "page", {f"page-{number:03}": data for number, data in enumerate(configurations())})
        return 0
    for target, seeds in SEEDS.items():
        put(target, "seed", seeds)
    return 0


sys.exit(main())
