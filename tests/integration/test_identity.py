# SPDX-License-Identifier: Apache-2.0
"""Who is counted: every source, what is missing, what is forged, and that no name leaks."""
import base64
import random

import pytest
from harness import http
from harness.configs import forward
from harness.replies import check_error, trio_of

both_stores = pytest.mark.usefixtures("each_store")
LIMITS = {"hour": 50}


def counting(server, source, **more):
    """One quota over identity "who", taken from the source(s)."""
    sources = source if isinstance(source, list) else [source]
    return forward(server, quotas={"q": {"key": ["who"], "limits": LIMITS}}, subject_secret="test",
                   identities={"who": {"from": sources, **more}})


def used(reply):
    limit, remaining, _ = trio_of(reply)
    return limit - remaining


AK = "SDK-HMAC-SHA256 Access=%s, SignedHeaders=host;x-sdk-date, Signature=ab12"
CREDENTIAL = "SDK-HMAC-SHA256 Credential=%s/20150907/region/service/sdk_request, SignedHeaders=host, Signature=ab12"

def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


SOURCES = [
    # source, request of A, another spelling that is A too, request of B
    ("header:X-Key", {"fields": [("X-Key", "a")]}, {"fields": [("x-kEY", "a")]}, {"fields": [("X-Key", "A")]}),
    ("bearer", {"fields": [("Authorization", "Bearer tok")]}, {"fields": [("authorization", "bearer tok")]},
     {"fields": [("Authorization", "Bearer tok2")]}),
    ("basic_user", {"fields": [("Authorization", basic("al\u00efce", "one"))]},
     {"fields": [("authorization", basic("al\u00efce", "two").replace("Basic", "bASIC "))]},
     {"fields": [("Authorization", basic("Al\u00efce", "one"))]}),
    ("access_key", {"fields": [("Authorization", AK % "AK1")]}, {"fields": [("Authorization", CREDENTIAL % "AK1")]},
     {"fields": [("Authorization", AK % "AK2")]}),
    ("cookie:sid", {"fields": [("Cookie", "x=1; sid=abc; y=2")]}, {"fields": [("Cookie", "sid=abc")]},
     {"fields": [("Cookie", "sid=abcd")]}),
    ("query:key", {"target": "/?x=1&key=k1"}, {"target": "/?key=k1&key2=z"}, {"target": "/?key=k2"}),
    ("host", {"host": "a.example"}, {"host": "A.Example:8080"}, {"host": "b.example"}),
    ("method", {"method": "GET"}, {"method": "GET", "target": "/other"}, {"method": "PUT"}),
]


@pytest.mark.parametrize("source, one, same, other", SOURCES, ids=[row[0] for row in SOURCES])
@both_stores
def test_source(start, upstream, connect, source, one, same, other):
    client = connect(start(counting(upstream(), source)))
    assert used(client.ask(**one)) == 1
    assert used(client.ask(**same)) == 2
    assert used(client.ask(**other)) == 1
    assert used(client.ask(**one)) == 3


@both_stores
def test_basic_user_is_shown_and_the_password_is_not(start, upstream, connect):
    proxy = start(counting(upstream(), "basic_user"))
    client = connect(proxy)
    good, bad = basic("al\u00efce", "MARKER-PASSWORD"), basic("al\u00efce", "x")[:-1] + "!"
    for value in (good, bad, basic("no\ncontrols", "x"), "Basic " + base64.b64encode(b"\xff:x").decode()):
        assert client.ask(fields=[("Authorization", value)]).status == 200
    lines = proxy.requests(4)
    assert [line["subjects"]["who"] for line in lines] == ["al\u00efce", "127.0.0.1", "127.0.0.1", "127.0.0.1"]
    assert "MARKER" not in proxy.access_log.read_text() and good.split()[1] not in proxy.access_log.read_text()


@both_stores
def test_path_name_and_route(start, upstream, connect):
    config = forward(upstream(), subject_secret="test",
                     identities={"project": {"from": ["path:project"]}},
                     quotas={"p": {"key": ["project"], "limits": LIMITS}, "r": {"key": ["route"], "limits": {"hour": 1000}}})
    config["routes"] = [{"name": "search", "path": "/v1/{project}/search", "quotas": ["p", "r"], "upstream": "app"},
                        {"name": "rest", "prefix": "/", "quotas": ["r"], "upstream": "app"}]
    proxy = start(config)
    client = connect(proxy)
    assert used(client.ask(target="/v1/alpha/search")) == 1
    assert used(client.ask(target="/v1/alpha/search")) == 2
    assert used(client.ask(target="/v1/%61lpha/search")) == 3, "one spelling of a path is as good as another"
    assert used(client.ask(target="/v1/beta/search")) == 1
    assert trio_of(client.ask(target="/x")) == (1000, 999, "hour"), "the route rest has a count of its own"
    line = proxy.requests(5)[0]
    assert line["route"] == "search" and line["subjects"]["project"] == "alpha" if "project" in line["subjects"] else True


@both_stores
def test_combination_and_no_collision_between_sources(start, upstream, connect):
    config = forward(upstream(), subject_secret="test", identities={"a": {"from": ["header:A"]}, "b": {"from": ["header:B"]}},
                     quotas={"q": {"key": ["a", "b"], "limits": LIMITS}})
    client = connect(start(config))
    assert used(client.ask(fields=[("A", "xy"), ("B", "z")])) == 1
    assert used(client.ask(fields=[("A", "x"), ("B", "yz")])) == 1, "lengths are part of the key"
    assert used(client.ask(fields=[("A", "z"), ("B", "xy")])) == 1
    assert used(client.ask(fields=[("B", "z"), ("A", "xy")])) == 2


@both_stores
def test_alternatives_take_the_first_present_and_do_not_collide(start, upstream, connect):
    client = connect(start(counting(upstream(), ["header:X-Key", "header:X-Other"])))
    assert used(client.ask(fields=[("X-Key", "v")])) == 1
    assert used(client.ask(fields=[("X-Other", "v")])) == 1
    assert used(client.ask(fields=[("X-Other", "v"), ("X-Key", "v")])) == 2


# -- missing

@both_stores
def test_missing_counts_by_address(start, upstream, connect):
    client = connect(start(counting(upstream(), "header:X-Key")))
    assert used(client.ask()) == 1
    assert used(client.ask(fields=[("X-Key", "127.0.0.1")])) == 1, "a header cannot spend an address"
    assert used(client.ask()) == 2


@both_stores
def test_missing_skip(start, upstream, connect):
    proxy = start(counting(upstream(), "header:X-Key", missing="skip"))
    client = connect(proxy)
    for _ in range(60):
        reply = client.ask()
        assert reply.status == 200 and trio_of(reply) is None
    assert used(client.ask(fields=[("X-Key", "v")])) == 1
    assert proxy.requests(61)[0]["decision"] == "none"


@both_stores
def test_missing_refuse(start, upstream, connect):
    server = upstream()
    client = connect(start(counting(server, "header:X-Key", missing="refuse")))
    check_error(client.ask(), 401, "0305", "Incorrect authentication information.")
    assert client.ask(fields=[("X-Key", "v")]).status == 200
    assert len(server.requests) == 1


@both_stores
def test_missing_shared(start, upstream, connect):
    proxy = start(counting(upstream(), "header:X-Key", missing="shared"))
    assert used(connect(proxy, source="127.0.0.1").ask()) == 1
    assert used(connect(proxy, source="127.0.0.2").ask()) == 2
    assert used(connect(proxy).ask(fields=[("X-Key", "v")])) == 1


@both_stores
def test_identity_header_twice_is_400(start, upstream, connect):
    server = upstream()
    client = connect(start(counting(server, "header:X-Key")))
    reply = client.ask(fields=[("X-Key", "a"), ("X-Key", "b")])
    check_error(reply, 400, "0201", "API request error.")
    assert not server.requests


# -- addresses

def by_address(server, **more):
    return forward(server, quotas={"q": {"key": ["address"], "limits": LIMITS}},
                   identities={"address": {"from": ["ip"]}}, **more)


@both_stores
def test_address_is_the_peers_whatever_headers_say(start, upstream, connect):
    proxy = start(by_address(upstream()))
    client = connect(proxy, source="127.0.0.5")
    for n in range(10):
        assert used(client.ask(fields=[("X-Forwarded-For", f"10.0.0.{n}"), ("X-Real-IP", f"10.0.1.{n}")])) == n + 1
    assert used(connect(proxy, source="127.0.0.6").ask()) == 1
    lines = proxy.requests(11)
    assert {line["client_ip"] for line in lines} == {"127.0.0.5", "127.0.0.6"}


@both_stores
def test_rightmost_untrusted_hop_of_a_trusted_peer(start, upstream, connect):
    server = upstream()
    proxy = start(by_address(server, trusted_proxies=["127.0.0.0/8", "10.0.0.0/8"]))
    client = connect(proxy)
    rows = [
        ("203.0.113.7", "203.0.113.7"),
        ("1.1.1.1, 203.0.113.7", "203.0.113.7"),
        ("evil, 203.0.113.7, 10.1.2.3", "203.0.113.7"),
        ("203.0.113.8:4711", "203.0.113.8"),
        ("203.0.113.7, garbage", "127.0.0.1"),   # never leftward past what cannot be read
        ("10.9.9.9", "10.9.9.9"),                # all trusted: the leftmost
        ("", "127.0.0.1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
    ]
    for value, _ in rows:
        assert client.ask(fields=[("X-Forwarded-For", value)]).status == 200
    assert [line["client_ip"] for line in proxy.requests(len(rows))] == [address for _, address in rows]
    # Several lines are one list.
    client.ask(fields=[("X-Forwarded-For", "203.0.113.1"), ("X-Forwarded-For", "203.0.113.2")])
    assert proxy.requests(len(rows) + 1)[-1]["client_ip"] == "203.0.113.2"
    assert server.requests[0]["X-Forwarded-For"] == "203.0.113.7, 127.0.0.1", "a trusted peer's list is kept and goes on"


@both_stores
def test_forged_leftmost_entries_do_not_make_new_subjects(start, upstream, connect):
    proxy = start(by_address(upstream(), trusted_proxies=["127.0.0.1"]))
    client = connect(proxy)
    last = [used(client.ask(fields=[("X-Forwarded-For", f"192.0.2.{n}, 198.51.100.1")])) for n in range(20)]
    assert last == list(range(1, 21))


@both_stores
def test_forwarded_header_when_configured(start, upstream, connect):
    proxy = start(by_address(upstream(), trusted_proxies=["127.0.0.1"], client_address="forwarded"))
    client = connect(proxy)
    client.ask(fields=[("Forwarded", 'for=192.0.2.1;proto=https, for="[2001:db8::7]:80"'), ("X-Forwarded-For", "6.6.6.6")])
    client.ask(fields=[("X-Forwarded-For", "6.6.6.6")])
    assert [line["client_ip"] for line in proxy.requests(2)] == ["2001:db8::7", "127.0.0.1"]


@both_stores
def test_ipv6_is_counted_by_64_and_v4_mapped_is_v4(start, upstream, connect):
    proxy = start(by_address(upstream(), trusted_proxies=["127.0.0.1"]))
    client = connect(proxy)

    def count(address):
        return used(client.ask(fields=[("X-Forwarded-For", address)]))

    assert count("2001:db8:1:2::1") == 1
    assert count("2001:db8:1:2:ffff:ffff:ffff:ffff") == 2
    assert count("2001:db8:1:3::1") == 1
    assert count("203.0.113.7") == 1
    assert count("::ffff:203.0.113.7") == 2
    assert count("203.0.113.8") == 1


def flood(client, requests, batch=512):
    """Send all, a batch at a time; gives the last response."""
    last = None
    for at in range(0, len(requests), batch):
        part = requests[at:at + batch]
        client.send(b"".join(part))
        for _ in part:
            last = client.read()
            assert last.status == 200
    return last


def random_hops(rng):
    """What somebody who wants to be somebody else may write."""
    def hop():
        four = ".".join(str(rng.randrange(256)) for _ in range(4))
        six = ":".join(f"{rng.randrange(65536):x}" for _ in range(8))
        return rng.choice([four, six, f"[{six}]:{rng.randrange(65536)}", f"{four}:{rng.randrange(65536)}", "unknown",
                           "127.0.0.1", "", "_hidden", "::1", '"', "%00", "\xff", "1.2.3.4, , 5.6.7.8"])
    return ", ".join(hop() for _ in range(rng.randrange(1, 5)))


def test_ten_thousand_forged_lists_change_nothing(start, connect):
    config = by_address([], **{})
    config["routes"][0] = {"name": "all", "prefix": "/", "quotas": ["q"], "respond": {"text": "here"}}
    config["quotas"]["q"]["limits"] = {"366 days": 20000}
    del config["upstreams"]
    rng = random.Random(20)
    proxy = start(config)
    names = ["X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "True-Client-IP"]
    requests = [http.request(fields=[(rng.choice(names), random_hops(rng)), ("X-Forwarded-For", random_hops(rng))])
                for _ in range(10000)]
    last = flood(connect(proxy, source="127.0.0.9"), requests)
    assert trio_of(last) == (20000, 10000, "366 day"), "all of them were one subject"
    proxy.stop()
    assert {line["client_ip"] for line in proxy.requests()} == {"127.0.0.9"}


def test_a_whole_64_is_one_subject(start, connect):
    config = by_address([], trusted_proxies=["127.0.0.1"])
    config["routes"][0] = {"name": "all", "prefix": "/", "quotas": ["q"], "respond": {"text": "here"}}
    config["quotas"]["q"]["limits"] = {"366 days": 100000}
    config["log"] = {"access": "off"}
    config["limits"] = {"requests_per_connection": "unlimited"}
    del config["upstreams"]
    client = connect(start(config))
    address = "2001:db8:1:2:%x:%x:%x:%x"
    rng = random.Random(64)
    requests = [http.request(fields=[("X-Forwarded-For", address % (n, *(rng.randrange(65536) for _ in range(3))))])
                for n in range(65536)]
    assert used(flood(client, requests)) == 65536
    assert used(client.ask(fields=[("X-Forwarded-For", "2001:db8:1:3::")])) == 1


@both_stores
def test_prefixes_are_configurable(start, upstream, connect):
    config = by_address(upstream(), trusted_proxies=["127.0.0.1"])
    config["identities"]["address"].update(ipv4_prefix=24, ipv6_prefix=48)
    proxy = start(config)
    client = connect(proxy)
    rows = [("203.0.113.7", 1, "203.0.113.0/24"), ("203.0.113.255", 2, "203.0.113.0/24"), ("203.0.114.0", 1, "203.0.114.0/24"),
            ("2001:db8:1:2::1", 1, "2001:db8:1::/48"), ("2001:db8:1:ffff::", 2, "2001:db8:1::/48"),
            ("2001:db8:2::", 1, "2001:db8:2::/48")]
    for address, count, _ in rows:
        assert used(client.ask(fields=[("X-Forwarded-For", address)])) == count
    assert [line["subjects"]["address"] for line in proxy.requests(len(rows))] == [text for _, _, text in rows]


def test_a_ladder_of_prefixes_is_charged_as_one(start, upstream, connect):
    """Rotating addresses inside a site meets the site's quota; a refusal by one rung charges none of the others."""
    config = by_address(upstream(), trusted_proxies=["127.0.0.1"])
    rungs = {"host": (128, 3), "household": (64, 5), "site": (48, 8)}
    config["identities"] = {name: {"from": ["ip"], "ipv6_prefix": bits} for name, (bits, _) in rungs.items()}
    config["quotas"] = {name: {"key": [name], "limits": {"366 days": limit}} for name, (_, limit) in rungs.items()}
    config["routes"][0]["quotas"] = list(rungs)
    proxy = start(config)
    client = connect(proxy)
    rows = [("2001:db8:1:1::1", None), ("2001:db8:1:1::1", None), ("2001:db8:1:1::1", None), ("2001:db8:1:1::1", "host"),
            ("2001:db8:1:1::2", None), ("2001:db8:1:1::3", None), ("2001:db8:1:1::4", "household"),
            ("2001:db8:1:2::1", None), ("2001:db8:1:3::1", None), ("2001:db8:1:4::1", None), ("2001:db8:1:5::1", "site"),
            ("2001:db8:2:1::1", None)]
    for address, refused_by in rows:
        assert client.ask(fields=[("X-Forwarded-For", address)]).status == (429 if refused_by else 200), address
    lines = proxy.requests(len(rows))
    assert [line.get("refused_by") for line in lines] == [rung and [f"{rung}/366 day"] for _, rung in rows]
    used_at_end = {quota["q"]: quota["used"] for quota in lines[-2]["quotas"]}
    assert used_at_end == {"host": 0, "household": 0, "site": 8}


# -- values that try to be others

@both_stores
def test_keys_of_any_bytes_are_never_shared_or_split(start, upstream, connect):
    config = counting(upstream(), "header:X-Key")
    config["limits"] = {"header": "80KiB", "headers": "128KiB"}
    proxy = start(config)
    long = "k" * 65536
    keys = ["a", "a ,b", "a, b", "a,b", "a;b", "a:b", "a|b", "a/b", "a b", "a  b", "a\tb", "a%00", "a%0a", "\\0", "a\xff", "a\xc3",
            "a\xc3\xa9", "a\xe9", "\xed\xa0\x80", "127.0.0.1", "shared", "header:X-Key", long, long[:-1], long[:-1] + "l", "l" + long[1:],
            "{a}", "a}", "*", "22-characters-of-a-hash"]
    assert len(set(keys)) == len(keys)
    client = connect(proxy)
    for turn in (1, 2, 3):
        for key in keys:
            assert used(client.ask(fields=[("X-Key", key)])) == turn, key[:40]
    for broken in (b"a\0b", b"a\0", b"a\rb", b"a\nb", b"a\r\n b"):
        with connect(proxy) as other:
            other.send(b"GET / HTTP/1.1\r\nHost: h\r\nX-Key: " + broken + b"\r\n\r\n")
            check_error(other.read(), 400, "0201", "API request error.")
    assert used(client.ask(fields=[("X-Key", "a")])) == 4


# -- nothing leaks

def test_secret_names_never_reach_a_log(start, upstream, connect):
    proxy = start(counting(upstream(), ["header:X-Key", "bearer", "cookie:sid", "query:token"]))
    client = connect(proxy)
    marker = "S3CR3T-MARKER"
    client.ask(fields=[("X-Key", marker)])
    client.ask(fields=[("Authorization", f"Bearer {marker}")])
    client.ask(fields=[("Cookie", f"sid={marker}")])
    client.ask(target=f"/?token={marker}&x={marker}")
    lines = proxy.requests(4)
    text = proxy.access_log.read_text() + proxy.stderr()
    assert marker not in text
    shown = [line["subjects"]["who"] for line in lines]
    assert len(set(shown)) == 4 and all(len(name) == 22 for name in shown)
    assert lines[3]["query"] == "token&x" or lines[3]["query"] == ["token", "x"]


@both_stores
def test_odd_values_are_counted_and_break_nothing(start, upstream, connect):
    client = connect(start(counting(upstream(), "header:X-Key")))
    for value in ("\xff\xfe", "{}", "a:b:c", "a}b{c", "x" * 20000, "%00", "\xe2\x80\xae"):
        assert used(client.ask(fields=[("X-Key", value)])) == 1
        assert used(client.ask(fields=[("X-Key", value)])) == 2


# -- a header that the server would not see

NOMINATING = ["X-Api-Key", "x-api-KEY", "close, X-Api-Key", ",x-other , X-Api-Key,", "x-other\r\nConnection: X-Api-Key"]


@both_stores
@pytest.mark.parametrize("connection", NOMINATING)
def test_who_is_counted_is_who_the_server_sees(start, upstream, connect, connection):
    """Connection takes what it names from the request: the server would judge somebody else than who is counted."""
    seen = upstream()
    proxy = start(counting(seen, "header:X-Api-Key"))
    for fields in ([("X-Api-Key", "victim"), ("Connection", connection)], [("Connection", connection), ("X-Api-Key", "victim")]):
        with connect(proxy) as client:
            client.send(http.request(fields=fields))
            check_error(client.read(), 400, "0201", "API request error.")
            client.expect_end()
    assert [line["reason"] for line in proxy.requests(2)] == ["bad_connection"] * 2
    client = connect(proxy)
    assert used(client.ask(fields=[("X-Api-Key", "victim")])) == 1
    assert used(client.ask(fields=[("X-Api-Key", "victim"), ("Connection", "X-Api-Keys, X-Api, keep-alive")])) == 2
    assert seen.requests[-1]["X-Api-Key"] == "victim"
