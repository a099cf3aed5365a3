# SPDX-License-Identifier: Apache-2.0
"""Quotas in shadow: what they would have done shows in logs and metrics, and nowhere else."""
import random
import socket
import time

import pytest
from harness import http
from harness.client import Client
from harness.clocks import PATCH_S, Clock
from harness.configs import forward
from harness.ports import take_port
from harness.proxy import BINARY
from harness.redis_server import RedisServer
from harness.replies import trio_of
from harness.waiting import wait_for, wait_for_room

USERS = {"identities": {"user": {"from": ["header:X-User"]}}, "subject_secret": "test"}


def memory(_):
    return {"type": "memory"}


def in_redis(redis):
    return {"type": "redis", "servers": [redis.address], "decision_timeout": "150ms", "fleet_size": 1}


def shadow(limit, **more):
    return {"key": ["user"], "limits": {"hour": limit}, "mode": "shadow", **more}


def ask(client, user="alice", path="/"):
    return client.ask("GET", path, [("X-User", user)])


def shadow_entry(line, quota="next"):
    (entry,) = [e for e in line["quotas"] if e["q"] == quota]
    return entry


def metric(proxy, quota, decision):
    """The value of sluice_quota_decisions_total."""
    host, port = proxy.config["admin"]["metrics"].rsplit(":", 1)
    client = Client((host, int(port)))
    text = client.ask("GET", "/metrics").body.decode()
    client.close()
    (row,) = [r for r in text.splitlines()
              if r.startswith(f'sluice_quota_decisions_total{{quota="{quota}",decision="{decision}"}}')]
    return int(row.split()[-1])


def with_metrics(config):
    return {**config, "admin": {"metrics": f"127.0.0.1:{take_port()}"}}


def wait_until_counted_in_store(connect, proxy):
    def is_up():
        client = connect(proxy)
        line = proxy.line_of(ask(client, "probe"))
        client.close()
        return all(e.get("source") in ("store", "lease") or e.get("mode") == "shadow" for e in line["quotas"]) and \
            any(e["charged"] for e in line["quotas"])

    wait_for(is_up, "the proxy counts in its store")


def test_it_refuses_nobody_and_shows_in_no_header(start, upstream, connect):
    server = upstream()
    proxy = start(with_metrics(forward(server, quotas={
        "now": {"key": ["user"], "limits": {"hour": 100}}, "next": shadow(2)}, **USERS)))
    client = connect(proxy)
    wait_for_room(3600, 5)
    replies = [ask(client) for _ in range(5)]
    assert [r.status for r in replies] == [200] * 5
    assert [trio_of(r) for r in replies] == [(100, left, "hour") for left in (99, 98, 97, 96, 95)]
    lines = proxy.requests(5)
    assert all(line["decision"] == "allow" and "refused_by" not in line for line in lines)
    entries = [shadow_entry(line) for line in lines]
    assert [(e["mode"], e["charged"], e["used"], e.get("refused", False)) for e in entries] == [
        ("shadow", 1, 1, False), ("shadow", 1, 2, False), ("shadow", 0, 2, True), ("shadow", 0, 2, True), ("shadow", 0, 2, True)]
    assert all("mode" not in shadow_entry(line, "now") for line in lines)
    assert metric(proxy, "next", "shadow_allow") == 2 and metric(proxy, "next", "shadow_refuse") == 3
    assert metric(proxy, "now", "allow") == 5
    assert len(server.requests) == 5


def test_alone_on_its_route_it_leaves_no_trio(start, upstream, connect):
    proxy = start(forward(upstream(), quotas={"next": shadow(1)}, **USERS))
    client = connect(proxy)
    for _ in range(2):
        reply = ask(client)
        assert reply.status == 200 and trio_of(reply) is None and reply["Retry-After"] is None
    lines = proxy.requests(2)
    assert [line["decision"] for line in lines] == ["none", "none"]
    assert [shadow_entry(line).get("refused", False) for line in lines] == [False, True]


def test_it_sees_only_what_was_admitted(start, upstream, connect):
    proxy = start(forward(upstream(), quotas={
        "now": {"key": ["user"], "limits": {"hour": 2}}, "next": shadow(10)}, **USERS))
    client = connect(proxy)
    wait_for_room(3600, 5)
    assert [ask(client).status for _ in range(4)] == [200, 200, 429, 429]
    entries = [shadow_entry(line) for line in proxy.requests(4)]
    assert [e["charged"] for e in entries] == [1, 1, 0, 0]
    assert [e.get("used") for e in entries] == [1, 2, None, None], "not evaluated for refused requests"
    assert not any("refused" in e for e in entries)


def test_two_in_shadow_judge_apart(start, upstream, connect):
    proxy = start(forward(upstream(), quotas={"small": shadow(1), "large": shadow(3)}, **USERS))
    client = connect(proxy)
    wait_for_room(3600, 5)
    for _ in range(4):
        assert ask(client).status == 200
    lines = proxy.requests(4)
    assert [shadow_entry(line, "small").get("refused", False) for line in lines] == [False, True, True, True]
    assert [shadow_entry(line, "large").get("refused", False) for line in lines] == [False, False, False, True]


# the quota, and the route's cost: what is recorded is replayed against each of them
QUOTAS = {
    "fixed": ({"limits": {"minute": 9}}, 1),
    "two windows": ({"limits": {"minute": 6, "hour": 20}}, 1),
    "constant cost": ({"limits": {"minute": 20}}, 3),
    "settled cost": ({"limits": {"minute": 25}}, {"response_header": "X-Cost", "estimate": 3, "max": 12}),
    "given back": ({"limits": {"minute": 5}, "charge": {"on": ["2xx", "404"]}}, 1),
    "settled and given back": ({"limits": {"minute": 25}, "charge": {"on": ["2xx"]}}, {"response_header": "X-Cost", "estimate": 3, "max": 12}),
    "sliding": ({"limits": {"minute": 9}, "algorithm": "sliding"}, 1),
    "sliding, settled": ({"limits": {"minute": 25}, "algorithm": "sliding", "charge": {"on": ["2xx"]}},
                         {"response_header": "X-Cost", "estimate": 3, "max": 12}),
    "bucket": ({"limits": {"minute": 9}, "algorithm": "token_bucket"}, 1),
    "bucket with burst, settled": ({"limits": {"minute": 20}, "burst": 30, "algorithm": "token_bucket", "charge": {"on": ["2xx", "404"]}},
                                   {"response_header": "X-Cost", "estimate": 3, "max": 12}),
}
USER_COUNT = 5


def record(rng, jumps):
    """[(when, user, status, cost)]: bursts of requests, and the responses that they got."""
    at, traffic = 0.0, []
    for jump_s in jumps:
        at += jump_s
        for _ in range(rng.randint(20, 30)):
            traffic.append((at, rng.choice("abcde"[:USER_COUNT]), rng.choice((200, 200, 200, 404, 500)), rng.choice((None, 0, 1, 3, 7, 20))))
    return traffic


def as_recorded(message):
    """The path says what the server answered: /NAME/STATUS/COST."""
    _, _, status, cost = message.target.split("/")
    return http.response(int(status), "Recorded", [] if cost == "None" else [("X-Cost", cost)], b"x")


class Verdicts:
    """Those of quotas in shadow over Redis come when they come: how many there are."""

    def __init__(self, address):
        self.address, self.count = address, 0

    def seen(self):
        with Client(self.address) as client:
            rows = client.ask("GET", "/metrics").body.decode().splitlines()
        return sum(int(row.split()[-1]) for row in rows if row.startswith("sluice_quota_decisions_total") and '="shadow_' in row)

    def wait_for_one(self):
        self.count += 1
        wait_for(lambda: self.seen() >= self.count, "the verdict is in")


def replay(client, clock, name, traffic, settle_s, verdicts):
    """Each request at its time, when the one before it has been judged; the ids of the answers, and the statuses."""
    ids, statuses = [], []
    for when, user, status, cost in traffic:
        if clock.begin + when != clock.now:
            clock.set(clock.begin + when)
            time.sleep(settle_s)
        reply = client.ask("GET", f"/{name}/{status}/{cost}", [("X-User", user)])
        ids.append(reply["X-request-id"].split("-")[0])
        statuses.append(reply.status)
        if verdicts:
            verdicts.wait_for_one()
    return ids, statuses


@pytest.mark.parametrize("store", ["memory", "redis"])
def test_denials_equal_those_of_the_enforced_quota(start, upstream, connect, world, store):
    """What was recorded is replayed twice by a clock of its own: enforced, and in shadow.  The same requests are refused."""
    clock = Clock(world.folder)
    names = {name: f"q{number}" for number, name in enumerate(QUOTAS)}
    server = upstream(answer=as_recorded)
    # A proxy stands by a refusal of Redis for a moment of real time; in the memory store time is but a number.
    jumps = [0.25, 1, 58.7, 0.05, 20, 41, 3, 3600, 7.5, 33, 59.9] if store == "memory" else [0.25, 58.9, 21]
    settle_s = 0 if store == "memory" else PATCH_S
    redis_server = None
    if store == "redis":
        redis_server = RedisServer(world.folder, env=clock.env())
        world.redises.append(redis_server)
    refused, traffics = {}, {name: record(random.Random(name), jumps) for name in QUOTAS}
    for mode in ("enforce", "shadow"):
        clock.set(clock.begin)
        config = forward(server, workers=1, log={"level": "info"},
                         store=memory(None) if store == "memory" else {**in_redis(redis_server), "prefix": mode, "decision_timeout": "250ms"}, **USERS)
        config["quotas"] = {names[name]: {"key": ["user"], "mode": mode, "on_failure": "deny", "accuracy": "exact", **quota} for name, (quota, _) in QUOTAS.items()}
        config["routes"] = [{"name": names[name], "prefix": f"/{names[name]}/", "upstream": "app", "quotas": [names[name]], "cost": cost}
                            for name, (_, cost) in QUOTAS.items()]
        config["routes"].append({"name": "probe", "prefix": "/", "upstream": "app", "quotas": ["probe"]})
        config["quotas"]["probe"] = {"key": ["route"], "limits": {"day": 1000000}, "on_failure": "deny"}
        proxy = start(with_metrics(config), env=clock.env(BINARY))
        client = connect(proxy)
        wait_for(lambda c=client: c.ask("GET", "/probe/200/1").status == 200, "the store answers")
        counter = Verdicts(("127.0.0.1", int(proxy.config["admin"]["metrics"].rsplit(":", 1)[1]))) if redis_server and mode == "shadow" else None
        # Burst by burst over all quotas: the clock is one.
        seen, lists = {name: ([], []) for name in QUOTAS}, {name: list(traffic) for name, traffic in traffics.items()}
        for when in sorted({request[0] for traffic in traffics.values() for request in traffic}):
            for name, traffic in lists.items():
                burst = [request for request in traffic if request[0] == when]
                ids, statuses = replay(client, clock, names[name], burst, settle_s, counter)
                seen[name][0].extend(ids)
                seen[name][1].extend(statuses)
        prefix = "" if mode == "enforce" else "shadow_"
        for name, traffic in traffics.items():
            wait_for(lambda n=names[name], t=traffic: sum(metric(proxy, n, prefix + d) for d in ("allow", "refuse")) == len(t), "every verdict is in")
        lines = {line["id"]: line for line in proxy.requests(sum(map(len, traffics.values())))}
        # With Redis a verdict may come after the line: then an event tells.
        late = {event["id"] for event in proxy.events("shadow_refusal")}
        for name, (ids, statuses) in seen.items():
            if mode == "enforce":
                refused[name] = [status == 429 for status in statuses]
                continue
            assert 429 not in statuses
            denied = [any(entry.get("refused", False) for entry in lines[one]["quotas"]) or one in late for one in ids]
            differing = [number for number, pair in enumerate(zip(refused[name], denied)) if pair[0] != pair[1]]
            assert not differing, f"{name}: {len(differing)} of {len(ids)}, the first {differing[:5]}: {traffics[name][differing[0]]}"
            assert metric(proxy, names[name], "shadow_refuse") == sum(denied)
        proxy.stop()
    for name, denied in refused.items():
        assert 3 <= sum(denied) <= len(denied) - 3, (name, sum(denied), len(denied))


def test_a_shadow_settles_with_the_response_as_an_enforced_quota_does(start, upstream, connect, redis):
    """Its body still comes: what it cost, and that it does not count, is known to the next request."""
    held = []

    def serve(link):
        while (message := link.read_request()) is not None:
            status, cost = message.target.split("/")[1:3]
            link.send(f"HTTP/1.1 {status} Said\r\nX-Cost: {cost}\r\nContent-Length: 2\r\n\r\nx".encode())
            wait_for(lambda: held, "the test lets go")
            link.send(b"x")

    for name, store in (("memory", memory(None)), ("redis", in_redis(redis))):
        quota = shadow(10, charge={"on": ["2xx"]})
        proxy = start(with_metrics(forward(upstream(serve=serve), quotas={"next": quota}, store=store, workers=1,
                                           route={"cost": {"response_header": "X-Cost", "estimate": 4, "max": 9}}, **USERS)))
        wait_for_room(3600, 20)
        if name == "redis":
            wait_until_shadow_counts(connect, proxy, held)
        clients, asked = [], metric(proxy, "next", "shadow_allow") + metric(proxy, "next", "shadow_refuse")
        held.clear()
        # given back twice; 9 in all; refused, for 4 more are too many
        for number, path in enumerate(("/500/4", "/500/9", "/200/9", "/200/1")):
            clients.append(connect(proxy))
            clients[-1].send(http.request("GET", path, [("X-User", "alice")]))
            wait_for(lambda c=clients[-1]: c.sock.recv(1, socket.MSG_PEEK), "the head")
            wait_for(lambda n=number: metric(proxy, "next", "shadow_allow") + metric(proxy, "next", "shadow_refuse") == asked + n + 1, "the verdict")
        held.append(True)
        replies = [client.read() for client in clients]
        entries = [shadow_entry(proxy.line_of(reply)) for reply in replies]
        assert [(e["charged"], e.get("refunded", 0), e.get("added", 0), e.get("refused", False)) for e in entries] == [
            (4, 4, 0, False), (4, 4, 0, False), (4, 0, 5, False), (0, 0, 0, True)], name


def wait_until_shadow_counts(connect, proxy, held):
    """Quotas in shadow are skipped until Redis is there.  No verdict is on its way afterwards."""
    probes = []

    def counts():
        held.append(True)
        client = connect(proxy)
        client.ask("GET", "/200/1", [("X-User", "probe")])
        client.close()
        probes.append(True)
        return metric(proxy, "next", "shadow_allow") > 0

    wait_for(counts, "the proxy counts in Redis")
    verdicts = ("shadow_allow", "shadow_refuse", "shadow_skipped")
    wait_for(lambda: sum(metric(proxy, "next", verdict) for verdict in verdicts) == len(probes), "all verdicts are there")


def test_nobody_waits_for_a_redis_that_stands_still(start, upstream, connect, redis):
    proxy = start(with_metrics(forward(upstream(), quotas={"next": shadow(5)}, store=in_redis(redis), **USERS)))
    wait_until_counted_in_store(connect, proxy)
    redis.pause()
    client = connect(proxy)
    for _ in range(20):
        reply = ask(client)
        assert reply.status == 200
        assert proxy.line_of(reply).get("t_store") is None, "no decision was waited for"
    wait_for(lambda: metric(proxy, "next", "shadow_skipped") > 0, "shadows are skipped while the store is away")
    redis.resume()
