# SPDX-License-Identifier: Apache-2.0
"""Slots of exchanges in flight over reloads, processes that die or stand still, several proxies, and a Redis that is away."""
import os
import re
import signal
import time

import pytest
from harness.client import is_refused
from harness.in_flight import (
    Counting, Gate, MESSAGE, ask, fill, hammer, held, held_in, hold, holders_of, in_redis, let_go, limited,
    reload, sum_of, wait_until_free, wait_until_up, wait_until_up_open,
)
from harness.replies import check_error, trio_of
from harness.waiting import wait_for


@pytest.fixture(params=["memory", "redis"])
def store(request, redis):
    return {"type": "memory"} if request.param == "memory" else in_redis(redis)


def test_drain(start, upstream, connect, redis):
    """What is in flight is answered, and its slots are free in Redis as soon as the proxy is gone."""
    gate = Gate()
    server = upstream(gate.serve)
    first, second = (start(limited(server, in_redis(redis), 3)) for _ in range(2))
    wait_until_up_open(connect, gate, first, second)
    clients = fill(connect, first, gate, 3)
    first.signal(signal.SIGTERM)
    wait_for(lambda: not first.child or not first.process.poll() is None or is_deaf(first), "it takes no connection any more")
    with connect(second) as client:
        assert ask(client).status == 429
    let_go(gate, clients)
    wait_for(lambda: first.process.poll() is not None, "it has ended")
    wait_for(lambda: not redis.client.keys("sluice:f:*"), "its slots are free, long before their deadline", 5)
    let_go(gate, fill(connect, second, gate, 3))


def is_deaf(proxy):
    return is_refused(proxy.address)


def test_two_proxies_share_the_slots(start, upstream, connect, redis):
    """Both are asked without a pause: never more than seven together, and all seven are used."""
    counting = Counting()
    server = upstream(counting.serve)
    proxies = [start(limited(server, in_redis(redis), 7)) for _ in range(2)]
    wait_until_up(connect, *proxies)
    counts = hammer(proxies, 3)
    assert counting.most == 7, counts
    assert set(counts) == {200, 429} and counts[200] > 100
    wait_until_free(*proxies)
    wait_for(lambda: not redis.client.keys("sluice:f:*"), "nothing is left in Redis")


# ---- reload

def test_reload_changes_the_limit(start, upstream, connect, store):
    """Up and down while slots are held: none is lost and none is freed."""
    gate = Gate()
    config = limited(upstream(gate.serve), store, 2)
    proxy = start(config)
    wait_until_up_open(connect, gate, proxy)
    clients = fill(connect, proxy, gate, 2)

    def quotas(limit):
        return {"con": {"key": ["user"], "in_flight": limit}}

    reload(proxy, 1, quotas=quotas(4))
    clients += hold(connect, proxy, gate, 2)
    refused = connect(proxy)
    check_error(ask(refused), 429, "0308", MESSAGE.format("con", 4))
    reload(proxy, 2, quotas=quotas(1))
    assert held(proxy) == 4
    check_error(ask(refused), 429, "0308", MESSAGE.format("con", 1))
    let_go(gate, clients[:2] + clients[2:])
    wait_until_free(proxy)
    let_go(gate, fill(connect, proxy, gate, 1))
    wait_until_free(proxy)
    reload(proxy, 3, quotas=quotas(3))
    let_go(gate, fill(connect, proxy, gate, 3))
    wait_until_free(proxy)


# ---- processes that die or stand still

def test_a_killed_child(start, upstream, connect, store, redis):
    """The embedded store's slots go with the child that held them; those in Redis within their deadline."""
    gate = Gate()
    server = upstream(gate.serve)
    proxy = start(limited(server, store, 3))
    wait_until_up_open(connect, gate, proxy)
    clients = fill(connect, proxy, gate, 3)
    child = proxy.child
    os.kill(child, signal.SIGKILL)
    for client in clients:
        client.expect_gone()
    wait_for(lambda: proxy.child not in (None, child), "another child")
    proxy.wait_for_event("start", 2)
    gate.is_open.set()
    gate.wait_for(0)
    gate.is_open.clear()
    if store["type"] == "redis":
        wait_for(lambda: held_in(redis) == 0, "the slots of the dead are free", 14)
        wait_until_up_open(connect, gate, proxy)
    let_go(gate, fill(connect, proxy, gate, 3))


def test_a_killed_proxy(start, upstream, connect, redis):
    """Its slots are taken until its deadline and free behind it."""
    gate = Gate()
    server = upstream(gate.serve)
    first, second = (start(limited(server, in_redis(redis), 3)) for _ in range(2))
    wait_until_up_open(connect, gate, first, second)
    clients = hold(connect, first, gate, 2)
    for pid in (first.pid, first.child):
        os.kill(pid, signal.SIGKILL)
    for client in clients:
        client.expect_gone()
    first.expected_exit = -signal.SIGKILL
    clients = hold(connect, second, gate, 1)
    with connect(second) as client:
        assert ask(client).status == 429, "two are held by the dead one"
    gate.is_open.set()
    clients[0].read()
    gate.wait_for(0)
    gate.is_open.clear()

    wait_for(lambda: held_in(redis) == 0, "its slots are free", 14)
    let_go(gate, fill(connect, second, gate, 3))


def test_what_stands_in_redis(start, upstream, connect, redis):
    """One key of its own; it is renewed while slots are held, mortal, and gone with the last of them."""
    gate = Gate()
    proxy = start(limited(upstream(gate.serve), in_redis(redis), 3, {"limits": {"hour": 100}}))
    wait_until_up_open(connect, gate, proxy)
    wait_until_free(proxy)
    wait_for(lambda: not redis.client.keys("sluice:f:*"), "the probes are gone")
    clients = hold(connect, proxy, gate, 2)
    (key,) = redis.client.keys("sluice:f:*")
    assert re.fullmatch(rb"sluice:f:\{[A-Za-z0-9_-]{22}\}", key)
    assert redis.client.exists(key.replace(b":f:", b":q:")), "the same 22 characters"
    first = holders_of(redis.client.get(key))
    assert sum(count for _, _, count, _ in first) == 2
    assert 0 < redis.client.ttl(key) <= 20
    last = max(deadline for _, _, _, deadline in first)
    wait_for(lambda: min(deadline for _, _, _, deadline in holders_of(redis.client.get(key))) > last, "it is renewed")
    assert sum_of(redis.client.get(key), redis) == 2
    let_go(gate, clients)
    wait_for(lambda: not redis.client.exists(key), "it is gone")


def test_a_proxy_that_stands_still(start, upstream, connect, redis):
    """Beyond its deadline others get its slots: what is in flight then is bounded by what it held.  Awake it admits nobody
    beyond the limit, and says again what it holds."""
    gate = Gate()
    server = upstream(gate.serve)
    first, second = (start(limited(server, in_redis(redis), 3)) for _ in range(2))
    wait_until_up_open(connect, gate, first, second)
    clients = hold(connect, first, gate, 2)
    os.kill(first.child, signal.SIGSTOP)
    wait_for(lambda: held_in(redis) == 0, "its deadline is over", 14)
    clients += fill(connect, second, gate, 3)
    assert gate.inside == 5
    os.kill(first.child, signal.SIGCONT)
    wait_for(lambda: held_in(redis) == 5, "it says again what it holds")
    for proxy in (first, second):
        with connect(proxy) as client:
            assert ask(client).status == 429
    let_go(gate, clients)
    wait_until_free(first, second)
    let_go(gate, fill(connect, first, gate, 3))


# ---- Redis away

@pytest.mark.parametrize("on_failure,admitted,status", [("local", 3, 429), ("allow", 10, None), ("deny", 0, 503)])
def test_redis_stands_still(start, upstream, connect, redis, on_failure, admitted, status):
    """Two proxies are stated: each admits half of the slots, all, or none.  What was admitted counts when it is back."""
    gate = Gate()
    quota = {"on_failure": on_failure}
    store = in_redis(redis, fleet_size=2, decision_timeout="250ms", command_timeout="250ms")
    proxy = start(limited(upstream(gate.serve), store, 7, quota))
    wait_until_up_open(connect, gate, proxy)
    wait_until_free(proxy)
    redis.pause()
    clients = hold(connect, proxy, gate, admitted)
    refused = connect(proxy)
    if status:
        reply = ask(refused)
        assert reply.status == status and reply["Retry-After"] is not None and trio_of(reply) is None
        line = proxy.line_of(reply)
        assert line["decision"] == "degraded_refuse"
        assert line["refused_by"] == (["con/in_flight"] if status == 429 else ["con"])
    if status == 429:
        check_error(reply, 429, "0308", MESSAGE.format("con", 3))
        assert line["quotas"] == [{"q": "con", "w": "in_flight", "charged": 0, "used": 3, "limit": 3, "source": "local"}]
    redis.resume()
    if admitted:
        wait_for(lambda: held_in(redis) == admitted, "Redis is told what was admitted")
        wait_for(lambda: proxy.line_of(ask_any(refused, gate, admitted < 7))["quotas"][0].get("source") == "store",
                 "the proxy counts in its store")
    replies = let_go(gate, clients)
    assert all(proxy.line_of(reply)["decision"] == "degraded_allow" for reply in replies)
    wait_until_free(proxy)
    wait_for(lambda: not redis.client.keys("sluice:f:*"), "nothing is left in Redis")


def ask_any(client, gate, may_pass):
    """A request of somebody else when there may be room, else of the same subject."""
    if not may_pass:
        return ask(client)
    gate.is_open.set()
    reply = ask(client, "bob")
    gate.is_open.clear()
    return reply


def test_redis_is_started_anew(start, upstream, connect, redis):
    """Its memory is lost: the proxies say again what they hold, and until then nobody is granted more."""
    gate = Gate()
    server = upstream(gate.serve)
    proxies = [start(limited(server, in_redis(redis, fleet_size=2), 4, {"on_failure": "deny"})) for _ in range(2)]
    wait_until_up_open(connect, gate, *proxies)
    clients = hold(connect, proxies[0], gate, 2) + hold(connect, proxies[1], gate, 2)
    redis.kill()
    redis.start()
    until = time.monotonic() + 6
    statuses = set()
    while time.monotonic() < until:
        for proxy in proxies:
            with connect(proxy) as client:
                statuses |= {ask(client).status for _ in range(20)}
        assert gate.inside == 4
        time.sleep(0.01)
    assert statuses == {429, 503}
    let_go(gate, clients)
    wait_until_free(*proxies)
    let_go(gate, fill(connect, proxies[1], gate, 4))


def test_what_somebody_else_wrote(start, upstream, connect, redis):
    """A value of another layout is neither read nor overwritten: the store is away for this subject."""
    gate = Gate()
    proxy = start(limited(upstream(gate.serve), in_redis(redis), 3, {"on_failure": "deny"}))
    wait_until_up_open(connect, gate, proxy)
    clients = hold(connect, proxy, gate, 1)
    (key,) = redis.client.keys("sluice:f:*")
    let_go(gate, clients)
    wait_for(lambda: not redis.client.exists(key), "it is gone")
    for value in (b"\2\0\0\0", b"\1\0\0\0short", b"", b"\1"):
        redis.client.set(key, value)
        with connect(proxy) as client:
            assert ask(client).status == 503, value
        assert redis.client.get(key) == value
    redis.client.delete(key)
    redis.client.lpush(key, "x")
    with connect(proxy) as client:
        assert ask(client).status == 503
    redis.client.delete(key)
    redis.client.script_flush()
    let_go(gate, fill(connect, proxy, gate, 3))
