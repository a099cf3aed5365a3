# SPDX-License-Identifier: Apache-2.0
"""What a route changes of what it passes on: the path's beginning and header lines, exactly that, and nothing where no rule is."""
import base64
import re

import pytest
from harness import http
from harness.configs import forward
from harness.ports import take_port
from harness.tls import Authority, client_context
from harness.upgrade import accept_of, handshake, switching



def basic(user):
    return ("Authorization", "Basic " + base64.b64encode(user + b":x").decode())


def head_of(message):
    """The head without what differs each time: the id."""
    return re.sub(rb"[0-9a-f]{32}-\d+-[^\r]+", b"ID", message.raw_head)


def routed(server, **route):
    return forward(server, route={"prefix": "/", **route})


# ---- paths

STRIP = {"strip_prefix": "/api"}
ADD = {"add_prefix": "/v2"}
ALL = ["encoded_slash", "backslash", "parameters", "double_encoding"]

PATHS = [
    (STRIP, b"/api/v1?x=/api&y=%zz#"[:-1], b"/v1?x=/api&y=%zz"),
    (STRIP, b"/api", b"/"),
    (STRIP, b"/api?", b"/?"),
    (STRIP, b"/api?q", b"/?q"),
    (STRIP, b"/api/", b"/"),
    (STRIP, b"/%61pi/a%2Db", b"/a%2Db"),
    (STRIP, b"//api///a//b", b"/a//b"),
    (STRIP, b"/api//evil.example/x", b"/evil.example/x"),
    (STRIP, b"/apis", b"/apis"),
    (STRIP, b"/other", b"/other"),
    (STRIP, b"/?/api/x", b"/?/api/x"),
    (STRIP, b"http://test.local/api/x?y", b"/x?y"),
    (STRIP, b"http://test.local/%61pi", b"/"),
    (STRIP, b"http://test.local?q", b"/?q"),
    (STRIP, b"/api%2fx", 400),
    (STRIP, b"/x/../api/y", 400),
    (STRIP, b"/api/../y", 400),
    (STRIP, b"/api;a/y", 400),
    ({"strip_prefix": "/api/"}, b"/api/x", b"/x"),
    (ADD, b"/x?y", b"/v2/x?y"),
    (ADD, b"/", b"/v2/"),
    (ADD, b"/?q", b"/v2/?q"),
    (ADD, b"//x", b"/v2//x"),
    (ADD, b"http://test.local/x", b"/v2/x"),
    (ADD, b"http://test.local?q", b"/v2/?q"),
    ({**STRIP, **ADD}, b"/api/x%2f", 400),
    ({**STRIP, **ADD}, b"/api/x%41", b"/v2/x%41"),
    ({**STRIP, **ADD}, b"/api", b"/v2"),
    ({**STRIP, **ADD}, b"/api?q", b"/v2?q"),
    ({**STRIP, "allow_path": ALL}, b"/api%2fx", b"/api%2fx"),
    ({**STRIP, "allow_path": ALL}, b"/api/%2fx", b"/%2fx"),
    ({**STRIP, "allow_path": ALL}, b"/api;a/y;b", b"/y;b"),
    ({**STRIP, "allow_path": ALL}, b"/;/api//;x/y", b"/y"),
    ({**STRIP, "allow_path": ALL}, b"/%2561pi/y", b"/%2561pi/y"),
    ({**STRIP, "allow_path": ALL}, b"/api\\y", b"/api\\y"),
    ({"strip_prefix": "/t/{tenant}", "prefix": "/t/"}, b"/t/a%62/x", b"/x"),
]


@pytest.mark.parametrize("route, target, expected", PATHS, ids=[f"{n}-{row[1].decode()}" for n, row in enumerate(PATHS)])
def test_path_is_cut_in_the_clients_bytes_or_refused(start, upstream, connect, route, target, expected):
    server = upstream()
    proxy = start(routed(server, **route))
    client = connect(proxy)
    client.send(b"GET " + target + b" HTTP/1.1\r\nHost: test.local\r\nX-A:  b \r\n\r\n")
    reply = client.read()
    if expected == 400:
        assert reply.status == 400 and not server.requests
        return
    assert reply.status == 200
    assert head_of(server.requests[0]) == (
        b"GET " + expected + b" HTTP/1.1\r\nHost: test.local\r\nX-A:  b \r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n"
        b"X-Forwarded-Host: test.local\r\nVia: 1.1 sluice\r\nX-request-id: ID\r\n\r\n")


def test_log_and_quotas_see_the_path_of_the_client(start, upstream, connect):
    server = upstream()
    config = forward(server, quotas={"who": {"key": ["who"], "limits": {"hour": 1}}}, identities={"who": {"from": ["path:tenant"]}}, subject_secret="s",
                     route={"path": "/t/{tenant}/x", "strip_prefix": "/t/{any}"})
    del config["routes"][0]["prefix"]
    proxy = start(config)
    replies = [connect(proxy).ask("GET", target) for target in ("/t/a/x?q", "/t/%61/x", "/t/b/x")]
    assert [reply.status for reply in replies] == [200, 429, 200]
    assert [seen.target for seen in server.requests] == ["/x?q", "/x"]
    assert sorted(line["path"] for line in proxy.requests(3)) == ["/t/a/x", "/t/a/x", "/t/b/x"]


def test_whole_server_and_old_clients(start, upstream, connect):
    """OPTIONS * has no path; a request of HTTP/1.0 gets its Host whether or not it is rewritten."""
    server = upstream()
    proxy = start(forward(server) | {"routes": [{"upstream": "app", **STRIP, **ADD, "request_headers": {"set": {"X-H": "[${host}]"}}}]})
    client = connect(proxy)
    for target in ("*", "http://test.local"):
        assert client.ask("OPTIONS", target).status == 200
    client.send(b"GET /api/x HTTP/1.0\r\n\r\n")
    assert client.read().status == 200
    assert [(seen.method, seen.target) for seen in server.requests] == [("OPTIONS", "*"), ("OPTIONS", "*"), ("GET", "/v2/x")]
    assert [seen["X-H"] for seen in server.requests] == ["[test.local]", "[test.local]", None]
    assert server.requests[2]["Host"] == server.address


def test_body_and_pipelined_requests_follow_a_rewritten_head(start, upstream, connect):
    server = upstream()
    client = connect(start(routed(server, **STRIP, **ADD, request_headers={"set": {"X-N": "1"}})))
    client.send(http.request("POST", "/api/a", body=b"x" * 70000) + http.request("POST", "/api/b", chunks=[b"12", b"345"]) + http.request("GET", "/api/c"))
    assert [client.read().status for _ in range(3)] == [200] * 3
    assert [(seen.target, seen.body, seen["X-N"]) for seen in server.requests] == [
        ("/v2/a", b"x" * 70000, "1"), ("/v2/b", b"12345", "1"), ("/v2/c", b"", "1")]


def test_it_is_rewritten_again_when_it_is_sent_again(start, upstream, connect):
    heads = []

    def serve(link):
        link.read_request()
        link.send(http.response())
        message = link.reader.request_head()  # of the second request nobody hears
        if message is not None:
            heads.append(head_of(message))
            link.close()

    server = upstream(serve)
    client = connect(start(routed(server, **STRIP, request_headers={"set": {"X-Client": "${client_ip}"}, "remove": ["X-Secret"]}, )))
    for _ in range(2):
        assert client.ask("GET", "/api/x", [("x-client", "liar"), ("X-Secret", "s")]).status == 200
    assert len(heads) == 1 and heads[0] == head_of(server.requests[1])
    assert server.requests[1].target == "/x" and server.requests[1]["X-Client"] == "127.0.0.1" and server.requests[1]["X-Secret"] is None


def test_upgrade_through_a_stripped_path(start, upstream, connect):
    def serve(link):
        link.send(switching(link.read_request()))
        link.send(link.sock.recv(100))

    server = upstream(serve)
    client = connect(start(routed(server, **STRIP, upgrade=["websocket"], request_headers={"set": {"X-U": "1"}}, response_headers={"set": {"X-D": "2"}})))
    client.send(handshake(path="/api/chat?x"))
    reply = client.read()
    assert (reply.status, reply["X-D"], reply["Sec-WebSocket-Accept"]) == (101, "2", accept_of(server.requests[0]["Sec-WebSocket-Key"]))
    assert (server.requests[0].target, server.requests[0]["X-U"], server.requests[0]["Upgrade"]) == ("/chat?x", "1", "websocket")
    client.send(b"ping")
    assert client.reader.take(4) == b"ping"


# ---- headers of requests

def test_exact_bytes_of_a_request(start, upstream, connect):
    server = upstream()
    proxy = start(routed(server, request_headers={
        "set": {"X-Client": "${client_ip}", "X-Sum": "${method} ${scheme}://${host}${path} by ${route} of ${upstream}", "X-None": "${certificate}", "X-Gone": ""},
        "add": {"x-tag": "two"}, "remove": ["X-Secret", "Cookie"]}))
    client = connect(proxy)
    client.send(b"GET /a//%62?c=d HTTP/1.1\r\nHost: Test.local:81\r\nx-CLIENT: 1\r\nX_Client: 2\r\nX-Tag: one\r\nX-Secrets: kept\r\nX-SECRET: 3\r\nX-None: 4\r\n"
                b"Cookie: a=b\r\nx-gone: 5\r\nX-Client: 6\r\nConnection: X-Sum, X-Client\r\nAccept: */*\r\n\r\n")
    assert client.read().status == 200
    assert head_of(server.requests[0]) == (
        b"GET /a//%62?c=d HTTP/1.1\r\nHost: Test.local:81\r\nX-Tag: one\r\nX-Secrets: kept\r\nAccept: */*\r\n"
        b"X-Client: 127.0.0.1\r\nX-Sum: GET http://Test.local/a/b by all of app\r\nx-tag: two\r\n"
        b"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: Test.local:81\r\nVia: 1.1 sluice\r\nX-request-id: ID\r\n\r\n")


def test_client_behind_a_trusted_proxy(start, upstream, connect):
    server = upstream()
    proxy = start(routed(server, request_headers={"set": {"X-Real-IP": "${client_ip}", "X-Peer": "${peer_ip}", "Forwarded": "for=${client_ip}"}})
                  | {"trusted_proxies": ["127.0.0.1"]})
    assert connect(proxy).ask("GET", "/", [("X-Forwarded-For", "1.2.3.4, 192.0.2.7"), ("X-Real-IP", "6.6.6.6"), ("Forwarded", "for=6.6.6.6")]).status == 200
    seen = server.requests[0]
    assert (seen["X-Real-IP"], seen["X-Peer"], seen["Forwarded"]) == ("192.0.2.7", "127.0.0.1", "for=192.0.2.7")


def test_identities_as_the_log_shows_them(start, upstream, connect):
    server = upstream()
    proxy = start(forward(
        server, subject_secret="s", identities={"user": {"from": ["basic_user"], "missing": "skip"}, "key": {"from": ["header:X-Key"], "missing": "shared"}},
        quotas={"u": {"key": ["user"], "limits": {"hour": 100}, "exempt": {"addresses": ["127.0.0.1"]}}, "k": {"key": ["key", "ip"], "limits": {"hour": 100}}},
        route={"request_headers": {"set": {"X-User": "${identity:user}", "X-Key-Hash": "${identity:key}", "X-Ip": "${identity:ip}", "X-Id": "${request_id}"}}}))
    client = connect(proxy)
    reply = client.ask("GET", "/", [basic(b"alice"), ("X-Key", "s3cret"), ("X-User", "root"), ("X-Key-Hash", "x")])
    seen = server.requests[0]
    line = proxy.line_of(reply)
    assert (seen["X-User"], seen["X-Ip"], seen["X-Key-Hash"]) == ("alice", "127.0.0.1", line["subjects"]["key"]) and len(seen["X-Key-Hash"]) == 22
    assert seen["X-Id"] == seen["X-request-id"][:32] == line["id"]
    assert client.ask("GET", "/", [("X-User", "root"), ("X-Key-Hash", "x")]).status == 200
    assert (server.requests[1]["X-User"], server.requests[1]["X-Key-Hash"]) == (None, None), "who is not known is not said to be somebody"


def test_who_calls_himself_like_another_is_not_forwarded_as_that_one(start, upstream, connect):
    """Counted as two, so the server is told of two: a name like a hash or an address stands for nobody else."""
    server = upstream()
    client = connect(start(forward(
        server, subject_secret="s", identities={"user": {"from": ["header:X-Key", "basic_user"], "missing": "ip"}, "plain": {"from": ["basic_user"], "missing": "skip"}},
        quotas={"u": {"key": ["user"], "limits": {"hour": 100}}, "p": {"key": ["plain"], "limits": {"hour": 100}}},
        route={"request_headers": {"set": {"X-User": "${identity:user}", "X-Plain": "${identity:plain}"}}})))

    def told(*fields):
        assert client.ask("GET", "/", fields).status == 200
        return server.requests[-1]["X-User"], server.requests[-1]["X-Plain"]

    key, address = told(("X-Key", "s3cret"))[0], told()[0]
    assert (len(key), address) == (22, "127.0.0.1")
    fakes = [key, address, "127.0.0.0/8"]
    fakes += [told(basic(name.encode()))[0] for name in fakes]
    shown = [told(basic(name.encode())) for name in fakes]
    assert len({key, address, *(user for user, _ in shown)}) == 2 + len(fakes), shown
    assert [plain for _, plain in shown] == fakes, "where nobody is shown so, nobody can be meant"
    assert told(basic(b"alice")) == ("alice", "alice")


HOSTILE = [b" root", b"root ", b"\xc3\xa9" * 20, b"a;b=\"c\", d", b"u" * 1024, b"u" * 1025]


def test_hostile_values_stay_within_their_line(start, upstream, connect):
    server = upstream()
    config = forward(server, subject_secret="s", identities={"user": {"from": ["basic_user"], "missing": "ip"}},
                     quotas={"u": {"key": ["user"], "limits": {"hour": 100}}}, limits={"request_line": "16KiB"},
                     route={"name": "all\r\nX-Evil: 1", "request_headers": {"set": {
                         "X-User": "${identity:user}", "X-Route": "${route}", "X-Path": "${path}", "X-Both": "r=${route};u=${identity:user}"}}})
    client = connect(start(config))
    for user in HOSTILE:
        assert client.ask("GET", "/", [basic(user), ("X-User", "liar"), ("X-Route", "liar")]).status == 200
    assert client.ask("GET", "/%0d%0aX-Evil:1", [basic(b"u")]).status == 400
    client = connect(client.sock.getpeername())
    for path in ("/" + "p" * 2047, "/" + "p" * 2048):
        assert client.ask("GET", path, [basic(b"u")]).status == 200
    sent = [None, None, "\xc3\xa9" * 20, "a;b=\"c\", d", "u" * 1024, None, "u", "u"]
    assert [seen["X-User"] for seen in server.requests] == sent
    assert {seen["X-Route"] for seen in server.requests} == {None}, "a name with a line break is no value"
    assert [seen["X-Both"] for seen in server.requests] == [user and f"r=;u={user}" for user in sent]
    assert [len(seen["X-Path"] or "") for seen in server.requests[-2:]] == [2048, 0]
    assert all("x-evil" not in seen.names() for seen in server.requests)


def test_a_trailer_cannot_bring_back_what_was_set_or_removed(start, upstream, connect):
    server = upstream()
    proxy = start(routed(server, request_headers={"set": {"X-Client": "${client_ip}"}, "remove": ["X-Secret"]}))
    for name in ("X-Client", "x_client", "x-secret", "X-Sum"):
        client = connect(proxy)
        client.send(http.request("POST", "/", chunks=[b"a"])[:-2] + f"{name}: 6.6.6.6\r\n\r\n".encode())
        assert client.read().status == (200 if name == "X-Sum" else 400), name
    assert [seen.trailers for seen in server.requests] == [[("X-Sum", "6.6.6.6")]]


def test_certificates_and_tls(start, upstream, connect, tmp_path):
    authority = Authority(tmp_path / "ca")
    server = upstream()
    tls = {**authority.issue("a.example").config, "client_certificates": {"verify": "optional", "ca": authority.file}}
    proxy = start({**routed(server, request_headers={"set": {"X-Cert": "sha256=${certificate}", "X-Scheme": "${scheme}"}}),
                   "listen": [{"address": f"127.0.0.1:{take_port()}", "tls": tls}]})
    pair = authority.issue("one", stem="one")
    for context, expected in ((client_context(authority, pair), "sha256=" + pair.fingerprint), (client_context(authority), None)):
        assert connect(proxy, tls=context, name="a.example").ask("GET", "/", [("X-Cert", "sha256=" + "0" * 64)]).status == 200
        assert (server.requests[-1]["X-Cert"], server.requests[-1]["X-Scheme"]) == (expected, "https")


# ---- headers of responses

def answering(fields, **kwargs):
    return lambda _: http.response(fields=[("Date", "D"), *fields], **kwargs)


def test_exact_bytes_of_a_response(start, upstream, connect):
    server = upstream(answer=answering([("Server", "backend/1"), ("X_By", "liar"), ("X-Tag", "one"), ("SERVER", "b"), ("Content-Type", "text/plain")], body=b"ok"))
    client = connect(start(routed(server, response_headers={
        "set": {"X-By": "${server}", "Strict-Transport-Security": "max-age=1", "X-Who": "${client_ip}"}, "add": {"X-Tag": "two"}, "remove": ["server"]})))
    reply = client.ask()
    assert head_of(reply) == (
        b"HTTP/1.1 200 OK\r\nDate: D\r\nX-Tag: one\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n"
        b"X-By: " + server.address.encode() + b"\r\nStrict-Transport-Security: max-age=1\r\nX-Who: 127.0.0.1\r\nX-Tag: two\r\n"
        b"X-request-id: ID\r\n\r\n")
    assert reply.body == b"ok"


def test_every_status_of_a_server_is_meant(start, upstream, connect):
    """Whatever the status; interim responses only lose lines; Location is the server's word."""
    def answer(message):
        status = int(message.target[1:])
        interim = http.response(103, "Early Hints", [("Link", "</x>"), ("X-Gone", "1")], length=False)
        return interim + http.response(status, "X", [("Location", "/api/elsewhere"), ("X-Gone", "2")], length=status not in (204, 304))

    client = connect(start(routed(upstream(answer=answer), response_headers={"set": {"X-New": "${method}"}, "remove": ["X-Gone"]})))
    for status in (200, 204, 301, 304, 404, 429, 500, 503):
        reply = client.ask("GET", f"/{status}")
        assert (reply.status, reply["X-New"], reply["X-Gone"], reply["Location"]) == (status, "GET", None, "/api/elsewhere")
        assert [(early.status, early.names()) for early in reply.interim] == [(103, ["link"])]


def test_trailers_of_responses(start, upstream, connect):
    server = upstream(answer=lambda _: http.response(fields=[("Transfer-Encoding", "chunked")], length=False, body=http.chunked(
        [b"one"], [("X-Internal", "1"), ("X-Sum", "9"), ("x_new", "liar"), ("x-internal", "2")])))
    client = connect(start(routed(server, response_headers={"set": {"X-New": "n"}, "remove": ["X-Internal"]})))
    for _ in range(2):
        reply = client.ask()
        assert (reply.trailers, reply.body, reply["X-New"]) == ([("X-Sum", "9")], b"one", "n")


def test_what_a_request_cost_is_read_before_it_is_removed(start, upstream, connect):
    server = upstream(answer=answering([("X-Cost", "7")]))
    proxy = start(forward(server, quotas={"q": {"key": ["ip"], "limits": {"hour": 100}}},
                          route={"cost": {"response_header": "X-Cost", "max": 10}, "response_headers": {"remove": ["X-Cost"]}}))
    client = connect(proxy)
    replies = [client.ask() for _ in range(2)]
    assert [reply["X-Cost"] for reply in replies] == [None, None]
    assert [reply["X-ratelimit-used"] for reply in replies] == ["99", "92"]


@pytest.mark.parametrize("always", [False, True])
def test_own_responses_only_where_always(start, upstream, connect, always):
    server = upstream()
    config = forward(server, quotas={"q": {"key": ["ip"], "limits": {"day": 1}}},
                     route={"prefix": "/q", "response_headers": {"set": {"X-New": "${request_id}"}, "remove": ["Server"], "always": always}})
    config["routes"] += [{"name": "closed", "path": "/closed", "deny": ["127.0.0.0/8"], "upstream": "app", "response_headers": {"set": {"X-New": "c"}, "always": always}},
                         {"name": "here", "path": "/here", "respond": {"status": 200, "text": "x"}, "response_headers": {"set": {"X-New": "h"}, "always": always}}]
    proxy = start(config)
    client = connect(proxy)
    replies = [client.ask("GET", "/q") for _ in range(8)]
    assert [reply.status for reply in replies] == [200] + [429] * 7
    for n, reply in enumerate(replies):  # the first is the server's; of refusals each has its own id
        assert reply["X-New"] == (reply["X-request-id"][:32] if always or n == 0 else None), n
    assert len({reply["X-request-id"] for reply in replies}) == 8
    denied, here, nowhere = [connect(proxy).ask("GET", path) for path in ("/closed", "/here", "/nowhere")]
    assert (denied.status, denied["X-New"]) == (403, "c" if always else None)
    assert (here.status, here["X-New"], here.body) == (200, "h", b"x"), "a configured response is the route's"
    assert (nowhere.status, nowhere["X-New"]) == (404, None)


def test_own_responses_name_the_last_server_and_an_address_for_a_name(start, connect):
    address = f"127.0.0.1:{take_port()}"
    client = connect(start(forward(
        address, identities={"user": {"from": ["basic_user"], "missing": "ip"}}, quotas={"user": {"key": ["user"], "limits": {"day": 1}}},
        route={"response_headers": {"set": {"X-By": "${server}", "X-User": "${identity:user}"}, "always": True}})))
    replies = [client.ask() for _ in range(2)]
    assert [(reply.status, reply["X-By"], reply["X-User"]) for reply in replies] == [(502, address, "127.0.0.1"), (429, None, "127.0.0.1")]


@pytest.mark.parametrize("rules, types, allow", [
    ({"set": {"content_type": "text/mine", "Allow": "PUT"}}, ["text/mine"], ["PUT"]),
    ({"remove": ["Content_type", "allow"]}, [], []),
    ({"add": {"X-New": "1"}}, None, ["OPTIONS"])], ids=["set", "remove", "neither"])
def test_own_lines_give_way_too(start, upstream, connect, rules, types, allow):
    """Whatever Sluice says itself has a line of its own or the route's, never both."""
    config = routed(upstream(), response_headers={**rules, "always": True})
    config["routes"].insert(0, {"name": "here", "path": "/here", "respond": {"status": 200, "text": "x"}, "response_headers": rules})
    client = connect(start(config))
    here = client.ask("GET", "/here")
    client.send(http.request("TRACE", "/", [("Max-Forwards", "0")]))
    refused = client.read()
    assert (here.status, here.body, refused.status) == (200, b"x", 405)
    names = ["content_type", "content-type"]
    for reply, own in ((here, "text/plain; charset=UTF-8"), (refused, "application/json; charset=UTF-8")):
        assert [value for name in names for value in reply.all(name)] == ([own] if types is None else types), reply.raw_head
    assert refused.all("Allow") == allow


def test_many_long_lines(start, upstream, connect):
    """As much as may be configured, both ways, on one connection with others between."""
    text = "v" * 1000
    rules = {"set": {f"X-Long-{n}": text for n in range(16)}}
    server = upstream(answer=answering([(f"x-long-{n}", "s" * 100) for n in range(16)] + [("X-Kept", "k" * 3000)], body=b"b" * 100000))
    client = connect(start(routed(server, request_headers=rules, response_headers=rules, add_prefix="/" + "a" * 1000)))
    for filler in (10, 7000, 20000):
        reply = client.ask("GET", "/x", [("X-Filler", "f" * filler)])
        seen = server.requests[-1]
        assert seen.target == "/" + "a" * 1000 + "/x" and seen["X-Filler"] == "f" * filler
        for message in (seen, reply):
            assert [message[f"X-Long-{n}"] for n in range(16)] == [text] * 16
        assert reply.body == b"b" * 100000 and reply["X-Kept"] == "k" * 3000
