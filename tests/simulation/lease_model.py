# SPDX-License-Identifier: Apache-2.0
"""The lease protocol of one subject with one window: N proxies, one Redis, events in their order.

What decides is written as in the sources, and must be changed with them: how much is asked for and kept (src/lease/lease_policy.c),
what the script grants (src/store/store_redis_script.c), the back-off (lease_cell_note_refusal), followers (src/lease/lease_follow.c), recalls
(src/lease/lease_recall.c).  Left out: other subjects (batches make operations fewer), lost answers, decision timeouts."""
import heapq
import itertools

HORIZON_S, YOUNG_S, PLENTY, AHEAD, SHARE, KEEP_S = 2.0, 1.0, 2.0, 1.1, 4, 0.05
ROUND_TRIPS, SMOOTH_S, LEAST_WEIGHT, LEAST_LOOK_S = 3, 0.5, 0.25, 0.001
BACKOFF_FIRST_S, BACKOFF_LAST_S, BACKOFF_PART, BACKOFF_MOST_S = 0.1, 1.6, 16, 10
RECALL_GAP_S, LOW_PART = 1.0, 10
LEAST_ROUND_TRIP_S = 1e-6


class Proxy:
    """What a process knows of the subject.  held: granted, not spent."""

    def __init__(self, arrivals):
        self.arrivals = arrivals
        self.held = self.mark = self.spent = self.used = self.back = self.waiting = 0
        self.rate = 0.0
        self.rated_at = None
        self.asking = None          # (for a request that waits?, sent at)
        self.backoff = self.refused_until = 0.0
        self.is_recalled, self.recalled_at = False, None
        self.version = 0            # of its next event
        self.settling = False

    def note(self, now):
        """lease_policy_note"""
        if self.rated_at is None:
            self.rated_at = now
            return
        seconds = now - self.rated_at
        if seconds < LEAST_LOOK_S:
            return
        weight = max(LEAST_WEIGHT, seconds / (seconds + SMOOTH_S)) if self.rate > 0 else 1
        self.rate += (self.spent / seconds - self.rate) * weight
        self.rated_at, self.spent = now, 0

    def may_recall(self, now):
        if self.recalled_at is not None and now - self.recalled_at < RECALL_GAP_S:
            return False
        self.is_recalled, self.recalled_at = True, now
        return True


class Model:
    """arrivals: one for each proxy.  Windows begin at 0, window_s, ...; run() tells what happened in each."""

    def __init__(self, limit, window_s, arrivals, round_trip_s=0.001, fleet=None, accuracy="leased"):
        self.limit, self.window_s, self.round_trip_s = limit, window_s, max(round_trip_s, LEAST_ROUND_TRIP_S)
        self.proxies = [Proxy(one) for one in arrivals]
        self.fleet = fleet or len(self.proxies)
        self.is_leased = accuracy == "leased"
        self.used, self.start = 0, 0.0
        self.events, self.order = [], itertools.count()
        self.now = 0.0
        self.told = None

    # -- the run

    def run(self, windows):
        """[{admitted, denied, operations, leases, settlements, recalls, held_most, unused}] of each window"""
        found = []
        for number in range(windows):
            self.start = number * self.window_s
            self._begin_window()
            end = self.start + self.window_s
            while self.events and self.events[0][0] < end:
                self.now, _, act, *rest = heapq.heappop(self.events)
                act(*rest)
            self.now = end
            for proxy in self.proxies:
                self._consume(proxy)
            self.told["unused"] = self.limit - self.told["admitted"]
            self.told["held_at_end"] = sum(proxy.held + proxy.back for proxy in self.proxies)
            found.append(self.told)
        return found

    def _begin_window(self):
        self.used, self.now = 0, self.start
        self.told = dict.fromkeys(("admitted", "denied", "operations", "leases", "settlements", "recalls", "held_most"), 0)
        self.events = []
        for proxy in self.proxies:
            proxy.held = proxy.mark = proxy.used = proxy.back = proxy.waiting = 0
            proxy.asking, proxy.settling = None, False
            proxy.refused_until = 0.0
            self._plan(proxy)

    def _at(self, when, act, *rest):
        heapq.heappush(self.events, (when, next(self.order), act, *rest))

    # -- requests

    def _consume(self, proxy):
        """Requests up to now: spent, waiting or refused."""
        count = proxy.arrivals.pass_to(self.now)
        spent = min(count, proxy.held)
        proxy.held -= spent
        proxy.spent += spent
        self.told["admitted"] += spent
        if proxy.asking is not None:
            proxy.waiting += count - spent
        else:
            self.told["denied"] += count - spent

    def _plan(self, proxy):
        """When something happens here that is not an answer."""
        proxy.version += 1
        if proxy.asking is not None:
            return
        if self.now < proxy.refused_until and (proxy.held == 0 or proxy.mark):
            if proxy.held == 0 and self._refuses(proxy):
                self._at(proxy.refused_until, self._look, proxy, proxy.version)
                return
        k = proxy.held + 1
        if proxy.mark and proxy.held > proxy.mark and self.now >= proxy.refused_until:
            k = proxy.held - proxy.mark
        when = proxy.arrivals.after(k)
        if when is not None:
            self._at(max(when, self.now), self._on_request, proxy, proxy.version, k > proxy.held)

    def _refuses(self, proxy):
        """lease_cell_refuses"""
        return max(0, proxy.used - proxy.back) + 1 > self.limit

    def _look(self, proxy, version):
        if version == proxy.version:
            self._consume(proxy)
            self._plan(proxy)

    def _on_request(self, proxy, version, is_needed):
        if version != proxy.version:
            return
        if is_needed:
            count = proxy.arrivals.pass_to(self.now)  # the last of them finds nothing
            spent = min(count - 1, proxy.held) if count else 0
            self._spend(proxy, spent)
            if count > spent:
                self._ask(proxy, behind=count - spent - 1, is_ahead=False)
            else:
                self._plan(proxy)
            return
        self._consume(proxy)
        if proxy.asking is None:
            self._ask(proxy, behind=0, is_ahead=True)

    def _spend(self, proxy, count):
        proxy.held -= count
        proxy.spent += count
        self.told["admitted"] += count

    # -- asking

    def _want(self, proxy):
        """lease_policy_want"""
        elapsed = min(max(self.now - self.start, 0), self.window_s)
        left = max(0, self.limit - proxy.used)
        is_plenty = elapsed < YOUNG_S or left > PLENTY * proxy.used / elapsed * (self.window_s - elapsed)
        time_left = self.window_s - elapsed
        want = proxy.rate * min(time_left, HORIZON_S) + 1
        if is_plenty:
            want = max(want, proxy.rate * time_left * AHEAD, left / (SHARE * self.fleet))
        return int(want)

    def _ask(self, proxy, behind, is_ahead):
        proxy.note(self.now)
        proxy.waiting += behind
        least = 1 + behind
        want = self._want(proxy) + 1 if self.is_leased else 1
        back, proxy.back = proxy.back, 0
        proxy.asking = (not is_ahead, self.now)
        proxy.version += 1
        self.told["leases"] += 1
        self.told["operations"] += 1
        self._at(self.now + self.round_trip_s / 2, self._grant, proxy, least, want, back)

    def _grant(self, proxy, least, want, back):
        """The script."""
        self.used -= min(back, self.used)
        room, granted = self.limit - self.used, 0
        if room >= 1:
            granted = min(room, max(min(want, room // (2 * self.fleet)), least if self.is_leased else 1))
            self.used += granted
        assert self.used <= self.limit
        self._at(self.now + self.round_trip_s / 2, self._answer, proxy, granted, self.used)

    def _answer(self, proxy, granted, used):
        self._consume(proxy)
        is_waited_for, sent_at = proxy.asking
        proxy.asking, proxy.used = None, used
        if granted:
            proxy.is_recalled, proxy.backoff, proxy.refused_until = False, 0.0, 0.0
            if is_waited_for:
                proxy.spent += 1
                self.told["admitted"] += 1
            proxy.held += granted - is_waited_for
            mark = int(proxy.rate * ROUND_TRIPS * self.round_trip_s)
            proxy.mark = mark if mark < proxy.held else max(0, proxy.held - 1)
            left = self.limit - used
            is_low = left * LOW_PART < self.limit <= (left + granted) * LOW_PART
        else:
            self.told["denied"] += is_waited_for
            self._back_off(proxy, sent_at)
            is_low = not proxy.is_recalled
        if self.fleet > 1 and is_low and proxy.may_recall(self.now):
            self.told["recalls"] += 1
            self.told["operations"] += 1
            self._at(self.now + self.round_trip_s, self._recall)
        self.told["held_most"] = max(self.told["held_most"], sum(p.held for p in self.proxies))
        self._look_again(proxy)

    def _look_again(self, proxy):
        """Those who waited for this lease: lease_follow_landed."""
        waiting, proxy.waiting = proxy.waiting, 0
        spent = min(waiting, proxy.held)
        self._spend(proxy, spent)
        rest = waiting - spent
        if rest and self.now < proxy.refused_until and self._refuses(proxy):
            self.told["denied"] += rest
        elif rest:
            self._ask(proxy, behind=rest - 1, is_ahead=False)
            return
        self._plan(proxy)

    def _back_off(self, proxy, sent_at):
        """lease_cell_note_refusal"""
        last = max(BACKOFF_LAST_S, min(self.window_s / BACKOFF_PART, BACKOFF_MOST_S))
        if proxy.backoff == 0:
            proxy.backoff = BACKOFF_FIRST_S
        elif sent_at >= proxy.refused_until:
            proxy.backoff = min(proxy.backoff * 2, last)
        proxy.refused_until = min(self.now + proxy.backoff, self.start + self.window_s)

    # -- recalls

    def _recall(self):
        """Every process hears it, who sent it too."""
        for proxy in self.proxies:
            self._consume(proxy)
            proxy.may_recall(self.now)
            proxy.note(self.now)
            keep = int(proxy.rate * KEEP_S)
            if proxy.held > keep:
                proxy.back, proxy.held = proxy.back + proxy.held - keep, keep
            mark = int(proxy.rate * ROUND_TRIPS * self.round_trip_s)
            proxy.mark = mark if mark < proxy.held else max(0, proxy.held - 1)
            if proxy.back and not proxy.settling:
                proxy.settling = True
                self._at(self.now, self._settle, proxy)
            self._plan(proxy)

    def _settle(self, proxy):
        back, proxy.back, proxy.settling = proxy.back, 0, False
        if back:
            self.told["settlements"] += 1
            self.told["operations"] += 1
            self._at(self.now + self.round_trip_s / 2, self._take_back, proxy, back)

    def _take_back(self, proxy, back):
        self.used -= min(back, self.used)
        self._at(self.now + self.round_trip_s / 2, self._settled, proxy, self.used)

    def _settled(self, proxy, used):
        self._consume(proxy)
        proxy.used = used
        self._plan(proxy)
