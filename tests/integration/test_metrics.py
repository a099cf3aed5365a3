# SPDX-License-Identifier: Apache-2.0
"""Counters that no other feature's test looks at, to the number."""
from harness import http
from harness.configs import forward
from harness.metrics import scrape
from harness.ports import take_port
from harness.waiting import wait_for


def answer(message):
    """Fails what is asked for /fail; everything costs 3."""
    status = 500 if message.target == "/fail" else 200
    return http.response(status=status, fields=[("X-Cost", "3")], body=b"x\n")


def measured(start, upstream, quota, **more):
    port = take_port()
    proxy = start(forward(upstream(answer=answer), quotas={"ip": {"key": ["ip"], **quota}}, workers=1,
                          admin={"metrics": f"127.0.0.1:{port}"}, **more))
    return proxy, lambda name: scrape(port)["sluice_" + name]


def test_corrections_and_near(start, upstream, connect):
    proxy, value = measured(start, upstream, {"limits": {"hour": 20}, "charge": {"on": ["2xx"]}},
                            route={"cost": {"estimate": 2, "response_header": "X-Cost", "max": 9}})
    client = connect(proxy)
    for _ in range(6):
        assert client.ask("GET", "/").status == 200
    assert client.ask("GET", "/fail").status == 500
    assert value("quota_added_total") == 6 and value("quota_refunded_total") == 2
    assert value("decisions_near_total") == 2, "of 20 are used 2, 5, 8, 11, 14, 17, 20 when it is asked"


def test_bytes_and_connections_to_servers(start, upstream, connect):
    proxy, value = measured(start, upstream, {"limits": {"hour": 20}})
    client = connect(proxy)
    for _ in range(3):
        assert client.ask("GET", "/").status == 200
    lines = proxy.requests(3)
    assert value("upstream_connects_total") == 1 and value("upstream_reused_total") == 2
    assert value('client_bytes_total{direction="in"}') == sum(line["bytes_in"] for line in lines) > 0
    assert value('client_bytes_total{direction="out"}') == sum(line["bytes_out"] for line in lines) > 0


def test_what_redis_is_asked(start, upstream, connect, redis):
    store = {"type": "redis", "servers": [redis.address], "decision_timeout": "5s", "command_timeout": "5s", "fleet_size": 1}
    redis.client.hset("sluice:members:ip", "127.0.0.1", "small")
    proxy, value = measured(start, upstream, {"limits": "tier", "default_tier": "small", "members": "redis"},
                            tiers={"small": {"hour": 1000}}, store=store)
    client = connect(proxy)
    wait_for(lambda: proxy.line_of(client.ask("GET", "/"))["quotas"][0]["source"] == "store", "the store counts")
    assert value("store_connects_total") == 1 and value("store_errors_total") == 0
    before = value("store_commands_total")
    assert before > 0 and value('store_lookups_total{kind="member"}') >= 1 and value('store_lookups_total{kind="token"}') == 0
    redis.client.client_kill_filter(_type="normal", skipme=True)
    wait_for(lambda: value("store_lost_total") == 1 and value("store_connects_total") == 2, "a lost connection is made again")
    wait_for(lambda: client.ask("GET", "/").status == 200 and value("store_commands_total") > before, "it is asked again")
