# SPDX-License-Identifier: Apache-2.0
"""Random quotas, costs, clocks, refunds and changes of algorithm: engine and model must agree on every answer."""
import random

from model import BUCKET, FIXED, SLIDING, UNITS, Bucket, Quota, S, Slow, Store

BEGIN = 1_900_000_000 * S
PERIODS = (1, 2, 10, 60, 300, 3600, 86400)


def random_quota(rng):
    algorithm = rng.choice((FIXED, SLIDING, BUCKET))
    count = rng.randint(1, 2) if algorithm == SLIDING else rng.randint(1, 3)
    limits = []
    for period in rng.sample(PERIODS, count):
        limit = rng.choice((0, 1, 2, 3, 7, 10, 100, 999, 12345)) if rng.random() < 0.9 else rng.randint(1, 2**31 - 1)
        if algorithm == BUCKET:
            limit = min(limit, 900_000 * period)
        limits.append((period, limit))
    burst = 0
    if algorithm == BUCKET and count == 1 and limits[0][1] and rng.random() < 0.5:
        most = 864000 * limits[0][1] // limits[0][0]
        burst = rng.randint(1, max(1, min(most, limits[0][1] * 3, 2**31 - 1)))
    return Quota(algorithm, limits, burst)


def changed(rng, quota):
    """The same limits under another algorithm, as a reload may bring."""
    algorithm = rng.choice((FIXED, SLIDING, BUCKET))
    if algorithm == SLIDING and len(quota.limits) > 2 or algorithm == BUCKET and any(l > 900_000 * p for p, l in quota.limits):
        return quota
    return Quota(algorithm, quota.limits)


def step_clock(rng, now, is_leaping):
    dice = rng.random()
    if dice < 0.25:
        return now
    if dice < 0.75:
        return now + rng.randint(0, 3 * S)
    if dice < 0.90:
        return now + rng.randint(0, 90 * S)
    if dice < 0.94:
        return now + rng.randint(0, 7200 * S)
    if dice < 0.95:
        return now + rng.randint(0, 3 * 86400 * S)
    if dice < 0.97 or not is_leaping:
        return max(BEGIN, now - rng.randint(0, 50 * S))
    return max(BEGIN, now - rng.randint(0, rng.choice((90, 600, 4 * 3600, 3 * 86400)) * S))


def check_wait(state, quota, limit, now, cost, end):
    """A refusal's moment: there is room then, and not a moment earlier."""
    if limit[1] == 0 or cost > (quota.burst or limit[1]) or quota.algorithm == FIXED:
        return
    assert Slow.has_room_at(state, quota, limit, end, cost), "too early"
    tick = 1 if isinstance(state, Bucket) else 1000
    assert end - tick < now or not Slow.has_room_at(state, quota, limit, end - tick, cost), "later than needed"


def run(engine, seed, steps):
    """Returns (charged, refused, corrected): what was seen."""
    rng = random.Random(seed)
    seen = {"charged": 0, "refused": 0, "corrected": 0}
    done = 0
    while done < steps:
        engine.fresh()
        model, now = Store(engine.converts_at_once), BEGIN + rng.randint(0, 10**6) * S + rng.randint(0, S - 1)
        quotas = {number: random_quota(rng) for number in range(1, rng.randint(2, 5))}
        for number, quota in quotas.items():
            engine.quota(number, quota)
        kept, latest, peak = [], now, now
        is_changing, is_leaping = rng.random() < 0.6, rng.random() < 0.6
        for at in range(rng.randint(20, 400)):
            done += 1
            now = step_clock(rng, now, is_leaping)
            peak = max(peak, now)
            where = f"seed {seed}, step {done} (of its round: {at}), now {now}"
            dice = rng.random()
            if dice < 0.04 and is_changing:
                number = rng.choice(list(quotas))
                quotas[number] = changed(rng, quotas[number])
                engine.quota(number, quotas[number])
                if engine.settles_by_charging:  # by a request of the quota that there is now
                    kept = [k for k in kept if k[1][0][0] != number]
                if now < peak and engine.settles_by_charging:
                    engine.forget()
                    kept = []
                continue
            if now < latest and engine.settles_by_charging:
                # A proxy that remembers a later window holds Redis to it.  Here another one goes on, which has seen nothing
                # (and so behind a change of algorithm, which drops what lies ahead).
                engine.forget()
                kept = []
            latest = now
            if dice < 0.15 and kept:
                number, asked, marks = kept.pop(rng.randrange(len(kept)))
                name, quota, cost = asked
                delta = rng.choice((-cost, -cost, -rng.randint(1, cost), rng.randint(1, 5)))
                is_owed = engine.correct(now, number, 0, delta, asked)
                if engine.settles_by_charging and quota.algorithm == BUCKET:
                    marks = [mark - mark % (S * UNITS) for mark in marks]  # kept to the second there
                model.correct(now, name, quota, cost, marks, delta)
                if engine.settles_by_charging:
                    if not model.charge(now, [(name, quota, 0)])[0] and is_owed:
                        model.write(now, name, quota)
                seen["corrected"] += 1
                continue
            numbers = rng.sample(list(quotas), rng.randint(1, len(quotas)))
            asked = [((number, rng.randint(1, 3)), quotas[number], rng.choice((1, 1, 1, 2, 5, rng.randint(1, 1000)))) for number in numbers]
            is_charged, told = model.charge(now, asked)
            answer, windows = engine.charge(now, asked)
            assert answer == ("charged" if is_charged else "refused"), f"{where}: {answer}, {asked}, {told}, {windows}"
            seen[answer] += 1
            flat = [(quota, limit, cost) for _, quota, cost in asked for limit in quota.limits]
            for (limit, left, is_refused, state, _), window, (quota, pair, cost) in zip(told, windows, flat):
                assert window[1:4] == (limit, left, int(is_refused)), f"{where}: {window} for {(limit, left, is_refused)}, {vars(state)}, {asked}, {vars(quota)}"
                if is_refused:
                    try:
                        check_wait(state, quota, pair, now, cost, window[4])
                    except AssertionError as error:
                        raise AssertionError(f"{where}: {error}: {window}, {vars(state)}") from error
            if is_charged and len(asked) == 1:
                number = done % 4096
                engine.keep(number)
                kept = [k for k in kept if k[0] != number]
                kept.append((number, asked[0], [mark for *_, mark in told]))
    return seen
