# SPDX-License-Identifier: Apache-2.0
"""Quotas in Redis: exact over several proxies, all or nothing, and a stated behaviour when Redis is away."""
import collections
import re
import threading
import time

import pytest
from harness.configs import forward
from harness.counting import USERS, ask, wait_until_counting
from harness.redis_server import RedisServer
from harness.replies import check_error, throttled, trio_of
from harness.waiting import wait_for, wait_for_next_window, wait_for_room



def store(redis, **more):
    return {"type": "redis", "servers": [redis.address], "decision_timeout": "150ms", "fleet_size": 2, **more}


def per_user(server, redis, limits, quota=None, **more):
    return forward(server, quotas={"user": {"key": ["user"], "limits": limits, **(quota or {})}},
                   **{"store": store(redis), **USERS, **more})


def quota_keys(client, prefix="sluice"):
    return [key.decode() for key in client.scan_iter(f"{prefix}:q:*")]


def run_load(connect, proxies, user, seconds, threads_per_proxy=4):
    """Asks all the time from several connections to each proxy; gives (statuses, slowest answer in s)."""
    statuses, slowest, lock = collections.Counter(), [0.0], threading.Lock()
    end = time.time() + seconds

    def run(proxy):
        client, pace = connect(proxy), threading.Event()
        own, worst = collections.Counter(), 0.0
        while time.time() < end:
            begin = time.monotonic()
            own[ask(client, user).status] += 1
            worst = max(worst, time.monotonic() - begin)
            pace.wait(0.004)
        with lock:
            statuses.update(own)
            slowest[0] = max(slowest[0], worst)

    threads = [threading.Thread(target=run, args=(proxy,)) for proxy in proxies for _ in range(threads_per_proxy)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses, slowest[0]


def test_counts_and_headers(start, upstream, connect, redis):
    proxy = start(per_user(upstream(), redis, {"minute": 3, "hour": 100}))
    client = connect(proxy)
    wait_for_room(60, 5)
    assert [trio_of(ask(client)) for _ in range(3)] == [(3, left, "minute") for left in (2, 1, 0)]
    reply = ask(client)
    check_error(reply, 429, "0308", throttled("user", 3, 1, "minute"))
    assert trio_of(reply) == (3, 0, "minute") and 1 <= int(reply["Retry-After"]) <= 60
    assert trio_of(ask(client, "bob")) == (3, 2, "minute")
    lines = proxy.requests(5)
    assert all(entry["source"] == "store" for line in lines for entry in line["quotas"])
    assert {e["w"]: e["used"] for e in lines[3]["quotas"]} == {"minute": 3, "hour": 3}, "the refusal was charged nowhere"


def test_two_proxies_admit_exactly_the_limit(start, upstream, connect, redis):
    """Classified by the window start in the log: in every full window exactly the limit passed."""
    server = upstream()
    limit = 40
    config = per_user(server, redis, {"2 seconds": limit, "hour": 100000}, quota={"accuracy": "exact"})  # what is leased counts as used
    proxies = [start(config), start(config)]
    for proxy in proxies:
        wait_until_counting(connect, proxy, 6)
    begin = wait_for_next_window(2)
    statuses, _ = run_load(connect, proxies, "alice", begin + 8 - time.time())
    alice = proxies[0].line_of(ask(connect(proxies[0])))["subjects"]["user"]
    wait_for(lambda: sum(line["subjects"]["user"] == alice for proxy in proxies for line in proxy.requests()) == sum(statuses.values()) + 1,
             "every request has its line")
    admitted, asked, hour = collections.Counter(), collections.Counter(), []
    for proxy in proxies:
        for line in proxy.requests():
            if line["subjects"]["user"] != alice:
                continue
            for entry in line["quotas"]:
                if entry["w"] == "hour":
                    hour.append(entry["used"])
                else:
                    asked[entry["start"]] += 1
                    admitted[entry["start"]] += line["status"] == 200
    full = [begin, begin + 2, begin + 4, begin + 6]
    assert all(asked[window] > limit for window in full), asked
    assert [admitted[window] for window in full] == [limit] * 4
    assert max(hour) == sum(admitted.values()) == len([r for r in server.requests if r["X-User"] == "alice"])


def test_several_quotas_are_taken_together_or_not_at_all(start, upstream, connect, redis):
    quotas = {"user": {"key": ["user"], "limits": {"minute": 2, "day": 100}}, "all": {"key": ["route"], "limits": {"hour": 7}}}
    config = forward(upstream(), quotas=quotas, store=store(redis), **USERS)
    proxies = [start(config), start(config)]
    clients = [connect(proxy) for proxy in proxies]
    wait_for_room(60, 10)
    for user in ("a", "b", "c"):
        statuses = [ask(clients[n % 2], user).status for n in range(8)]
        assert statuses == [200, 200] + [429] * 6, user
    assert [ask(client, "d").status for client in clients] == [200, 429]
    last = proxies[1].requests(13)[-1]
    assert last["refused_by"] == ["all/hour"]
    assert {(e["q"], e["w"]): e["used"] for e in last["quotas"]} == {("user", "minute"): 1, ("user", "day"): 1, ("all", "hour"): 7}


def test_every_key_has_a_ttl_and_no_name_reaches_redis(start, upstream, connect, redis):
    proxy = start(per_user(upstream(), redis, {"second": 5, "minute": 20, "hour": 50}))
    client = connect(proxy)
    for user in ("SECRET-alice", "SECRET-bob", "SECRET-carol"):
        for _ in range(3):
            ask(client, user)
    keys = quota_keys(redis.client)
    assert len(keys) == 3
    for key in redis.client.keys():
        assert redis.client.ttl(key) > 0, f"{key} never expires"
        assert b"SECRET" not in key
    for key in keys:
        assert re.fullmatch(r"\{[A-Za-z0-9_-]{22}\}", key.rsplit(":", 1)[1])
        until_end = 3600 - time.time() % 3600
        assert until_end - 2 <= redis.client.ttl(key) <= until_end + 130
        assert b"SECRET" not in redis.client.get(key)
    for key in redis.client.keys():
        if redis.client.type(key) == b"string":
            assert b"SECRET" not in redis.client.get(key)


def test_prefix_database_password_and_unix_socket(start, upstream, connect, world):
    redis = RedisServer(world.folder, "--requirepass", "open sesame")
    world.redises.append(redis)
    owner = redis.client_of(password="open sesame")
    owner.execute_command("ACL", "SETUSER", "sluice", "on", ">s3same", "~edge:*", "+@all")
    rows = [
        ({"servers": [redis.address], "password": {"env": "REDIS_PASSWORD"}, "database": 3}, 3),
        ({"servers": [f"unix:{redis.socket_path}"], "password": {"env": "REDIS_PASSWORD"}, "database": 4}, 4),
        ({"servers": [redis.address], "username": "sluice", "password": {"env": "USER_PASSWORD"}, "database": 5}, 5),
    ]
    for more, database in rows:
        config = per_user(upstream(), redis, {"hour": 5}, store={"type": "redis", "prefix": "edge", "fleet_size": 1, **more})
        proxy = start(config, env={"REDIS_PASSWORD": "open sesame", "USER_PASSWORD": "s3same"})
        wait_until_counting(connect, proxy, 6)
        client = connect(proxy)
        assert [trio_of(ask(client)) for _ in range(2)] == [(5, 4, "hour"), (5, 3, "hour")]
        assert len(quota_keys(redis.client_of(password="open sesame", db=database), "edge")) == 2
        text = proxy.stderr() + proxy.access_log.read_text()
        assert "open sesame" not in text and "s3same" not in text


def test_wrong_password_is_said_and_handled_as_away(start, upstream, connect, world):
    redis = RedisServer(world.folder, "--requirepass", "right")
    world.redises.append(redis)
    config = per_user(upstream(), redis, {"hour": 4}, store=store(redis, password={"env": "PASSWORD"}))
    proxy = start(config, env={"PASSWORD": "wr0ng-one"})
    client = connect(proxy)
    assert ask(client).status == 200
    wait_for(lambda: "WRONGPASS" in proxy.stderr() or "password" in proxy.stderr().lower(), "the error log names the refusal")
    assert "wr0ng-one" not in proxy.stderr()


# -- Redis misbehaves

def test_script_flush_and_flushall(start, upstream, connect, redis):
    proxy = start(per_user(upstream(), redis, {"hour": 100}))
    client = connect(proxy)
    for n in range(10):
        assert trio_of(ask(client)) == (100, 99 - n, "hour")
        redis.client.script_flush()
    redis.client.flushall()
    assert trio_of(ask(client)) == (100, 89, "hour")
    assert {line["quotas"][0]["source"] for line in proxy.requests(11)} <= {"store", "lease"}


def test_key_of_a_wrong_type_or_layout(start, upstream, connect, redis):
    proxy = start(per_user(upstream(), redis, {"hour": 100}, quota={"on_failure": "allow"}))
    client = connect(proxy)
    ask(client)
    (key,) = quota_keys(redis.client)
    for value in ("list", "garbage", "short", "newer"):
        redis.client.delete(key)
        if value == "list":
            redis.client.rpush(key, "x")
        else:
            redis.client.set(key, {"garbage": b"\xff" * 300, "short": b"\x01", "newer": b"\x63" + b"\x00" * 40}[value])
        assert ask(client).status == 200, value
    redis.client.delete(key)
    wait_until_counting(connect, proxy, 6)
    assert proxy.child, "still the same process"


@pytest.mark.parametrize("mode", ["local", "allow", "deny"])
def test_redis_that_is_full(start, upstream, connect, redis, mode):
    proxy = start(per_user(upstream(), redis, {"hour": 1000}, quota={"on_failure": mode}))
    wait_until_counting(connect, proxy, 6)
    redis.client.config_set("maxmemory", "1")
    statuses = {ask(connect(proxy)).status for _ in range(5)}
    assert statuses <= ({503} if mode == "deny" else {200}), statuses
    redis.client.config_set("maxmemory", "0")
    wait_until_counting(connect, proxy, 6)


def test_local_share_when_redis_is_gone(start, upstream, connect, redis):
    """Two proxies: each admits its half of what was left, shows it, and bills it when Redis is back."""
    config = per_user(upstream(), redis, {"hour": 20}, quota={"accuracy": "exact"})
    proxy = start(config)
    wait_until_counting(connect, proxy, 6)
    wait_for_room(3600, 30)
    client = connect(proxy)
    for _ in range(4):
        assert ask(client).status == 200
    redis.kill()
    replies = [ask(client) for _ in range(12)]
    statuses = [reply.status for reply in replies]
    assert set(statuses) == {200, 429}
    # In the window of the loss: floor(16 left / 2 proxies)
    assert statuses == [200] * 8 + [429] * 4
    lines = [proxy.line_of(reply) for reply in replies]
    assert [line["decision"] for line in lines] == ["degraded_allow"] * 8 + ["degraded_refuse"] * 4
    assert {e["source"] for line in lines for e in line["quotas"]} == {"local"}
    reply = ask(client)
    assert reply.status == 429 and int(reply["Retry-After"]) >= 1 and trio_of(reply)[1] == 0
    # A subject never seen before: floor(limit / 2)
    assert [ask(client, "new").status for _ in range(12)] == [200] * 10 + [429] * 2


def test_allow_when_redis_is_gone(start, upstream, connect, redis):
    proxy = start(per_user(upstream(), redis, {"hour": 3}, quota={"on_failure": "allow"}))
    wait_until_counting(connect, proxy, 6)
    redis.kill()
    client = connect(proxy)
    for _ in range(10):
        reply = ask(client)
        assert reply.status == 200 and trio_of(reply) is None
    assert proxy.line_of(reply)["decision"] == "degraded_allow"


def test_deny_when_redis_is_gone(start, upstream, connect, redis):
    server = upstream()
    proxy = start(per_user(server, redis, {"hour": 3}, quota={"on_failure": "deny"}))
    wait_until_counting(connect, proxy, 6)
    seen = len(server.requests)
    redis.kill()
    client = connect(proxy)
    for _ in range(5):
        reply = ask(client)
        check_error(reply, 503, "0619", "The quota store is unavailable. Retry later.", "Service Unavailable")
        assert int(reply["Retry-After"]) >= 1 and trio_of(reply) is None
    assert len(server.requests) == seen
    assert proxy.line_of(reply)["end"] == "store_unavailable"


def test_mixed_modes_on_one_request(start, upstream, connect, redis):
    quotas = {"soft": {"key": ["user"], "limits": {"hour": 9}, "on_failure": "allow"},
              "hard": {"key": ["route"], "limits": {"hour": 9}, "on_failure": "deny", "accuracy": "exact"}}
    config = forward(upstream(), quotas=quotas, store=store(redis), **USERS)
    config["routes"].insert(0, {"name": "soft", "prefix": "/soft/", "quotas": ["soft"], "upstream": "app"})
    proxy = start(config)
    client = connect(proxy)
    ask(client)
    redis.kill()
    assert ask(client).status == 503
    assert client.ask("GET", "/soft/").status == 200


@pytest.mark.parametrize("mode", ["local", "allow", "deny"])
def test_no_request_waits_longer_than_the_decision_timeout(start, upstream, connect, redis, mode):
    """SIGSTOP: connections stay up, nobody answers.  Then SIGCONT: counting goes on without a restart."""
    proxy = start(per_user(upstream(), redis, {"hour": 100000}, quota={"on_failure": mode}))
    wait_until_counting(connect, proxy, 6)
    redis.pause()
    count = len(proxy.requests())
    statuses, slowest = run_load(connect, [proxy], "alice", 3, threads_per_proxy=8)
    assert set(statuses) <= ({503} if mode == "deny" else {200}), statuses
    assert slowest < 0.150 + 1.0, "a client's view, with the machine's own delays"
    lines = proxy.requests(count + sum(statuses.values()))[count:]
    waits = sorted(line["t_store"] for line in lines if "t_store" in line)
    assert waits[-1] <= 150_000 + 250_000, waits[-5:]
    assert waits[int(len(waits) * 0.99)] <= 150_000 + 100_000, waits[-5:]
    assert sum(wait > 10_000 for wait in waits) < 0.2 * len(waits), "a breaker keeps most requests from waiting"
    redis.resume()
    wait_until_counting(connect, proxy, 6)
    assert proxy.events("store_lost") and proxy.wait_for_event("store_back")


def test_redis_restart_is_noticed_and_survived(start, upstream, connect, redis):
    proxy = start(per_user(upstream(), redis, {"hour": 1000}))
    wait_until_counting(connect, proxy, 6)
    for _ in range(2):
        redis.kill()
        assert ask(connect(proxy)).status == 200
        redis.start()
        wait_until_counting(connect, proxy, 6)
    assert proxy.child


def test_start_without_redis(start, upstream, connect, redis):
    redis.kill()
    proxy = start(per_user(upstream(), redis, {"hour": 1000}))
    assert ask(connect(proxy)).status == 200
    redis.start()
    wait_until_counting(connect, proxy, 6)


def test_different_secret_is_a_loud_error(start, upstream, connect, redis):
    server = upstream()
    first = start(per_user(server, redis, {"hour": 10}))
    wait_until_counting(connect, first, 6)
    second = start(per_user(server, redis, {"hour": 10}) | {"subject_secret": "another"})
    ask(connect(second))
    wait_for(lambda: "secret" in second.stderr(), "the error log names the differing secret")
