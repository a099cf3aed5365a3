# SPDX-License-Identifier: Apache-2.0
"""Callers whose name may be made up: floods of random tokens, drained victims and guessed members are bounded by the bucket of
their address, whatever the store."""
import contextlib
import json
import os
import signal
import socket
import struct
import threading

import pytest
from harness import http
from harness.client import Client
from harness.configs import forward
from harness.metrics import scrape
from harness.ports import take_port
from harness.replies import check_error, throttled, trio_of
from harness.waiting import wait_for, wait_for_room

VICTIM, ATTACKER = "192.0.2.1", "198.51.100.9"
GOOD = "good"  # tokens and signatures that begin so are right
HOUR, MARGIN = 3600, 60


@pytest.fixture(params=["memory", "redis"])
def store(request, redis):
    return {"memory": {"type": "memory"},
            "redis": {"type": "redis", "servers": [redis.address], "decision_timeout": "1s", "command_timeout": "2s",
                      "fleet_size": 1}}[request.param]


def judging(message):
    """A server that looks at tokens and signatures; /STATUS is answered with that status to whom it knows."""
    known = (message["X-Auth-Token"] or "").startswith(GOOD) or f"Signature={GOOD}" in (message["Authorization"] or "")
    status = int(message.target[1:4]) if message.target[1:4].isdigit() else 200
    return http.response(status=status if known else 401, body=b"x\n")


def token(value, path="/", address=VICTIM, method="GET", fields=()):
    return {"method": method, "target": path, "fields": [("X-Auth-Token", value), ("X-Forwarded-For", address), *fields]}


def signed(key, signature, address, path="/"):
    authorization = f"SDK-HMAC-SHA256 Access={key}, SignedHeaders=host, Signature={signature}"
    return {"target": path, "fields": [("Authorization", authorization), ("X-Forwarded-For", address)]}


def guarded(server, store, bucket, *, limits=None, identity=None, quota=None, **more):
    """One quota over identity "user", which is named by a token or an access key."""
    quotas = more.pop("quotas", {"per-user": {"key": ["user"], "limits": limits or {"hour": 1000}, **(quota or {})}})
    identities = {"user": {"from": ["header:X-Auth-Token", "access_key"], "unverified": bucket, **(identity or {})},
                  "address": {"from": ["ip"]}}
    more.setdefault("workers", 1)
    return forward(server, quotas=quotas, identities=identities, subject_secret="test", store=store,
                   trusted_proxies=["127.0.0.1"], **more)


def running(start, connect, config, path="/"):
    """The proxy and a connection to it, once it counts in its store; in an hour that lasts."""
    wait_for_room(HOUR, MARGIN)
    proxy = start(config)

    def counts():
        with contextlib.closing(connect(proxy)) as client:
            line = proxy.line_of(client.ask(**token("good-probe", path, address="203.0.113.77")))
        return all(entry.get("source") in ("store", "lease") for entry in line["quotas"])

    wait_for(counts, "the proxy counts in its store")
    return proxy, connect(proxy)


def entries(proxy, reply):
    return {entry["q"]: entry for entry in proxy.line_of(reply)["quotas"]}


def used_of(proxy, client, request, name="user.unverified"):
    """How much of the bucket is used behind this request, before anything is given back."""
    return entries(proxy, client.ask(**request))[name]["used"]


def refused(reply, bucket, remaining=0):
    """The one refusal by the bucket."""
    check_error(reply, 429, "0308", throttled("user.unverified", bucket, 1, "hour"))
    assert trio_of(reply) == (bucket, remaining, "hour")
    assert 1 <= int(reply["Retry-After"]) <= HOUR


# ---- one pair

def test_an_accepted_pair_asks_no_bucket_again(start, upstream, connect, store):
    server = upstream(answer=judging)
    proxy, client = running(start, connect, guarded(server, store, {"hour": 2}))
    reply = client.ask(**token("good-1"))
    assert reply.status == 200 and trio_of(reply) == (1000, 999, "hour"), "the bucket is not shown"
    first = entries(proxy, reply)
    assert first["user.unverified"]["charged"] == 1 and first["user.unverified"]["refunded"] == 1
    assert first["per-user"]["charged"] == 1 and "refunded" not in first["per-user"]
    for i in range(10):
        reply = client.ask(**token("good-1"))
        assert reply.status == 200 and trio_of(reply) == (1000, 998 - i, "hour")
        assert set(entries(proxy, reply)) == {"per-user"}


def test_a_rejected_name_is_charged_to_its_address_alone(start, upstream, connect, store):
    server = upstream(answer=judging)
    quotas = {"per-user": {"key": ["user"], "limits": {"hour": 1000}},
              "per-both": {"key": ["address", "user"], "limits": {"hour": 1000}},
              "per-address": {"key": ["address"], "limits": {"hour": 1000}}}
    proxy, client = running(start, connect, guarded(server, store, {"hour": 3}, quotas=quotas))
    for i in range(3):
        reply = client.ask(**token(f"bad-{i}"))
        assert reply.status == 401
        row = entries(proxy, reply)
        assert (row["user.unverified"]["used"], row["user.unverified"].get("refunded")) == (i + 1, None)
        assert row["per-user"]["refunded"] == row["per-both"]["refunded"] == 1
        assert (row["per-address"]["used"], row["per-address"].get("refunded")) == (i + 1, None)
    seen = len(server.requests)
    reply = client.ask(**token("bad-4"))
    refused(reply, 3)
    line = proxy.line_of(reply)
    assert line["decision"] == "refuse" and line["refused_by"] == ["user.unverified/hour"] and line["end"] == "limited"
    assert {entry["q"]: entry["charged"] for entry in line["quotas"]} == {
        "per-user": 0, "per-both": 0, "per-address": 0, "user.unverified": 0}
    assert [entry["q"] for entry in line["quotas"] if "used" in entry] == ["user.unverified"], "nobody asked the others"
    assert len(server.requests) == seen
    assert client.ask(**token("good-1", address=ATTACKER)).status == 200, "another address has a bucket of its own"
    reply = client.ask("GET", "/", [("X-Forwarded-For", VICTIM)])
    assert reply.status == 401 and entries(proxy, reply)["per-address"]["used"] == 4, "who names nobody needs no room"
    assert "user.unverified" not in entries(proxy, reply)


@pytest.mark.parametrize("status", [401, 403])
def test_a_rejection_takes_the_acceptance_back(start, upstream, connect, store, status):
    server = upstream(answer=judging)
    proxy, client = running(start, connect, guarded(server, store, {"hour": 9}, limits={"hour": 100}))
    assert client.ask(**token("good-1")).status == 200
    reply = client.ask(**token("good-1", f"/{status}"))
    assert reply.status == status
    (entry,) = proxy.line_of(reply)["quotas"]
    assert (entry["q"], entry["refunded"]) == ("per-user", 1), "what is rejected costs the named one nothing"
    reply = client.ask(**token("good-1"))
    assert entries(proxy, reply)["user.unverified"]["refunded"] == 1, "asked again, and accepted again"
    assert set(entries(proxy, client.ask(**token("good-1")))) == {"per-user"}


@pytest.mark.parametrize("status", [204, 302, 404, 429, 500])
def test_every_other_answer_accepts(start, upstream, connect, store, status):
    server = upstream(answer=lambda message: http.response(status=status, length=status != 204))
    proxy, client = running(start, connect, guarded(server, store, {"hour": 2}))
    for i in range(4):
        reply = client.ask(**token("any"))
        assert reply.status == status
        assert ("user.unverified" in entries(proxy, reply)) == (i == 0)


def test_what_is_accepted_is_a_pair_at_one_upstream(start, upstream, connect, store):
    """Not the subject, which an attacker may name, nor a word of somebody who asks nobody."""
    server, open_to_all = upstream(answer=judging), upstream()
    config = guarded(server, store, {"hour": 50})
    config["upstreams"]["open"] = {"servers": [open_to_all.address]}
    config["routes"].insert(0, {"name": "open", "prefix": "/open/", "quotas": ["per-user"], "upstream": "open"})
    proxy, client = running(start, connect, config)
    networks = ["192.0.2.1", "192.0.2.2", "2001:db8:0:1::1", "2001:db8:0:2::1"]
    for address in networks:
        assert "user.unverified" in entries(proxy, client.ask(**token("good-1", address=address)))
    for address in [*networks, "2001:db8:0:1:ffff::9"]:
        assert "user.unverified" not in entries(proxy, client.ask(**token("good-1", address=address)))
    assert client.ask(**token("bad", "/open/")).status == 200
    assert "user.unverified" in entries(proxy, client.ask(**token("bad"))), "the open upstream does not vouch for it"


def test_one_bucket_for_a_household(start, upstream, connect, store):
    server = upstream(answer=judging)
    proxy, client = running(start, connect, guarded(server, store, {"hour": 4}, identity={"ipv4_prefix": 24}))
    for i in range(4):
        assert client.ask(**token(f"bad-{i}", address=f"2001:db8::{i + 1:x}:1")).status == 401
        assert client.ask(**token(f"bad-{i}", address=f"192.0.2.{i + 1}")).status == 401
    refused(client.ask(**token("bad", address="2001:db8::ffff")), 4)
    refused(client.ask(**token("bad", address="192.0.2.200")), 4)
    assert client.ask(**token("bad", address="2001:db8:0:1::1")).status == 401


def test_alternatives_are_judged_by_what_was_found(start, upstream, connect, store):
    server = upstream(answer=lambda message: http.response(status=401))
    identity = {"from": ["header:X-Auth-Token", "path:project", "host"], "missing": "shared"}
    config = guarded(server, store, {"hour": 1}, identity=identity)
    config["routes"] = [{"name": "all", "path": "/v1/{project}", "quotas": ["per-user"], "upstream": "app"}]
    proxy, client = running(start, connect, config, "/v1/p")
    assert client.ask(**token("bad", "/v1/p")).status == 401
    refused(client.ask(**token("bad", "/v1/p")), 1)
    for _ in range(3):
        reply = client.ask("GET", "/v1/p", [("X-Forwarded-For", VICTIM)])
        assert reply.status == 401, "a path is no claim"
        (entry,) = proxy.line_of(reply)["quotas"]
        assert entry["q"] == "per-user" and "refunded" not in entry


@pytest.mark.parametrize("missing", ["ip", "skip", "shared"])
def test_who_names_nobody_needs_no_room(start, upstream, connect, store, missing):
    server = upstream(answer=judging)
    proxy, client = running(start, connect, guarded(server, store, {"hour": 1}, identity={"missing": missing}))
    for _ in range(3):
        reply = client.ask("GET", "/", [("X-Forwarded-For", VICTIM)])
        assert reply.status == 401
        assert [(e["q"], e.get("refunded")) for e in proxy.line_of(reply).get("quotas", [])] == (
            [] if missing == "skip" else [("per-user", None)])


# ---- headers, tiers, exemptions, shadows, charge.on

def test_no_dialect_shows_a_bucket_that_lets_pass(start, upstream, connect, store):
    server = upstream(answer=judging)
    config = guarded(server, store, {"hour": 1}, headers={"dialects": ["x-ratelimit", "ietf", "x-apig", "github"], "used": "consumed"})
    _, client = running(start, connect, config)
    reply = client.ask(**token("bad", fields=[("X-Apig-Mode", "debug")]))
    assert reply.status == 401 and not [f for f in reply.fields if "unverified" in f[0].lower() + f[1].lower()]
    assert reply["X-RateLimit-Limit"] == "1000" and trio_of(reply) == (1000, 1, "hour")
    reply = client.ask(**token("bad", fields=[("X-Apig-Mode", "debug")]))
    assert reply.status == 429 and reply["RateLimit-Policy"] == '"user.unverified/hour";q=1;w=3600'
    assert reply["RateLimit"].startswith('"user.unverified/hour";r=0;t=') and "," not in reply["RateLimit"]
    assert reply["X-Apig-RateLimit-user.unverified"] == "remain:0,limit:1,time:1 hour"
    assert reply["X-Apig-RateLimit-per-user"] is None


def test_the_other_quotas_refuse_as_ever_and_the_bucket_is_not_charged(start, upstream, connect, store):
    server = upstream(answer=judging)
    proxy, client = running(start, connect, guarded(server, store, {"hour": 5}, limits={"hour": 1}))
    assert client.ask(**token("good-1")).status == 200
    for _ in range(8):
        reply = client.ask(**token("good-1", address=ATTACKER))
        check_error(reply, 429, "0308", throttled("per-user", 1, 1, "hour"))
        assert trio_of(reply) == (1, 0, "hour")
    assert used_of(proxy, client, token("bad", address=ATTACKER)) == 1


@pytest.mark.parametrize("kind", ["exempt", "unlimited"])
def test_a_guessed_member_needs_room(start, upstream, connect, store, kind):
    """Being exempt is worth guessing."""
    server = upstream(answer=judging)
    quota = {"exempt": {"subjects": ["AKBOSS"]}} if kind == "exempt" else {
        "limits": "tier", "default_tier": "free", "members": {"staff": ["AKBOSS"]}}
    config = guarded(server, store, {"hour": 6}, limits={"hour": 2}, quota=quota,
                     tiers={"free": {"hour": 2}, "staff": "unlimited"} if kind == "unlimited" else {})
    if kind == "exempt":
        del config["tiers"]
    proxy, client = running(start, connect, config)
    for i in range(20):
        reply = client.ask(**signed("AKBOSS", GOOD, VICTIM))
        assert reply.status == 200 and trio_of(reply) is None
        line = proxy.line_of(reply)
        assert line["decision"] == ("allow" if i == 0 else "exempt")
        assert [entry["q"] for entry in line.get("quotas", [])] == (["user.unverified"] if i == 0 else [])
    statuses = [client.ask(**signed("AKBOSS", "guess", ATTACKER)).status for _ in range(30)]
    assert statuses == [401] * 6 + [429] * 24
    assert client.ask(**signed("AKBOSS", GOOD, VICTIM)).status == 200
    assert client.ask(**signed("AKBOSS", GOOD, VICTIM, "/401")).status == 401
    assert [e["q"] for e in proxy.line_of(client.ask(**signed("AKBOSS", GOOD, VICTIM)))["quotas"]] == ["user.unverified"]


def test_members_of_a_tier_are_bounded_alike(start, upstream, connect, store):
    server = upstream(answer=judging)
    config = guarded(server, store, {"hour": 7}, quota={"limits": "tier", "default_tier": "free", "members": {
        "pro": [f"AK{i}" for i in range(100)]}}, tiers={"free": {"hour": 1}, "pro": {"hour": 500}})
    proxy, client = running(start, connect, config)
    statuses = [client.ask(**signed(f"AK{i}", "guess", ATTACKER)).status for i in range(100)]
    assert statuses == [401] * 7 + [429] * 93
    for i in range(100):
        reply = client.ask(**signed(f"AK{i}", GOOD, VICTIM))
        assert reply.status == 200
        if i >= 7 or store["type"] == "memory":
            assert trio_of(reply) == (500, 499, "hour"), "nothing was taken from whom others guessed"


def test_a_shadow_asks_no_bucket_and_counts_whom_one_let_pass(start, upstream, connect, store):
    server = upstream(answer=judging)
    quotas = {"per-user": {"key": ["user"], "limits": {"hour": 1000}},
              "next": {"key": ["user"], "limits": {"hour": 1}, "mode": "shadow"}}
    port = take_port()
    proxy, client = running(start, connect, guarded(server, store, {"hour": 2}, quotas=quotas, admin={"metrics": f"127.0.0.1:{port}"}))

    def shadow(decision):
        return scrape(port)[f'sluice_quota_decisions_total{{quota="next",decision="shadow_{decision}"}}']

    allowed, denied = shadow("allow"), shadow("refuse")
    for name, decision in (("good-1", "allow"), ("good-1", "refuse"), ("bad", "allow"), ("bad", "allow")):
        allowed, denied = allowed + (decision == "allow"), denied + (decision == "refuse")
        assert client.ask(**token(name)).status == (200 if name == "good-1" else 401)
        wait_for(lambda: (shadow("allow"), shadow("refuse")) == (allowed, denied), f"{name}: {decision} (what is rejected comes back)")
    refused(client.ask(**token("bad")), 2)
    assert (shadow("allow"), shadow("refuse"), shadow("skipped")) == (allowed, denied, 0)


def test_a_shadow_alone_refuses_nobody_and_keeps_nobody_unknown(start, upstream, connect, store, redis, verb, tmp_path):
    server = upstream(answer=judging)
    quotas = {"next": {"key": ["user"], "limits": {"hour": 1}, "mode": "shadow"}}
    proxy, client = running(start, connect, guarded(server, store, {"hour": 2}, quotas=quotas, admin=admin(tmp_path)))
    before = subjects_of(verb, tmp_path, redis, store)
    for i in range(20):
        reply = client.ask(**token(f"bad-{i}"))
        assert reply.status == 401 and trio_of(reply) is None
        (entry,) = proxy.line_of(reply)["quotas"]
        assert entry == {"q": "next", "w": "hour", "charged": 0, "mode": "shadow"}
    assert subjects_of(verb, tmp_path, redis, store) == before
    assert client.ask(**token("good-1")).status == 200
    wait_for(lambda: entries(proxy, client.ask(**token("good-1")))["next"].get("used") == 1, "counted once it is accepted")


def test_a_status_that_a_quota_names_stays_charged(start, upstream, connect, store):
    """A quota of failed logins; a class of statuses is no such word."""
    server = upstream(answer=judging)
    quotas = {"logins": {"key": ["user"], "limits": {"hour": 2}, "charge": {"on": ["401"]}},
              "errors": {"key": ["user"], "limits": {"hour": 1000}, "charge": {"on": ["4xx"]}}}
    proxy, client = running(start, connect, guarded(server, store, {"hour": 50}, quotas=quotas))
    for _ in range(2):
        row = entries(proxy, client.ask(**token("bad")))
        assert "refunded" not in row["logins"] and row["errors"]["refunded"] == 1
    check_error(client.ask(**token("bad")), 429, "0308", throttled("logins", 2, 1, "hour"))


def test_the_cost_of_a_route_is_not_the_buckets(start, upstream, connect, store):
    server = upstream(answer=judging)
    config = guarded(server, store, {"hour": 2}, limits={"hour": 100}, route={"cost": 40})
    proxy, client = running(start, connect, config)
    for _ in range(2):
        row = entries(proxy, client.ask(**token("bad")))
        assert row["user.unverified"]["charged"] == 1 and row["per-user"]["charged"] == row["per-user"]["refunded"] == 40
    refused(client.ask(**token("bad")), 2)


# ---- who has not answered

def test_a_failed_upstream_gives_the_room_back(start, connect, store):
    """But for the first request of a subject: a flood of names during an outage must not fill the store."""
    config = guarded("127.0.0.1:%d" % take_port(), store, {"hour": 3})
    wait_for_room(HOUR, MARGIN)
    proxy = start(config)
    client = connect(proxy)

    def row_of(name):
        reply = client.ask(**token(name))
        assert reply.status == 502
        return entries(proxy, reply)["user.unverified"]

    wait_for(lambda: row_of("good-1").get("source") in ("store", "lease"), "the proxy counts in its store")
    for _ in range(10):
        row = row_of("good-1")
        assert row["refunded"] == 1
    assert row_of("new-1").get("refunded") is None
    statuses = [client.ask(**token(f"other-{i}", address=ATTACKER)).status for i in range(10)]
    assert statuses == [502] * 3 + [429] * 7


def test_who_goes_away_has_spent_his_room(start, upstream, connect, store):
    """Else names could be guessed, or made, without end by who does not wait for the answer."""
    server = upstream(serve=lambda link: (link.read_request(), link.wait_for_end()))
    wait_for_room(HOUR, MARGIN)
    proxy = start(guarded(server, store, {"hour": 3}))
    for i in range(3):
        with contextlib.closing(connect(proxy)) as client:
            client.send(http.request(**token(f"bad-{i}")))
            server.wait_for_requests(i + 1)
    lines = proxy.requests(3)
    assert [line["end"] for line in lines] == ["client_abort"] * 3
    refused(connect(proxy).ask(**token("bad")), 3)


def test_an_answer_of_our_own_accepts_nobody(start, upstream, connect, store):
    """413 is ours, and so is what a route says by itself."""
    server = upstream(answer=judging)
    config = guarded(server, store, {"hour": 4}, limits={"hour": 1000}, )
    config["limits"] = {"body": "10"}
    config["routes"].insert(0, {"name": "here", "path": "/here", "quotas": ["per-user"], "respond": {"status": 200, "text": "x"}})
    proxy, client = running(start, connect, config)
    for _ in range(2):
        reply = client.ask(**token("good-1", "/here"))
        assert reply.status == 200 and "refunded" not in entries(proxy, reply)["user.unverified"]
    for _ in range(2):
        with contextlib.closing(connect(proxy)) as other:
            other.send(http.request("POST", "/", token("good-1")["fields"], chunks=[b"x" * 20]))
            assert other.read().status == 413
    refused(client.ask(**token("good-1", "/here")), 4)


# ---- floods

def admin(folder):
    return {"address": f"unix:{folder}/admin.sock"}


def subjects_of(verb, folder, redis, store):
    """How many subjects the store knows."""
    if store["type"] == "redis":
        return redis.client.dbsize()
    return json.loads(verb("status", "-s", folder / "admin.sock", "--json").stdout)["store"]["subjects"]


def flood(proxy, requests, batch=250):
    """Pipelined, on a connection for each batch; the statuses."""
    statuses = []
    for at in range(0, len(requests), batch):
        part = requests[at:at + batch]
        with Client(proxy.address, timeout=120) as client:
            client.send(b"".join(http.request(**request) for request in part))
            statuses += [client.read().status for _ in part]
    return statuses


def test_a_flood_of_random_tokens_is_bounded(start, upstream, connect, store, redis, verb, tmp_path):
    """100,000 tokens of one address: no more than the bucket is forwarded or kept, in the store or in the process."""
    server, bucket = upstream(answer=judging), 20
    proxy, client = running_unlogged(start, connect, guarded(server, store, {"hour": bucket}, workers=2, log={"access": "off"},
                                                             admin=admin(tmp_path)))
    before, seen = subjects_of(verb, tmp_path, redis, store), len(server.requests)
    assert flood(proxy, [token("warm-%d" % i, address=ATTACKER) for i in range(1000)]).count(401) == bucket
    memory = proxy.memory_kib()
    results = []
    threads = [threading.Thread(target=lambda k=k: results.extend(
        flood(proxy, [token(os.urandom(12).hex(), address=ATTACKER) for _ in range(24750)]))) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [429] * 99000
    assert len(server.requests) - seen == bucket
    # One of its own for each that was let through, the bucket itself, and what workers that race for the last room make.
    assert subjects_of(verb, tmp_path, redis, store) - before <= bucket + 1 + 2
    if not os.environ.get("SLUICE_SANITIZE"):  # AddressSanitizer keeps what is freed
        assert proxy.memory_kib() - memory < 8192, "kept hashes have tables of fixed sizes"
    assert client.ask(**token("good-1")).status == 200


def running_unlogged(start, connect, config):
    """Without a log: the store has been asked when a quota shows what it counts."""
    wait_for_room(HOUR, MARGIN)
    proxy = start(config)
    client = connect(proxy)
    wait_for(lambda: trio_of(client.ask(**token("good-probe", address="203.0.113.77"))), "the proxy counts")
    return proxy, client


def test_a_victim_is_not_drained(start, upstream, connect, store):
    """Garbage signatures with its access key, from elsewhere, while it is served its whole quota."""
    server = upstream(answer=judging)
    quota, bucket = 100, 30
    proxy, client = running(start, connect, guarded(server, store, {"hour": bucket}, limits={"hour": quota}, workers=2))
    stop, attacks = threading.Event(), []

    def attack(k):
        with contextlib.closing(connect(proxy)) as other:
            while not stop.is_set():
                attacks.append(other.ask(**signed("AKVICTIM", f"garbage{k}", ATTACKER)).status)

    threads = [threading.Thread(target=attack, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(attacks) > 10, "the attack has begun")
        served = [client.ask(**signed("AKVICTIM", GOOD, VICTIM)).status for _ in range(quota - len(threads))]
        wait_for(lambda: len(attacks) > 5 * bucket, "the attack has gone on")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert served == [200] * (quota - len(threads)), "all but what the attacker has in flight"
    assert attacks.count(401) == bucket and attacks.count(429) == len(attacks) - bucket
    rest = [client.ask(**signed("AKVICTIM", GOOD, VICTIM)).status for _ in range(2 * len(threads))]
    assert rest == [200] * len(threads) + [429] * len(threads), "what was in flight came back"


def test_a_victim_is_not_drained_by_who_does_not_wait(start, upstream, connect, store):
    server = upstream(answer=judging)
    proxy, client = running(start, connect, guarded(server, store, {"hour": 10}, limits={"hour": 100}))
    assert client.ask(**signed("AKVICTIM", GOOD, VICTIM)).status == 200
    for _ in range(60):
        with contextlib.closing(connect(proxy)) as other:
            other.send(http.request(**signed("AKVICTIM", "garbage", ATTACKER)))
            other.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets
    served = [client.ask(**signed("AKVICTIM", GOOD, VICTIM)).status for _ in range(89)]
    assert served == [200] * 89, "a client that goes away is charged, at most what its bucket has"


def test_fifty_at_once_of_one_unknown_pair(start, upstream, connect, store):
    """Each needs room; all room comes back, once."""
    gate = threading.Event()

    def serve(link):
        while (message := link.read_request()) is not None:
            gate.wait(20)
            link.send(judging(message))

    server = upstream(serve)
    gate.set()
    proxy, client = running(start, connect, guarded(server, store, {"hour": 10}, workers=2))
    gate.clear()
    clients = [connect(proxy) for _ in range(50)]
    seen = len(server.requests)
    for other in clients:
        other.send(http.request(**token("good-1")))
    server.wait_for_requests(seen + 10)
    wait_for(lambda: sum(line["status"] == 429 for line in proxy.requests()) == 40, "the other 40 are refused")
    gate.set()
    assert sorted(other.read().status for other in clients) == [200] * 10 + [429] * 40
    assert set(entries(proxy, client.ask(**token("good-1")))) == {"per-user"}
    # One is charged before it is rejected; whoever counts from here on finds all ten places.
    statuses = []

    def rejected():
        statuses.append(client.ask(**token("bad")).status)
        return statuses.count(401) == 10

    wait_for(rejected, "all ten places have come back")
    assert client.ask(**token("bad")).status == 429


# ---- life of the proxy

def test_acceptances_survive_reloads_and_not_the_child(start, upstream, connect, store, verb, tmp_path):
    server = upstream(answer=judging)
    config = guarded(server, store, {"hour": 20}, admin=admin(tmp_path))
    proxy, client = running(start, connect, config)
    assert client.ask(**token("good-1")).status == 200
    for _ in range(5):
        assert client.ask(**token("bad")).status == 401
    proxy.config["identities"]["user"]["unverified"] = {"hour": 6}
    proxy.config["quotas"]["per-user"]["limits"]["hour"] = 999
    proxy.write_config(proxy.config)
    done = verb("reload", "-c", proxy.file)
    assert done.returncode == 0 and "identity user gives less: unverified hour 20 -> 6\n" in done.stdout, done
    client = connect(proxy)
    assert set(entries(proxy, client.ask(**token("good-1")))) == {"per-user"}
    assert client.ask(**token("bad")).status == 401
    refused(client.ask(**token("bad")), 6)
    os.kill(proxy.child, signal.SIGKILL)
    proxy.wait_for_event("start", 2)
    wait_for(lambda: proxy.child, "another child")
    client = wait_for_client(connect, proxy)
    if store["type"] == "redis":
        wait_for(lambda: client.ask(**token("good-2", address=ATTACKER)).status == 200, "it serves")
    refused(client.ask(**token("good-1")), 6)


def wait_for_client(connect, proxy):
    def attempt():
        try:
            return connect(proxy)
        except OSError:
            return None
    return wait_for(attempt, "the proxy listens")


def test_what_is_in_flight_keeps_its_bucket_over_a_reload(start, upstream, connect, store, verb, tmp_path):
    """The bucket is taken out of the file while a request that passed it waits for its answer."""
    answer = threading.Event()

    def serve(link):
        while (message := link.read_request()) is not None:
            if message.target == "/slow":
                answer.wait(20)
            link.send(judging(message))

    server = upstream(serve)
    proxy, client = running(start, connect, guarded(server, store, {"hour": 2}, admin=admin(tmp_path)))
    waiting = connect(proxy)
    seen = len(server.requests)
    waiting.send(http.request(**token("good-1", "/slow")))
    server.wait_for_requests(seen + 1)
    bucket = proxy.config["identities"]["user"].pop("unverified")
    proxy.write_config(proxy.config)
    assert verb("reload", "-c", proxy.file).returncode == 0
    answer.set()
    reply = waiting.read()
    assert reply.status == 200 and entries(proxy, reply)["user.unverified"]["refunded"] == 1
    proxy.config["identities"]["user"]["unverified"] = bucket
    proxy.write_config(proxy.config)
    assert verb("reload", "-c", proxy.file).returncode == 0
    assert set(entries(proxy, client.ask(**token("good-1")))) == {"per-user"}


# ---- the store is away

@pytest.mark.parametrize("mode", ["local", "allow", "deny"])
def test_without_the_store(start, upstream, connect, redis, mode):
    server = upstream(answer=judging)
    away = {"type": "redis", "servers": [redis.address], "decision_timeout": "150ms", "fleet_size": 2, "on_failure": mode}
    proxy, client = running(start, connect, guarded(server, away, {"hour": 10}))
    assert client.ask(**token("good-1")).status == 200
    redis.kill()
    wait_for(lambda: "degraded" in proxy.line_of(client.ask(**token("good-1")))["decision"], "the store is away")
    statuses = [client.ask(**token(f"bad-{i}", address=ATTACKER)).status for i in range(20)]
    if mode == "local":
        assert statuses == [401] * 5 + [429] * 15, "this proxy's share of the bucket"
        reply = client.ask(**token("bad", address=ATTACKER))
        line = proxy.line_of(reply)
        assert line["decision"] == "degraded_refuse" and line["refused_by"] == ["user.unverified/hour"]
        assert trio_of(reply) == (5, 0, "hour")
    else:
        assert statuses == [401 if mode == "allow" else 503] * 20
    assert client.ask(**token("good-1")).status == (503 if mode == "deny" else 200)
    if mode == "local":
        for _ in range(8):
            reply = client.ask(**token("good-2"))
            assert reply.status == 200
        assert set(entries(proxy, reply)) == {"per-user"}, "accepted without the store as well"


def test_a_flood_while_the_store_stands_still(start, upstream, connect, redis):
    """What the store grants when it goes on comes too late for everybody: the bucket keeps it, and is empty soon."""
    server, bucket, share = upstream(answer=judging), 10, 5
    slow = {"type": "redis", "servers": [redis.address], "decision_timeout": "150ms", "fleet_size": 2}
    proxy, client = running(start, connect, guarded(server, slow, {"hour": bucket}))
    before = len(redis.client.keys("*:q:*"))
    clients = [connect(proxy) for _ in range(60)]
    redis.pause()
    try:
        for i, other in enumerate(clients):
            other.send(http.request(**token(f"bad-{i}", address=ATTACKER)))
        statuses = [other.read().status for other in clients]
    finally:
        redis.resume()
    assert sorted(statuses) == [401] * share + [429] * (60 - share)

    def counts():
        line = proxy.line_of(client.ask(**token("good-probe")))
        return all(entry.get("source") in ("store", "lease") for entry in line["quotas"])

    wait_for(counts, "the proxy counts in its store again")
    for i in range(100):
        assert client.ask(**token(f"more-{i}", address=ATTACKER)).status in (401, 429)
    # Late grants, the bills of who was let in without them, and the bucket; what the probe made.
    assert len(redis.client.keys("*:q:*")) - before <= bucket + share + 1 + 1


# ---- what commands say

def write(path, config):
    path.write_text(json.dumps({"listen": [{"address": "127.0.0.1:1"}], **config}))
    return path


def test_check_knows_the_bucket(tmp_path, verb):
    def check(change):
        config = guarded("127.0.0.1:9", {"type": "memory"}, {"minute": 60})
        change(config)
        return verb("check", "-c", write(tmp_path / "c.json", config)).stderr

    user = "identities"
    assert "can make up" not in check(lambda c: None)
    advice = check(lambda c: c[user]["user"].pop("unverified"))
    assert 'add a quota by address ("ip") to this route, or "unverified" limits to the identity' in advice
    advice = check(lambda c: c[user]["user"].update({"from": ["header:X-Key", "host"]}))
    assert "can make up" in advice and '"unverified" limits' not in advice, "no server says whether a host is right"
    assert "there is nothing to verify" in check(lambda c: c[user]["user"].update({"from": ["ip"]}))
    assert "a quota has the name \"user.unverified\"" in check(
        lambda c: c["quotas"].update({"user.unverified": {"key": ["ip"], "limits": {"minute": 1}}}))
    assert "another window of this bucket is just as long" in check(
        lambda c: c[user]["user"].update({"unverified": {"minute": 1, "60 seconds": 2}}))
    assert "can never bind" in check(lambda c: c[user]["user"].update({"unverified": {"minute": 5, "hour": 1000}}))
    assert "/identities/user/unverified/minute: out of range" in check(
        lambda c: c[user]["user"].update({"unverified": {"minute": 0}}))

    def nine(config):
        config["quotas"] = {f"q{i}": {"key": ["user"], "limits": {"minute": 1 + i}} for i in range(8)}
        config["routes"][0]["quotas"] = list(config["quotas"])

    assert 'with the "unverified" buckets of their identities these are 9' in check(nine)


def test_explain_shows_the_bucket(tmp_path, verb):
    path = write(tmp_path / "c.json", guarded("127.0.0.1:9", {"type": "memory"}, {"minute": 60, "hour": 100}))
    words = ["explain", "-c", path, "--ip", "2001:db8::7", "GET", "http://x/"]
    named = json.loads(verb(*words, "--json", "-H", "X-Auth-Token: t").stdout)["quotas"]
    assert [row["quota"] for row in named] == ["per-user", "user.unverified"]
    assert named[1]["until_verified"] is True and named[1]["limits"] == [
        {"window": "minute", "limit": 60}, {"window": "hour", "limit": 100}]
    other = json.loads(verb("explain", "-c", path, "--ip", "2001:db8::8", "GET", "http://x/", "--json", "-H", "X-Auth-Token: u").stdout)["quotas"]
    assert other[1]["key"] == named[1]["key"] and other[0]["key"] != named[0]["key"], "one bucket for a household"
    assert [row["quota"] for row in json.loads(verb(*words, "--json").stdout)["quotas"]] == ["per-user"]
    assert "user.unverified   key " in verb(*words, "-H", "X-Auth-Token: t").stdout
