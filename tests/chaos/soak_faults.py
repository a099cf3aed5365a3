# SPDX-License-Identifier: Apache-2.0
"""What happens to the proxy of the soak, and when.  Each action is done in the caller's thread, one after the other."""
import collections
import time

from harness import processes

import rig
import upgraded
from soak_world import DAY
from variants import vary

RELOAD_S, ROTATE_S, REDIS_S, UPSTREAM_S = 30, 60, 300, 420
UPGRADES = 2
AWAY_S = 2
LATE_S = 1.5                        # after its return a server is left alone for a second
IN_FLIGHT_S = 0.3
LONG_MINUTES = 15                   # a shorter soak has its outages closer together


class Faults:
    """count: how often what happened; outages: (from, to) of the servers; redis_away: (from, to) of Redis."""

    def __init__(self, place, minutes):
        self.place, self.proxy = place, place.proxy
        self.count = collections.Counter()
        self.outages, self.redis_away = [], []
        self.upgraded_at = []
        total_s, squeeze = minutes * 60, min(1, minutes / LONG_MINUTES)
        self.every = {"reload": RELOAD_S, "rotate": ROTATE_S * max(squeeze, 0.5), "redis": REDIS_S * squeeze, "upstream": UPSTREAM_S * squeeze,
                      "upgrade": max(total_s / 10, 45)}
        now = time.monotonic()
        self.due = {name: now + seconds for name, seconds in self.every.items()}

    def run_due(self):
        for name, due in self.due.items():
            if time.monotonic() >= due:
                self.due[name] += self.every[name]
                self.count[name] += 1
                getattr(self, "do_" + name)(self.count[name])
        if self.count["upgrade"] == UPGRADES:
            self.due.pop("upgrade", None)

    def do_reload(self, turn):
        self.proxy.write_config(vary(self.proxy.config, turn, DAY))
        done = self.proxy.verb("reload")
        assert done.returncode == 0, done.stdout + done.stderr

    def do_rotate(self, turn):
        self.place.log.rotate(by_signal=turn % 2 == 1)

    def do_redis(self, turn):
        """Killed; every second time it stays away for a while.  What it had counted is there again."""
        begin = time.time()
        self.place.redis.kill()
        time.sleep(AWAY_S * (turn % 2 == 0))
        self.place.redis.start()
        self.redis_away.append((begin, time.time()))

    def do_upstream(self, _):
        """One server is killed, then both."""
        for killed in (self.place.backends[:1], self.place.backends):
            begin = time.time()
            for backend in killed:
                backend.kill()
            time.sleep(AWAY_S)
            for backend in killed:
                backend.start()
            # While one server stands, only what was in flight on the other may break.
            self.outages.append((begin, time.time() + LATE_S if killed == self.place.backends else begin + IN_FLIGHT_S))
            time.sleep(5)

    def do_upgrade(self, _):
        """The one before has streams and tunnels to finish, and goes on meanwhile."""
        self.upgraded_at.append(time.time())
        self.proxy.upgrade()

    def finish(self):
        """Nobody is left of the programs before, and the first configuration is in force again."""
        others = [pid for pid in upgraded.group_of(self.proxy.process.pid) if pid not in (self.proxy.pid, self.proxy.child)]
        rig.wait_for(lambda: not any(processes.is_alive(pid) for pid in others), "the programs before have ended", 90)
        self.proxy.write_config(self.proxy.config)
        done = self.proxy.verb("reload")
        assert done.returncode == 0, done.stdout + done.stderr

    def explains(self, begin_s, end_s):
        """Something of the time lies in an outage of the servers."""
        return any(begin_s < to and end_s > since for since, to in self.outages)

    def is_calm(self, start_s):
        """Nothing happened to servers, Redis or the program in the minute that begins then."""
        return not any(start_s - 5 <= to and since <= start_s + 65
                       for since, to in [*self.outages, *self.redis_away, *((at, at) for at in self.upgraded_at)])
