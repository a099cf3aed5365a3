# SPDX-License-Identifier: Apache-2.0
"""The simulation behind scripts/simulate: never more than the limit, all of it where it is wanted, and as few operations as the page says."""
import math
import pathlib
import random
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "simulation"))

from arrivals import Poisson, Trace  # noqa: E402
from lease_model import Model  # noqa: E402
from simulate import one  # noqa: E402


@pytest.mark.parametrize("balance", ["even", "skewed"])
@pytest.mark.parametrize("proxies", [1, 4, 64])
@pytest.mark.parametrize("limit", [100, 1000, 100_000])
def test_a_limit_is_kept_and_used_up(limit, proxies, balance):
    told = one(limit, proxies, 3, balance, seed=1)
    assert told["admitted"] == limit
    assert told["held_most"] <= limit
    asked = told["admitted"] + told["denied"]
    bound = 2 * proxies * (1 + math.log(max(math.e, limit / (2 * proxies)))) * 1.5 + 16 * proxies
    assert told["operations"] <= min(bound, 1.1 * asked + 20 * proxies)


def test_exactly_one_operation_for_each_that_is_admitted():
    rng = random.Random(2)
    told = Model(500, 60, [Poisson(rng, 5, 60) for _ in range(2)], accuracy="exact").run(1)[0]
    assert told["admitted"] == 500
    assert told["leases"] >= 500


def test_arrivals_by_a_trace_and_by_lot_are_alike():
    rng = random.Random(3)
    times, at = [], 0.0
    while at < 120:
        at += rng.expovariate(2000 / 60)
        times.append(at)
    trace = Model(1000, 60, [Trace(times)]).run(2)[1]
    drawn = Model(1000, 60, [Poisson(rng, 2000 / 60, 120)]).run(2)[1]
    assert trace["admitted"] == drawn["admitted"] == 1000
    assert abs(trace["operations"] - drawn["operations"]) <= 8


def test_a_trace_tells_what_comes_after_and_what_has_come():
    trace = Trace([1.0, 2.0, 2.0, 3.0])
    assert (trace.after(1), trace.after(4), trace.after(5)) == (1.0, 3.0, None)
    assert [trace.pass_to(at) for at in (0.5, 2.0, 2.5, 9)] == [0, 3, 0, 1]


def test_what_is_drawn_keeps_to_its_rate():
    poisson = Poisson(random.Random(4), 1000, 1e9)
    count = sum(poisson.pass_to(at / 10) for at in range(1, 1001))
    assert abs(count - 100_000) < 5 * math.sqrt(100_000)
    poisson = Poisson(random.Random(5), 1000, 1e9)
    found = 0
    for at in range(1, 1001):  # the same with looks ahead in between
        poisson.after(40)
        found += poisson.pass_to(at / 10)
    assert abs(found - 100_000) < 5 * math.sqrt(100_000)
