# SPDX-License-Identifier: Apache-2.0
"""When requests come to one proxy: by a recorded trace, or by a Poisson process of which only what matters is drawn."""
import bisect
import math

FEW = 64  # up to so many are drawn one by one


class Trace:
    """times: rising, in seconds."""

    def __init__(self, times):
        self.times, self.at = times, 0

    def after(self, k):
        """When the k-th request from here comes; None: never."""
        index = self.at + k - 1
        return self.times[index] if index < len(self.times) else None

    def pass_to(self, now):
        """How many have come since the last call, up to and including now."""
        end = bisect.bisect_right(self.times, now, lo=self.at)
        count, self.at = end - self.at, end
        return count


class Poisson:
    """The k-th arrival is a gamma variate; how many came before an earlier moment is binomial, given that."""

    def __init__(self, rng, rate_per_s, until):
        self.rng, self.rate, self.until = rng, rate_per_s, until
        self.now, self.target = 0.0, None  # (k, when)

    def after(self, k):
        if self.rate <= 0:
            return None
        self.target = (k, self.now + self.rng.gammavariate(k, 1 / self.rate))
        return self.target[1] if self.target[1] < self.until else None

    def pass_to(self, now):
        now = min(now, self.until)
        if now <= self.now:
            return 0
        if self.target is None:
            count = self._poisson(self.rate * (now - self.now))
        elif now >= self.target[1]:
            count = self.target[0] + self._poisson(self.rate * (now - self.target[1]))
        else:
            count = self._binomial(self.target[0] - 1, (now - self.now) / (self.target[1] - self.now))
        self.now, self.target = now, None
        return count

    def _poisson(self, mean):
        if mean > 10 * FEW:
            return max(0, round(self.rng.gauss(mean, math.sqrt(mean))))
        count, at = 0, self.rng.expovariate(1)
        while at < mean:
            count, at = count + 1, at + self.rng.expovariate(1)
        return count

    def _binomial(self, n, p):
        if n > FEW and min(p, 1 - p) * n > 10:
            return min(n, max(0, round(self.rng.gauss(n * p, math.sqrt(n * p * (1 - p))))))
        return sum(self.rng.random() < p for _ in range(n))
