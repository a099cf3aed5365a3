# SPDX-License-Identifier: Apache-2.0
"""Members of tiers in Redis: who is in which tier is an operator's to say while Sluice runs."""
import base64
import json
import os
import pathlib
import subprocess
import time

import pytest
from harness.configs import forward
from harness.metrics import scrape
from harness.ports import take_port
from harness.replies import trio_of
from harness.waiting import wait_for, wait_for_room

TIERS = {"free": {"hour": 5}, "pro": {"hour": 50}, "staff": "unlimited"}
HASH = "sluice:members:q"


def live(server, redis, source="access_key", quota=None, **more):
    sources = source if isinstance(source, list) else [source]
    quota = {"key": ["who"], "limits": "tier", "default_tier": "free", "members": "redis", **(quota or {})}
    store = {"type": "redis", "servers": [redis.address], "fleet_size": 1, "decision_timeout": "250ms", **more.pop("store", {})}
    return forward(server, quotas={"q": quota}, subject_secret="test", identities={"who": {"from": sources}},
                   tiers=json.loads(json.dumps(TIERS)), store=store, **more)


def key(name):
    return {"fields": [("Authorization", f"SDK-HMAC-SHA256 Access={name}, SignedHeaders=host, Signature=ab12")]}


def user(name):
    return {"fields": [("Authorization", "Basic " + base64.b64encode(f"{name}:x".encode()).decode())]}


def limit_of(reply):
    trio = trio_of(reply)
    return None if trio is None else trio[0]


def test_the_commands_of_the_manual(start, upstream, connect, redis):
    """Every redis-cli line of docs/configuration.md, in its order, does what is written behind it."""
    page = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "configuration.md").read_text()
    section = page.split("## Members in Redis")[1].split("\n## ")[0]
    commands = [line.split("#")[0].split() for line in section.splitlines() if line.startswith("redis-cli ")]
    assert len(commands) == 3
    config = live(upstream(), redis)
    config["quotas"] = {"user": config["quotas"].pop("q")}
    config["routes"][0]["quotas"] = ["user"]
    client = connect(start(config))

    def run(command):
        done = subprocess.run([command[0], "-p", str(redis.port), *command[1:]], capture_output=True, text=True, timeout=20, check=True)
        assert done.stdout.strip() == "1", done

    assert limit_of(client.ask(**key("AKEXAMPLE"))) == 5
    run(commands[0])
    wait_for(lambda: limit_of(client.ask(**key("AKEXAMPLE"))) == 50, "another tier", 6)
    run(commands[1])
    assert redis.client.hget("sluice:members:user", "Zm9vYmFyYmF6cXV4MTIzNA") == b"staff"
    run(commands[2])
    wait_for(lambda: limit_of(client.ask(**key("AKEXAMPLE"))) == 5, "the default tier again", 6)


def test_each_has_the_tier_that_redis_names(start, upstream, connect, redis):
    redis.client.hset(HASH, mapping={"AKPRO": "pro", "AKSTAFF": "staff"})
    proxy = start(live(upstream(), redis))
    client = connect(proxy)
    wait_for_room(3600, 10)
    assert trio_of(client.ask(**key("AKPRO"))) == (50, 49, "hour")
    assert trio_of(client.ask(**key("AKPRO"))) == (50, 48, "hour")
    assert trio_of(client.ask(**key("AKFREE"))) == (5, 4, "hour")
    assert trio_of(client.ask(**key("AKSTAFF"))) is None
    assert trio_of(client.ask()) == (5, 4, "hour"), "who is missing is no member"
    lines = proxy.requests(5)
    assert [line["tier"] for line in lines] == ["pro", "pro", "free", "staff", "free"]
    assert redis.client.ttl(HASH) == -1, "the hash is the operator's"


def test_a_change_is_seen_within_five_seconds_and_keeps_what_was_used(start, upstream, connect, redis):
    config = live(upstream(), redis)
    config["quotas"]["q"]["accuracy"] = "exact"  # the numbers of two proxies are compared
    proxies = [start(config) for _ in range(2)]
    clients = [connect(proxy) for proxy in proxies]
    wait_for_room(3600, 30)
    assert trio_of(clients[0].ask(**key("AK"))) == (5, 4, "hour")
    assert trio_of(clients[1].ask(**key("AK"))) == (5, 3, "hour")
    used = 2

    def change_to(tier, limit):
        nonlocal used
        redis.client.hset(HASH, "AK", tier)
        began = time.monotonic()
        for client in clients:
            while True:
                reply = client.ask(**key("AK"))
                used += reply.status == 200 and trio_of(reply) is not None
                if limit_of(reply) == limit:
                    break
                assert time.monotonic() - began < 6, "the tier is not seen"
                time.sleep(0.5)  # so that the small quota lasts
        return reply

    reply = change_to("pro", 50)
    assert trio_of(reply) == (50, 50 - used, "hour")
    change_to("staff", None)
    redis.client.hdel(HASH, "AK")
    redis.client.hset(HASH, "AK", "pro")
    reply = change_to("pro", 50)
    assert trio_of(reply) == (50, 50 - used, "hour"), "nothing was forgotten"


def test_who_comes_back_after_a_while_is_not_taken_for_what_he_was(start, upstream, connect, redis):
    """An answer older than five seconds is not believed, not even once."""
    client = connect(start(live(upstream(), redis)))
    assert limit_of(client.ask(**key("AK"))) == 5
    redis.client.hset(HASH, "AK", "pro")
    time.sleep(5.1)
    assert limit_of(client.ask(**key("AK"))) == 50


def test_last_known_while_redis_is_away(start, upstream, connect, redis):
    port = take_port()
    redis.client.hset(HASH, "AKPRO", "pro")
    proxy = start(live(upstream(), redis, admin={"metrics": f"127.0.0.1:{port}"}))
    client = connect(proxy)
    assert limit_of(client.ask(**key("AKPRO"))) == 50
    redis.pause()
    began = time.monotonic()
    tiers = []
    while time.monotonic() - began < 6:
        reply = client.ask(**key("AKPRO"))
        assert reply.status == 200
        tiers.append(proxy.line_of(reply)["tier"])
        time.sleep(0.2)
    assert set(tiers) == {"pro"}
    unknown = client.ask(**key("AKNEW"))
    assert unknown.status == 200 and proxy.line_of(unknown)["tier"] == "free"
    assert scrape(port)["sluice_store_lookups_unknown_total"] >= 1
    redis.resume()
    redis.client.hset(HASH, "AKPRO", "free")
    wait_for(lambda: limit_of(client.ask(**key("AKPRO"))) == 5, "the tier after the outage")


def test_an_unknown_tier_is_the_default_one_and_is_told_once(start, upstream, connect, redis):
    port = take_port()
    redis.client.hset(HASH, mapping={"AK": "gold\n", "AKLONG": "p" * 5000, "AKEMPTY": ""})
    proxy = start(live(upstream(), redis, admin={"metrics": f"127.0.0.1:{port}"}))
    client = connect(proxy)
    for _ in range(4):
        assert limit_of(client.ask(**key("AK"))) == 5
    assert limit_of(client.ask(**key("AKLONG"))) == 5
    assert limit_of(client.ask(**key("AKEMPTY"))) == 5
    wait_for(lambda: 'redis names a member\'s tier "ppp' in proxy.stderr(), "the second name is told")
    assert proxy.stderr().count('redis names a member\'s tier "gold\\x0a"') == 1
    assert scrape(port)["sluice_members_unknown_tier_total"] == 5


def test_a_key_of_another_type_is_told_and_costs_nobody_its_quota(start, upstream, connect, redis):
    redis.client.set(HASH, "no hash")
    proxy = start(live(upstream(), redis))
    client = connect(proxy)
    for left in (4, 3, 2):
        assert trio_of(client.ask(**key("AK"))) == (5, left, "hour")
    wait_for(lambda: "WRONGTYPE" in proxy.stderr(), "it is told")
    redis.client.delete(HASH)
    redis.client.hset(HASH, "AK", "pro")
    wait_for(lambda: limit_of(client.ask(**key("AK"))) == 50, "the hash is read once it is one")


def test_a_user_who_may_not_read_hashes_still_counts(start, upstream, connect, redis):
    redis.client.acl_setuser("sluice", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all", "-hget"])
    redis.client.hset(HASH, "AK", "pro")
    proxy = start(live(upstream(), redis, store={"username": "sluice", "password": "secret"}))
    client = connect(proxy)
    for left in (4, 3, 2):
        assert trio_of(client.ask(**key("AK"))) == (5, left, "hour")
    assert all(line["quotas"][0]["source"] in ("store", "lease") for line in proxy.requests(3))
    wait_for(lambda: "NOPERM" in proxy.stderr() and "`sluice check --acl`" in proxy.stderr(), "it is told")
    redis.client.acl_setuser("sluice", commands=["+@all"])
    wait_for(lambda: limit_of(client.ask(**key("AK"))) == 50, "the tier once it may be read")


# what is the identity from, the field in Redis, the member's request, somebody else's
NAMES = [
    ("access_key", "AK1", key("AK1"), key("AK2")),
    ("basic_user", "al\u00efce", user("al\u00efce"), user("alice")),
    ("host", "api.example", {"host": "Api.Example:80"}, {"host": "api2.example"}),
    ("ip", "203.0.113.7", {"fields": [("X-Forwarded-For", "203.0.113.7")]}, {"fields": [("X-Forwarded-For", "203.0.113.8")]}),
    ("ip", "2001:db8:0:1::/64", {"fields": [("X-Forwarded-For", "2001:db8:0:1:9::9")]}, {"fields": [("X-Forwarded-For", "2001:db8:0:2::")]}),
    (["basic_user", "ip"], "203.0.113.7", {"fields": [("X-Forwarded-For", "203.0.113.7")]}, user("203.0.113.7")),
]


@pytest.mark.parametrize("source, name, his, other", NAMES, ids=[f"{row[0]} {n}" for n, row in enumerate(NAMES)])
def test_clear_names(start, upstream, connect, redis, source, name, his, other):
    redis.client.hset(HASH, name, "pro")
    client = connect(start(live(upstream(), redis, source, trusted_proxies=["127.0.0.1"])))
    assert limit_of(client.ask(**his)) == 50
    assert limit_of(client.ask(**other)) == 5


def test_secret_subjects_are_named_as_logs_show_them(start, upstream, connect, redis):
    proxy = start(live(upstream(), redis, ["header:X-Key", "basic_user"]))
    client = connect(proxy)
    his = {"fields": [("X-Key", "k")]}
    assert limit_of(client.ask(**his)) == 5
    shown = proxy.requests(1)[0]["subjects"]["who"]
    redis.client.hset(HASH, shown, "pro")
    wait_for(lambda: limit_of(client.ask(**his)) == 50, "the tier")
    assert limit_of(client.ask(**user(shown))) == 5, "nobody becomes a member by calling himself like one is shown"


def test_no_client_writes_into_a_command(start, upstream, connect, redis):
    redis.client.hset(HASH, "AK", "pro")
    config = live(upstream(), redis, "path:p")
    config["routes"] = [{"path": "/{p}", "upstream": "app", "quotas": ["q"]}]
    proxy = start(config)
    for target in ("/a%0d%0aHDEL%20x", "/*3%24", "/" + "%41" * 300, "/%c3%a9%20", "/AK"):
        connect(proxy).ask(target=target)
    assert redis.client.hgetall(HASH) == {b"AK": b"pro"}
    assert limit_of(connect(proxy).ask(target="/AK")) == 50


def test_a_flood_of_strangers_keeps_memory_bounded(start, upstream, connect, redis):
    redis.client.hset(HASH, "AKPRO", "pro")
    config = live(upstream(), redis)
    del config["upstreams"], config["routes"][0]["upstream"]
    config["routes"][0]["respond"] = {"status": 200, "text": "x"}
    proxy = start(config)
    client = connect(proxy)
    assert limit_of(client.ask(**key("AKPRO"))) == 50
    for n in range(500):
        client.ask(**key(f"AKWARM{n}"))
    before = proxy.memory_kib("RssAnon")
    for part in range(6):
        client = connect(proxy)
        for n in range(5000):
            client.ask(**key(f"AKX{part}.{n}"))
    if not os.environ.get("SLUICE_SANITIZE"):  # whose shadow grows with every address
        grown = proxy.memory_kib("RssAnon") - before
        assert grown < 60 << 10, "so many use up a part of the table of counts (80 MiB) and of that of tiers (8 MiB)"
    assert limit_of(client.ask(**key("AKPRO"))) == 50


def test_a_quota_in_shadow_waits_for_nobody(start, upstream, connect, redis):
    redis.client.hset(HASH, "AKPRO", "pro")
    proxy = start(live(upstream(), redis, quota={"mode": "shadow"}))
    client = connect(proxy)
    client.ask(**key("AKPRO"))
    wait_for(lambda: proxy.line_of(client.ask(**key("AKPRO")))["tier"] == "pro", "the tier, once it is known")


def test_exempt_subjects_are_not_counted(start, upstream, connect, redis):
    client = connect(start(live(upstream(), redis, quota={"exempt": {"subjects": ["AKFREE"]}})))
    assert trio_of(client.ask(**key("AKFREE"))) is None
    assert limit_of(client.ask(**key("AK"))) == 5


def test_the_first_requests_wait_for_the_first_handshake(start, upstream, connect, redis):
    redis.client.hset(HASH, "AKPRO", "pro")
    for _ in range(3):
        proxy = start(live(upstream(), redis), wait=False)
        proxy.wait_until_serving()
        assert limit_of(connect(proxy).ask(**key("AKPRO"))) == 50
        proxy.stop()


def test_a_client_that_leaves_while_its_tier_is_looked_up(start, upstream, connect, redis):
    proxy = start(live(upstream(), redis, store={"decision_timeout": "2s", "command_timeout": "4s"}))
    assert limit_of(connect(proxy).ask(**key("AK0"))) == 5
    redis.pause()
    for n in range(20):
        client = connect(proxy)
        client.send(f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: SDK-HMAC-SHA256 Access=AKGONE{n}, SignedHeaders=host, Signature=a\r\n\r\n".encode())
        client.reset()
    redis.resume()
    wait_for(lambda: len(proxy.requests()) >= 21, "all are recorded")
    assert limit_of(connect(proxy).ask(**key("AK1"))) == 5


def check(verb, tmp_path, config):
    config = {**config, "listen": [{"address": "127.0.0.1:18080"}]}
    (tmp_path / "c.json").write_text(json.dumps(config))
    return verb("check", "-c", tmp_path / "c.json")


class Nowhere:
    address = "127.0.0.1:6379"


def test_what_is_refused(verb, tmp_path):
    config = live("127.0.0.1:9000", Nowhere)
    assert check(verb, tmp_path, config).returncode == 0
    config["quotas"]["q"]["members"] = "memory"
    done = check(verb, tmp_path, config)
    assert done.returncode == 3 and '/quotas/q/members: expected an object of named objects or "redis"' in done.stderr, done.stderr
    config["quotas"]["q"]["members"] = "redis"
    config["store"] = {"type": "memory"}
    done = check(verb, tmp_path, config)
    assert done.returncode == 3 and '/quotas/q/members: members live in Redis: only with a store of "type": "redis"' in done.stderr


def test_explain_says_where_the_tier_comes_from(verb, tmp_path):
    (tmp_path / "c.json").write_text(json.dumps({**live("127.0.0.1:9000", Nowhere), "listen": [{"address": "127.0.0.1:18080"}]}))
    text = verb("explain", "GET", "http://a/", "-c", tmp_path / "c.json").stdout
    assert "quota       q   tier free by default, looked up in redis" in text
    told = json.loads(verb("explain", "--json", "GET", "http://a/", "-c", tmp_path / "c.json").stdout)
    assert told["quotas"][0]["tier"] == "free" and told["quotas"][0]["members"] == "redis"


def test_dump_and_reload_know_the_word(start, upstream, verb, tmp_path, redis):
    proxy = start(live(upstream(), redis, admin={"address": f"unix:{tmp_path}/admin.sock"}))
    dump = json.loads(verb("check", "--dump", "-c", proxy.file).stdout)
    assert dump["quotas"]["q"]["members"] == "redis"
    proxy.config["quotas"]["q"]["members"] = {"pro": ["AK"]}
    proxy.write_config(proxy.config)
    done = verb("reload", "-c", proxy.file)
    assert done.returncode == 0 and 'members redis -> {"pro":["AK"]}' in done.stdout, done
