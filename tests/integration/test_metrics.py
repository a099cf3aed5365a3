# SPDX-License-Identifier: Apache-2.0
"""Counters that no other feature's test looks at, to the number."""
import os
import signal
import time

from harness import http
from harness.clocks import Skew
from harness.configs import forward
from harness.metrics import scrape
from harness.ports import take_port
from harness.redis_server import RedisServer
from harness.waiting import wait_for, wait_for_room

DROPPED = ("memory_full", "target_stalled", "disk_full", "cannot_open", "write_error", "no_syslog", "too_long")


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


def test_windows_that_refuse(start, upstream, connect):
    wait_for_room(3600, 10)
    proxy, value = measured(start, upstream, {"limits": {"hour": 5, "day": 100}})
    client = connect(proxy)
    assert [client.ask("GET", "/").status for _ in range(8)] == [200] * 5 + [429] * 3
    windows = [(f'quota_window_{what}_total{{quota="ip",window="{window}"}}') for what in ("refused", "near") for window in ("hour", "day")]
    assert [value(name) for name in windows] == [3, 0, 2, 0]


def test_bytes_and_connections_to_servers(start, upstream, connect):
    proxy, value = measured(start, upstream, {"limits": {"hour": 20}})
    client = connect(proxy)
    for _ in range(3):
        assert client.ask("GET", "/").status == 200
    lines = proxy.requests(3)
    assert value("upstream_connects_total") == 1 and value("upstream_reused_total") == 2
    assert value('client_bytes_total{direction="in"}') == sum(line["bytes_in"] for line in lines) > 0
    assert value('client_bytes_total{direction="out"}') == sum(line["bytes_out"] for line in lines) > 0


def test_how_long_the_store_was_away(start, upstream, connect, redis):
    begin = time.monotonic()
    proxy, value = measured(start, upstream, {"limits": {"hour": 20}}, store={"type": "redis", "servers": [redis.address], "fleet_size": 1})
    wait_for(lambda: value("store_up") == 1, "it counts in Redis")
    before = value("store_away_seconds_total")
    redis.kill()
    wait_for(lambda: value("store_up") == 0, "it is away")
    gone = time.monotonic()
    wait_for(lambda: time.monotonic() > gone + 1, "for a second")
    assert connect(proxy).ask("GET", "/").status == 200
    redis.start()
    wait_for(lambda: value("store_up") == 1, "it is back")
    assert 1 <= value("store_away_seconds_total") - before <= time.monotonic() - begin


def test_the_clock_of_redis(start, upstream, connect, world):
    skew = Skew(world.folder, "skew", -90)
    server = RedisServer(world.folder, env=skew.env())
    world.redises.append(server)
    proxy, value = measured(start, upstream, {"limits": {"hour": 100000}, "accuracy": "exact"},
                            store={"type": "redis", "servers": [server.address], "fleet_size": 1})
    client = connect(proxy)
    for seconds in (-90, 90):
        skew.set(seconds)
        wait_for(lambda s=seconds: client.ask("GET", "/").status == 200 and s - 5 < value("store_clock_ahead_seconds") < s + 5, "its clock is read")


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


def test_lines_reloads_and_restarts(start, upstream, connect):
    proxy, value = measured(start, upstream, {"limits": {"hour": 20}})
    client = connect(proxy)
    for _ in range(5):
        assert client.ask("GET", "/").status == 200
    proxy.requests(5)
    wait_for(lambda: value("log_lines_total") == len(proxy.log_lines_so_far()), "every line in the file has been counted")
    assert all(value(f'log_dropped_total{{reason="{reason}"}}') == 0 for reason in DROPPED) and value("log_write_errors_total") == 0
    assert value("config_generation") == 1 and value("child_restarts_total") == 0

    proxy.write_config({**proxy.config, "routes": "none"})
    proxy.signal(signal.SIGHUP)
    wait_for(lambda: value('reloads_total{result="refused"}') == 1, "the refused reload is counted")
    assert value("config_generation") == 1 and value('reloads_total{result="applied"}') == 0
    proxy.write_config(proxy.config)
    proxy.signal(signal.SIGHUP)
    wait_for(lambda: value("config_generation") == 2, "the reload is in force")
    assert value('reloads_total{result="applied"}') == 1 and value('reloads_total{result="refused"}') == 1

    os.kill(proxy.child, signal.SIGKILL)
    wait_for(lambda: told(value, "child_restarts_total") == 1, "the restart is counted")


def told(value, name):
    """The metric, None while nobody answers."""
    try:
        return value(name)
    except OSError:
        return None


def test_lines_that_cannot_be_written(start, upstream, connect):
    proxy, value = measured(start, upstream, {"limits": {"hour": 20}}, log={"access": "/dev/full"})
    client = connect(proxy)
    for _ in range(5):
        assert client.ask("GET", "/").status == 200, "a full disk stops no request"
    wait_for(lambda: value("log_write_errors_total") >= 1, "the failed writes are counted")
    assert value("log_lines_total") == 0


def test_requests_sent_again(start, upstream, connect):
    """A server that closes each connection when it has answered once and is asked again."""
    def serve(link):
        link.send(http.response(body=link.read_request().target.encode()))
        link.sock.recv(1)

    port = take_port()
    proxy = start(forward(upstream(serve), workers=1, admin={"metrics": f"127.0.0.1:{port}"}))
    client = connect(proxy)
    for n in range(4):
        assert client.ask("GET", f"/{n}").status == 200
    proxy.requests(4)
    values = scrape(port)
    assert values["sluice_upstream_retries_total"] == 3 and values["sluice_upstream_connects_total"] == 4


def test_a_store_that_is_silent(start, upstream, connect, redis):
    store = {"type": "redis", "servers": [redis.address], "decision_timeout": "20ms", "command_timeout": "100ms", "fleet_size": 1}
    proxy, value = measured(start, upstream, {"limits": {"hour": 100000}, "accuracy": "exact"}, store=store)
    client = connect(proxy)
    wait_for(lambda: proxy.line_of(client.ask("GET", "/"))["quotas"][0]["source"] == "store", "the store counts")
    before = value("store_timeouts_total")
    assert value("store_breaker_open") == 0 and value("store_up") == 1
    redis.pause()
    try:
        assert client.ask("GET", "/").status == 200
        assert value("store_timeouts_total") == before + 1
        wait_for(lambda: client.ask("GET", "/").status == 200 and value("store_breaker_open") == 1, "the breaker opens")
        assert value("store_up") == 0
    finally:
        redis.resume()
    wait_for(lambda: client.ask("GET", "/").status == 200 and value("store_breaker_open") == 0, "the breaker closes")
    assert value("store_up") == 1
