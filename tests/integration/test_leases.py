# SPDX-License-Identifier: Apache-2.0
"""Leases: a fleet shares a limit without asking Redis for every request, and never admits more than the limit."""
import collections
import json
import os
import signal
import threading
import time

from harness import stored
from harness.configs import forward
from harness.metrics import scrape
from harness.ports import take_port
from harness.redis_server import RedisServer
from harness.replies import trio_of
from harness.waiting import wait_for, wait_for_next_window, wait_for_room

USERS = {"identities": {"user": {"from": ["header:X-User"]}}, "subject_secret": "of the whole group"}


def per_user(server, redis, limits, quota=None, **more):
    store = {"type": "redis", "servers": [redis.address], "decision_timeout": "1s", "command_timeout": "2s", "fleet_size": 2}
    return forward(server, quotas={"user": {"key": ["user"], "limits": limits, **(quota or {})}}, **{"store": store, **USERS, **more})


def with_metrics(config):
    return {**config, "admin": {"metrics": f"127.0.0.1:{take_port()}"}}


def metrics_of(proxy):
    return scrape(int(proxy.config["admin"]["metrics"].rsplit(":", 1)[1]))


def ask(client, user="alice"):
    return client.ask("GET", "/", [("X-User", user)])


def is_shared(connect, proxy, size):
    """The proxy knows that it is one of so many, and counts in Redis."""

    def knows():
        client = connect(proxy)
        line = proxy.line_of(ask(client, "probe"))
        client.close()
        return line["quotas"][0]["source"] in ("store", "lease")

    wait_for(knows, f"the proxy counts in Redis with {size} others")


def load(connect, proxies, until, threads_per_proxy=2, pause_s=0.002):
    """Asks all the time; gives [(status, remaining)] of all."""
    answers, lock = [], threading.Lock()

    def run(proxy):
        own, client, pace = [], None, threading.Event()
        while not until():
            try:
                client = client or connect(proxy)
                reply = ask(client)
                own.append((reply.status, trio_of(reply)))
            except (OSError, AssertionError, ValueError, IndexError):
                client = None  # the serving process was killed
            pace.wait(pause_s)
        with lock:
            answers.extend(own)

    threads = [threading.Thread(target=run, args=(proxy,)) for proxy in proxies for _ in range(threads_per_proxy)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def admitted_by_window(proxies, window):
    """(admitted, asked) by the window start of the logs."""
    admitted, asked = collections.Counter(), collections.Counter()
    for proxy in proxies:
        for line in proxy.requests():
            entry = next(e for e in line["quotas"] if e["w"] == window)
            if line["subjects"]["user"] != line_subject(proxies):
                continue
            asked[entry.get("start")] += 1
            admitted[entry.get("start")] += line["status"] == 200
    return admitted, asked


def line_subject(proxies):
    """alice's, as logs show it: the most frequent one."""
    if not hasattr(line_subject, "of") or line_subject.of[0] is not proxies[0]:
        counts = collections.Counter(line["subjects"]["user"] for line in proxies[0].requests())
        line_subject.of = (proxies[0], counts.most_common(1)[0][0])
    return line_subject.of[1]


def used_in_redis(redis, period_s):
    """The largest count of that window in any value."""
    return stored.most_used(redis, period_s)


def operations(redis):
    """What proxies asked for, heartbeats not counted (each is one ZADD)."""
    stats = redis.client.info("commandstats")
    calls = {name[8:]: stat["calls"] for name, stat in stats.items()}
    return calls.get("evalsha", 0) + calls.get("eval", 0) + calls.get("publish", 0) - calls.get("zadd", 0)


def test_one_proxy_counts_down_one_by_one(start, upstream, connect, redis):
    limit = 300
    proxy = start(with_metrics(per_user(upstream(), redis, {"hour": limit}, workers=2)))
    wait_for_room(3600, 30)
    is_shared(connect, proxy, 1)
    count = [0]

    def until():
        count[0] += 1
        return count[0] > 2 * limit

    answers = load(connect, [proxy], until, threads_per_proxy=6)
    passed = [trio[1] for status, trio in answers if status == 200]
    assert sorted(passed) == list(range(limit))
    assert {trio for status, trio in answers if status == 429} == {(limit, 0, "hour")}
    assert {status for status, _ in answers} == {200, 429}
    entries = [line["quotas"][0] for line in proxy.requests() if line["quotas"][0]["limit"] == limit]
    assert {entry["source"] for entry in entries} == {"store", "lease"}
    assert sum(entry["source"] == "lease" for entry in entries) > len(entries) * 0.8
    metrics = metrics_of(proxy)
    assert metrics['sluice_lease_spent_total'] > limit * 0.7
    assert metrics['sluice_lease_tokens_total{event="granted"}'] > 0


def run_fleet(start, upstream, connect, redis, size):
    limit, window_s, windows = 400, 3, 3
    config = per_user(upstream(), redis, {f"{window_s} seconds": limit, "hour": 1000000}, workers=2)
    proxies = [start(config) for _ in range(size)]
    for proxy in proxies:
        is_shared(connect, proxy, size)
    begin = wait_for_next_window(window_s)
    load(connect, proxies, lambda: time.time() > begin + window_s * windows, threads_per_proxy=12 // size)
    for proxy in proxies:
        proxy.stop()  # what was not spent goes back
    admitted, asked = admitted_by_window(proxies, f"{window_s} second")
    full = [begin + window_s * n for n in range(windows)]
    assert all(count <= limit for count in admitted.values()), admitted
    for window in full:
        if asked[window] >= 2 * limit:
            assert admitted[window] >= limit * 0.995, (window, admitted, asked)
    assert any(asked[window] >= 2 * limit for window in full), asked
    hour = sum(admitted.values())
    assert used_in_redis(redis, 3600) == hour, "Redis agrees, once all have given back"


def test_two_proxies_share_a_limit(start, upstream, connect, redis):
    run_fleet(start, upstream, connect, redis, 2)


def test_four_proxies_share_a_limit(start, upstream, connect, redis):
    run_fleet(start, upstream, connect, redis, 4)


def test_operations_are_few(start, upstream, connect, redis):
    """Of a large limit hardly a request asks Redis; a flood over the limit costs it nothing."""
    config = per_user(upstream(), redis, {"minute": 100000}, workers=2)
    proxies = [start(config), start(config)]
    for proxy in proxies:
        is_shared(connect, proxy, 2)
    wait_for_room(60, 15)
    before, until = operations(redis), time.time() + 5
    answers = load(connect, proxies, lambda: time.time() > until, threads_per_proxy=4, pause_s=0)
    spent = operations(redis) - before
    assert {status for status, _ in answers} == {200}
    assert spent <= 12, f"{spent} operations for {len(answers)} requests"


def test_killed_proxies_never_give_quota(start, upstream, connect, redis):
    """kill -9 of the serving process under load: what it held is lost, never doubled."""
    limit, window_s = 300, 4
    config = per_user(upstream(), redis, {f"{window_s} seconds": limit, "hour": 1000000}, workers=2)
    proxies = [start(config), start(config)]
    for proxy in proxies:
        is_shared(connect, proxy, 2)
    begin = wait_for_next_window(window_s)
    is_over = threading.Event()

    def kill():
        for n in range(6):
            if is_over.wait(1.7):
                return
            os.kill(proxies[n % 2].child, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    load(connect, proxies, lambda: time.time() > begin + 3 * window_s, threads_per_proxy=4)
    is_over.set()
    killer.join()
    admitted, asked = admitted_by_window(proxies, f"{window_s} second")
    assert all(count <= limit for start_s, count in admitted.items() if start_s), admitted
    assert sum(admitted.values()) > limit, "they served on"
    for proxy in proxies:
        proxy.stop()
    assert used_in_redis(redis, 3600) >= sum(count for start_s, count in admitted.items() if start_s)


def test_a_stopped_proxy_spends_nothing_of_an_old_window(start, upstream, connect, redis):
    """SIGSTOP across ends of windows: by the window start in the logs nobody passes the limit."""
    limit = 60
    config = per_user(upstream(), redis, {"2 seconds": limit, "hour": 1000000}, workers=1, quota={"on_failure": "deny"})
    proxies = [start(config), start(config)]
    for proxy in proxies:
        is_shared(connect, proxy, 2)
    begin = wait_for_next_window(2)
    is_over = threading.Event()

    def stop_and_go():
        while not is_over.wait(0.7):
            with proxies[0].frozen():
                is_over.wait(2.3)

    stopper = threading.Thread(target=stop_and_go)
    stopper.start()
    load(connect, proxies, lambda: time.time() > begin + 12, threads_per_proxy=3)
    is_over.set()
    stopper.join()
    admitted, _ = admitted_by_window(proxies, "2 second")
    assert all(count <= limit for start_s, count in admitted.items() if start_s), admitted
    for line in proxies[0].requests():
        entry = line["quotas"][0]
        if line["status"] == 200 and "start" in entry:
            assert entry["charged"] == 1
    assert sum(admitted.values()) > 2 * limit


def test_a_reload_halves_the_limit(start, upstream, connect, redis):
    """What was leased under the old limit goes back; in all no more is admitted than the new one."""
    config = per_user(upstream(), redis, {"hour": 400})
    proxies = [start(config) for _ in range(2)]
    wait_for_room(3600, 30)
    clients = [connect(proxy) for proxy in proxies]
    for client in clients:
        assert [ask(client).status for _ in range(50)] == [200] * 50
    for proxy in proxies:
        proxy.write_config({**proxy.config, "quotas": {"user": {"key": ["user"], "limits": {"hour": 200}}}})
        proxy.signal(signal.SIGHUP)
    for proxy in proxies:
        proxy.wait_for_event("reload")
    admitted, refused_since = 100, None
    while refused_since is None or time.monotonic() - refused_since < 12:
        passed = [ask(client).status for client in clients].count(200)
        admitted += passed
        if passed:
            refused_since = None
        elif refused_since is None:
            refused_since = time.monotonic()
        else:
            time.sleep(0.02)
    assert admitted == 200


def test_what_is_held_goes_back(start, upstream, connect, redis):
    """A proxy that stops gives back what it holds; one whose subjects stay away does so within a minute."""
    config = per_user(upstream(), redis, {"hour": 10000})
    proxy = start(config)
    wait_for_room(3600, 90)
    client = connect(proxy)
    for _ in range(5):
        assert ask(client).status == 200
    assert used_in_redis(redis, 3600) > 5
    wait_for(lambda: used_in_redis(redis, 3600) == 5, "what nobody spends goes back", 60)
    assert ask(client).status == 200
    assert used_in_redis(redis, 3600) > 6
    client.close()
    proxy.stop()
    assert used_in_redis(redis, 3600) == 6


def test_a_restart_of_redis_costs_nothing(start, upstream, connect, tmp_path):
    """It has all that it had; what is held meanwhile is spent or goes back, whoever looked when."""
    (tmp_path / "redis").mkdir()
    redis, admitted = RedisServer(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always"), []

    def ask_one(proxy, client):
        reply = ask(client)
        admitted.append(reply.status == 200)
        return proxy.line_of(reply)["quotas"][0].get("source") in ("store", "lease")

    try:
        server = upstream()
        proxies = [start(per_user(server, redis, {"day": 100000})) for _ in range(3)]
        wait_for_room(86400, 60)
        clients = [connect(proxy) for proxy in proxies]
        for _ in range(3):
            for proxy, client in list(zip(proxies, clients)) * 8:
                ask_one(proxy, client)
            assert used_in_redis(redis, 86400) > sum(admitted), "something is held"
            redis.kill()
            redis.start()
            for proxy, client in zip(proxies, clients):
                wait_for(lambda proxy=proxy, client=client: ask_one(proxy, client), "it counts in Redis again")
        for proxy in proxies:
            proxy.stop()
        assert used_in_redis(redis, 86400) == sum(admitted)
    finally:
        redis.stop()


def test_status_tells_what_is_held(start, upstream, connect, redis, verb, tmp_path):
    socket = f"unix:{tmp_path}/admin.sock"
    config = per_user(upstream(), redis, {"hour": 10000}) | {"admin": {"address": socket}}
    proxy = start(config)
    wait_for_room(3600, 30)
    client = connect(proxy)
    for _ in range(4):
        assert ask(client).status == 200
    store = json.loads(verb("status", "-s", socket, "--json").stdout)["store"]
    assert store["leases"] == 1
    assert store["leased"] == used_in_redis(redis, 3600) - 4 > 0


def test_recalled_by_another_proxy(start, upstream, connect, redis):
    """One proxy has leased a part and does not spend it; the other gets all but what was spent."""
    server = upstream()
    holder, other = (start(with_metrics(per_user(server, redis, {"hour": 200}))) for _ in range(2))
    for proxy in (holder, other):
        is_shared(connect, proxy, 2)
    wait_for(lambda: redis.client.pubsub_numsub("sluice:recall")[0][1] == 2, "both listen")
    wait_for_room(3600, 30)
    assert ask(connect(holder)).status == 200
    client, admitted = connect(other), [0]

    def are_all_admitted():
        admitted[0] += ask(client).status == 200
        return admitted[0] == 199

    wait_for(are_all_admitted, "the holder has given back")
    assert ask(client).status == 429
    wait_for(lambda: metrics_of(holder)['sluice_lease_recalls_total{direction="received"}'] > 0, "it was told")


def test_without_the_right_to_recall(start, upstream, connect, world):
    """A user who may neither publish nor subscribe: everything else goes on, and it is said once."""
    redis = RedisServer(world.folder, "--requirepass", "owner")
    world.redises.append(redis)
    owner = redis.client_of(password="owner")
    owner.execute_command("ACL", "SETUSER", "sluice", "on", ">pass", "~sluice:*", "+@all", "-publish", "-subscribe")
    store = {"type": "redis", "servers": [redis.address], "username": "sluice", "password": {"env": "PASSWORD"}, "fleet_size": 2}
    proxy = start(per_user(upstream(), redis, {"hour": 50}, store=store), env={"PASSWORD": "pass"})
    is_shared(connect, proxy, 1)
    client = connect(proxy)
    assert [ask(client).status for _ in range(60)] == [200] * 50 + [429] * 10
    wait_for(lambda: "cannot be recalled" in proxy.stderr(), "it is said")
    assert not proxy.events("store_lost")
