# SPDX-License-Identifier: Apache-2.0
"""Tiers: the limits of a quota depend on who is counted; members come from the file."""
import base64
import copy
import json

import jsonschema
import pytest
from harness.client import Client
from harness.configs import forward
from harness.ports import take_port
from harness.replies import check_error, throttled, trio_of

both_stores = pytest.mark.usefixtures("each_store")
TIERS = {"free": {"hour": 3}, "pro": {"minute": 100, "hour": 20}, "staff": "unlimited"}


def tiered(server, members=None, source="access_key", quota=None, **more):
    """One quota over identity "who", by tier."""
    sources = source if isinstance(source, list) else [source]
    quota = {"key": ["who"], "limits": "tier", "default_tier": "free", "members": members or {}, **(quota or {})}
    return forward(server, quotas={"q": quota}, subject_secret="test", identities={"who": {"from": sources}}, tiers=copy.deepcopy(TIERS), **more)


def key(name):
    return {"fields": [("Authorization", f"SDK-HMAC-SHA256 Access={name}, SignedHeaders=host, Signature=ab12")]}


def user(name):
    return {"fields": [("Authorization", "Basic " + base64.b64encode(f"{name}:x".encode()).decode())]}


def reload(verb, proxy):
    proxy.write_config(proxy.config)
    done = verb("reload", "-c", proxy.file)
    assert done.returncode == 0, done
    return done.stdout


@both_stores
def test_each_has_the_limits_of_its_tier(start, upstream, connect):
    server = upstream()
    proxy = start(tiered(server, {"pro": ["AKPRO"], "staff": ["AKSTAFF"]}))
    client = connect(proxy)
    assert [trio_of(client.ask(**key("AKFREE"))) for _ in range(3)] == [(3, 2, "hour"), (3, 1, "hour"), (3, 0, "hour")]
    check_error(client.ask(**key("AKFREE")), 429, "0308", throttled("q", 3, 1, "hour"))
    assert trio_of(client.ask(**key("AKPRO"))) == (20, 19, "hour")
    assert trio_of(client.ask(**key("AKPRO"))) == (20, 18, "hour")
    assert trio_of(client.ask()) == (3, 2, "hour"), "who is missing is no member"
    lines = proxy.requests(7)
    assert [line["tier"] for line in lines] == ["free"] * 4 + ["pro"] * 2 + ["free"]
    assert lines[3]["decision"] == "refuse" and lines[4]["quotas"][0]["limit"] == 100 and lines[4]["quotas"][1]["limit"] == 20


@both_stores
def test_unlimited_is_exempt(start, upstream, connect):
    server, port = upstream(), take_port()
    proxy = start(tiered(server, {"staff": ["AKSTAFF"]}, admin={"metrics": f"127.0.0.1:{port}"}))
    client = connect(proxy)
    for _ in range(30):
        reply = client.ask(**key("AKSTAFF"))
        assert reply.status == 200 and trio_of(reply) is None
    lines = proxy.requests(30)
    assert {(line["decision"], line["tier"], line["subjects"]["who"]) for line in lines} == {("exempt", "staff", "AKSTAFF")}
    assert all("quotas" not in line for line in lines), "nothing is charged"
    with Client(("127.0.0.1", port)) as metrics:
        assert b'sluice_decisions_total{decision="exempt"} 30\n' in metrics.ask("GET", "/metrics").body


@both_stores
def test_unlimited_in_one_quota_is_counted_by_another(start, upstream, connect):
    config = tiered(upstream(), {"staff": ["AKSTAFF"]})
    config["quotas"]["all"] = {"key": ["route"], "limits": {"hour": 2}}
    config["routes"][0]["quotas"].append("all")
    proxy = start(config)
    client = connect(proxy)
    assert trio_of(client.ask(**key("AKSTAFF"))) == (2, 1, "hour")
    assert trio_of(client.ask(**key("AKSTAFF"))) == (2, 0, "hour")
    assert client.ask(**key("AKSTAFF")).status == 429
    assert [line["decision"] for line in proxy.requests(3)] == ["allow", "allow", "refuse"]


@both_stores
def test_everybody_may_be_unlimited_but_one(start, upstream, connect):
    client = connect(start(tiered(upstream(), {"free": ["AKSLOW"]}, quota={"default_tier": "staff"})))
    assert trio_of(client.ask(**key("AKFAST"))) is None
    assert trio_of(client.ask(**key("AKSLOW"))) == (3, 2, "hour")


# what is the identity from, who is the member, the member's request, somebody else's
CLEAR = [
    ("access_key", "AK1", key("AK1"), key("AK2")),
    ("basic_user", "al\u00efce", user("al\u00efce"), user("alice")),
    ("host", "Api.Example.", {"host": "api.example:80"}, {"host": "api2.example"}),
    ("method", "PUT", {"method": "PUT"}, {"method": "GET"}),
    ("ip", "203.0.113.7", {"fields": [("X-Forwarded-For", "203.0.113.7")]}, {"fields": [("X-Forwarded-For", "203.0.113.8")]}),
    ("ip", "2001:DB8:0:1::", {"fields": [("X-Forwarded-For", "2001:db8:0:1:9::9")]}, {"fields": [("X-Forwarded-For", "2001:db8:0:2::")]}),
    ("ip", "2001:db8:0:1::/64", {"fields": [("X-Forwarded-For", "2001:db8:0:1:9::9")]}, {"fields": [("X-Forwarded-For", "2001:db8:0:2::")]}),
    ("header:X-Key", "203.0.113.7", {"fields": [("X-Forwarded-For", "203.0.113.7")]}, {"fields": [("X-Key", "203.0.113.7")]}),
    (["access_key", "basic_user"], "both", key("both"), key("other")),
    (["access_key", "basic_user"], "both", user("both"), user("Both")),
    (["basic_user", "ip"], "203.0.113.7", {"fields": [("X-Forwarded-For", "203.0.113.7")]}, user("203.0.113.7")),
]


@pytest.mark.parametrize("source, member, his, other", CLEAR, ids=[f"{row[0]} {row[1]} {n}" for n, row in enumerate(CLEAR)])
@both_stores
def test_clear_members(start, upstream, connect, source, member, his, other):
    client = connect(start(tiered(upstream(), {"pro": [member]}, source, trusted_proxies=["127.0.0.1"])))
    assert trio_of(client.ask(**his))[0] == 20
    assert trio_of(client.ask(**other))[0] == 3


SECRET = [("header:X-Key", {"fields": [("X-Key", "k\xff")]}), ("bearer", {"fields": [("Authorization", "Bearer t")]}),
          ("cookie:sid", {"fields": [("Cookie", "sid=t")]}), ("query:k", {"target": "/?k=t"})]


@pytest.mark.parametrize("source, his", SECRET, ids=[row[0] for row in SECRET])
@both_stores
def test_secret_members_are_what_logs_show(start, upstream, connect, verb, tmp_path, source, his):
    proxy = start(tiered(upstream(), source=source, admin={"address": f"unix:{tmp_path}/admin.sock"}))
    client = connect(proxy)
    assert trio_of(client.ask(**his)) == (3, 2, "hour")
    shown = proxy.requests(1)[0]["subjects"]["who"]
    proxy.config["quotas"]["q"]["members"] = {"pro": ["hash:" + shown]}
    assert "quota q members pro" in reload(verb, proxy).replace(":", "")
    assert trio_of(client.ask(**his)) == (20, 18, "hour"), "what was used in the hour stays used"


@pytest.mark.parametrize("store", ["memory", "redis"])
def test_a_change_of_tier_keeps_what_was_used(start, upstream, connect, verb, tmp_path, redis, store):
    more = {"store": {"type": "redis", "servers": [redis.address], "fleet_size": 1}} if store == "redis" else {}
    proxy = start(tiered(upstream(), admin={"address": f"unix:{tmp_path}/admin.sock"}, **more))
    client = connect(proxy)
    for left in (2, 1, 0):
        assert trio_of(client.ask(**key("AK"))) == (3, left, "hour")
    assert client.ask(**key("AK")).status == 429
    proxy.config["quotas"]["q"]["members"] = {"pro": ["AK"]}
    reload(verb, proxy)
    assert trio_of(client.ask(**key("AK"))) == (20, 16, "hour")
    proxy.config["quotas"]["q"]["members"] = {"staff": ["AK"]}
    reload(verb, proxy)
    assert trio_of(client.ask(**key("AK"))) is None
    proxy.config["quotas"]["q"]["members"] = {}
    reload(verb, proxy)
    assert client.ask(**key("AK")).status == 429, "back in the first tier there is nothing left"


@both_stores
def test_parts_of_a_key_and_several_quotas(start, upstream, connect):
    config = tiered(upstream(), {"pro": ["AKPRO"]})
    config["identities"] = {"who": {"from": ["access_key"]}, "h": {"from": ["host"]}}
    config["quotas"]["q"]["key"] = ["h", "who"]
    config["quotas"]["other"] = {"key": ["who"], "limits": "tier", "default_tier": "pro", "members": {"free": ["AKPRO"]}}
    config["routes"][0]["quotas"] = ["q"]
    config["routes"].insert(0, {"name": "other", "prefix": "/other", "upstream": "app", "quotas": ["other"]})
    client = connect(start(config))
    assert trio_of(client.ask(host="a", **key("AKPRO"))) == (20, 19, "hour")
    assert trio_of(client.ask(host="b", **key("AKPRO"))) == (20, 19, "hour"), "a subject of its own, the same tier"
    assert trio_of(client.ask(host="a", **key("AKFREE"))) == (3, 2, "hour")
    assert trio_of(client.ask(target="/other", **key("AKPRO"))) == (3, 2, "hour")
    assert trio_of(client.ask(target="/other", **key("AKFREE")))[0] == 20


def test_a_hundred_thousand_members(start, upstream, connect, verb, tmp_path):
    members = {"pro": [f"AK{n}" for n in range(0, 100000, 2)], "staff": [f"AK{n}" for n in range(1, 100000, 2)]}
    proxy = start(tiered(upstream(), members, admin={"address": f"unix:{tmp_path}/admin.sock"}))
    client = connect(proxy)
    for n in (0, 2, 50000, 99998):
        assert trio_of(client.ask(**key(f"AK{n}")))[0] == 20
    for n in (1, 50001, 99999):
        assert trio_of(client.ask(**key(f"AK{n}"))) is None
    assert trio_of(client.ask(**key("AK100000")))[0] == 3
    proxy.config["quotas"]["q"]["members"]["pro"][7:9] = ["AKNEW"]
    assert "quota q: pro 1 added, 2 removed" in reload(verb, proxy).replace("members ", "")
    assert trio_of(client.ask(**key("AKNEW")))[0] == 20
    assert trio_of(client.ask(**key("AK14")))[0] == 3


def check(verb, tmp_path, change):
    config = tiered("127.0.0.1:9000", {"pro": ["AKPRO"], "staff": []}, listen=[{"address": "127.0.0.1:18080"}])
    change(config)
    (tmp_path / "c.json").write_text(json.dumps(config))
    return verb("check", "-c", tmp_path / "c.json")


def members(**lists):
    return lambda c: c["quotas"]["q"].update(members=lists)


def from_(*sources, **lists):
    return lambda c: (c["identities"]["who"].update({"from": list(sources)}), members(**lists)(c))


HASH = "A" * 22
REFUSED = [
    (members(pro=["AK"], free=["AK"]), '/quotas/q/members/free/0: this subject is a member of the tier "pro" already'),
    (members(pro=["AK", "AK"]), "/quotas/q/members/pro/1: listed twice"),
    (members(pro=["hash:" + HASH, "hash:" + HASH]), "/quotas/q/members/pro/1: listed twice"),
    (members(por=["AK"]), '/quotas/q/members/por: no tier has the name "por" (did you mean "pro"?)'),
    (members(pro=["hash:123"]), '/quotas/q/members/pro/0: "hash:123": behind "hash:" stand 22 characters'),
    (members(pro=["hash:" + "A" * 21 + "B"]), "/quotas/q/members/pro/0: "),  # no 16 bytes are written so
    (members(pro=["A K"]), '/quotas/q/members/pro/0: "A K": not an access key'),
    (members(pro=[""]), "/quotas/q/members/pro/0: must not be empty"),
    (members(pro=[1]), "/quotas/q/members/pro/0: expected a string"),
    (members(pro="AK"), "/quotas/q/members/pro: expected a list of strings"),
    (lambda c: c["quotas"]["q"].update(members="file"), "/quotas/q/members: expected an object"),
    (from_("header:X-Key", pro=["alice"]), '/quotas/q/members/pro/0: "alice": no part of the quota\'s key is shown in clear'),
    (from_("ip", pro=["alice"]), '/quotas/q/members/pro/0: "alice": not an address'),
    (from_("ip", pro=["10.0.0.0/8"]), "/quotas/q/members/pro/0: \"10.0.0.0/8\": the identity does not count by networks of this size"),
    (from_("basic_user", pro=["a:b"]), "/quotas/q/members/pro/0: \"a:b\": not a user's name"),
    (lambda c: c["quotas"]["q"].pop("default_tier"), '/quotas/q: "default_tier" is missing'),
    (lambda c: c["quotas"]["q"].update(default_tier="fre"), '/quotas/q/default_tier: no tier has the name "fre" (did you mean "free"?)'),
    (lambda c: c["quotas"]["q"].update(limits={"minute": 1}), '/quotas/q/default_tier: only with "limits": "tier"'),
    (lambda c: c.pop("tiers"), '/quotas/q/default_tier: no tier has the name "free"'),
    (lambda c: c["tiers"].update(free={}), "/tiers/free: at least one is expected"),
    (lambda c: c["tiers"].update(free={"minuet": 1}), '/tiers/free/minuet: unknown key "minuet" (did you mean "minute"?)'),
    (lambda c: c["tiers"].update(free="unlimitd"), "/tiers/free: expected an object of numbers or \"unlimited\""),
    (lambda c: c["tiers"].update(free=7), "/tiers/free: expected an object of numbers"),
    (lambda c: c["routes"][0].update(cost=4), '/routes/0/cost: no request of tier "free" could pass: quota "q" allows 3'),
]


@pytest.mark.parametrize("change, words", REFUSED, ids=[row[1][:60] for row in REFUSED])
def test_what_is_refused(verb, tmp_path, change, words):
    done = check(verb, tmp_path, change)
    assert done.returncode == 3 and words in done.stderr, done.stderr


def test_a_tier_nobody_uses_is_told(verb, tmp_path):
    done = check(verb, tmp_path, lambda c: c["tiers"].update(gold={"day": 1}))
    assert done.returncode == 0 and "/tiers/gold: nobody is in this tier" in done.stderr
    assert "/tiers/pro: " not in done.stderr and "/tiers/free: " not in done.stderr
    assert "/tiers/staff: nobody is in this tier" in done.stderr


def test_dump_and_schema_know_tiers(verb, tmp_path):
    config = tiered("127.0.0.1:9000", {"pro": ["AKPRO"]}, listen=[{"address": "127.0.0.1:18080"}])
    (tmp_path / "c.json").write_text(json.dumps(config))
    dump = json.loads(verb("check", "--dump", "-c", tmp_path / "c.json").stdout)
    assert dump["tiers"] == TIERS and dump["quotas"]["q"]["limits"] == "tier" and dump["quotas"]["q"]["members"] == {"pro": ["AKPRO"]}
    schema = json.loads(verb("schema").stdout)
    jsonschema.validate(config, schema)
    for wrong in ({"tiers": {"a": "many"}}, {"tiers": {"a": {"minuet": 1}}}, {"tiers": {"a": {}}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**config, **wrong}, schema)
