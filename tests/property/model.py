# SPDX-License-Identifier: Apache-2.0
"""What quotas mean, written for reading and not for speed: the engine is compared with this.

Time is in microseconds.  A limit is (period_s, limit).  Fractions are exact.
"""
import copy
import math
from fractions import Fraction

FIXED, SLIDING, BUCKET = 0, 1, 2
S = 1000000
SKEW = 60
TOP = 2**31 - 1
UNITS = 4096  # of a bucket's clock, per microsecond


class Quota:
    def __init__(self, algorithm, limits, burst=0):
        self.algorithm, self.limits, self.burst = algorithm, limits, burst


class Count:
    """A calendar count; beside it, for sliding, that of the window before, which begins at before_start."""

    def __init__(self, period, start=0, used=0):
        self.period, self.start, self.used = period, start, used
        self.before_start, self.before = None, 0

    @property
    def has_before(self):
        return self.before_start is not None and self.before_start + self.period == self.start

    def settle(self, now, is_sliding):
        second = now // S
        start = second - second % self.period
        if self.start > second:
            if self.start - second > SKEW:  # the clock was wrong: spent stays spent
                self.before_start = start - self.period if self.has_before else None
                self.start = start
            return
        if self.start + self.period > second:
            return
        # What is left behind stays behind: no clock that goes back finds it again.
        self.before = self.used if is_sliding and self.start + self.period == start else 0
        self.before_start = start - self.period if is_sliding else None
        self.used, self.start = 0, start

    def share(self, now):
        """The part of the last period that lies in the window before."""
        left = self.start * 1000 + self.period * 1000 - now // 1000
        return Fraction(min(max(left, 0), self.period * 1000), self.period * 1000)

    def estimate(self, now):
        return self.used + (math.ceil(self.before * self.share(now)) if self.has_before else 0)


class Bucket:
    """full: the instant at which it will be full, in units."""

    def __init__(self, period, limit, full=0):
        self.period, self.limit, self.full = period, limit, full

    @property
    def token(self):
        return math.ceil(Fraction(self.period * S * UNITS, self.limit)) if self.limit else 0

    def whole(self, quota):
        return (quota.burst or self.limit) * self.token

    def ahead(self, now):
        return max(0, self.full - now * UNITS)

    def settle(self, now, quota):
        if self.ahead(now) > 2 * self.whole(quota) + SKEW * S * UNITS:
            self.full = now * UNITS + self.whole(quota)  # the clock was wrong: spent stays spent

    def left(self, now, quota):
        return max(0, (self.whole(quota) - self.ahead(now)) // self.token) if self.limit else 0


class Store:
    """converts_at_once: what another algorithm left is converted when it is looked at (the embedded store), not when
    something is written (Redis).  A count that becomes a bucket is, in both: it fills from then on."""

    def __init__(self, converts_at_once):
        self.converts_at_once = converts_at_once
        self.mended = set()  # names, in the step that goes on
        self.states = {}  # (quota id, subject, period) -> Count or Bucket

    def state(self, name, quota, limit, now):
        """A copy, as it counts now.  A look changes nothing but what a wrong clock left."""
        period, most = limit
        key = (*name, period)
        stored = self.states.get(key)
        state = copy.copy(stored)
        is_mended = False
        if quota.algorithm == BUCKET:
            if isinstance(state, Count):
                state = self.as_bucket(state, quota, limit, now)
                is_mended = self.converts_at_once or state.full > 0
            state = state or Bucket(period, most)
            state.limit = most
            state.settle(now, quota)
            is_mended = is_mended or isinstance(stored, Bucket) and state.full < stored.full
        else:
            if isinstance(state, Bucket):
                state = self.as_count(state, limit, now)
                is_mended = self.converts_at_once
            state = state or Count(period, now // S - now // S % period)
            state.settle(now, quota.algorithm == SLIDING)
            is_mended = is_mended or isinstance(stored, Count) and state.start < stored.start
            if is_mended:
                self.note(state, quota)
        if is_mended:
            self.states[key] = copy.copy(state)
            self.mended.add(name)
        return key, state

    @staticmethod
    def as_bucket(count, quota, limit, now):
        """What counts of a sliding quota's windows, or of the calendar's, is taken from a full bucket."""
        bucket = Bucket(*limit)
        count.settle(now, count.has_before)
        used = min(count.estimate(now) * bucket.token, bucket.whole(quota))
        bucket.full = now * UNITS + used if used else 0
        return bucket

    @staticmethod
    def as_count(bucket, limit, now):
        period, most = limit
        bucket = Bucket(period, most, bucket.full)
        used = math.ceil(Fraction(bucket.ahead(now), bucket.token)) if most else 0
        return Count(period, now // S - now // S % period, min(used, most))

    @staticmethod
    def has_room(state, quota, limit, now, cost):
        if limit[1] == 0:
            return False
        if isinstance(state, Bucket):
            return state.ahead(now) + cost * state.token <= state.whole(quota)
        if quota.algorithm == SLIDING:
            return state.estimate(now) + cost <= limit[1]
        return state.used + cost <= limit[1]

    @staticmethod
    def note(state, quota):
        if quota.algorithm == SLIDING and not state.has_before:
            state.before_start, state.before = state.start - state.period, 0

    def take(self, key, state, quota, now, cost):
        if isinstance(state, Bucket):
            used = state.ahead(now) + cost * state.token
            state.full = now * UNITS + used if used else 0
        else:
            state.used += cost
            self.note(state, quota)
        self.states[key] = state

    def charge(self, now, asked):
        """asked: [(name, quota, cost)].  (is_charged, [(limit, left, is_refused, state, mark)])."""
        self.mended.clear()
        looked = [(quota, limit, cost, *self.state(name, quota, limit, now)) for name, quota, cost in asked for limit in quota.limits]
        refused = [not self.has_room(state, quota, limit, now, cost) for quota, limit, cost, _, state in looked]
        told = []
        for (quota, limit, cost, key, state), is_refused in zip(looked, refused):
            if not any(refused):
                self.take(key, state, quota, now, cost)
            if isinstance(state, Bucket):
                left, mark = state.left(now, quota), state.full
            else:
                used = state.estimate(now) if quota.algorithm == SLIDING else state.used
                left, mark = max(0, limit[1] - used), state.start
            told.append((limit[1], left, is_refused, copy.copy(state), mark))
        for name, quota, _ in asked:
            if name in self.mended and not self.converts_at_once:
                self.write(now, name, quota)
        return not any(refused), told

    def write(self, now, name, quota):
        """Redis keeps all windows of a subject in one value: who writes one writes all, as they count now."""
        for limit in quota.limits:
            key, state = self.state(name, quota, limit, now)
            if isinstance(state, Count):
                self.note(state, quota)
            elif not state.ahead(now):
                state.full = 0
            self.states[key] = state

    @staticmethod
    def is_own(state, quota):
        """Is it kept as this quota keeps it?  Else a reload has brought another algorithm, whose business it is."""
        if quota.algorithm == BUCKET:
            return isinstance(state, Bucket)
        return isinstance(state, Count) and (quota.algorithm == FIXED or state.has_before)

    def correct(self, now, name, quota, cost, marks, delta):
        """A charge was delta more or less; marks as charge told them."""
        delta = max(delta, -cost)
        for limit, mark in zip(quota.limits, marks):
            if not self.is_own(self.states.get((*name, limit[0])), quota):
                continue
            key, state = self.state(name, quota, limit, now)
            if isinstance(state, Bucket):
                ahead = state.ahead(now)
                if delta > 0:
                    state.full = now * UNITS + min(ahead + delta * state.token, max(ahead, 2 * state.whole(quota)))
                elif mark // (S * UNITS) >= now // S:
                    back = min(-delta * state.token, max(0, mark - now * UNITS))
                    state.full = now * UNITS + ahead - back if ahead > back else 0
                else:
                    continue
                self.states[key] = state
            elif state.start == mark:
                state.used = min(TOP, max(0, state.used + delta))
                self.note(state, quota)
                self.states[key] = state


class Slow:
    """What has_room would say later if nothing else happened: for judging Retry-After."""

    @staticmethod
    def has_room_at(state, quota, limit, at, cost):
        later = copy.copy(state)
        if isinstance(later, Bucket):
            later.settle(at, quota)
        else:
            later.settle(at, quota.algorithm == SLIDING)
        return Store.has_room(later, quota, limit, at, cost)
