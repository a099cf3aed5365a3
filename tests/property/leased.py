# SPDX-License-Identifier: Apache-2.0
"""Four proxies lease from one Redis, with answers that are late or lost, give-backs, kills and other limits: by the window that it
was charged in, no more is ever admitted than the limit, and nothing is spent when that window is over."""
import collections
import math
import random
from fractions import Fraction

from model import FIXED, SLIDING, Quota, S

BEGIN = 1_900_000_000 * S
PROXIES = 4
CLAIMS_IN_AIR = 40  # the driver remembers 64


def random_quota(rng):
    algorithm = rng.choice((FIXED, FIXED, SLIDING))
    periods = rng.sample((1, 2, 10, 60, 300), rng.randint(1, 2 if algorithm == SLIDING else 3))
    return Quota(algorithm, [(period, rng.choice((1, 10, 40, 300, 2000, 20000))) for period in periods])


class Fleet:
    """What was admitted, as the logs of all proxies together would say."""

    def __init__(self, engine, rng):
        self.engine, self.rng, self.now = engine, rng, BEGIN + rng.randint(0, 10**6) * S
        self.quotas, self.most = {}, {}
        self.admitted = collections.Counter()  # (quota, subject, period, start)
        self.in_air = []                       # (claim, proxy, cost, name, quota, numbers)
        self.mono = [rng.randint(10**6, 10**9) for _ in range(PROXIES)]
        self.seen = collections.Counter()
        for number in range(1, rng.randint(2, 4)):
            self.change(number, random_quota(rng))

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
            assert used <= limit, f"{used} of {limit} in {key} at {self.now}"
            second = self.now // S
            if not is_at_once:
                continue
            assert start <= second < start + period, f"spent of {key} at {self.now}"
            if quota.algorithm == SLIDING:
                left = Fraction((start + period) * 1000 - self.now // 1000, period * 1000)
                before = math.ceil(self.admitted[number, subject, period, start - period] * left)
                assert used + before <= limit, f"{used} and {before} of {limit} in {key} at {self.now}"

    def execute(self, words, proxy, cost, name, quota):
        """The script runs at once; what it says is heard later."""
        _, claim, key, text = words
        numbers = self.engine.script(keys=[key], args=[bytes.fromhex(text), self.now // S, self.now % S])
        self.in_air.append((claim, proxy, cost, name, quota, numbers))

    def ask(self):
        number, subject, proxy = self.rng.choice(list(self.quotas)), self.rng.randint(1, 2), self.rng.randrange(PROXIES)
        quota, cost = self.quotas[number], self.rng.choice((1, 1, 1, 2, 7))
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

    def give_back(self):
        number, subject, proxy = self.rng.choice(list(self.quotas)), self.rng.randint(1, 2), self.rng.randrange(PROXIES)
        said = self.engine.say(f"return {proxy} {self.rng.choice((0, 0, 1, 5))} {self.now} {number}:{subject}").split()
        if said[0] == "claim":
            self.execute(said, proxy, 0, (number, subject), self.quotas[number])

    def kill(self):
        """What is on its way to it is heard by nobody."""
        proxy = self.rng.randrange(PROXIES)
        self.engine.say(f"killed {proxy}")
        self.in_air = [(claim, None if to == proxy else to, *more) for claim, to, *more in self.in_air]

    def step(self):
        dice = self.rng.random()
        if dice < 0.65:
            self.ask()
        elif dice < 0.93 and self.in_air:
            self.hear(self.rng.random() < 0.04)
        elif dice < 0.98:
            self.give_back()
        elif dice < 0.985:
            self.kill()
        elif dice < 0.99:
            number = self.rng.choice(list(self.quotas))
            old = self.quotas[number]
            self.change(number, Quota(old.algorithm, [(p, self.rng.choice((limit, max(1, limit // 2), limit * 2))) for p, limit in old.limits]))
        while len(self.in_air) > CLAIMS_IN_AIR:
            self.hear(False)
        self.now += self.rng.choice((0, self.rng.randint(0, 2000), self.rng.randint(0, 100_000), self.rng.randint(0, 900_000) if dice > 0.97 else 0))


def run(engine, seed, steps):
    rng, seen, done = random.Random(seed), collections.Counter(), 0
    while done < steps:
        engine.fresh()
        fleet = Fleet(engine, rng)
        for _ in range(rng.randint(100, 3000)):
            fleet.step()
            done += 1
        seen += fleet.seen
    return seen
