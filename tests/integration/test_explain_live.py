# SPDX-License-Identifier: Apache-2.0
"""`sluice explain --live`: what a request would be answered is told before it is sent, and comes true; telling it counts nothing."""
import contextlib
import json
import pathlib
import re
import shlex

import pytest
from harness import http
from harness.client import Client
from harness.configs import forward
from harness.in_flight import Gate, hold, in_redis, let_go, limited, wait_until_up_open
from harness.ports import take_port
from harness.proxy import run_verb
from harness.waiting import wait_for, wait_for_room

HOUR, ROOM = 3600, 40
KINDS = ["memory", "exact", "leased"]


def store_of(kind, request):
    if kind == "memory":
        return {"type": "memory"}
    server = request.getfixturevalue("redis")
    return {"type": "redis", "servers": [server.address], "decision_timeout": "1s", "command_timeout": "2s", "fleet_size": 1}


# ---- asking

def tell(world, body, status=200, name="a"):
    """The answer of the admin address to such a body."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with Client(f"{world.folder}/{name}.sock") as client:
        client.send(b"POST /v1/explain HTTP/1.1\r\nHost: sluice\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
        reply = client.read("POST")
    assert reply.status == status, reply.body
    return json.loads(reply.body)


def foretell(world, target, fields=(), method="GET", ip="127.0.0.1", **more):
    return tell(world, {"method": method, "url": target, "headers": [f"{name}: {value}" for name, value in fields], "ip": ip}, **more)


def row_of(said, quota):
    return next(row for row in said["quotas"] if row["quota"] == quota)


def used(said, quota):
    return {window["w"]: window["used"] for window in row_of(said, quota).get("windows", [])}


def check_comes_true(proxy, said, reply, may_remember=False):
    """What was told before the request is what the response and its log line say.  Over Redis each key's refusal may be remembered,
    for 100 ms and more; those whose time is over in between are not named again."""
    verdict, line = said["verdict"], proxy.line_of(reply)
    assert verdict["consumed"] == 0
    assert verdict["admitted"] == (reply.status == 200), (said, line)
    if "decision" not in verdict:
        assert (verdict["end"], verdict["status"]) == (line["end"], reply.status)
        return line
    assert verdict["decision"] == line["decision"]
    if may_remember and not verdict["admitted"]:
        assert set(verdict["refused_by"]) & set(line["refused_by"])
    else:
        assert verdict["refused_by"] == line.get("refused_by", [])
    if not verdict["admitted"]:
        assert (verdict["end"], verdict["status"]) == (line["end"], reply.status)
    retry = reply["Retry-After"]
    assert (retry is None) == ("retry_after_s" not in verdict), (verdict, retry)
    if retry is not None:
        assert verdict["retry_after_s"] - 2 <= int(retry) <= verdict["retry_after_max_s"], (verdict, retry)
    for entry in line.get("quotas", []):
        for window in row_of(said, entry["q"]).get("windows", []):
            if window["w"] == entry["w"] and "limit" in entry:
                assert window["limit"] == entry["limit"]
                if row_of(said, entry["q"])["algorithm"] == "fixed" and not line["decision"].startswith("degraded"):
                    assert entry["used"] == window["used"] + entry["charged"], (said, line)
    return line


# ---- one proxy with everything that decides

SOURCES = {"user": {"from": ["header:X-User"]}, "known": {"from": ["header:X-User"], "missing": "refuse"},
           "key": {"from": ["header:X-Key"], "missing": "skip"}, "address": {"from": ["ip"]}}


def everything(world, store, accuracy):
    def quota(limits, **more):
        return {"key": ["user"], "limits": limits, "accuracy": accuracy, **more}

    def route(name, *quotas, **more):
        return {"name": name, "path": "/" + name, "quotas": list(quotas), "respond": {"status": 200}, **more}

    sliding, bucket = {"algorithm": "sliding"}, {"algorithm": "token_bucket", "accuracy": "exact"}
    return {
        "workers": 2, "store": store, "admin": {"address": f"unix:{world.folder}/a.sock"}, "subject_secret": "of the fleet",
        "trusted_proxies": ["127.0.0.1"], "identities": SOURCES, "tiers": {"free": {"hour": 3}, "staff": "unlimited"},
        "quotas": {
            "fixed": quota({"hour": 7, "day": 1000}), "narrow": quota({"hour": 4}), "wide": quota({"day": 9}), "zero": quota({"hour": 0}),
            "sliding": quota({"hour": 5}, **sliding), "bucket": quota({"hour": 6}, burst=4, **bucket),
            "address": {"key": ["address"], "limits": {"hour": 5}, "accuracy": accuracy},
            "shadow": quota({"hour": 2}, mode="shadow"), "key": {"key": ["key"], "limits": {"hour": 1}},
            "free": quota({"hour": 1}, exempt={"addresses": ["198.51.100.0/24"]}),
            "known": {"key": ["known"], "limits": {"hour": 9}},
            "tiered": {"key": ["address"], "limits": "tier", "default_tier": "free", "members": {"staff": ["198.51.100.77"]}, "accuracy": accuracy},
        },
        "routes": [
            route("fixed", "fixed", cost=2), route("sliding", "sliding"), route("bucket", "bucket", cost=3), route("zero", "zero"),
            route("several", "fixed", "narrow", "address", "shadow"), route("mixed", "sliding", "bucket", "wide", cost=2),
            route("tried", "shadow", "key"), route("free", "free"), route("known", "known"), route("tiered", "tiered"),
            route("acl", "fixed", allow=["192.0.2.0/24"]), route("plain"),
        ],
    }


# what is sent, how often: each is foretold before
STEPS = [
    ("/fixed", "a", 5), ("/sliding", "a", 7), ("/bucket", "a", 3), ("/zero", "a", 2), ("/several", "b", 6), ("/mixed", "c", 4),
    ("/tried", "d", 4), ("/free", "e", 2), ("/tiered", "f", 5), ("/plain", "g", 1), ("/fixed", "c", 2)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_told_comes_true(start, connect, world, request, kind):
    wait_for_room(HOUR, ROOM)
    accuracy = "leased" if kind == "leased" else "exact"
    proxy = start(everything(world, store_of(kind, request), accuracy))
    clients = [connect(proxy) for _ in range(2)]
    pairs = []

    def ask(target, user=None, address="203.0.113.5", method="GET", fields=(), client=0):
        own = [*([("X-User", user)] if user else []), ("X-Forwarded-For", address), *fields]
        said = foretell(world, target, own, method)
        pairs.append((said, clients[client].ask(method, target, own)))
        return pairs[-1]

    for client in range(2):  # whichever worker each has
        wait_for(lambda n=client: proxy.line_of(ask("/free", "probe", client=n)[1])["quotas"][0]["source"] in ("store", "lease"), "it counts")
    pairs.clear()
    outcomes = {}
    for target, user, times in STEPS:
        for turn in range(times):
            outcomes.setdefault((target, user), []).append(ask(target, user, client=turn % 2)[1].status)
    assert outcomes == {
        ("/fixed", "a"): [200, 200, 200, 429, 429], ("/sliding", "a"): [200] * 5 + [429] * 2, ("/bucket", "a"): [200, 429, 429],
        ("/zero", "a"): [429, 429], ("/several", "b"): [200] * 4 + [429] * 2, ("/mixed", "c"): [200, 200, 429, 429], ("/tried", "d"): [200] * 4,
        ("/free", "e"): [200, 429], ("/tiered", "f"): [200] * 3 + [429] * 2, ("/plain", "g"): [200], ("/fixed", "c"): [200, 200]}

    assert "retry_after_s" not in ask("/zero", "a")[0]["verdict"], "waiting does not help"
    assert ask("/free", "e", "198.51.100.7")[0]["verdict"]["decision"] == "exempt"
    assert row_of(ask("/tiered", "f", "198.51.100.77")[0], "tiered")["verdict"] == "unlimited"
    said, reply = ask("/known")
    assert (said["verdict"]["status"], reply.status, said["verdict"]["end"]) == (401, 401, "identity_required")
    said, reply = ask("/acl", "h")
    assert (said["verdict"]["status"], reply.status) == (403, 403) and said["verdict"]["end"] == "address_denied"
    assert ask("/acl", "h", "192.0.2.9")[1].status == 200
    assert ask("/nowhere", "h")[1].status == 404
    assert ask("/several", "i", fields=[("X-User", "j")])[1].status == 400, "an identity that stands there twice"
    said, _ = ask("/tried", "d", fields=[("X-Key", "k")])
    assert [row["verdict"] for row in said["quotas"]] == ["would_refuse", "ok"]
    assert row_of(said, "shadow")["windows"][0]["exceeded"] is True and said["verdict"]["refused_by"] == []
    assert ask("/tried", "d", fields=[("X-Key", "k")])[0]["verdict"]["refused_by"] == ["key/hour"]
    said, _ = ask("/several", "b")
    assert {row["quota"]: row["verdict"] for row in said["quotas"]} == {
        "fixed": "ok", "narrow": "refuses", "address": "ok", "shadow": "would_refuse"}
    if kind == "leased":
        assert row_of(said, "fixed")["source"] in ("lease", "store") and row_of(said, "fixed")["held"] >= 0
    assert said["store"] == {"type": "memory" if kind == "memory" else "redis", "answers": True}

    # an operator's order is seen at once
    words = ["-s", f"unix:{world.folder}/a.sock"]
    mac = next(s["subject"] for s in said["subjects"] if s["identity"] == "user")
    assert run_verb(world.folder, "grant", mac, "+2", "--for", "1h", "--quota", "narrow", *words).returncode == 0
    said, reply = ask("/several", "b")
    assert row_of(said, "narrow")["windows"][0]["limit"] == 6 and reply.status == 200
    assert run_verb(world.folder, "reset", mac, "--quota", "narrow", *words).returncode == 0
    said, _ = ask("/several", "b")
    assert row_of(said, "narrow")["windows"][0]["used"] == 0
    for said, reply in pairs:
        check_comes_true(proxy, said, reply, kind != "memory")


# ---- looking changes nothing

@pytest.mark.parametrize("kind", ["memory", "leased"])
def test_hundreds_of_looks_change_nothing(start, connect, world, request, kind):
    wait_for_room(HOUR, ROOM)
    proxy = start(everything(world, store_of(kind, request), "leased" if kind == "leased" else "exact"))
    client = connect(proxy)
    alice = [("X-User", "alice"), ("X-Forwarded-For", "203.0.113.5")]
    wait_for(lambda: proxy.line_of(client.ask("GET", "/several", alice))["quotas"][0]["source"] in ("store", "lease"), "it counts")

    def status():
        with Client(f"{world.folder}/a.sock") as admin:
            return json.loads(admin.ask("GET", "/v1/status").body)

    def values():
        if kind == "memory":
            return None
        server = request.getfixturevalue("redis").client
        return {key: server.dump(key) for key in server.keys("*:q:*") + server.keys("*:f:*")}

    def counts():
        now = status()
        return {name: now["store"].get(name) for name in ("subjects", "leases", "leased", "overflowed")}, now["decisions"]

    settled = wait_for(lambda: (before := (values(), counts())) == (values(), counts()) and before, "nothing is on its way")
    for turn in range(400):
        target = ["/several", "/mixed", "/tried", "/fixed", "/acl"][turn % 5]
        said = foretell(world, target, [("X-User", "alice" if turn % 2 else f"nobody{turn}"), ("X-Forwarded-For", "203.0.113.5")])
        assert "consumed" in said["verdict"]
    assert (values(), counts()) == settled
    assert "nobody" not in pathlib.Path(proxy.access_log).read_text(), "who only looks is in no log"


# ---- the store is away

def test_while_the_store_is_away(start, connect, world, redis):
    wait_for_room(HOUR, ROOM)
    store = {"type": "redis", "servers": [redis.address], "decision_timeout": "50ms", "fleet_size": 2}
    kinds = ["local", "allow", "deny"]
    proxy = start({"store": store, "admin": {"address": f"unix:{world.folder}/a.sock"}, "identities": SOURCES, "subject_secret": "s",
                   "quotas": {kind: {"key": ["user"], "limits": {"hour": 6}, "on_failure": kind, "accuracy": "exact"} for kind in kinds},
                   "routes": [{"name": kind, "path": f"/{kind}", "quotas": [kind], "respond": {"status": 200}} for kind in kinds]})
    client = connect(proxy)
    wait_for(lambda: proxy.line_of(client.ask("GET", "/local", [("X-User", "probe")]))["quotas"][0]["source"] == "store", "it counts")
    redis.stop()
    wait_for(lambda: proxy.line_of(client.ask("GET", "/local", [("X-User", "other")]))["decision"].startswith("degraded"), "it is away")
    for kind, row, decisions, status in [
            ("local", "ok", ["degraded_allow"] * 3 + ["degraded_refuse"], 200), ("allow", "skipped", ["degraded_allow"], 200),
            ("deny", "unavailable", ["degraded_refuse"], 503)]:
        for turn, decision in enumerate(decisions):
            said = foretell(world, f"/{kind}", [("X-User", "alice")])
            assert said["store"] == {"type": "redis", "answers": False}
            assert any("on_failure" in note for note in said["notes"])
            reply = client.ask("GET", f"/{kind}", [("X-User", "alice")])
            assert check_comes_true(proxy, said, reply)["decision"] == decision
            if turn == 0:
                assert reply.status == status and said["quotas"][0]["verdict"] == row
            elif kind == "local":  # half of 6 is its share
                assert said["quotas"][0]["windows"][0]["limit"] == 3 and said["quotas"][0]["windows"][0]["used"] == turn


# ---- what other proxies hold

def test_a_fleet_says_what_it_cannot_know(start, connect, world, redis):
    wait_for_room(HOUR, ROOM)
    store = {"type": "redis", "servers": [redis.address], "decision_timeout": "1s", "command_timeout": "2s", "fleet_size": 2}

    def one(name):
        return {"store": store, "admin": {"address": f"unix:{world.folder}/{name}.sock"}, "identities": SOURCES, "subject_secret": "s",
                "quotas": {"q": {"key": ["user"], "limits": {"hour": 1000}}},
                "routes": [{"name": "all", "prefix": "/", "quotas": ["q"], "respond": {"status": 200}}]}

    first, second = start(one("a")), start(one("b"))
    alice = [("X-User", "alice")]
    client = connect(first)
    wait_for(lambda: client.ask("GET", "/", alice).status == 200
             and row_of(foretell(world, "/", alice), "q")["held"] > 0, "the first holds some", 20)
    here, there = foretell(world, "/", alice), foretell(world, "/", alice, name="b")
    held = row_of(here, "q")["held"]
    assert row_of(there, "q")["held"] == 0 and there["verdict"]["admitted"]
    assert used(there, "q")["hour"] >= used(here, "q")["hour"] + held, "what the first holds is used for the second"
    for said in (here, there):
        assert any(note.startswith("2 proxies share the store") for note in said["notes"])
    assert second.requests() == []


# ---- slots, buckets of addresses, projects, members

@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_slots_in_flight(start, upstream, connect, world, request, kind):
    gate = Gate()
    store = {"type": "memory"} if kind == "memory" else in_redis(request.getfixturevalue("redis"))
    config = limited(upstream(gate.serve), store, 2)
    config["admin"] = {**config.get("admin", {}), "address": f"unix:{world.folder}/a.sock"}
    proxy = start(config)
    wait_until_up_open(connect, gate, proxy)
    alice = [("X-User", "alice")]
    assert foretell(world, "/", alice)["quotas"][0]["slots"] == {"used": 0, "limit": 2, "exceeded": False}
    clients = hold(connect, proxy, gate, 2)
    said = foretell(world, "/", alice)
    assert said["quotas"][0]["slots"] == {"used": 2, "limit": 2, "exceeded": True}
    assert said["verdict"]["refused_by"] == ["con/in_flight"] and said["verdict"]["retry_after_s"] == 1
    reply = connect(proxy).ask("GET", "/", alice)
    check_comes_true(proxy, said, reply)
    assert reply.status == 429
    let_go(gate, clients)
    wait_for(lambda: foretell(world, "/", alice)["quotas"][0]["slots"]["used"] == 0, "they are free again")


def test_callers_that_nobody_has_accepted(start, upstream, connect, world):
    wait_for_room(HOUR, ROOM)

    def judging(message):
        return http.response(status=200 if (message["X-Key"] or "").startswith("good") else 401, body=b"x\n")

    config = forward(upstream(answer=judging), subject_secret="s", trusted_proxies=["127.0.0.1"], workers=1,
                     identities={"user": {"from": ["header:X-Key"], "unverified": {"hour": 2}}},
                     quotas={"q": {"key": ["user"], "limits": {"hour": 50}}, "s": {"key": ["user"], "limits": {"hour": 9}, "mode": "shadow"}},
                     admin={"address": f"unix:{world.folder}/a.sock"})
    proxy = start(config)
    client = connect(proxy)

    def ask(key):
        own = [("X-Key", key), ("X-Forwarded-For", "203.0.113.5")]
        said = foretell(world, "/", own)
        reply = client.ask("GET", "/", own)
        assert said["verdict"]["admitted"] == (reply.status != 429), said
        return said, reply

    said, reply = ask("good-1")
    assert reply.status == 200 and row_of(said, "user.unverified")["verdict"] == "ok"
    said, _ = ask("good-1")
    assert row_of(said, "user.unverified")["verdict"] == "passed", "a server has accepted it"
    assert [ask(f"bad-{n}")[1].status for n in range(3)] == [401, 401, 429]
    said, reply = ask("bad-9")
    assert said["verdict"]["refused_by"] == ["user.unverified/hour"] == proxy.line_of(reply)["refused_by"]
    assert row_of(said, "q")["verdict"] == "skipped", "the bucket speaks alone"
    assert ask("good-1")[1].status == 200


def test_members_and_projects_are_looked_up(start, upstream, connect, world, redis):
    wait_for_room(HOUR, ROOM)
    issued = json.dumps({"token": {"expires_at": "2099-01-01T00:00:00.000000Z", "project": {"id": "alpha"}}}).encode()

    def answer(message):
        if message.method == "POST":
            return http.response(201, "Created", [("X-Subject-Token", "T"), ("Content-Type", "application/json")], issued)
        return http.response()

    config = forward(upstream(answer=answer), subject_secret="s", admin={"address": f"unix:{world.folder}/a.sock"},
                     store={"type": "redis", "servers": [redis.address], "fleet_size": 1, "decision_timeout": "250ms"},
                     identities={"who": {"from": ["access_key"]}, "project": {"from": ["token_project"], "missing": "skip"}},
                     tiers={"free": {"hour": 5}, "pro": {"hour": 50}, "staff": "unlimited"},
                     quotas={"q": {"key": ["who"], "limits": "tier", "default_tier": "free", "members": "redis"},
                             "p": {"key": ["project"], "limits": {"hour": 2}}})
    config["routes"][0]["learns"] = "token_project"
    proxy = start(config)
    client = connect(proxy)

    def signed(key):
        return [("Authorization", f"SDK-HMAC-SHA256 Access={key}, SignedHeaders=host, Signature=ab12")]

    wait_for(lambda: proxy.line_of(client.ask("GET", "/", signed("AKP")))["quotas"][0]["source"] in ("store", "lease"), "it counts")
    redis.client.hset("sluice:members:q", mapping={"AKPRO": "pro", "AKSTAFF": "staff", "AKODD": "nonsense"})
    for key, tier, limit in [("AKFREE", "free", 5), ("AKPRO", "pro", 50), ("AKSTAFF", "staff", None), ("AKODD", "free", 5)]:
        row = row_of(foretell(world, "/", signed(key)), "q")
        assert row["tier"] == tier and [w["limit"] for w in row.get("windows", [])] == ([limit] if limit else []), row
    reply = client.ask("GET", "/", signed("AKSTAFF"))
    check_comes_true(proxy, foretell(world, "/", signed("AKSTAFF")), reply)

    token = [("X-Auth-Token", "T")]
    assert row_of(foretell(world, "/", token), "p")["verdict"] == "not_counted"
    assert client.ask("POST", "/").status == 201
    assert client.ask("GET", "/", token).status == 200
    said = foretell(world, "/", token)
    assert used(said, "p") == {"hour": 1} and said["verdict"]["admitted"]
    assert client.ask("GET", "/", token).status == 200
    said = foretell(world, "/", token)
    assert said["verdict"]["refused_by"] == ["p/hour"] and client.ask("GET", "/", token).status == 429


# ---- the verb, and what is wrong

def test_the_verb(start, connect, world, verb):
    wait_for_room(HOUR, ROOM)
    proxy = start({"admin": {"address": f"unix:{world.folder}/a.sock"}, "identities": SOURCES, "subject_secret": "s",
                   "quotas": {"q": {"key": ["user"], "limits": {"hour": 3, "day": 100}}},
                   "routes": [{"name": "all", "prefix": "/", "quotas": ["q"], "cost": 2, "respond": {"status": 200}}]})
    words = ["explain", "GET", "/x?y=1", "-H", "X-User: s3cret", "--ip", "192.0.2.1", "--live", "-s", f"unix:{world.folder}/a.sock"]
    done = verb(*words)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines[0].startswith("client      192.0.2.1   listener ") and lines[0].endswith("   generation 1"), done
    assert lines[1:3] == ["path        /x", "route       all -> answered here with 200   cost 2"]
    assert lines[4] == "quota       q" and lines[5].startswith("  hour       0/3  remaining 3  resets in ")
    assert lines[6].startswith("  day        0/100  remaining 100  resets in ")
    assert lines[7:] == ["verdict     admitted (allow), 200. Nothing was consumed."]
    assert "s3cret" not in done.stdout
    assert connect(proxy).ask("GET", "/x", [("X-User", "s3cret")]).status == 200
    done = verb(*words)
    lines = done.stdout.splitlines()
    assert done.returncode == 1, done
    assert lines[5].startswith("  hour       2/3  remaining 1  resets in ") and lines[5].endswith("  <- would be exceeded: 2 + 2 > 3")
    assert lines[7].startswith("verdict     429, Retry-After ") and lines[7].endswith(" s, refused_by q/hour. Nothing was consumed.")
    done = verb(*words, "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["verdict"]["status"] == 429
    done = verb("explain", "GET", "/", "--ip", "nowhere", "--live", "-s", f"unix:{world.folder}/a.sock")
    assert done.returncode == 2 and done.stderr == 'sluice: "nowhere" is not an address\n'
    done = verb("explain", "GET", "/", "--live", "-s", f"unix:{world.folder}/none.sock")
    assert done.returncode == 6 and "no instance answers there" in done.stderr
    done = verb("explain", "GET", "/" + "x" * 70000, "--live", "-s", f"unix:{world.folder}/a.sock")
    assert done.returncode == 1 and "verdict     414, " in done.stdout, done


def test_the_example_of_the_page(start, upstream, connect, world):
    """docs/operations.md, word for word but for times."""
    wait_for_room(HOUR, ROOM)
    page = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text()
    words, shown = re.search(r"```\n\$ sluice (explain [^\n]* --live)\n(.*?)```", page, re.DOTALL).groups()

    def route(name, cost, *quotas):
        return {"name": name, "path": f"/v1/{name}", "cost": cost, "quotas": list(quotas), "upstream": "api"}

    server = upstream()
    config = forward(
        server, identities={"user": {"from": ["basic_user"]}, "address": {"from": ["ip"]}}, trusted_proxies=["127.0.0.1"],
        tiers={"free": {"hour": 300}, "pro": {"hour": 600, "day": 200000}}, subject_secret="s", admin={"address": f"unix:{world.folder}/a.sock"},
        quotas={"per-user": {"key": ["user"], "limits": "tier", "default_tier": "free", "members": {"pro": ["alice"]}},
                "per-address": {"key": ["address"], "limits": {"hour": 120}}})
    config["upstreams"] = {"api": config["upstreams"].pop("app")}
    config["routes"] = [route("search", 5, "per-user", "per-address"), route("both", 118, "per-user", "per-address"), route("user", 294, "per-user")]
    config["listen"] = [{"name": "in", "address": f"127.0.0.1:{take_port()}"}]
    proxy = start(config)
    words = shlex.split(words)
    own = [tuple(words[words.index("-H") + 1].split(": ", 1)), ("X-Forwarded-For", words[words.index("--ip") + 1])]
    client = connect(proxy)
    assert [client.ask("GET", f"/v1/{name}", own).status for name in ("both", "user")] == [200, 200]
    done = run_verb(world.folder, *words, "-s", f"unix:{world.folder}/a.sock")
    times = re.compile(r"(?:\d+h )?(?:\d+m )?\d+s|\d+h \d+m|Retry-After \d+ s")
    assert done.returncode == 1 and times.sub("T", done.stdout) == times.sub("T", shown), done


BAD = [
    (b"", 400, "a body is needed"), (b"{", 400, "the body is no JSON: line 1"), (b"[]", 400, "the body must be an object"),
    ({"method": "GET"}, 400, '"url" must be a string'), ({"url": "/"}, 400, '"method" must be a string'),
    ({"method": "GET", "url": 7}, 400, '"url" must be a string'), ({"method": "GET", "url": "h"}, 400, "is no URL"),
    ({"method": "GET", "url": "/", "header": []}, 400, 'there is no member "header"'),
    ({"method": "GET", "url": "/", "headers": "X: y"}, 400, '"headers" must be a list'),
    ({"method": "GET", "url": "/", "headers": [7]}, 400, '"headers" must be a list'),
    ({"method": "GET", "url": "/", "headers": ["X"]}, 400, "is no header"),
    ({"method": "GET", "url": "/", "headers": ["X: a\r\nY: b"]}, 400, "is no header"),
    ({"method": "GET", "url": "/", "headers": ["X: y"] * 101}, 400, '"headers" has more than 100'),
    ({"method": "GET", "url": "/", "ip": "1.2.3"}, 400, "is not an address"),
    ({"method": "GET", "url": "/", "listener": "no"}, 400, "no listener has the name"),
    (b'{"method": "GET", "url": "/", "url": "/b"}', 400, "the body is no JSON"), (b'{"method": "GET", "url": "/\\u0000"}', 400, "no JSON"),
    (b" " * ((4 << 20) + 1), 413, "4 MiB at most"),
]


def test_what_cannot_be_asked(start, world):
    start({"admin": {"address": f"unix:{world.folder}/a.sock"}, "routes": [{"name": "all", "prefix": "/", "respond": {"status": 200}}]})
    for body, status, words in BAD:
        assert words in tell(world, body, status)["detail"], body
    for head, status in [("POST /v1/explain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 413),
                         ("GET /v1/explain HTTP/1.1\r\nHost: a\r\n\r\n", 405),
                         ("POST /v1/explain HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\nContent-Length: 2\r\n\r\n{}", 403)]:
        with Client(f"{world.folder}/a.sock") as client:
            client.send(head.encode())
            assert client.read("POST").status == status, head
    # in pieces, and longer than the head may be
    body = json.dumps({"method": "GET", "url": "/", "headers": [f"X-{n}: {'v' * 900}" for n in range(30)]}).encode()
    with Client(f"{world.folder}/a.sock") as client:
        client.send(b"POST /v1/explain HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 5000):
            client.send(body[at:at + 5000])
        reply = client.read("POST")
    assert reply.status == 200 and json.loads(reply.body)["route"] == "all"
    # who goes away in the middle is forgotten
    with contextlib.closing(Client(f"{world.folder}/a.sock")) as client:
        client.send(b"POST /v1/explain HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
    assert tell(world, {"method": "GET", "url": "/"})["verdict"] == {
        "admitted": True, "consumed": 0, "decision": "none", "refused_by": [], "binding": None, "status": 200}
