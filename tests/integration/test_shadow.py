# SPDX-License-Identifier: Apache-2.0
"""Quotas in shadow: what they would have done shows in logs and metrics, and nowhere else."""
import random

import pytest
from harness.configs import forward
from harness.ports import take_port
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
    from harness.client import Client
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


@pytest.mark.parametrize("store", [memory, in_redis])
def test_denials_equal_those_of_the_enforced_quota(start, upstream, connect, redis, store):
    """The same traffic twice: once enforced, once in shadow; the same requests are refused."""
    rng = random.Random(5)
    traffic = [rng.choice("abcdef") for _ in range(300)]
    wait_for_room(3600, 60)
    refused = {}
    for mode in ("enforce", "shadow"):
        quotas = {"next": {"key": ["user"], "limits": {"hour": 30}, "mode": mode}}
        proxy = start(with_metrics(forward(upstream(), quotas=quotas, store={**store(redis), **(
            {"prefix": mode} if store is in_redis else {})}, **USERS)))
        if store is in_redis:
            wait_until_counted_in_store(connect, proxy)
        client = connect(proxy)
        replies = [ask(client, user) for user in traffic]
        prefix = "" if mode == "enforce" else "shadow_"
        wait_for(lambda: sum(metric(proxy, "next", prefix + d) for d in ("allow", "refuse")) >= 300, "every verdict is in")
        # With Redis a verdict may come after the line: then an event tells.
        lines = {line["id"]: line for line in proxy.requests(300)}
        late = {event["id"] for event in proxy.events("shadow_refusal") if event["q"] == "next"}
        lines = [lines[reply["X-request-id"].split("-")[0]] for reply in replies]
        refused[mode] = [line["status"] == 429 if mode == "enforce" else
                         shadow_entry(line).get("refused", False) or line["id"] in late for line in lines]
        assert metric(proxy, "next", prefix + "refuse") == sum(refused[mode])
        proxy.stop()
    assert sum(refused["enforce"]) == 300 - 6 * 30
    assert refused["shadow"] == refused["enforce"]


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
