# SPDX-License-Identifier: Apache-2.0
"""Quotas over either store: exact counts, the right headers, refusals that cost nothing; and what the embedded store keeps."""
import collections
import threading
import time

import pytest
from harness.configs import forward
from harness.replies import check_error, throttled, trio_of
from harness.waiting import wait_for_next_window, wait_for_room

both_stores = pytest.mark.usefixtures("each_store")
USERS = {"identities": {"user": {"from": ["header:X-User"]}}, "subject_secret": "test"}


def per_user(server, limits, **more):
    return forward(server, quotas={"user": {"key": ["user"], "limits": limits}}, **USERS, **more)


def ask(client, user="alice"):
    return client.ask("GET", "/", [("X-User", user)])


def check_retry_after(reply, period_s, asked_at, answered_at):
    """Whole seconds, at least 1, never before the window ends, and not a second more than needed."""
    seconds = int(reply["Retry-After"])
    end = (int(asked_at) // period_s + 1) * period_s
    assert 1 <= seconds
    assert asked_at + seconds >= end - 0.001 or answered_at + seconds >= end, "early"
    assert answered_at + seconds <= end + 1.001, "later than needed"


@both_stores
def test_trio_counts_down_to_zero_then_429(start, upstream, connect):
    server = upstream()
    client = connect(start(per_user(server, {"minute": 5})))
    wait_for_room(60, 5)
    for left in (4, 3, 2, 1, 0):
        reply = ask(client)
        assert reply.status == 200 and trio_of(reply) == (5, left, "minute")
        assert reply["Retry-After"] is None
    for _ in range(3):
        before = time.time()
        reply = ask(client)
        check_error(reply, 429, "0308", throttled("user", 5, 1, "minute"), "Too Many Requests")
        assert trio_of(reply) == (5, 0, "minute")
        check_retry_after(reply, 60, before, time.time())
        assert reply["Connection"] != "close", "a refusal leaves the connection open"
    assert len(server.requests) == 5
    assert trio_of(ask(client, "bob")) == (5, 4, "minute"), "bob has a count of his own"


@pytest.mark.parametrize("limits, window, count, unit, period", [
    ({"second": 2}, "second", 1, "second", 1), ({"minute": 2}, "minute", 1, "minute", 60), ({"hour": 2}, "hour", 1, "hour", 3600),
    ({"day": 2}, "day", 1, "day", 86400), ({"5 minutes": 2}, "5 minute", 5, "minute", 300),
    ({"10 seconds": 2}, "10 second", 10, "second", 10), ({"2 hours": 2}, "2 hour", 2, "hour", 7200)])
@both_stores
def test_every_unit(start, upstream, connect, limits, window, count, unit, period):
    client = connect(start(per_user(upstream(), limits)))
    wait_for_next_window(1) if period == 1 else wait_for_room(period, 5)
    assert trio_of(ask(client)) == (2, 1, window)
    assert trio_of(ask(client)) == (2, 0, window)
    before = time.time()
    reply = ask(client)
    check_error(reply, 429, "0308", throttled("user", 2, count, unit))
    assert trio_of(reply) == (2, 0, window)
    check_retry_after(reply, period, before, time.time())


@both_stores
def test_a_new_window_begins_fresh_on_the_utc_calendar(start, upstream, connect):
    proxy = start(per_user(upstream(), {"2 seconds": 3}))
    client = connect(proxy)
    first = wait_for_next_window(2)
    pace = threading.Event()
    while time.time() < first + 6:
        ask(client)
        pace.wait(0.01)
    admitted = collections.Counter()
    for line in proxy.requests():
        (entry,) = line["quotas"]
        assert entry["start"] % 2 == 0 and entry["limit"] == 3
        admitted[entry["start"]] += line["status"] == 200
    for window in (first, first + 2, first + 4):
        assert admitted[window] == 3, admitted


@both_stores
def test_binding_window_is_the_tightest(start, upstream, connect):
    client = connect(start(per_user(upstream(), {"day": 20, "minute": 10, "hour": 15})))
    wait_for_room(60, 5)
    shown = [trio_of(ask(client)) for _ in range(10)]
    # remaining/limit: 9/10 < 14/15 < 19/20 and so on down to 0/10
    assert shown == [(10, left, "minute") for left in range(9, -1, -1)]
    reply = ask(client)
    assert reply.status == 429 and trio_of(reply) == (10, 0, "minute")


@both_stores
def test_ties_go_to_the_shorter_window(start, upstream, connect):
    client = connect(start(per_user(upstream(), {"day": 4, "hour": 4})))
    wait_for_room(3600, 5)
    for left in (3, 2, 1, 0):
        assert trio_of(ask(client)) == (4, left, "hour")
    reply = ask(client)
    # Both refused: the one that resets last is shown, for only then will a request pass.  The day's last hour resets with it.
    last = "hour" if time.gmtime().tm_hour == 23 else "day"
    assert reply.status == 429 and trio_of(reply) == (4, 0, last)
    assert int(reply["Retry-After"]) > 86400 - time.time() % 86400 - 2


@both_stores
def test_odd_windows_are_shown_only_when_nothing_else_applies_or_they_refused(start, upstream, connect):
    client = connect(start(per_user(upstream(), {"10 seconds": 2, "hour": 100})))
    wait_for_room(10, 3)
    assert trio_of(ask(client)) == (100, 99, "hour")
    assert trio_of(ask(client)) == (100, 98, "hour")
    reply = ask(client)
    check_error(reply, 429, "0308", throttled("user", 2, 10, "second"))
    assert trio_of(reply) == (2, 0, "10 second")


@both_stores
def test_refusals_are_charged_nowhere(start, upstream, connect):
    """Two quotas: what one refuses is not taken from the other, nor from the refusing quota's longer window."""
    quotas = {"user": {"key": ["user"], "limits": {"minute": 2, "day": 100}}, "all": {"key": ["route"], "limits": {"hour": 7}}}
    server = upstream()
    proxy = start(forward(server, quotas=quotas, **USERS))
    client = connect(proxy)
    wait_for_room(60, 10)
    for user in ("a", "b", "c"):
        statuses = [ask(client, user).status for _ in range(10)]
        assert statuses == [200, 200] + [429] * 8
    assert ask(client, "d").status == 200  # the seventh of the route
    reply = ask(client, "d")
    check_error(reply, 429, "0308", throttled("all", 7, 1, "hour"))
    lines = proxy.requests(32)
    by_user = {e["w"]: e for e in lines[-1]["quotas"] if e["q"] == "user"}
    assert by_user["minute"]["used"] == 1 and by_user["day"]["used"] == 1, "d was charged once only"
    refused = lines[9]
    assert refused["decision"] == "refuse" and refused["refused_by"] == ["user/minute"]
    assert {(e["q"], e["w"]): (e["used"], e["charged"]) for e in refused["quotas"]} == {
        ("user", "minute"): (2, 0), ("user", "day"): (2, 0), ("all", "hour"): (2, 0)}
    assert len(server.requests) == 7


@both_stores
def test_limit_zero_refuses_everything(start, upstream, connect):
    client = connect(start(per_user(upstream(), {"hour": 0})))
    reply = ask(client)
    assert reply.status == 429 and trio_of(reply) == (0, 0, "hour")


@both_stores
def test_exact_under_concurrency(start, upstream, connect):
    """Sixteen connections on several threads, one subject: exactly the limit is admitted."""
    proxy = start(per_user(upstream(), {"hour": 700, "day": 5000}))
    wait_for_room(3600, 30)
    statuses = collections.Counter()
    lock = threading.Lock()

    def run():
        client = connect(proxy)
        own = collections.Counter(ask(client).status for _ in range(60))
        with lock:
            statuses.update(own)

    threads = [threading.Thread(target=run) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == {200: 700, 429: 260}
    remaining = sorted(e["used"] for line in proxy.requests(960) if line["status"] == 200
                       for e in line["quotas"] if e["w"] == "hour")
    assert remaining == list(range(1, 701)), "every admitted request took a number of its own"


@both_stores
def test_own_errors_after_the_decision_carry_the_trio(start, connect):
    client = connect(start(per_user("127.0.0.1:1", {"hour": 5})))
    reply = ask(client)
    assert reply.status == 502 and trio_of(reply) == (5, 4, "hour")


@both_stores
def test_routes_without_quotas_carry_no_trio_and_pass_the_upstreams_own(start, upstream, connect):
    from harness import http
    server = upstream(answer=lambda _: http.response(fields=[("X-RateLimit", "9"), ("Retry-After", "3")], body=b"x"))
    config = per_user(server, {"hour": 5})
    config["routes"].insert(0, {"name": "free", "prefix": "/free/", "upstream": "app"})
    client = connect(start(config))
    reply = client.ask("GET", "/free/x")
    assert reply["X-RateLimit"] == "9" and reply["X-ratelimit-used"] is None and reply["Retry-After"] == "3"
    reply = ask(client)
    assert trio_of(reply) == (5, 4, "hour"), "on a counted route the trio is ours alone"


def test_state_file_survives_a_restart(start, upstream, connect, tmp_path):
    state = tmp_path / "state"
    config = per_user(upstream(), {"hour": 10, "day": 20}, store={"type": "memory", "state_file": str(state)})
    wait_for_room(3600, 30)
    first = start(config)
    client = connect(first)
    for _ in range(4):
        ask(client)
    client.close()
    first.stop()
    assert state.exists()
    second = start(config)
    assert trio_of(ask(connect(second))) == (10, 5, "hour")


def test_damaged_state_file_is_refused_loudly_and_not_half_loaded(start, upstream, connect, tmp_path):
    state = tmp_path / "state"
    config = per_user(upstream(), {"hour": 10}, store={"type": "memory", "state_file": str(state)})
    first = start(config)
    for user in range(50):
        ask(connect(first), f"u{user}")
    first.stop()
    data = bytearray(state.read_bytes())
    data[len(data) // 2] ^= 0x40
    state.write_bytes(data)
    second = start(config)
    assert trio_of(ask(connect(second), "u1")) == (10, 9, "hour")
    assert str(state) in second.stderr()


def test_full_table_never_forgets_who_was_counted(start, upstream, connect):
    """Newcomers to a full table share one bucket; those who are in keep their exact counts."""
    config = per_user(upstream(), {"hour": 3}, store={"type": "memory", "subjects": 1000})
    proxy = start(config)
    client = connect(proxy)
    wait_for_room(3600, 30)
    assert [ask(client, "first").status for _ in range(4)] == [200, 200, 200, 429]
    admitted = sum(ask(client, f"crowd{n}").status == 200 for n in range(3000))
    assert admitted <= 1500, "more subjects than the table holds share one bucket"
    assert ask(client, "first").status == 429
