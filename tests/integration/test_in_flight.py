# SPDX-License-Identifier: Apache-2.0
"""Slots of exchanges in flight, counted at the upstream: never more than allowed, and every way in which an exchange ends gives
its slot back."""
import json
import socket
import threading

import pytest
from harness import http
from harness.configs import forward, respond
from harness.http import request
from harness.in_flight import (
    Counting, Gate, MESSAGE, STRAY, USERS, ask, fill, flood, hammer, held, hold, in_redis, let_go, limited, page_of,
    statuses_of, user_request, wait_until_free, wait_until_up, wait_until_up_open,
)
from harness.ports import take_port
from harness.replies import check_error, throttled, trio_of
from harness.upgrade import echo, handshake, opened, tunnel
from harness.waiting import PATIENCE_S, wait_for, wait_for_room


@pytest.fixture(params=["memory", "redis"])
def store(request, redis):
    return {"type": "memory"} if request.param == "memory" else in_redis(redis)


# ---- what is seen

def test_what_a_refused_client_is_told(start, upstream, connect, store):
    gate = Gate()
    proxy = start(limited(upstream(gate.serve), store, 2, headers={"dialects": ["x-ratelimit", "ietf"]}))
    wait_until_up_open(connect, gate, proxy)
    clients = hold(connect, proxy, gate, 2)
    refused = connect(proxy)
    reply = ask(refused)
    check_error(reply, 429, "0308", MESSAGE.format("con", 2), "Too Many Requests")
    assert reply["Retry-After"] == "1" and trio_of(reply) is None
    assert not any(name.lower().startswith(("ratelimit", "x-ratelimit")) for name, _ in reply.fields)
    line = proxy.line_of(reply)
    assert line["decision"] == "refuse" and line["refused_by"] == ["con/in_flight"] and line["retry_after"] == 1
    assert line["end"] == "limited"
    assert line["quotas"] == [{"q": "con", "w": "in_flight", "charged": 0, "used": 2, "limit": 2, "source": "store"}]
    assert held(proxy) == 2
    replies = let_go(gate, clients)
    assert all(trio_of(reply) is None for reply in replies)
    lines = [proxy.line_of(reply) for reply in replies]
    assert all(line["decision"] == "allow" and "refused_by" not in line for line in lines)
    assert [line["quotas"] for line in lines] == [
        [{"q": "con", "w": "in_flight", "charged": 1, "used": used, "limit": 2, "source": "store"}] for used in (1, 2)]
    gate.is_open.set()
    assert ask(refused).status == 200, "the connection goes on"
    wait_until_free(proxy)


@pytest.mark.parametrize("dialect,body", [
    ("problem", {"status": 429, "violated-policies": ["con/in_flight"]}),
    ("mine", {"quota": "con", "limit": 1, "window": "in flight", "left": 0, "retry": 1})])
def test_other_bodies(start, upstream, connect, dialect, body):
    gate = Gate()
    template = {"quota": "${quota}", "limit": "${limit}", "window": "${window}", "left": "${remaining}", "retry": "${retry_after}"}
    proxy = start(limited(upstream(gate.serve), {"type": "memory"}, 1,
                          errors={"default": dialect, "dialects": {"mine": {"template": template}}}))
    clients = hold(connect, proxy, gate, 1)
    said = json.loads(ask(connect(proxy)).body)
    assert {name: said[name] for name in body} == body
    let_go(gate, clients)


def test_metrics_and_explain(start, upstream, connect, verb):
    gate = Gate()
    proxy = start(limited(upstream(gate.serve), {"type": "memory"}, 2))
    clients = fill(connect, proxy, gate, 2)
    page = page_of(proxy)
    assert page['sluice_quota_decisions_total{quota="con",decision="allow"}'] == 2
    assert page['sluice_quota_decisions_total{quota="con",decision="refuse"}'] == 1
    assert page['sluice_decisions_total{decision="refuse"}'] == 1
    let_go(gate, clients)
    done = verb("explain", "-c", proxy.file, "GET", "/", "-H", "X-User: alice")
    assert done.returncode == 0 and "2 in flight" in done.stdout
    done = verb("explain", "-c", proxy.file, "--json", "GET", "/", "-H", "X-User: alice")
    (quota,) = json.loads(done.stdout)["quotas"]
    assert (quota["limits"], quota["in_flight"]) == ([], 2)


# ---- never more than allowed

def test_two_hundred_at_once(start, upstream, connect, store):
    """Exactly seven come to the upstream; every other is refused; and again when those are gone."""
    gate = Gate()
    proxy = start(limited(upstream(gate.serve), store, 7))
    wait_until_up_open(connect, gate, proxy)
    for _ in range(3):
        socks = flood(proxy, 200)
        gate.wait_for(7)
        statuses = []
        while statuses.count(None) != 7:
            statuses = [new if new is not None else old for old, new in zip(statuses or [None] * 200, statuses_of(socks))]
        assert statuses.count(429) == 193 and gate.inside == 7
        gate.is_open.set()
        gate.wait_for(0)
        gate.is_open.clear()
        assert gate.most == 7
        wait_until_free(proxy)
        for sock in socks:
            sock.close()


def test_hammered_alone(start, upstream, connect, store):
    counting = Counting()
    proxy = start(limited(upstream(counting.serve), store, 3))
    wait_until_up(connect, proxy)
    counts = hammer([proxy], 2)
    assert counting.most == 3, counts
    assert set(counts) == {200, 429} and counts[200] > 100
    wait_until_free(proxy)


def test_subjects_have_slots_of_their_own(start, upstream, connect, store):
    gate = Gate()
    proxy = start(limited(upstream(gate.serve), store, 1))
    wait_until_up_open(connect, gate, proxy)
    clients = [hold(connect, proxy, gate, 1, f"user{number}")[0] for number in range(20)]
    with connect(proxy) as client:
        assert all(ask(client, f"user{number}").status == 429 for number in range(20))
    let_go(gate, clients)
    wait_until_free(proxy)


# ---- with other quotas: all or nothing

def test_what_a_slot_refuses_no_window_counts(start, upstream, connect, store):
    """In the same quota, and in another one."""
    gate = Gate()
    config = limited(upstream(gate.serve), store, 1, {"limits": {"hour": 10}})
    config["quotas"]["all"] = {"key": ["route"], "limits": {"hour": 100}}
    config["routes"][0]["quotas"] = ["con", "all"]
    proxy = start(config)
    wait_for_room(3600, 30)
    wait_until_up_open(connect, gate, proxy)
    clients = hold(connect, proxy, gate, 1)
    with connect(proxy) as client:
        for _ in range(5):
            reply = ask(client)
            assert reply.status == 429 and trio_of(reply) is None and reply["Retry-After"] == "1"
        line = proxy.line_of(reply)
    assert line["refused_by"] == ["con/in_flight"]
    assert [entry["charged"] for entry in line["quotas"]] == [0, 0, 0]
    (reply,) = let_go(gate, clients)
    assert trio_of(reply) == (10, 9, "hour")
    gate.is_open.set()
    reply = ask(connect(proxy))
    assert trio_of(reply) == (10, 8, "hour"), "the five were charged nothing"


def test_what_a_window_refuses_holds_no_slot(start, upstream, connect, store):
    gate = Gate()
    proxy = start(limited(upstream(gate.serve), store, 2, {"limits": {"hour": 3}}))
    wait_for_room(3600, 30)
    wait_until_up_open(connect, gate, proxy)
    clients = hold(connect, proxy, gate, 1)
    gate.is_open.set()
    with connect(proxy) as client:
        assert [ask(client).status for _ in range(2)] == [200, 200]
        for _ in range(50):
            reply = ask(client)
            check_error(reply, 429, "0308", throttled("con", 3, 1, "hour"))
            assert trio_of(reply) == (3, 0, "hour")
        line = proxy.line_of(reply)
    assert line["refused_by"] == ["con/hour"]
    assert [(entry["w"], entry["charged"]) for entry in line["quotas"]] == [("hour", 0), ("in_flight", 0)]
    let_go(gate, clients)
    wait_until_free(proxy)


def test_two_kinds_of_slots_are_all_or_nothing(start, upstream, connect, store):
    """Alice has one slot and the route has three: what alice is refused takes none of the route's."""
    gate = Gate()
    config = limited(upstream(gate.serve), store, 1)
    config["quotas"]["all"] = {"key": ["route"], "in_flight": 3}
    config["routes"][0]["quotas"] = ["all", "con"]
    proxy = start(config)
    wait_until_up_open(connect, gate, proxy)
    clients = hold(connect, proxy, gate, 1)
    with connect(proxy) as client:
        for _ in range(20):
            reply = ask(client)
            assert proxy.line_of(reply)["refused_by"] == ["con/in_flight"]
    clients += hold(connect, proxy, gate, 1, "bob") + hold(connect, proxy, gate, 1, "carol")
    with connect(proxy) as client:
        assert proxy.line_of(ask(client, "dave"))["refused_by"] == ["all/in_flight"]
        assert proxy.line_of(ask(client, "alice"))["refused_by"] == ["all/in_flight", "con/in_flight"]
    let_go(gate, clients)
    wait_until_free(proxy)


def test_cost_means_nothing_to_a_slot(start, upstream, connect, store):
    gate = Gate()
    proxy = start(limited(upstream(gate.serve), store, 2, route={"cost": 5}))
    wait_until_up_open(connect, gate, proxy)
    let_go(gate, fill(connect, proxy, gate, 2))


# ---- who is counted

def test_exempt(start, upstream, connect, store):
    gate = Gate()
    proxy = start(limited(upstream(gate.serve), store, 1, {"exempt": {"addresses": ["127.0.0.1"]}}))
    let_go(gate, hold(connect, proxy, gate, 4))
    assert held(proxy) == 0


def test_tiers(start, upstream, connect, store):
    """A tier has slots of its own, or those of the quota; the unlimited one is not counted."""
    gate = Gate()
    members = {name: [tier_member(name)] for name in ("pro", "one", "staff")}
    config = forward(upstream(gate.serve), store=store, identities={"user": {"from": ["access_key"], "missing": "refuse"}},
                     tiers={"free": {"hour": 100}, "pro": {"hour": 1000, "in_flight": 3}, "one": {"in_flight": 1}, "staff": "unlimited"},
                     quotas={"con": {"key": ["user"], "limits": "tier", "default_tier": "free", "members": members, "in_flight": 2}},
                     subject_secret="test")
    proxy = start(config)

    def ask_as(client, name):
        signed = f"SDK-HMAC-SHA256 Access={tier_member(name)}, SignedHeaders=host, Signature=0"
        client.send(request("GET", "/", [("Authorization", signed)]))

    def is_up():
        client = connect(proxy)
        ask_as(client, "nobody")
        line = proxy.line_of(client.read())
        client.close()
        return all(entry.get("source") in ("store", "lease") for entry in line["quotas"])

    gate.is_open.set()
    for _ in range(4):
        wait_for(is_up, "the proxy counts in its store")
    gate.is_open.clear()
    for name, limit in (("free", 2), ("pro", 3), ("one", 1), ("staff", None)):
        clients = []
        for number in range(limit or 5):
            clients.append(connect(proxy))
            ask_as(clients[-1], name)
            gate.wait_for(number + 1)
        if limit:
            client = connect(proxy)
            ask_as(client, name)
            reply = client.read()
            check_error(reply, 429, "0308", MESSAGE.format("con", limit))
            client.close()
        let_go(gate, clients)


def tier_member(name):
    return f"AK{name.upper()}"


def test_shadow(start, upstream, connect, store):
    """It counts what it would have refused, and refuses nobody; who it would have refused holds nothing."""
    gate = Gate()
    proxy = start(limited(upstream(gate.serve), store, 2, {"mode": "shadow"}))
    wait_until_counted(connect, gate, proxy)
    clients = hold(connect, proxy, gate, 5)
    assert held(proxy) == 2
    lines = [proxy.line_of(reply) for reply in let_go(gate, clients)]
    assert all(line["decision"] == "none" and "refused_by" not in line for line in lines)
    entries = [entry for line in lines for entry in line["quotas"]]
    assert [(e["mode"], e["charged"], e["used"], e.get("refused", False)) for e in entries] == [
        ("shadow", 1, 1, False), ("shadow", 1, 2, False)] + [("shadow", 0, 2, True)] * 3
    wait_until_free(proxy)
    page = page_of(proxy)
    assert page['sluice_quota_decisions_total{quota="con",decision="shadow_refuse"}'] == 3


def wait_until_counted(connect, gate, proxy):
    """The same as wait_until_up for a quota in shadow, whose answer may come after the response."""
    def is_counted():
        for _ in range(4):
            client = connect(proxy)
            client.send(user_request("probe"))
            wait_for(lambda: gate.inside == 1, "the probe is at the upstream")
            counted = held(proxy) == 1
            (reply,) = let_go(gate, [client])
            if not counted and proxy.line_of(reply)["quotas"][0].get("source") != "store":
                return False
        return True

    wait_for(is_counted, "the proxy counts in its store")
    wait_until_free(proxy)
    gate.most = 0


@pytest.mark.parametrize("quota,said", [
    ({}, '"limits" or "in_flight" is missing'),
    ({"in_flight": 0}, "at least 1"),
    ({"in_flight": 2147483648}, "2147483647"),
    ({"in_flight": "3"}, "in_flight"),
    ({"in_flight": 3, "charge": {"on": ["2xx"]}}, 'only with "limits"'),
    ({"in_flight": 3, "algorithm": "sliding"}, 'only with "limits"'),
    ({"in_flight": 3, "burst": 3}, "token_bucket"),
    ({"in_flight": 3, "default_tier": "x"}, 'only with "limits": "tier"'),
    ({"in_flight": 3, "limits": {"minute": 1}, "mode": "shadow"}, "write two"),
])
def test_what_cannot_be_written(verb, tmp_path, quota, said):
    file = tmp_path / "bad.json"
    file.write_text(json.dumps(respond(quotas={"con": {"key": ["ip"], **quota}}, listen=[{"address": "127.0.0.1:1"}])))
    done = verb("check", "-c", file)
    assert done.returncode != 0 and said in done.stdout + done.stderr, done.stdout + done.stderr


def test_slots_by_address_bound_no_made_up_identity(verb, tmp_path):
    file = tmp_path / "escape.json"
    quotas = {"key": {"key": ["access_key"], "limits": {"minute": 5}}, "ip": {"key": ["ip"], "in_flight": 5}}
    config = respond(quotas=quotas, listen=[{"address": "127.0.0.1:1"}], subject_secret="test")
    config["routes"][0]["quotas"] = ["key", "ip"]
    file.write_text(json.dumps(config))
    assert "a client can make up what quota" in (done := verb("check", "-c", file)).stdout + done.stderr
    quotas["ip"]["limits"] = {"minute": 100}
    file.write_text(json.dumps(config))
    assert "a client can make up what quota" not in (done := verb("check", "-c", file)).stdout + done.stderr


def test_a_tier_without_slots_is_refused(verb, tmp_path):
    file = tmp_path / "bad.json"
    file.write_text(json.dumps(respond(tiers={"none": {"in_flight": 0}}, listen=[{"address": "127.0.0.1:1"}])))
    done = verb("check", "-c", file)
    assert done.returncode != 0 and "in_flight" in done.stdout + done.stderr


# ---- every way to end

def test_every_kind_of_response(start, upstream, connect, store):
    """HEAD, 204, 304, chunks, an error of the server: the one slot is free for the next request."""
    answers = {"/204": http.response(204, "No Content", length=False), "/304": http.response(304, "Not Modified", length=False),
               "/chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
               "/500": http.response(500, "Internal Server Error", body=b"no\n"), "/head": http.response(length=False)}
    proxy = start(limited(upstream(answer=lambda message: answers[message.target]), store, 1))
    client = connect(proxy)
    for _ in range(3):
        for path, status in (("/204", 204), ("/304", 304), ("/chunks", 200), ("/500", 500), ("/head", 200)):
            method = "HEAD" if path == "/head" else "GET"
            assert ask(client, path=path, method=method).status == status, path
    wait_until_free(proxy)


def test_pipelined(start, upstream, connect, store):
    """One after another they share the one slot."""
    proxy = start(limited(upstream(), store, 1))
    client = connect(proxy)
    client.send(user_request() * 20)
    assert [client.read().status for _ in range(20)] == [200] * 20
    wait_until_free(proxy)


def test_answered_here(start, connect, store):
    proxy = start({**respond(store=store, admin={"metrics": f"127.0.0.1:{take_port()}"}, **USERS),
                   "quotas": {"con": {"key": ["user"], "in_flight": 1}},
                   "routes": [{"name": "all", "prefix": "/", "quotas": ["con"], "respond": {"status": 200, "text": "here"}}]})
    client = connect(proxy)
    assert [ask(client).status for _ in range(50)] == [200] * 50
    wait_until_free(proxy)


def dead(link):
    """Reads a request and is gone."""
    link.read_request()
    link.reset()


def half(link):
    """Breaks off in the middle of a body."""
    link.read_request()
    link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    link.reset()


def nonsense(link):
    link.read_request()
    link.send(b"no response at all\r\n\r\n")


@pytest.mark.parametrize("serve,status", [(dead, 502), (half, None), (nonsense, 502)])
def test_the_server_fails(start, upstream, connect, store, serve, status):
    proxy = start(limited(upstream(serve), store, 1))
    for _ in range(5):
        client = connect(proxy)
        client.send(user_request())
        if status:
            assert client.read().status == status
        else:
            client.expect_gone()
        wait_until_free(proxy)
        client.close()


def test_a_server_that_nobody_answers_at(start, connect, store):
    proxy = start(limited(f"127.0.0.1:{take_port()}", store, 1))
    client = connect(proxy)
    assert [ask(client).status for _ in range(5)] == [502] * 5
    wait_until_free(proxy)


def test_a_request_that_is_sent_again(start, upstream, connect, store):
    """A pooled connection that is dead: the second try has the same slot."""
    def once(link):
        if link.read_request() is not None:
            link.send(http.response(body=b"one\n"))
            link.read_request()  # and no answer to the second

    server = upstream(once)
    proxy = start(limited(server, store, 1, workers=1))
    client = connect(proxy)
    for _ in range(6):
        reply = ask(client)
        assert reply.status == 200
    assert any(line["tries"] == 2 for line in proxy.requests(6))
    wait_until_free(proxy)


def tunnelled(server, store, limit):
    config = limited(server, store, limit, route={"upgrade": ["websocket"]})
    return {**config, "identities": {"user": {"from": ["ip"]}}}


@pytest.mark.parametrize("how", ["client ends", "client resets", "server ends"])
def test_tunnel(start, upstream, connect, store, how):
    """A slot for as long as both sides talk."""
    leave = threading.Event()

    def go_on(link):
        if how != "server ends":
            echo(link)
        else:
            leave.wait(PATIENCE_S)

    proxy = start(tunnelled(upstream(tunnel(go_on)), store, 2))
    wait_until_up_tunnel(connect, proxy)
    clients = [opened(connect, proxy)[0] for _ in range(2)]
    refused = connect(proxy)
    for _ in range(3):
        refused.send(handshake())
        assert refused.read().status == 429
    assert held(proxy) == 2
    if how == "client ends":
        clients[0].close()
        wait_for(lambda: held(proxy) == 1, "one slot is free")
        refused.send(handshake())
        assert refused.read().status == 101
        refused.close()
        clients[1].close()
    elif how == "client resets":
        for client in clients:
            client.reset()
    else:
        leave.set()
        for client in clients:
            client.end_output()
            client.expect_gone()
    wait_until_free(proxy)


def wait_until_up_tunnel(connect, proxy):
    def is_up():
        for _ in range(4):
            client, reply = opened(connect, proxy)
            client.reset()
            if proxy.line_of(reply)["quotas"][0].get("source") != "store":
                return False
        return True

    wait_for(is_up, "the proxy counts in its store")
    wait_until_free(proxy)


STAGES = ("with the head", "in the body", "while the server thinks", "in the response", "behind it")


class Slow(Gate):
    """Sends a head and a part of the body, then waits for the gate."""

    def serve(self, link):
        try:
            while link.read_request() is not None:
                link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
                self.is_open.wait(PATIENCE_S)
                link.send(b"x" * 999000)
        except (http.Ended, OSError):
            link.server.broken += 1


@pytest.mark.parametrize("stage", STAGES)
def test_the_client_leaves(start, upstream, connect, store, stage):
    """By end and by reset, at every stage; then all slots can be used again."""
    gate = Slow() if stage == "in the response" else Gate()
    proxy = start(limited(upstream(gate.serve), store, 3))
    if stage == "in the response":
        proxy_is_up(connect, proxy)
    else:
        wait_until_up_open(connect, gate, proxy)
    before = page_of(proxy)["sluice_connections_accepted_total"]
    for number in range(12):
        client = connect(proxy)
        if stage == "with the head":
            gate.is_open.set()
        if stage == "in the body":
            client.send(user_request(method="POST", body=b"x" * 100)[:-50])
            wait_for(lambda: held(proxy) == 1, "it has its slot")
        elif stage == "in the response":
            client.send(user_request())
            assert client.reader.response_head().status == 200
        elif stage == "while the server thinks":
            client.send(user_request())
            gate.wait_for(1)
        elif stage == "behind it":
            gate.is_open.set()
            client.send(user_request())
            client.read()
        else:
            client.send(user_request(path=STRAY))
        if number % 2:
            client.reset()
        else:
            client.close()
        if number % 2 == 0:
            gate.is_open.set()  # one who only ends its side may wait for the answer
        wait_until_free(proxy)
        gate.is_open.set()
        if stage != "with the head":
            gate.wait_for(0)
            gate.is_open.clear()
    if stage == "with the head":
        wait_for(lambda: page_of(proxy)["sluice_connections_accepted_total"] == before + 12, "all were taken")
        wait_until_free(proxy)
    gate.is_open.clear()
    if stage != "in the response":
        gate.wait_for(0)
        let_go(gate, fill(connect, proxy, gate, 3))
        wait_until_free(proxy)


def proxy_is_up(connect, proxy):
    def is_up():
        client = connect(proxy)
        client.send(user_request("probe"))
        client.reader.response_head()
        client.reset()
        return all(line["quotas"][0].get("source") == "store" for line in proxy.requests()[-4:]) and len(proxy.requests()) > 4

    wait_for(is_up, "the proxy counts in its store")


def test_ten_thousand_are_aborted(start, upstream, connect, store, redis):
    """With the head, in the middle of it, before and behind the decision: nothing is left, and the full limit can be used."""
    gate = Gate()
    gate.is_open.set()
    proxy = start(limited(upstream(gate.serve), store, 7))
    wait_until_up(connect, proxy)
    whole = user_request(path=STRAY)
    reset = bytes([1, 0, 0, 0, 0, 0, 0, 0])
    for number in range(10000):
        sock = socket.create_connection(proxy.address)
        sock.sendall(whole if number % 4 else whole[:-7])
        if number % 3 == 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        sock.close()
    wait_until_free(proxy)
    gate.wait_for(0)
    wait_for(lambda: not redis.client.keys("sluice:f:*"), "nothing is left in Redis")
    gate.is_open.clear()
    let_go(gate, fill(connect, proxy, gate, 7))
    wait_until_free(proxy)
