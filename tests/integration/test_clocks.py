# SPDX-License-Identifier: Apache-2.0
"""The wall clock stands, jumps and is set back, for proxies and for Redis: nobody gets a quota twice, and everybody gets it once."""
import os
import signal

import pytest
from harness.clocks import Clock
from harness.configs import forward
from harness.proxy import BINARY
from harness.redis_server import RedisServer
from harness.replies import trio_of
from harness.waiting import wait_for

USERS = {"identities": {"user": {"from": ["header:X-User"]}}, "subject_secret": "test"}
ALGORITHMS = ["fixed", "sliding", "token_bucket"]
LIMIT = 5


class Fleet:
    """Proxies over one store and under one clock: one over memory, two over Redis."""

    def __init__(self, kind, world, start, connect, server):
        self.world, self.start, self.connect, self.server = world, start, connect, server
        self.clock = Clock(world.folder)
        self.env = self.clock.env(BINARY)
        self.redis = None
        self.store = {"type": "memory", "state_file": str(world.folder / "state")}
        if kind == "redis":
            self.redis = RedisServer(world.folder, env=self.clock.env())
            world.redises.append(self.redis)
            self.store = {"type": "redis", "servers": [self.redis.address], "decision_timeout": "250ms", "fleet_size": 1}
        self.proxies = []

    def config(self, quota):
        return forward(self.server, quotas={"q": {"key": ["user"], "on_failure": "deny", **quota}}, store=self.store, workers=1, **USERS)

    def begin(self, **quota):
        for _ in range(2 if self.redis else 1):
            self.proxies.append(self.start(self.config(quota), env=self.env))
        self.wait_until_up()

    def wait_until_up(self):
        for number, proxy in enumerate(self.proxies):
            wait_for(lambda p=proxy, n=number: self.ask(f"probe{n}", p) == 200, "the store answers")

    def reload(self, **quota):
        for proxy in self.proxies:
            before = len(proxy.events("reload"))
            proxy.write_config({**self.config(quota), "listen": proxy.config["listen"], "log": proxy.config["log"]})
            proxy.signal(signal.SIGHUP)
            proxy.wait_for_event("reload", before + 1)

    def reply(self, user, proxy=None):
        client = self.connect(proxy or self.proxies[0])
        reply = client.ask("GET", "/", [("X-User", user)])
        client.close()
        return reply

    def ask(self, user, proxy=None):
        return self.reply(user, proxy).status

    def drain(self, user):
        """By the first proxy."""
        assert [self.ask(user) for _ in range(LIMIT + 1)] == [200] * LIMIT + [429], user

    def everywhere(self, user):
        """What each proxy says; first the one that has not seen the subject."""
        return [self.ask(user, proxy) for proxy in reversed(self.proxies)]


@pytest.fixture(params=["memory", "redis"])
def fleet(request, world, start, connect, upstream):
    return Fleet(request.param, world, start, connect, upstream())


BACK_S = [1, 59, 61, 3600, 86400]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_clock_set_back_gives_nothing(fleet, algorithm):
    fleet.begin(limits={"minute": LIMIT, "hour": 10 * LIMIT}, algorithm=algorithm)
    for number, back_s in enumerate(BACK_S):
        late = fleet.clock.begin + 86400 + 1830
        fleet.clock.set(late)
        fleet.drain(f"u{number}")
        fleet.clock.set(late - back_s)
        assert set(fleet.everywhere(f"u{number}")) == {429}, back_s
        fleet.clock.set(late)
        if back_s < 60:  # a longer way forward is time that has passed
            assert set(fleet.everywhere(f"u{number}")) == {429}, back_s
        assert fleet.ask(f"new{number}") == 200


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_boundary_gives_one_quota_and_no_second(fleet, algorithm):
    """The last microsecond of a window, the first of the next, and back over the boundary."""
    fleet.begin(limits={"minute": LIMIT}, algorithm=algorithm, accuracy="exact")  # to the last one, over two proxies
    boundary = fleet.clock.begin + 3600
    fleet.clock.set(boundary - 0.000001)
    fleet.drain("alice")
    fleet.clock.set(boundary)
    if algorithm != "fixed":
        assert set(fleet.everywhere("alice")) == {429}, "the boundary is none"
        return
    wait_for(lambda: fleet.ask("alice") == 200, "the refusal that the proxy stood by is over")
    assert [fleet.ask("alice", fleet.proxies[-1]) for _ in range(LIMIT)] == [200] * (LIMIT - 1) + [429]
    for back_s in (0.000001, 1, 59, 61, 600):
        fleet.clock.set(boundary - back_s)
        assert set(fleet.everywhere("alice")) == {429}, back_s


def test_a_reload_gives_nothing(fleet):
    """Other windows, another order, another algorithm, each with the clock set back behind it."""
    fleet.begin(limits={"minute": 100, "hour": LIMIT})
    late = fleet.clock.begin + 86400 + 1830
    fleet.clock.set(late)
    fleet.drain("alice")
    rows = [{"limits": {"hour": LIMIT, "minute": 100}}, {"limits": {"hour": LIMIT}}, {"limits": {"hour": LIMIT, "day": 100}},
            *[{"limits": {"hour": LIMIT}, "algorithm": algorithm} for algorithm in (*ALGORITHMS, *ALGORITHMS[::-1])],
            {"limits": {"minute": 100, "hour": LIMIT}}]
    for number, quota in enumerate(rows):
        fleet.reload(**quota)
        assert set(fleet.everywhere("alice")) == {429}, quota
        fleet.clock.go(-(1, 50, 7200)[number % 3])
        assert set(fleet.everywhere("alice")) == {429}, (quota, "set back")
    assert trio_of(fleet.reply("alice"))[:2] == (LIMIT, 0)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_crash_with_the_clock_set_back_gives_nothing(fleet, algorithm):
    """kill -9 of the serving process; then of all there is: the state file, or what proxies have seen, knows who spent."""
    fleet.begin(limits={"hour": LIMIT}, algorithm=algorithm)
    fleet.clock.set(fleet.clock.begin + 86400 + 1830)
    fleet.drain("alice")
    proxy = fleet.proxies[0]
    if fleet.redis:
        fleet.redis.kill()
        fleet.clock.go(-45)
        fleet.redis.start()
        fleet.wait_until_up()
        wait_for(lambda: proxy.line_of(fleet.reply("alice"))["quotas"][0]["source"] == "store", "the proxy asks again")
        seen = set()

        def all_ask_again():
            answers = set(fleet.everywhere("alice"))
            seen.update(answers)
            return 503 not in answers

        wait_for(all_ask_again, "so does each of its workers")
        assert seen - {503} == {429}, "Redis has lost everything, the proxy has not"
        assert fleet.reply("bob").status == 200
        return
    for back_s in (45, 7200):
        child = proxy.child
        fleet.clock.go(-back_s)
        os.kill(child, signal.SIGKILL)
        wait_for(lambda: proxy.child not in (None, child), "another child")
        wait_for(lambda: len(proxy.events("start")) > 1, "it serves")
        assert fleet.ask("alice") == 429, back_s
    proxy.stop()
    fleet.clock.go(-7200)
    fleet.proxies = [fleet.start(proxy.config, env=fleet.env)]
    assert fleet.ask("alice") == 429
    assert fleet.ask("bob") == 200
