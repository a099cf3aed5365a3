# SPDX-License-Identifier: Apache-2.0
"""Four proxies lease from one Redis, with answers that are late or lost, give-backs, kills, other limits, and servers that are started
anew or take over: by the window that it was charged in, no more is ever admitted than the limit, and nothing is spent when that window is
over.  Where nothing gets lost, Redis has counted in the end what was admitted and
not one more, however often its server was started anew."""
import collections
import math
import random
from fractions import Fraction

from harness import stored
from model import FIXED, SLIDING, Quota, S

BEGIN = 1_900_000_000 * S
PROXIES = 4
CLAIMS_IN_AIR = 40  # the driver remembers 64


# What may happen.  A proxy that is killed takes with it what it alone has seen, so no server loses anything beside it; of a sliding
# quota's window before nobody tells a server until it asks.
KILLS, LOSSES, CALM = "kills", "losses", "calm"


def random_quota(rng, algorithms):
    algorithm = rng.choice(algorithms)
    periods = rng.sample((1, 2, 10, 60, 300), rng.randint(1, 2 if algorithm == SLIDING else 3))
    return Quota(algorithm, [(period, rng.choice((1, 10, 40, 300, 2000, 20000))) for period in periods])


class Fleet:
    """What was admitted, as the logs of all proxies together would say."""

    def __init__(self, engine, rng):
        self.engine, self.rng, self.now = engine, rng, BEGIN + rng.randint(0, 10**6) * S
        self.mode = rng.choice((KILLS, LOSSES, CALM))
        self.epoch, self.replica, self.proxies = 7, {}, rng.choice((1, PROXIES))
        self.quotas, self.most = {}, {}
        self.admitted = collections.Counter()  # (quota, subject, period, start)
        self.in_air = []                       # (claim, proxy, cost, name, quota, numbers)
        self.mono = [rng.randint(10**6, 10**9) for _ in range(PROXIES)]
        self.seen = collections.Counter()
        for number in range(1, rng.randint(2, 4)):
            self.change(number, random_quota(rng, (FIXED,) if self.mode == LOSSES else (FIXED, FIXED, SLIDING)))

    def change(self, number, quota):
        """A limit that falls does not take back what was admitted under a higher one."""
        self.quotas[number] = quota
        self.engine.quota(number, quota)
        for period, limit in quota.limits:
            self.most[number, period] = max(limit, self.most.get((number, period), 0))

    def mono_of(self, proxy):
        return self.mono[proxy] + self.now - BEGIN

    def admit(self, number, subject, quota, cost, starts, is_at_once):
        self.seen["spent"] += 1
        for (period, _), start in zip(quota.limits, starts):
            key = (number, subject, period, start)
            self.admitted[key] += cost
            limit, used = self.most[number, period], self.admitted[key]
            assert used <= limit, f"{used} of {limit} in {key} at {self.now} {self.mode}"
            second = self.now // S
            if not is_at_once:
                continue
            assert start <= second < start + period, f"spent of {key} at {self.now}"
            if quota.algorithm == SLIDING:
                left = Fraction((start + period) * 1000 - self.now // 1000, period * 1000)
                before = math.ceil(self.admitted[number, subject, period, start - period] * left)
                assert used + before <= limit, f"{used} and {before} of {limit} in {key} at {self.now} {self.mode}"

    def execute(self, words, proxy, cost, name, quota):
        """The script runs at once; what it says is heard later."""
        _, claim, key, text = words
        numbers = self.engine.script(keys=[key], args=[bytes.fromhex(text), self.now // S, self.now % S])
        self.in_air.append((claim, proxy, cost, name, quota, numbers))

    def ask(self):
        number, subject, proxy = self.rng.choice(list(self.quotas)), self.rng.randint(1, 2), self.rng.randrange(self.proxies)
        self.ask_for(number, subject, proxy, self.rng.choice((1, 1, 1, 2, 7)))

    def ask_for(self, number, subject, proxy, cost):
        quota = self.quotas[number]
        said = self.engine.say(f"lease {proxy} {self.now} {self.mono_of(proxy)} {number}:{subject}:{cost}").split()
        if said[0] == "spent":
            self.admit(number, subject, quota, cost, map(int, said[1:]), True)
        elif said[0] == "claim":
            self.seen["asked"] += 1
            self.execute(said, proxy, cost, (number, subject), quota)
        else:
            self.seen["refused"] += 1

    def hear(self, is_lost):
        claim, proxy, cost, (number, subject), quota, numbers = self.in_air.pop(0)
        if proxy is None:
            return
        words = [] if is_lost else numbers
        said = self.engine.say(f"heard {claim} {self.mono_of(proxy)} " + " ".join(map(str, words))).split()
        if said[0] == "spent":
            self.admit(number, subject, quota, cost, map(int, said[1:]), False)

    def settle(self, words, proxy, name):
        """True: there was something to say."""
        said = self.engine.say(f"{words} {self.now} {name[0]}:{name[1]}").split()
        if said[0] == "claim":
            self.execute(said, proxy, 0, name, self.quotas[name[0]])
        return said[0] == "claim"

    def give_back(self):
        number, subject, proxy = self.rng.choice(list(self.quotas)), self.rng.randint(1, 2), self.rng.randrange(self.proxies)
        self.settle(f"return {proxy} {self.rng.choice((0, 0, 1, 5))}", proxy, (number, subject))

    def everybody(self):
        """(proxy, (quota, subject)), in any order."""
        all_of_them = [(proxy, (number, subject)) for proxy in range(self.proxies) for number in self.quotas for subject in (1, 2)]
        self.rng.shuffle(all_of_them)
        return all_of_them

    def stored(self):
        return {key: self.engine.client.get(key) for key in self.engine.client.keys()}

    def restart(self):
        """Another server, with all, with what a replica had, or with nothing.  Everybody tells it what was seen before anybody asks."""
        while self.in_air:
            self.hear(self.mode != CALM)
        if self.mode == LOSSES and self.rng.random() < 0.7:
            self.engine.client.flushall()
            for key, value in self.replica.items() if self.rng.random() < 0.6 else ():
                self.engine.client.set(key, value)
        self.now += self.rng.randint(1000, 300_000)  # it takes a while
        self.epoch += 1
        self.seen["restarts"] += 1
        assert self.engine.say(f"epoch {self.epoch}") == "ok"
        for proxy, name in self.everybody():
            self.settle(f"tell {proxy}", proxy, name)
        while self.in_air:
            self.hear(False)

    def finish(self):
        """All that nobody has spent goes back."""
        while self.in_air:
            self.hear(False)
        while any([self.settle(f"return {proxy} 0", proxy, name) for proxy, name in self.everybody()]):
            while self.in_air:
                self.hear(False)
        assert not self.in_air
        if self.mode != CALM:
            return
        for key, value in self.stored().items():
            number, subject = map(int, key.decode().split("-"))
            for period, (start, used) in stored.read(value).windows.items():
                if (number, period) in self.most and start <= self.now // S < start + period:
                    self.seen["windows"] += 1
                    admitted = self.admitted[number, subject, period, start]
                    assert used == admitted, f"{used} in Redis, {admitted} admitted, {key} {period} {start} at {self.now}"

    def kill(self):
        """What is on its way to it is heard by nobody."""
        proxy = self.rng.randrange(self.proxies)
        self.engine.say(f"killed {proxy}")
        self.in_air = [(claim, None if to == proxy else to, *more) for claim, to, *more in self.in_air]

    def step(self):
        dice = self.rng.random()
        if dice < 0.65:
            self.ask()
        elif dice < 0.93 and self.in_air:
            self.hear(self.mode != CALM and self.rng.random() < 0.04)
        elif dice < 0.98:
            self.give_back()
        elif dice < 0.985 and self.mode == KILLS:
            self.kill()
        elif dice < 0.986:
            self.restart()
        elif dice < 0.987:
            self.replica = self.stored()
        elif dice < 0.99:
            number = self.rng.choice(list(self.quotas))
            old = self.quotas[number]
            self.change(number, Quota(old.algorithm, [(p, self.rng.choice((limit, max(1, limit // 2), limit * 2))) for p, limit in old.limits]))
        while len(self.in_air) > CLAIMS_IN_AIR:
            self.hear(False)
        self.now += self.rng.choice((0, self.rng.randint(0, 2000), self.rng.randint(0, 100_000), self.rng.randint(0, 900_000) if dice > 0.97 else 0))


def give_back_first(engine, rng):
    """In a new window nobody asks before somebody has given back; what the sliding window before it had used still counts."""
    engine.fresh()
    fleet = Fleet(engine, rng)
    fleet.mode = CALM
    fleet.quotas.clear()
    fleet.change(1, Quota(SLIDING, [(10, 40)]))
    fleet.now = (fleet.now // (10 * S) + 1) * 10 * S + 5 * S
    for after_us, words in ((0, "lease"), (5 * S + S // 10, "return"), (0, "lease")):
        fleet.now += after_us
        for proxy in range(PROXIES):
            if words == "return":
                fleet.settle(f"return {proxy} 0", proxy, (1, 1))
            for _ in range(14 if words == "lease" else 0):
                fleet.ask_for(1, 1, proxy, 1)
                while fleet.in_air:
                    fleet.hear(False)
        while fleet.in_air:
            fleet.hear(False)
    assert fleet.seen["spent"] > 30


def run(engine, seed, steps):
    give_back_first(engine, random.Random(seed))
    rng, seen, done = random.Random(seed), collections.Counter(), 0
    while done < steps:
        engine.fresh()
        fleet = Fleet(engine, rng)
        for _ in range(rng.randint(100, 3000)):
            fleet.step()
            done += 1
        fleet.finish()
        seen += fleet.seen
    return seen
