# SPDX-License-Identifier: Apache-2.0
"""What is charged: by the response's status, by nobody for the exempt, and given back exactly once."""
import base64
import json
import time

import pytest
from harness import http
from harness.configs import forward
from harness.counting import store_of, wait_until_counting
from harness.ports import take_port
from harness.replies import trio_of
from harness.waiting import wait_for, wait_for_next_window, wait_for_room

both_stores = pytest.mark.usefixtures("each_store")
USERS = {"identities": {"user": {"from": ["header:X-User"]}}, "subject_secret": "test"}


@pytest.fixture(params=["memory", "redis"])
def store(request, redis):
    return store_of(request.param, redis)


def status_of_path(message):
    """Answers /404 with 404."""
    status = int(message.target[1:4]) if message.target[1:4].isdigit() else 200
    return http.response(status=status, fields=[("Content-Type", "text/plain")], body=b"x\n")


def ask(client, path="/", user="alice", method="GET", fields=()):
    return client.ask(method, path, [("X-User", user), *fields])


def by_user(server, store, limits, *, quota=None, **more):
    return forward(server, quotas={"user": {"key": ["user"], "limits": limits, **(quota or {})}},
                   store=store, workers=1, **USERS, **more)


def used_after(proxy, reply):
    (entry,) = proxy.line_of(reply)["quotas"]
    return entry["used"]


def test_only_named_statuses_stay_charged(start, upstream, connect, store):
    server = upstream(answer=status_of_path)
    proxy = start(by_user(server, store, {"hour": 3}, quota={"charge": {"on": ["2xx", "404"]}}))
    wait_until_counting(connect, proxy, 3)
    client = connect(proxy)
    wait_for_room(3600, 5)
    for _ in range(5):
        reply = ask(client, "/500")
        assert reply.status == 500 and trio_of(reply) == (3, 2, "hour"), "charged until the status is known"
        (entry,) = proxy.line_of(reply)["quotas"]
        assert entry["charged"] == 1 and entry["refunded"] == 1
    assert trio_of(ask(client, "/200")) == (3, 2, "hour")
    reply = ask(client, "/404")
    assert trio_of(reply) == (3, 1, "hour")
    assert "refunded" not in proxy.line_of(reply)["quotas"][0]
    assert trio_of(ask(client, "/403")) == (3, 0, "hour")
    assert trio_of(ask(client, "/201")) == (3, 0, "hour")
    reply = ask(client, "/200")
    assert reply.status == 429 and trio_of(reply) == (3, 0, "hour")
    assert "refunded" not in proxy.line_of(reply)["quotas"][0], "what was refused is not given back"


def test_no_response_is_given_back(start, connect, store):
    """The server is dead: our 502 does not count; with "5xx" named it does."""
    dead = f"127.0.0.1:{take_port()}"
    for named, left in ((["2xx"], 2), (["2xx", "502"], 1)):
        config = by_user(dead, store, {"hour": 3}, quota={"charge": {"on": named}})
        config["quotas"] = {"user": config["quotas"]["user"]}
        if store["type"] == "redis":
            config["store"] = {**store, "prefix": f"p{left}"}
        proxy = start(config)
        wait_until_counting(connect, proxy, 3)
        client = connect(proxy)
        wait_for_room(3600, 5)
        assert ask(client).status == 502
        reply = ask(client)
        assert reply.status == 502 and trio_of(reply) == (3, left, "hour")
        proxy.stop()


def test_client_that_leaves_without_response_is_given_back(start, upstream, connect, store):
    held = []

    def serve(link):
        message = link.read_request()
        if message is None:
            return
        if message.target == "/hold":
            held.append(link)
            link.wait_for_end()
            return
        link.send(http.response(body=b"x"))

    server = upstream(serve=serve)
    proxy = start(by_user(server, store, {"hour": 5}, quota={"charge": {"on": ["2xx"]}}))
    wait_until_counting(connect, proxy, 3)
    wait_for_room(3600, 5)
    client = connect(proxy)
    client.send(http.request("GET", "/hold", [("X-User", "alice")]))
    wait_for(lambda: held, "the request is at the upstream")
    client.reset()
    wait_for(lambda: any(line["end"] == "client_abort" for line in proxy.requests()), "the abort is logged")
    (line,) = [line for line in proxy.requests() if line["end"] == "client_abort"]
    assert line["quotas"][0]["refunded"] == 1
    assert used_after(proxy, ask(connect(proxy))) == 1


def test_nothing_goes_back_to_a_later_window(start, upstream, connect, store):
    """Charged in one window, answered in the next: the next one's count is its own."""
    gate = []

    def serve(link):
        while (message := link.read_request()) is not None:
            if message.target == "/slow":
                wait_for(lambda: gate, "the test lets go")
            link.send(status_of_path(message) if message.target != "/slow" else http.response(status=500, body=b"x"))

    proxy = start(by_user(upstream(serve=serve), store, {"3 seconds": 5}, quota={"charge": {"on": ["2xx"]}}))
    wait_until_counting(connect, proxy, 3)
    wait_for_next_window(3)
    slow, quick = connect(proxy), connect(proxy)
    slow.send(http.request("GET", "/slow", [("X-User", "alice")]))
    wait_for(lambda: time.time() % 3 < 1, "the next window", 5)
    wait_for_next_window(3)
    assert trio_of(ask(quick)) == (5, 4, "3 second")
    gate.append(True)
    reply = slow.read()
    assert reply.status == 500
    (entry,) = proxy.line_of(reply)["quotas"]
    assert "refunded" not in entry
    assert trio_of(ask(quick)) == (5, 3, "3 second")


def test_refunds_reach_every_window_and_quota(start, upstream, connect, store):
    quotas = {"user": {"key": ["user"], "limits": {"hour": 5, "day": 9}, "charge": {"on": ["2xx"]}},
              "all": {"key": ["route"], "limits": {"hour": 50}}}
    proxy = start(forward(upstream(answer=status_of_path), quotas=quotas, store=store, workers=1, **USERS))
    wait_until_counting(connect, proxy, 3)
    client = connect(proxy)
    wait_for_room(3600, 5)
    base = {(e["q"], e["w"]): e["used"] for e in proxy.line_of(ask(client, "/200"))["quotas"]}
    for _ in range(4):
        ask(client, "/500")
    now = {(e["q"], e["w"]): e["used"] for e in proxy.line_of(ask(client, "/200"))["quotas"]}
    assert now[("user", "hour")] == 2 and now[("user", "day")] == 2
    assert now[("all", "hour")] - base[("all", "hour")] == 5, "the other quota counts them all"


@both_stores
def test_exempt_addresses_and_subjects(start, upstream, connect):
    quotas = {"user": {"key": ["user"], "limits": {"hour": 1}, "exempt": {"addresses": ["127.0.0.2", "10.0.0.0/8"]}},
              "ip": {"key": ["ip"], "limits": {"hour": 2}, "exempt": {"subjects": ["127.0.0.2", "127.0.0.3"]}}}
    proxy = start(forward(upstream(), quotas=quotas, **USERS))
    wait_for_room(3600, 5)
    client = connect(proxy, source="127.0.0.2")
    for _ in range(4):
        reply = ask(client)
        assert reply.status == 200 and trio_of(reply) is None, "exempt from both"
        line = proxy.line_of(reply)
        assert line["decision"] == "exempt" and line.get("quotas", []) == []
    client = connect(proxy, source="127.0.0.3")
    reply = ask(client, user="bob")
    assert trio_of(reply) == (1, 0, "hour")
    line = proxy.line_of(reply)
    assert line["decision"] == "allow" and [e["q"] for e in line["quotas"]] == ["user"]
    assert ask(client, user="bob").status == 429
    client = connect(proxy)
    assert trio_of(ask(client, user="carol")) == (1, 0, "hour")
    assert ask(client, user="carol").status == 429


@both_stores
def test_long_lists_of_exempt_networks(start, upstream, connect):
    """The neighbours of every network are counted; IPv4 and IPv6 stay apart."""
    nets = [f"10.{a}.{b}.{c}" for a in range(4) for b in range(64) for c in range(0, 256, 2)] + ["192.0.2.0/24", "192.0.2.7", "::/0"]
    proxy = start(forward(upstream(), trusted_proxies=["127.0.0.1"], quotas={"ip": {"key": ["ip"], "limits": {"hour": 1}, "exempt": {"addresses": nets}}}))
    wait_for_room(3600, 5)
    client = connect(proxy)
    for address, is_exempt in (("10.0.0.0", True), ("10.3.63.254", True), ("10.1.17.100", True), ("192.0.2.7", True), ("192.0.2.255", True),
                               ("2001:db8::1", True), ("10.0.0.1", False), ("10.3.63.255", False), ("192.0.1.255", False), ("192.0.3.0", False)):
        replies = [ask(client, fields=[("X-Forwarded-For", address)]) for _ in range(2)]
        assert [reply.status for reply in replies] == ([200, 200] if is_exempt else [200, 429]), address
        assert trio_of(replies[1]) == (None if is_exempt else (1, 0, "hour")), address


def test_a_network_is_exempt_once(verb, tmp_path):
    made = forward("127.0.0.1:9000", listen=[{"address": "127.0.0.1:18080"}],
                   quotas={"q": {"key": ["ip"], "limits": {"hour": 1}, "exempt": {"addresses": ["10.0.0.0/8", "10.0.0.0", "::ffff:10.0.0.0"]}}})
    (tmp_path / "c.json").write_text(json.dumps(made))
    done = verb("check", "-c", tmp_path / "c.json")
    assert done.returncode == 3 and "/quotas/q/exempt/addresses: the network of 10.0.0.0 stands here twice" in done.stderr, done.stderr


@both_stores
def test_secret_subjects_are_exempt_by_their_hash_alone(start, upstream, connect):
    def config(subjects):
        return forward(upstream(), quotas={"user": {"key": ["user"], "limits": {"hour": 1}, "exempt": {"subjects": subjects}}}, **USERS)

    proxy = start(config([]))
    client = connect(proxy)
    assert [ask(client).status for _ in range(2)] == [200, 429]
    name = proxy.requests(2)[0]["subjects"]["user"]
    proxy.config["quotas"]["user"]["exempt"]["subjects"] = ["hash:" + name]
    proxy.write_config(proxy.config)
    import signal
    proxy.signal(signal.SIGHUP)
    proxy.wait_for_event("reload")
    client = connect(proxy)
    for _ in range(3):
        reply = ask(client)
        assert reply.status == 200 and trio_of(reply) is None
    assert [ask(client, user="bob").status for _ in range(2)] == [200, 429]


@both_stores
def test_nobody_is_exempt_by_calling_himself_so(start, upstream, connect):
    """A clear name that reads like an exempt hash or address is another subject."""
    def config(subjects):
        return forward(upstream(), quotas={"user": {"key": ["user"], "limits": {"hour": 1}, "exempt": {"subjects": subjects}}},
                       subject_secret="test", identities={"user": {"from": ["header:X-User", "access_key", "basic_user"]}})

    def access_key(name):
        return [("Authorization", f"SDK-HMAC-SHA256 Access={name}, SignedHeaders=host, Signature=ab12")]

    def user(name):
        return [("Authorization", "Basic " + base64.b64encode(f"{name}:x".encode()).decode())]

    proxy = start(config([]))
    connect(proxy).ask(fields=[("X-User", "alice")])
    shown = proxy.requests(1)[0]["subjects"]["user"]
    client = connect(start(config(["hash:" + shown, "127.0.0.1", "AKGOOD"])))
    for fields in ([("X-User", "alice")], [], access_key("AKGOOD"), user("AKGOOD")):
        assert [trio_of(client.ask(fields=fields)) for _ in range(3)] == [None] * 3
    for fields in (access_key(shown), user(shown), user("127.0.0.1"), access_key("127.0.0.1"), [("X-User", "AKGOOD")], [("X-User", "127.0.0.1")]):
        assert [client.ask(fields=fields).status for _ in range(2)] == [200, 429], fields


def test_subjects_that_cannot_be_are_refused(verb, tmp_path):
    made = forward("127.0.0.1:9000", listen=[{"address": "127.0.0.1:18080"}], identities={"user": {"from": ["header:X-User"]}},
                   quotas={"q": {"key": ["user"], "limits": {"hour": 1}, "exempt": {"subjects": ["alice", "hash:x", "hash:" + "A" * 22, "hash:" + "A" * 22]}}})
    (tmp_path / "c.json").write_text(json.dumps(made))
    done = verb("check", "-c", tmp_path / "c.json")
    assert done.returncode == 3
    for words in ('subjects/0: "alice": no part of the quota\'s key is shown in clear', 'subjects/1: "hash:x": behind "hash:" stand 22 characters',
                  "subjects/3: listed twice"):
        assert "/quotas/q/exempt/" + words in done.stderr, done.stderr


PREFLIGHT = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "PUT")]


@both_stores
def test_real_preflights_alone_are_exempt(start, upstream, connect):
    proxy = start(forward(upstream(), quotas={"user": {"key": ["ip"], "limits": {"hour": 4}, "exempt": {"preflight": True}}}))
    client = connect(proxy)
    wait_for_room(3600, 5)
    for _ in range(3):
        reply = ask(client, method="OPTIONS", fields=PREFLIGHT)
        assert reply.status == 200 and trio_of(reply) is None
    left = 4
    for method, fields in (("OPTIONS", PREFLIGHT[:1]), ("OPTIONS", PREFLIGHT[1:]), ("GET", PREFLIGHT),
                           ("OPTIONS", [PREFLIGHT[0], ("Access-Control-Request-Method", "")])):
        left -= 1
        reply = ask(client, method=method, fields=fields)
        assert trio_of(reply) == (4, left, "hour"), (method, fields)
    assert ask(client).status == 429
    assert ask(client, method="OPTIONS", fields=PREFLIGHT).status == 200
    decisions = [line["decision"] for line in proxy.requests(9)]
    assert decisions.count("exempt") == 4


# ---- costs that the response tells

def costing(message):
    """/7 costs 7; /7/500 is a 500 besides; /junk says junk."""
    words = message.target.strip("/").split("/")
    status = int(words[1]) if len(words) > 1 else 200
    fields = [("Content-Type", "text/plain")]
    if words[0] == "twice":
        fields += [("X-Cost", "1"), ("X-Cost", "1")]
    elif words[0] != "none":
        fields.append(("x-cost", {"junk": "3.5", "minus": "-1", "huge": "99999999999999999999"}.get(words[0], words[0])))
    return http.response(status=status, fields=fields, body=b"x\n")


def by_cost(server, store, quota, cost):
    return forward(server, quotas={"user": {"key": ["user"], **quota}}, store=store, workers=1,
                   route={"cost": cost}, **USERS)


COST = {"response_header": "X-Cost", "estimate": 3, "max": 20}


@pytest.mark.parametrize("algorithm", ["fixed", "sliding", "token_bucket"])
def test_the_response_settles_the_cost(start, upstream, connect, store, algorithm):
    proxy = start(by_cost(upstream(answer=costing), store, {"limits": {"day": 100}, "algorithm": algorithm}, COST))
    wait_until_counting(connect, proxy, 3)
    client = connect(proxy)
    wait_for_room(86400, 20)
    # what is shown is after the estimate of 3; what was settled shows with the next request
    left = 100
    for path, cost, passed in (("/7", 7, "7"), ("/0", 0, "0"), ("/3", 3, "3"), ("/none", 3, None), ("/junk", 3, "3.5"), ("/minus", 3, "-1"),
                               ("/huge", 3, "99999999999999999999"), ("/twice", 3, "1"), ("/1", 1, "1"), ("/50", 20, "50"), ("/20", 20, "20")):
        reply = ask(client, path)
        assert trio_of(reply) == (100, left - 3, "day"), path
        assert reply.all("X-Cost")[:1] == ([passed] if passed else []), "the header is passed on"
        left -= cost
        (entry,) = proxy.line_of(reply)["quotas"]
        assert entry["charged"] == 3
        assert entry.get("added", 0) - entry.get("refunded", 0) == cost - 3, path
    assert left == 100 - 7 - 3 - 6 * 3 + 3 - 1 - 40


def test_debt_goes_beyond_the_limit_and_refuses_the_next(start, upstream, connect, store):
    proxy = start(by_cost(upstream(answer=costing), store, {"limits": {"hour": 10}}, COST))
    wait_until_counting(connect, proxy, 3)
    client = connect(proxy)
    wait_for_room(3600, 10)
    assert trio_of(ask(client, "/4")) == (10, 7, "hour")
    assert trio_of(ask(client, "/20")) == (10, 3, "hour")
    reply = ask(client, "/1")
    assert reply.status == 429 and trio_of(reply) == (10, 0, "hour")
    (entry,) = proxy.line_of(reply)["quotas"]
    assert entry["used"] == 24, "max - estimate above the limit, at most, for each request in flight"


def test_what_does_not_count_costs_nothing(start, upstream, connect, store):
    quota = {"limits": {"hour": 10}, "charge": {"on": ["2xx"]}}
    proxy = start(by_cost(upstream(answer=costing), store, quota, COST))
    wait_until_counting(connect, proxy, 3)
    client = connect(proxy)
    wait_for_room(3600, 10)
    for _ in range(3):
        assert trio_of(ask(client, "/9/500")) == (10, 7, "hour")
    assert trio_of(ask(client, "/2")) == (10, 7, "hour")
    assert trio_of(ask(client, "/2")) == (10, 5, "hour")


def test_settled_when_the_head_is_there(start, upstream, connect, store):
    """A body that takes its time does not put off what the head says."""
    go_on = []

    def serve(link):
        while (message := link.read_request()) is not None:
            if message.target != "/slow":
                link.send(costing(message))
                continue
            link.send(b"HTTP/1.1 200 OK\r\nX-Cost: 1\r\nContent-Length: 2\r\n\r\nx")
            wait_for(lambda: go_on, "the test lets go")
            link.send(b"x")

    proxy = start(by_cost(upstream(serve=serve), store, {"limits": {"hour": 10}}, COST))
    wait_until_counting(connect, proxy, 3)
    wait_for_room(3600, 10)
    slow, quick = connect(proxy), connect(proxy)
    slow.send(http.request("GET", "/slow", [("X-User", "alice")]))
    wait_for(lambda: slow.sock.recv(1, __import__("socket").MSG_PEEK), "the head")
    assert trio_of(ask(quick, "/3")) == (10, 6, "hour"), "one for the slow one, three for this"
    go_on.append(True)
    assert slow.read().status == 200


def test_a_cost_is_a_number_or_an_object(verb, tmp_path):
    for cost, is_good in (("5", True), ('{"estimate": 5}', True), ('{"response_header": "X-Cost", "max": 5}', True),
                          ('{"response_header": "X-Cost"}', False), ('{"max": 5}', False), ("0", False),
                          ('{"response_header": "X-Cost", "estimate": 6, "max": 5}', False)):
        file = tmp_path / "c.json"
        file.write_text('{"listen": [{"address": "127.0.0.1:18080"}], "quotas": {"ip": {"key": ["ip"], "limits": {"minute": 9}}},'
                        '"routes": [{"prefix": "/", "respond": {"status": 200}, "quotas": ["ip"], "cost": %s}]}' % cost)
        assert (verb("check", "-c", file).returncode == 0) == is_good, cost
