# SPDX-License-Identifier: Apache-2.0
"""Request lines, targets and Host.  RFC 9112 sections 2.3 and 3, RFC 9110 sections 4, 7.2 and 9."""
from case import HARDENING, MUST, SHOULD, Table, forward, refuse

CASES = Table()
LINE = (400, 501, 505)


def line(first, *fields, host=b"a.test"):
    return b"\r\n".join((first, *((b"Host: " + host,) if host is not None else ()), *fields, b"", b""))


def ok(target="/tg", method="GET", **more):
    return forward((method, target, b""), **more)


def _request_lines():
    for name, first in (
            ("two spaces behind the method", b"GET  /tg HTTP/1.1"), ("two spaces before the version", b"GET /tg  HTTP/1.1"),
            ("tab behind the method", b"GET\t/tg HTTP/1.1"), ("tab before the version", b"GET /tg\tHTTP/1.1"), ("space first", b" GET /tg HTTP/1.1"),
            ("tab first", b"\tGET /tg HTTP/1.1"), ("space last", b"GET /tg HTTP/1.1 "), ("tab last", b"GET /tg HTTP/1.1\t"),
            ("VT behind the method", b"GET\x0b/tg HTTP/1.1"), ("FF behind the method", b"GET\x0c/tg HTTP/1.1")):
        CASES.request(f"request line: {name}", "9112 3", HARDENING, line(first), refuse(*LINE), ok())  # 3: a recipient MAY parse on white space
    for name, first in (
            ("no version", b"GET /tg"), ("no target", b"GET HTTP/1.1"), ("no target, two spaces", b"GET  HTTP/1.1"), ("method alone", b"GET"),
            ("empty method", b" /tg HTTP/1.1"), ("four words", b"GET /tg /x HTTP/1.1"), ("a space in the target", b"GET /t g HTTP/1.1"),
            ("words behind the version", b"GET /tg HTTP/1.1 x"), ("two versions", b"GET /tg HTTP/1.1 HTTP/1.1"), ("no space before the version", b"GET /tgHTTP/1.1"),
            ("commas for spaces", b"GET,/tg,HTTP/1.1"), ("CR for a space", b"GET\r/tg HTTP/1.1"), ("NUL for a space", b"GET\0/tg HTTP/1.1"),
            ("a header in its place", b"Host: a.test")):
        CASES.request(f"request line: {name}", "9112 3", MUST if "CR" in name else SHOULD, line(first), refuse(*LINE, silent=name == "no version"),
                      *((refuse(*LINE),) if name != "no version" else ()))
    for version in (b"HTTP/1.2", b"HTTP/1.9"):
        CASES.request(f"version {version.decode()}", "9110 2.5", SHOULD, line(b"GET /tg " + version), ok(keep=None), refuse(400, 505, keep=None))
    for version in (b"HTTP/2.0", b"HTTP/0.9", b"HTTP/3.0", b"HTTP/9.9", b"HTTP/0.0", b"HTTP/2", b"HTTP/1", b"HTTP/1.", b"HTTP/.1", b"HTTP/1.1x", b"http/1.1", b"Http/1.1",
                    b"HTTP/01.1", b"HTTP/1.01", b"HTTP/1.10", b"HTTP/11.1", b"HTTP/1.-1", b"HTTP/+1.1", b"HTTP/1,1", b"HTTP/1.1.1", b"HTTP /1.1", b"HTTP/ 1.1",
                    b"HTTP/1 .1", b"HTTP-1.1", b"HTTP\\1.1", b"HTTPS/1.1", b"HTP/1.1", b"XHTTP/1.1", b"RTSP/1.0", b"ICE/1.0", b"/1.1", b"1.1", b"HTTP", b"HTTP/",
                    b"HTTP/x.y", b"HTTP/1.x", b"HTTP/1.1;", b"HTTP/1.1/", b"HTTP/1.\xb2", b"HTTP/18446744073709551617.1", b"HTTP/1.4294967297"):
        CASES.request(f"version {version.decode('latin-1')}", "9112 3", SHOULD, line(b"GET /tg " + version), refuse(400, 501, 505))
    for method in ("get", "Get", "gET", "FOO", "QUERY", "PROPFIND", "M-SEARCH", "X" * 20, "PRI", "SOURCE"):
        CASES.request(f"method {method}", "9110 9.1", MUST, line(method.encode() + b" /tg HTTP/1.1"), ok(method=method),
                      refuse(400, 405, 501, 505, keep=None))
    for size in (200, 70_000):
        CASES.request(f"method of {size} bytes", "9112 3", SHOULD, line(b"X" * size + b" /tg HTTP/1.1"),
                      refuse(400, 405, 413, 414, 431, 501, keep=None), ok(method="X" * size))
    CASES.request("target of 8000 bytes", "9112 3", SHOULD, line(b"GET /" + b"x" * 7999 + b" HTTP/1.1"), ok("/" + "x" * 7999), refuse(414))
    CASES.request("target of 1 MB", "9112 3", HARDENING, line(b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1"), refuse(400, 413, 414, 431))
    CASES.request("query of 1 MB", "9112 3", HARDENING, line(b"GET /tg?" + b"x" * 1_000_000 + b" HTTP/1.1"), refuse(400, 413, 414, 431))


def _targets():
    for target in ("/", "/tg", "/tg?x=y", "/?", "/tg?", "/tg?a=/../b", "/a//b", "/tg/", "/a%20b", "/%41", "/a:b", "/a@b", "/!$&'()*+,=~-._", "/tg?a=b?c", "/%e2%82%ac"):
        CASES.request(f"target {target}", "9112 3.2.1", MUST, line(b"GET %s HTTP/1.1" % target.encode()), ok(target),
                      *((refuse(400, keep=None),) if target == "/a//b" else ()))
    # What servers read in more than one way.  As it is, or not at all.
    for target in ("/./tg", "/../tg", "/a/../tg", "/a/./b", "/a/..", "/%2e/tg", "/%2e%2e/tg", "/a%2fb", "/a%2Fb", "/a%5cb", "/a\\b", "/a;b", "/a;b=c/d", "/a%00b",
                   "/a%0d%0ab", "/%", "/%2", "/%zz", "/%u0041", "/%c0%ae", "/a|b", "/a^b", "/a`b", "/{a}", "/[a]", "//a.test/tg", "///tg", "/a.test:80/", "/~a"):
        CASES.request(f"target {target}", "9110 4.1", HARDENING, line(b"GET %s HTTP/1.1" % target.encode()), ok(target), refuse(400, keep=None))
    for target in (b'/a"b', b"/a<b", b"/a>b", b"/a\xe9b", b"/a\xe2\x82\xacb", b"/\xff", b"/a\x80"):
        CASES.request(f"target {target!r}", "9112 3.2", SHOULD, line(b"GET " + target + b" HTTP/1.1"), refuse(400))
    for target in (b"/tg#x", b"/#", b"#x", b"/tg?a#b", b"http://a.test/#x"):
        CASES.request(f"fragment: {target.decode()}", "9112 3.2", SHOULD, line(b"GET " + target + b" HTTP/1.1"), refuse(400))
    for target in (b"tg", b"tg/x", b"?x", b"./tg", b"../tg", b"*x", b"**", b"a.test", b"a.test:80", b"a.test/tg", b":80", b"mailto:a@b", b"\\tg", b"%2ftg", b"@", b"http:",
                   b"http:/tg", b"http:tg", b"://a.test/", b"http//a.test/"):
        CASES.request(f"target {target.decode()}", "9112 3", SHOULD, line(b"GET " + target + b" HTTP/1.1"), refuse(400))
    CASES.request("GET *", "9112 3.2.4", SHOULD, line(b"GET * HTTP/1.1"), refuse(400))
    CASES.request("POST *", "9112 3.2.4", SHOULD, line(b"POST * HTTP/1.1", b"Content-Length: 0"), refuse(400))
    CASES.request("OPTIONS *", "9112 3.2.4", MUST, line(b"OPTIONS * HTTP/1.1"), ok("*", "OPTIONS"), refuse(400, 405, 501, keep=None))
    CASES.request("OPTIONS in absolute form without path", "9112 3.2.4", SHOULD, line(b"OPTIONS http://a.test HTTP/1.1"), ok("*", "OPTIONS"),
                  ok("http://a.test", "OPTIONS"), refuse(400, 405, 501, keep=None))
    for target in (b"a.test:443", b"a.test:80", b"a.test", b"/tg", b"http://a.test/", b"*", b":443", b"a.test:0", b"a.test:99999", b"u@a.test:443", b"[::1]:443"):
        CASES.request(f"CONNECT {target.decode()}", "9110 9.3.6", HARDENING, line(b"CONNECT " + target + b" HTTP/1.1"), refuse(keep=None))


def _absolute():
    for target, path in (("http://a.test/tg", "/tg"), ("http://a.test", "/"), ("http://a.test/", "/"), ("http://a.test?x=y", "/?x=y"), ("HTTP://a.test/tg", "/tg"),
                         ("http://A.TEST/tg", "/tg"), ("http://a.test/tg?x=http://b.test/", "/tg?x=http://b.test/"), ("http://a.test//tg", "//tg")):
        level = MUST if target not in ("HTTP://a.test/tg", "http://a.test//tg", "http://a.test?x=y") else HARDENING
        more = (refuse(400),) if level == HARDENING else ()
        CASES.request(f"absolute form {target}", "9112 3.2.2", level, line(f"GET {target} HTTP/1.1".encode()), ok(path), ok(target), *more)
    # Host is to be ignored or the request refused; the target's host is the one that counts.
    agrees = {"present": (("Host", b"a.test"),)}
    for host in (b"b.test", b"a.test.b", b"a.test:81", b"b.test:80", b"", b"a", b"A.TEST"):
        CASES.request(f"absolute form to a.test, Host {host.decode()!r}", "9112 3.2.2", MUST, line(b"GET http://a.test/tg HTTP/1.1", host=host), refuse(400), ok(**agrees),
                      *((ok(), ok("http://a.test/tg")) if host == b"A.TEST" else ()), ok("http://a.test/tg", **agrees))
    CASES.request("absolute form with port, Host without", "9112 3.2.2", MUST, line(b"GET http://a.test:81/tg HTTP/1.1"), refuse(400),
                  ok(present=(("Host", b"a.test:81"),)), ok("http://a.test:81/tg", present=(("Host", b"a.test:81"),)))
    CASES.request("absolute form with the default port, Host without", "9112 3.2.2", HARDENING, line(b"GET http://a.test:80/tg HTTP/1.1"), refuse(400), ok(),
                  ok("http://a.test:80/tg"))
    CASES.request("absolute form, no Host", "9112 3.2", MUST, line(b"GET http://a.test/tg HTTP/1.1", host=None), refuse(400))
    CASES.request("absolute form, two Hosts", "9112 3.2", MUST, line(b"GET http://a.test/tg HTTP/1.1", b"Host: a.test"), refuse(400))
    for target in (b"http://", b"http:///", b"http:///tg", b"http://:80/", b"http://u@a.test/tg", b"http://u:p@a.test/tg", b"http://@a.test/", b"http://a.test@b.test/", b"http://a.test:/",
                   b"http://a.test:0/", b"http://a.test:65536/", b"http://a.test:x/", b"http://a.test:-1/", b"http://a.test:80:80/", b"http://[::1/", b"http://[x]/",
                   b"http://a.test\\b.test/", b"http://a.test,b.test/", b"http://a.test%00/", b"http://a..test/", b"http://.a.test/", b"http://a_b.test:+80/"):
        CASES.request(f"absolute form {target.decode()}", "9110 4.2", MUST if target in (b"http://", b"http:///", b"http:///tg", b"http://:80/") else
                      HARDENING if target in (b"http://a.test:0/", b"http://a.test:65536/", b"http://a..test/", b"http://.a.test/", b"http://a.test:/", b"http://a.test%00/",
                                              b"http://a.test,b.test/") else SHOULD,
                      line(b"GET " + target + b" HTTP/1.1"), refuse(400))
    for target in (b"ftp://a.test/", b"file:///etc/passwd", b"gopher://a.test/", b"javascript:alert(1)", b"ws://a.test/", b"x://a.test/", b"https2://a.test/"):
        CASES.request(f"absolute form {target.decode()}", "9110 7.1", HARDENING, line(b"GET " + target + b" HTTP/1.1"), refuse(400, 421))
    CASES.request("absolute form https://a.test/tg on a plain connection", "9110 4.3.3", HARDENING, line(b"GET https://a.test/tg HTTP/1.1"), refuse(400, 421), ok(),
                  ok("https://a.test/tg"))


def _hosts():
    for host in (b"a.test", b"a.test:8080", b"A.Test", b"127.0.0.1", b"127.0.0.1:80", b"[::1]", b"[::1]:8080", b"[2001:db8::1]", b"localhost", b"a-b.test", b"xn--bcher-kva.test"):
        CASES.request(f"Host {host.decode()}", "9110 7.2", MUST, line(b"GET /tg HTTP/1.1", host=host), ok())
    for host in (b"a_b.test", b"a.test.", b"_a.test", b"a.test:08080", b"a.test:1", b"a.test:65535", b"-a.test", b"1", b"0x7f.1", b"a.test:", b"a!b", b"a%41.test", b"a~b", b"a*b",
                 b"[v1.x]", b"[::ffff:1.2.3.4]", b"a.test:80 "):
        CASES.request(f"Host {host.decode()!r}", "9110 7.2", HARDENING, line(b"GET /tg HTTP/1.1", host=host), ok(), refuse(400))
    for host in (b"a.test b.test", b"a.test/", b"a.test/b", b"http://a.test", b"http://a.test/", b"u@a.test", b"u:p@a.test", b"@a.test", b"a.test@b.test", b"a.test?x",
                 b"a.test#x", b"a.test:x", b"a.test:80x", b"a.test:-80", b"a.test:+80", b"a.test:80:80", b"a.test: 80", b"a.test :80", b"::1", b"[::1", b"::1]", b"[::1]x", b"[::1]80",
                 b"[]", b"[x]", b"[::1%25eth0]", b"[1.2.3.4]", b"a.test\\b", b"a.test\t", b"\ta.test\tb", b"a.test\0", b"a.test\x01", b"a.test\xe9", b"a.test\x7f",
                 b'"a.test"', b"<a.test>", b"a.test|b", b"a.test^", b"a.test`", b"{a}", b"a.test%", b"a.test%0d", b"*/", b"/", b"\\", b"a.test,b.test", b"a.test, b.test"):
        lenient = (b"a.test\t", b"a.test,b.test", b"a.test%0d", b"[::1%25eth0]")
        CASES.request(f"Host {host!r}", "9110 7.2", HARDENING if host in lenient else MUST, line(b"GET /tg HTTP/1.1", host=host), refuse(400),
                      *((ok(),) if host in lenient[:2] else ()))
    for host in (b"a.test:0", b"a.test:65536", b"a.test:99999", b"a.test:4294967376", b"a.test:18446744073709551696", b"a..test", b".a.test", b"..", b".", b"a" * 300, b":80", b":"):
        CASES.request(f"Host {host.decode() if len(host) < 40 else 'of 300 bytes'}", "9110 7.2", HARDENING, line(b"GET /tg HTTP/1.1", host=host), refuse(400, 431))
    CASES.request("no Host", "9112 3.2", MUST, line(b"GET /tg HTTP/1.1", host=None), refuse(400))
    CASES.request("no Host, other headers", "9112 3.2", MUST, line(b"GET /tg HTTP/1.1", b"X: y", host=None), refuse(400))
    CASES.request("empty Host", "9112 3.2", HARDENING, line(b"GET /tg HTTP/1.1", host=b""), refuse(400), ok())
    CASES.request("blank Host", "9112 3.2", HARDENING, line(b"GET /tg HTTP/1.1", host=b"   "), refuse(400), ok())
    for second in (b"Host: a.test", b"Host: b.test", b"host: a.test", b"HOST: b.test", b"Host:", b"Host: "):
        CASES.request(f"a second {second.decode()!r}", "9112 3.2", MUST, line(b"GET /tg HTTP/1.1", second), refuse(400))
        CASES.request(f"a second {second.decode()!r} far away", "9112 3.2", MUST, line(b"GET /tg HTTP/1.1", b"X: y", b"Y: z", second), refuse(400))
    for name in (b"X-Host", b"Host2", b"Hos", b"HTTP_HOST", b"Host-"):
        CASES.request(f"only {name.decode()}", "9112 3.2", MUST, line(b"GET /tg HTTP/1.1", name + b": a.test", host=None), refuse(400))
    for name in (b" Host", b"Host ", b"\tHost", b"Host\0", b"\0Host", b"Host\x0b"):
        CASES.request(f"only {name!r}", "9112 3.2", MUST, line(b"GET /tg HTTP/1.1", name + b": a.test", host=None), refuse(400))
    CASES.request("HTTP/1.0 without Host", "9112 3.2", MUST, line(b"GET /tg HTTP/1.0", host=None), ok(keep=False))
    CASES.request("HTTP/1.0 with two Hosts", "9112 3.2", MUST, line(b"GET /tg HTTP/1.0", b"Host: b.test"), refuse(400))
    CASES.request("HTTP/1.0 with a bad Host", "9112 3.2", MUST, line(b"GET /tg HTTP/1.0", host=b"a b"), refuse(400))


_request_lines()
_targets()
_absolute()
_hosts()
