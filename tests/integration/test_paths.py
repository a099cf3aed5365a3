# SPDX-License-Identifier: Apache-2.0
"""One path in many spellings: each is counted where the path is counted, or refused; none slips by."""
import pytest
from harness import http
from harness.configs import forward

ALL = ["dot_segments", "encoded_slash", "backslash", "parameters", "double_encoding"]
LIMIT = 1000

# What servers take for /v1/search: every one of them, some, or the careless ones.
SPELLINGS = [
    b"/v1/search", b"//v1/search", b"/v1//search", b"///v1///search", b"/v1/search/", b"/v1/search//", b"/v1/search/%78", b"/v1/search?", b"/v1/search?x=/../y", b"/v1/search?;/%2e%2e/%00",
    b"/%76%31/search", b"/v1/%73earch", b"/v1/%73%65%61%72%63%68", b"/v1/s%65arch", b"//%761//searc%68",
    b"http://test.local/v1/search", b"HTTP://test.local//v1/%73earch", b"https://TEST.local/v1/search?x",
    b"/./v1/search", b"/v1/./search", b"/v1/search/.", b"/v1/.//search", b"/x/../v1/search", b"/v1/x/../search", b"/v1/search/x/..",
    b"/v1/search/../search", b"/../v1/search", b"/../../v1/search", b"/v1/../../v1/search", b"/v1//../v1/search", b"/v1/x//../search",
    b"/%2e/v1/search", b"/v1/%2E/search", b"/x/%2e%2e/v1/search", b"/x/.%2e/v1/search", b"/x/%2E./v1/search", b"/v1/search/%2e",
    b"/v1%2fsearch", b"/v1%2Fsearch", b"%2fv1/search", b"/%2fv1/search", b"/v1/x%2f..%2fsearch", b"/v1/x/..%2fsearch", b"/v1/search%2f",
    b"/v1\\search", b"/v1%5csearch", b"/v1/%5Csearch", b"\\v1\\search", b"/x\\..\\v1\\search", b"/v1/x%5c..%5csearch", b"/v1/search\\", b"/v1/x/..\\search",
    b"/v1;x/search", b"/v1/search;x", b"/v1/search;x=y;z", b"/;x/v1/search", b"/v1/;x/search", b"/v1/x/..;/search", b"/v1/x/..;y/search", b"/.;/v1/search",
    b"/v1;%2fx/search", b"/v1/search;..", b"/v1/search;/", b"/v1/search;jsessionid=1?x=y",
    b"/v1/%2573earch", b"/%2576%2531/search", b"/x/%252e%252e/v1/search", b"/v1%252fsearch", b"/v1/%25%37%33earch", b"/v1/%252573earch", b"/v1/search%253bx",
    b"/v1/search%00", b"/v1/%00search", b"/v1/search%00.png", b"/v1/search%0a", b"/v1/search%0d%0aX:%20y", b"/v1/search%09", b"/v1/search%7f",
    b"/v1/%c1%b3earch", b"/v1%c0%afsearch", b"/v1/x/%c0%ae%c0%ae/search", b"/v1%e0%80%afsearch", b"/v1/%f0%80%81%b3earch", b"/v1/search%c0%bbx",
    b"/v1/\xc1\xb3earch", b"/v1\xc0\xafsearch", b"/v1\xef\xbc\x8fsearch",
    b"/v1/search#x", b"/v1/search#/../y", b"#/v1/search", b"/v1/%u0073earch", b"/v1/%search", b"/v1/search%", b"/v1/search%2", b"/v1/search%zz",
    b"/v1/search ", b"/v1/search\t", b" /v1/search", b"/v1/ search", b"v1/search", b"./v1/search", b"?/v1/search", b"//test.local/v1/search/..//v1/search",
    b"http://test.local/x/../v1/search", b"http://test.local\\v1/search", b"http://test.local;/v1/search", b"http:/v1/search", b"http://user@test.local/v1/search",
]
# These are other resources for every server that obeys RFC 3986; the route before the last one has them.
OTHERS = [b"/V1/search", b"/v1/Search", b"/v1/%53earch", b"/v1/search.", b"/v1/search%20", b"/v1/search%2e", b"/v1/search%3bx",
          b"/v1/search%3Fx", b"/v1/search%23x", b"/v1/%EF%BD%93earch", b"/v1%EF%BC%8Fsearch", b"/v1/...search", b"/.../v1/search", b"/v1/search%25",
          b"/test.local/v1/search", b"/v1/search+", b"/v1/search,", b"/v1/search$", b"/v1/%C5%BFearch"]


def config(server, limited=(), elsewhere=()):
    return {
        "upstreams": {"app": {"servers": [server.address]}},
        "quotas": {"search": {"key": ["ip"], "limits": {"hour": LIMIT}}},
        "routes": [
            {"name": "limited", "prefix": "/v1/search", "quotas": ["search"], "upstream": "app", "allow_path": list(limited)},
            {"name": "rest", "prefix": "/", "upstream": "app", "allow_path": list(elsewhere)},
        ],
    }


def ask(connect, proxy, target):
    client = connect(proxy)
    client.send(b"GET " + target + b" HTTP/1.1\r\nHost: test.local\r\n\r\n")
    reply = client.read()
    client.close()
    return reply


# What only changes segments may be allowed anywhere: who is refused or counted stays the same.
@pytest.mark.parametrize("limited, elsewhere, counted", [
    ([], [], 18),
    (ALL, [], 41),
    ([], ["dot_segments", "parameters"], 18),
    (ALL, ["dot_segments", "parameters"], 41),
], ids=["nothing", "all", "elsewhere", "both"])
def test_every_spelling_is_counted_or_refused(start, upstream, connect, limited, elsewhere, counted):
    server = upstream()
    proxy = start(config(server, limited, elsewhere))
    assert len(SPELLINGS) >= 60 and len(set(SPELLINGS)) == len(SPELLINGS)
    admitted = []
    for target in SPELLINGS:
        reply = ask(connect, proxy, target)
        if reply.status == 200:
            assert reply["X-ratelimit"] == str(LIMIT), f"{target!r} is uncounted"
            admitted.append(target)
            assert int(reply["X-ratelimit-used"]) == LIMIT - len(admitted), target
        else:
            assert reply.status == 400 and reply["X-ratelimit"] is None, target
    assert len(server.requests) == len(admitted) == counted, admitted
    for seen, target in zip(server.requests, admitted):
        sent = target.decode()
        assert seen.target == (sent[len("http://test.local"):].lstrip("l") if "://" in sent else sent), "the client's own bytes"
    lines = proxy.requests(len(SPELLINGS))
    assert {line["path"] for line in lines if line["status"] == 200} <= {"/v1/search", "/v1/search/", "/v1/search/x"}
    assert {line["end"] for line in lines if line["status"] != 200} == {"bad_request"}


def test_other_resources_are_not_counted(start, upstream, connect):
    server = upstream()
    proxy = start(config(server))
    for target in OTHERS:
        reply = ask(connect, proxy, target)
        assert (reply.status, reply["X-ratelimit"]) == (200, None), target
    assert [r.target.encode() for r in server.requests] == OTHERS


# (what the route allows, a path that it then takes, as it is judged)
ALLOWED = [
    ("dot_segments", b"/a/x/../b", "/a/b"),
    ("dot_segments", b"/a/%2e/b", "/a/b"),
    ("encoded_slash", b"/a/b%2fc", "/a/b%2Fc"),
    ("backslash", b"/a/b%5cc", "/a/b\\c"),
    ("backslash", b"/a/b\\c", "/a/b\\c"),
    ("parameters", b"/a;x=1/b;y", "/a/b"),
    ("double_encoding", b"/a/b%252Fc", "/a/b%252Fc"),
]


@pytest.mark.parametrize("word, path, judged", ALLOWED, ids=[f"{row[0]} {row[1].decode()}" for row in ALLOWED])
def test_a_route_takes_what_it_allows_and_nothing_else(start, upstream, connect, word, path, judged):
    server = upstream()
    setup = forward(server)
    setup["routes"] = [{"name": w, "host": f"{w.replace('_', '-')}.local", "upstream": "app", "allow_path": [w]} for w in ALL]
    setup["routes"].append({"name": "all", "upstream": "app", "host": "all.local", "allow_path": ALL})
    proxy = start(setup)
    for host in [w.replace("_", "-") for w in ALL] + ["all", "none"]:
        client = connect(proxy)
        client.send(b"GET " + path + b"?q HTTP/1.1\r\nHost: " + host.encode() + b".local\r\n\r\n")
        reply = client.read()
        assert reply.status == (200 if host in (word.replace("_", "-"), "all") else 400), host
    assert [r.target.encode() for r in server.requests] == [path + b"?q"] * 2
    lines = proxy.requests(len(ALL) + 2)
    assert [line["path"] for line in lines if line["status"] == 200] == [judged] * 2
    assert {line["path"] for line in lines if line["status"] == 400} == {path.decode()}


def test_a_name_in_a_path_is_one_subject_whatever_its_parameters(start, upstream, connect):
    server = upstream()
    setup = forward(server, quotas={"user": {"key": ["path:user"], "limits": {"hour": 10}}})
    setup["routes"] = [{"path": "/u/{user}/x", "quotas": ["user"], "upstream": "app", "allow_path": ["parameters", "encoded_slash"]}]
    proxy = start(setup)
    used = [ask(connect, proxy, target)["X-ratelimit-used"] for target in
            (b"/u/al/x", b"/u/al;a=1/x", b"/u/al;b/x;y", b"/u;c/%61l/x", b"/u/al%2Fx/x", b"/u/al%2fx;d/x")]
    assert used == ["9", "8", "7", "6", "9", "8"]


def test_pattern_with_what_the_route_allows(start, upstream, connect):
    server = upstream()
    setup = forward(server)
    setup["routes"].insert(0, {"name": "slash", "path": "/a%2Fb", "upstream": "app", "allow_path": ["encoded_slash"]})
    proxy = start(setup)
    assert ask(connect, proxy, b"/a%2fb").status == 200
    assert ask(connect, proxy, b"/a%2fc").status == 400
    assert sorted(line.get("route", "") for line in proxy.requests(2)) == ["", "slash"]


def test_refused_path_ends_the_connection_and_its_body_is_no_request(start, upstream, connect):
    server = upstream()
    client = connect(start(config(server)))
    client.send(http.request("POST", "/v1/../x", body=http.request("GET", "/evil")) + http.request("GET", "/next"))
    assert client.read().status == 400
    client.expect_gone()
    assert server.requests == []
