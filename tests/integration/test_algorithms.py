# SPDX-License-Identifier: Apache-2.0
"""Algorithms: one table of steps and one model for both stores, and what clients see of them."""
import os
import pathlib
import sys
import time

import pytest
from harness import stored
from harness.configs import forward
from harness.counting import USERS, ask, store_of, wait_until_counting
from harness.proxy import BINARY
from harness.replies import check_error, throttled, trio_of
from harness.waiting import wait_for, wait_for_next_window, wait_for_room

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "property"))

import compare  # noqa: E402
from engines import Memory, Redis  # noqa: E402
from model import BUCKET, FIXED, SLIDING, Quota  # noqa: E402

DRIVER = os.path.join(os.path.dirname(BINARY), "property_driver")


@pytest.fixture(params=["memory", "redis"])
def engine(request, redis):
    made = Memory(DRIVER) if request.param == "memory" else Redis(DRIVER, redis.client)
    made.fresh()
    yield made
    made.end()


# ---- one table for both stores: (seconds after the begin of a window, cost or correction, answer, left, seconds until it
# would pass)

CORRECT = "correct"
STEPS = {
    "fixed": (Quota(FIXED, [(60, 5)]), [
        (0.0, 3, "charged", 2, None), (10.5, 3, "refused", 2, 49.5), (10.5, 2, "charged", 0, None), (59.999, 1, "refused", 0, 0.001),
        (60.0, 1, "charged", 4, None), (59.0, 1, "charged", 3, None), (120.0, 5, "charged", 0, None)]),
    "fixed corrected": (Quota(FIXED, [(60, 5)]), [
        (0.0, 4, "charged", 1, None), (1.0, CORRECT, -3), (1.0, 1, "charged", 3, None), (2.0, 3, "charged", 0, None),
        (3.0, CORRECT, 4), (3.0, 1, "refused", 0, 57.0), (60.0, 5, "charged", 0, None), (121.0, CORRECT, -5),
        (121.0, 5, "charged", 0, None)]),
    # 60 in the window before weigh 60, 30 after half of it, 1 in its last second
    "sliding": (Quota(SLIDING, [(60, 100)]), [
        (0.0, 60, "charged", 40, None), (59.999, 41, "refused", 40, 1.001), (60.0, 40, "charged", 0, None), (60.0, 1, "refused", 0, 1.0),
        (61.0, 1, "charged", 0, None), (90.0, 29, "charged", 0, None), (90.0, 30, "refused", 0, 30.0), (120.0, 30, "charged", 0, None),
        (180.0, 70, "charged", 0, None), (300.0, 100, "charged", 0, None)]),
    "sliding corrected": (Quota(SLIDING, [(60, 10)]), [
        (0.0, 8, "charged", 2, None), (1.0, CORRECT, -8), (1.0, 10, "charged", 0, None), (61.0, CORRECT, -10),
        (61.0, 1, "refused", 0, 5.0), (66.0, 1, "charged", 0, None)]),
    "bucket": (Quota(BUCKET, [(60, 6)]), [
        (0.0, 6, "charged", 0, None), (0.0, 1, "refused", 0, 10.0), (9.999999, 1, "refused", 0, 0.000001), (10.0, 1, "charged", 0, None),
        (35.0, 3, "refused", 2, 5.0), (40.0, 3, "charged", 0, None), (400.0, 6, "charged", 0, None), (400.0, 7, "refused", 0, None)]),
    "bucket with burst": (Quota(BUCKET, [(60, 6)], 10), [
        (0.0, 10, "charged", 0, None), (20.0, 2, "charged", 0, None), (1000.0, 9, "charged", 1, None)]),
    "bucket that thirds": (Quota(BUCKET, [(1, 3)]), [
        (0.0, 1, "charged", 2, None), (0.0, 1, "charged", 1, None), (0.0, 1, "charged", 0, None), (0.0, 1, "refused", 0, 0.333334),
        (0.333334, 1, "charged", 0, None)]),
    "bucket corrected": (Quota(BUCKET, [(60, 6)]), [
        (0.0, 5, "charged", 1, None), (1.0, CORRECT, -5), (1.0, 6, "charged", 0, None), (100.0, 2, "charged", 4, None),
        (130.0, CORRECT, -2), (130.0, 6, "charged", 0, None), (131.0, CORRECT, 5), (189.0, 1, "refused", 0, 1.0), (190.0, 1, "charged", 0, None)]),
    "limit 0": (Quota(BUCKET, [(60, 0)]), [(0.0, 1, "refused", 0, None)]),
    "sliding 0": (Quota(SLIDING, [(60, 0)]), [(0.0, 1, "refused", 0, None)]),
}


@pytest.mark.parametrize("name", STEPS)
def test_both_stores_take_the_same_steps(engine, name):
    quota, steps = STEPS[name]
    begin, kept = 1_900_000_000 // 60 * 60 * 1_000_000, None
    engine.quota(1, quota)
    for number, (at, what, *expected) in enumerate(steps):
        now = begin + round(at * 1_000_000)
        if what == CORRECT:
            engine.correct(now, kept[0], 0, expected[0], kept[1])
            continue
        asked = ((1, 1), quota, what)
        answer, ((_, limit, left, is_refused, end_us, _),) = engine.charge(now, [asked])
        wait = None if expected[2] is None else round((end_us - now) / 1_000_000, 6)
        assert (answer, left, wait) == tuple(expected), f"step {number} of {name}"
        assert limit == quota.limits[0][1] and is_refused == (answer == "refused")
        if answer == "charged":
            engine.keep(number)
            kept = (number, asked)


def test_a_change_of_algorithm_grants_nothing(engine):
    """From full, every way to another algorithm and back stays full; what was used is carried."""
    begin = 1_900_000_000 // 60 * 60 * 1_000_000 + 1_000_000
    ways = [(a, b) for a in (FIXED, SLIDING, BUCKET) for b in (FIXED, SLIDING, BUCKET)]
    for subject, (before, after) in enumerate(ways):
        for number in (1, 2):
            engine.quota(number, Quota(before, [(60, 10)]))
        name = (1, subject)
        assert engine.charge(begin, [(name, Quota(before, [(60, 10)]), 10)])[0] == "charged"
        assert engine.charge(begin, [((2, subject), Quota(before, [(60, 10)]), 4)])[0] == "charged"
        for number in (1, 2):
            engine.quota(number, Quota(after, [(60, 10)]))
        assert engine.charge(begin, [(name, Quota(after, [(60, 10)]), 1)])[0] == "refused", (before, after)
        answer, (window,) = engine.charge(begin, [((2, subject), Quota(after, [(60, 10)]), 6)])
        assert answer == "charged" and window[2] == 0, (before, after, window)
        engine.quota(1, Quota(before, [(60, 10)]))
        assert engine.charge(begin, [(name, Quota(before, [(60, 10)]), 1)])[0] == "refused", (before, after)


@pytest.mark.parametrize("before", [FIXED, SLIDING])
def test_a_full_window_fills_like_a_bucket_from_the_change_on(engine, before):
    """Each refusal names the same moment, and at that moment there is a token, though nothing was charged in between."""
    begin, old, new = 1_900_000_000 // 60 * 60 * 1_000_000, Quota(before, [(60, 6)]), Quota(BUCKET, [(60, 6)])
    engine.quota(1, old)
    assert engine.charge(begin, [((1, 1), old, 6)])[0] == "charged"
    engine.quota(1, new)
    for at_s, expected in ((5, "refused"), (11, "refused"), (15, "charged"), (16, "refused")):
        answer, ((_, _, left, _, end_us, _),) = engine.charge(begin + at_s * 1_000_000, [((1, 1), new, 1)])
        assert (answer, left, end_us) == (expected, 0, begin + (15 if at_s < 15 else 25) * 1_000_000), at_s


@pytest.mark.parametrize("leap_s", [0, 50, 61, 3600, 3 * 86400])
def test_no_clock_that_goes_back_grants_a_second_quota(engine, leap_s):
    """Drained, then another algorithm and the clock set back, in either order, and back again: never a token more."""
    late = 1_900_000_000 // 86400 * 86400 * 1_000_000 + 7_000_000
    early = late - leap_s * 1_000_000
    ways = [(a, b, order) for a in (FIXED, SLIDING, BUCKET) for b in (FIXED, SLIDING, BUCKET) for order in ("leap", "change", "both")]
    for subject, (before, after, order) in enumerate(ways):
        old, other, name = Quota(before, [(60, 10), (3600, 10)]), Quota(after, [(60, 10), (3600, 10)]), (1, subject)
        engine.quota(1, old)
        assert engine.charge(late, [(name, old, 10)])[0] == "charged"
        if engine.settles_by_charging:
            engine.forget()  # a proxy that has seen nothing
        for now, quota in {"leap": [(early, old), (early, other)], "change": [(late, other), (early, other)], "both": [(early, other)]}[order]:
            engine.quota(1, quota)
            assert engine.charge(now, [(name, quota, 1)])[0] == "refused", (before, after, order)
        engine.quota(1, old)
        assert engine.charge(early, [(name, old, 1)])[0] == "refused", (before, after, order, "and back")


def test_a_window_left_behind_stays_behind(engine):
    """Sliding in one hour, fixed in the next; a clock set back to that hour does not find the first one beside it again."""
    hour, name = 1_900_000_000 // 86400 * 86400 * 1_000_000, (1, 1)
    sliding, fixed = Quota(SLIDING, [(3600, 10)]), Quota(FIXED, [(3600, 10)])

    def at(hours, quota, cost):
        engine.quota(1, quota)
        answer, (window,) = engine.charge(hour + round(hours * 3600_000_000), [(name, quota, cost)])
        return answer, window[2]

    assert at(1.0, sliding, 8) == ("charged", 2)
    assert at(2.5, sliding, 2) == ("charged", 4)
    assert at(3.5, fixed, 3) == ("charged", 7)
    if engine.settles_by_charging:
        engine.forget()
    assert at(2.5, fixed, 11) == ("refused", 7), "the three are kept in the hour that it is"
    assert at(2.5, sliding, 11) == ("refused", 7), "and the eight of the hour before are history"


@pytest.fixture
def two_proxies(redis):
    made = [Redis(DRIVER, redis.client) for _ in range(2)]
    yield made
    for one in made:
        one.end()


def test_what_one_proxy_remembers_takes_nothing_from_what_another_spent(two_proxies):
    """One has seen one of ten spent in a window that the clock has left; the other spends the rest."""
    window = 1_900_000_000 // 60 * 60 * 1_000_000

    def ask(proxy, at_s, algorithm, subject, cost):
        quota = Quota(algorithm, [(60, 10)])
        proxy.quota(1, quota)
        return proxy.charge(window + at_s * 1_000_000, [((1, subject), quota, cost)])[0]

    here, there = two_proxies
    # The clock goes back by more than a minute: what was spent moves along.
    assert ask(here, 50, FIXED, 1, 1) == "charged"
    assert ask(there, 50, FIXED, 1, 9) == "charged"
    assert [ask(proxy, -20, FIXED, 1, 1) for proxy in (there, here)] == ["refused"] * 2
    # By less, and the rest is spent under another algorithm.
    assert ask(here, 1, FIXED, 2, 1) == "charged"
    assert ask(there, -20, BUCKET, 2, 9) == "charged"
    assert ask(here, -20, FIXED, 2, 1) == "refused"


def heard(proxy, words, now):
    """What becomes of a lease or a settlement of the first of a driver's proxies, once the script has said what it says."""
    said = proxy.say(words).split()
    if said[0] == "claim":
        numbers = proxy.script(keys=[said[2]], args=[bytes.fromhex(said[3]), now // 1_000_000, now % 1_000_000])
        said = proxy.say(f"heard {said[1]} {now} " + " ".join(map(str, numbers))).split()
    return said[0]


@pytest.mark.parametrize("epoch", [7, 8], ids=["the server", "another server"])
@pytest.mark.parametrize("before", [FIXED, SLIDING])
def test_who_settles_a_count_leaves_the_bucket_that_it_became(two_proxies, before, epoch):
    """One proxy has been reloaded and charges a bucket; the other one tells of the count that it has seen, and of an hour that goes on."""
    here, there = two_proxies
    day = 86400 * 1_000_000
    now = 1_900_000_000 // 86400 * day + day // 3 + 900_000  # the bucket's instant has more units than a count may have
    periods, name = [(86400, 100), (3600, 100)], (1, 1)
    bucket = Quota(BUCKET, periods[:1])
    there.quota(1, Quota(before, periods))
    for at in (now - day, now):
        assert heard(there, f"lease 0 {at} {at} 1:1:1", at) == "spent"
    here.quota(1, bucket)
    assert here.charge(now, [(name, bucket, 9)])[0] == "charged"
    told = here.charge(now, [(name, bucket, 95)])
    assert told[0] == "refused" and 0 < told[1][0][2] < 91
    assert there.say(f"epoch {epoch}") == "ok"
    assert heard(there, f"tell 0 {now} 1:1", now) == "settled"
    assert there.say(f"return 0 100 {now} 1:1") == "none", "nothing is told again and again"
    here.forget()
    assert here.charge(now, [(name, bucket, 95)]) == told
    left = told[1][0][2]
    assert here.charge(now, [(name, bucket, left)])[0] == "charged"
    assert here.charge(now, [(name, bucket, 1)])[0] == "refused"
    windows = stored.read(here.client.get("1-1")).windows
    assert 3600 in windows and len(windows) == (2 if before == FIXED else 3), windows


def test_all_or_nothing_over_algorithms(engine):
    """Three quotas of three algorithms: what one refuses is charged to none."""
    quotas = {1: Quota(FIXED, [(60, 3)]), 2: Quota(SLIDING, [(60, 2), (3600, 100)]), 3: Quota(BUCKET, [(60, 100)])}
    for number, quota in quotas.items():
        engine.quota(number, quota)
    now = 1_900_000_000 // 3600 * 3600 * 1_000_000 + 1_000_000
    asked = [((number, 9), quota, 1) for number, quota in quotas.items()]
    for left in ((2, 1, 99, 99), (1, 0, 98, 98)):
        answer, windows = engine.charge(now, asked)
        assert answer == "charged" and tuple(w[2] for w in windows) == left
    for _ in range(3):
        answer, windows = engine.charge(now, asked)
        assert answer == "refused" and tuple(w[2] for w in windows) == (1, 0, 98, 98)
        assert [w[3] for w in windows] == [0, 1, 0, 0]


def test_engine_and_model_agree(engine):
    """scripts/property does the same for longer."""
    seen = compare.run(engine, 20, 5000)
    assert seen["charged"] > 1000 and seen["refused"] > 1000 and seen["corrected"] > 100, seen


# ---- what clients see

@pytest.fixture(params=["memory", "redis"])
def store(request, redis):
    return store_of(request.param, redis)


def by_user(server, store, quota, **more):
    return forward(server, quotas={"user": {"key": ["user"], **quota}}, store=store, **USERS, **more)


def wait_as_told(reply):
    """Exactly Retry-After, from when the answer was here."""
    time.sleep(int(reply["Retry-After"]))


def test_bucket_from_outside(start, upstream, connect, store):
    """Six in three seconds: half a second each; what is refused waits as told and is served."""
    proxy = start(by_user(upstream(), store, {"algorithm": "token_bucket", "limits": {"3 seconds": 6}}))
    wait_until_counting(connect, proxy, 4)
    client = connect(proxy)
    begin = time.monotonic()
    lefts = []
    while (reply := ask(client)).status == 200:
        lefts.append(trio_of(reply)[1])
        assert trio_of(reply)[0] == 6 and trio_of(reply)[2] == "3 second"
    took = time.monotonic() - begin
    assert lefts[:4] == [5, 4, 3, 2] or took > 0.4, lefts
    assert lefts[-1] == 0 and 6 <= len(lefts) <= 6 + took / 0.5 + 1
    check_error(reply, 429, "0308", throttled("user", 6, 3, "second"), "Too Many Requests")
    assert trio_of(reply) == (6, 0, "3 second") and reply["Retry-After"] == "1"
    line = proxy.line_of(reply)
    assert line["decision"] == "refuse" and line["refused_by"] == ["user/3 second"] and line["retry_after"] == 1
    wait_as_told(reply)
    assert ask(client).status == 200
    assert trio_of(ask(client, "bob")) == (6, 5, "3 second")


def test_burst_from_outside(start, upstream, connect, store):
    """Ten at once of three an hour; and remaining may exceed the limit."""
    proxy = start(by_user(upstream(), store, {"algorithm": "token_bucket", "limits": {"hour": 3}, "burst": 10}))
    wait_until_counting(connect, proxy, 4)
    client = connect(proxy)
    assert [trio_of(ask(client)) for _ in range(10)] == [(3, left, "hour") for left in range(9, -1, -1)]
    reply = ask(client)
    assert reply.status == 429 and trio_of(reply) == (3, 0, "hour") and 1190 <= int(reply["Retry-After"]) <= 1200


def test_consumed_is_never_negative(start, upstream, connect):
    proxy = start(by_user(upstream(), {"type": "memory"}, {"algorithm": "token_bucket", "limits": {"hour": 3}, "burst": 5},
                          headers={"used": "consumed"}))
    client = connect(proxy)
    assert [trio_of(ask(client))[1] for _ in range(5)] == [0, 0, 1, 2, 3]


def test_sliding_from_outside(start, upstream, connect, store):
    """No second quota behind a boundary, and Retry-After is the first second at which it passes."""
    proxy = start(by_user(upstream(), store, {"algorithm": "sliding", "limits": {"4 seconds": 8}}))
    wait_until_counting(connect, proxy, 4)
    client = connect(proxy)
    wait_for_next_window(4)
    time.sleep(2.5)
    assert [trio_of(ask(client)) for _ in range(8)] == [(8, left, "4 second") for left in range(7, -1, -1)]
    begin = wait_for_next_window(4)
    admitted = 0
    while time.time() < begin + 1.9:
        admitted += ask(client).status == 200
        time.sleep(0.01)
    assert admitted <= 8 * 2 / 4 + 1, "eight at the end of one window leave room for two a second in the next"
    while (reply := ask(client)).status == 200:
        time.sleep(0.01)
    assert trio_of(reply) == (8, 0, "4 second")
    check_error(reply, 429, "0308", throttled("user", 8, 4, "second"))
    wait_as_told(reply)
    assert ask(client).status == 200


def test_reload_to_another_algorithm_keeps_what_was_used(start, upstream, connect):
    import signal
    server = upstream()

    def config(algorithm):
        return by_user(server, {"type": "memory"}, {"algorithm": algorithm, "limits": {"hour": 4}})

    proxy = start(config("fixed"))
    wait_for_room(3600, 30)
    assert [ask(connect(proxy)).status for _ in range(5)] == [200] * 4 + [429]
    for number, algorithm in enumerate(("token_bucket", "sliding", "fixed", "sliding", "token_bucket"), 1):
        proxy.write_config({**config(algorithm), "listen": proxy.config["listen"], "log": proxy.config["log"], "workers": 2})
        proxy.signal(signal.SIGHUP)
        proxy.wait_for_event("reload", number)
        reply = ask(connect(proxy))
        assert reply.status == 429 and trio_of(reply) == (4, 0, "hour"), algorithm


def test_counts_survive_the_child_and_the_state_file(start, upstream, connect, tmp_path):
    """kill -9 of the child, then a whole new proxy from the state file: bucket and sliding stay drained."""
    state = tmp_path / "state"
    quotas = {"bucket": {"key": ["user"], "algorithm": "token_bucket", "limits": {"hour": 3}},
              "slide": {"key": ["user"], "algorithm": "sliding", "limits": {"hour": 5}}}
    store = {"type": "memory", "state_file": str(state)}
    config = forward(upstream(), quotas=quotas, store=store, **USERS)
    proxy = start(config)
    wait_for_room(3600, 30)
    assert [ask(connect(proxy)).status for _ in range(4)] == [200, 200, 200, 429]
    child = proxy.child
    os.kill(child, 9)
    wait_for(lambda: proxy.child not in (None, child), "another child")
    proxy.wait_for_event("start", 2)
    reply = ask(connect(proxy))
    assert reply.status == 429 and trio_of(reply) == (3, 0, "hour")
    proxy.stop()
    again = start(config)
    reply = ask(connect(again))
    assert reply.status == 429 and trio_of(reply) == (3, 0, "hour")
    assert {e["q"]: e["used"] for e in again.line_of(reply)["quotas"]} == {"bucket": 3, "slide": 3}


def test_while_redis_is_away_a_share_is_admitted(start, upstream, connect, redis):
    """Two proxies are stated: half of what was left, for a bucket as for sliding."""
    for algorithm in ("token_bucket", "sliding"):
        quota = {"algorithm": algorithm, "limits": {"hour": 10}, "accuracy": "exact"}
        store = {"type": "redis", "servers": [redis.address], "fleet_size": 2, "decision_timeout": "150ms", "prefix": algorithm[:2]}
        proxy = start(by_user(upstream(), store, quota, workers=1))
        wait_until_counting(connect, proxy, 4)
        client = connect(proxy)
        wait_for_room(3600, 30)
        assert [ask(client).status for _ in range(4)] == [200] * 4
        redis.pause()
        statuses = [ask(client).status for _ in range(6)]
        assert statuses == [200, 200, 200, 429, 429, 429], algorithm
        redis.resume()
        wait_until_counting(connect, proxy, 4)
        used = wait_for(lambda: proxy.line_of(ask(client))["quotas"][0]["used"] >= 7 or None, "the debt is billed")
        assert used
        proxy.stop()
