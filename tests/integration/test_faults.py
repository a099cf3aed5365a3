# SPDX-License-Identifier: Apache-2.0
"""Calls of allocators and of the kernel fail at a sample of places; `scripts/faults` tries every one of them."""
import os
import pathlib
import sys

import pytest

from harness.ports import take_port
from harness.proxy import BINARY
from harness.redis_fleet import lone_cluster
from harness.redis_server import RedisServer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fault"))

import state  # noqa: E402
from scenario import Scenario  # noqa: E402

PRELOAD = pathlib.Path(BINARY).resolve().parent / "libfault_preload.so"

pytestmark = pytest.mark.skipif(os.environ.get("SLUICE_SANITIZE") == "thread", reason="ThreadSanitizer must see malloc first")


@pytest.fixture
def scenario(tmp_path):
    """scenario(is_redis, ...): lives in one folder, the first one without faults."""
    made = []

    def make(is_redis=False, topology="standalone", **kwargs):
        server = lone_cluster if topology == "cluster" else RedisServer
        redis = server(tmp_path) if is_redis else None
        made.append((Scenario(tmp_path, PRELOAD, [take_port(), take_port()], redis, topology=topology, **kwargs), redis))
        return made[-1][0]

    yield make
    for life, redis in made:
        life.end()
        if redis:
            redis.stop()


def lives(scenario, count, **orders):
    """`count` lives with one fault each, spread over all calls of a life; gives what was not as it must be."""
    calmly = scenario.run(nth=0, **orders)
    assert calmly["violation"] is None, calmly
    assert calmly["statuses"] == [200, 200, 200, 429, 200, 200, 200, 200, 200, 200, 200], calmly
    points = sorted({1 + i * calmly["calls"] // count for i in range(count)})
    results = {point: scenario.run(nth=point, **orders) for point in points}
    assert sum(result["fired"] for result in results.values()) >= len(points) // 2, "the faults do not happen"
    return [(point, result["violation"], result["records"], result["stderr"]) for point, result in results.items()
            if result["violation"]]


@pytest.mark.slow
@pytest.mark.parametrize("kind,count", [("alloc", 14), ("net", 10), ("io", 6)])
def test_a_call_of_the_serving_process_fails(scenario, kind, count):
    assert not lives(scenario(), count, where=state.IN_CHILD, class_mask=state.mask(kind), seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("topology", ["standalone", "cluster"])
def test_a_call_of_the_serving_process_fails_with_redis(scenario, topology):
    assert not lives(scenario(is_redis=True, topology=topology), 10, where=state.IN_CHILD, class_mask=state.mask("all"), seed=2)


@pytest.mark.slow
def test_a_call_of_the_parent_fails(scenario):
    assert not lives(scenario(has_state_file=True), 8, where=state.IN_PARENT, class_mask=state.mask("all"), seed=3)


@pytest.mark.slow
def test_one_call_in_a_hundred_fails(scenario):
    life = scenario()
    assert life.run(nth=0)["violation"] is None
    for seed in range(1, 7):
        result = life.run(rate_ppm=10000, seed=seed, class_mask=state.mask("all"), where=state.IN_CHILD)
        assert result["violation"] is None, (seed, result)
