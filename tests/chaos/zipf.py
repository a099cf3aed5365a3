# SPDX-License-Identifier: Apache-2.0
"""Two hundred callers of very different zeal and limits at four proxies: what the scenarios exact, leased and hunted share.

Every line of every log is read: who was admitted in which minute.  What Redis holds of each caller is compared with it."""
import collections
import json
import math
import os
import random
import signal
import subprocess
import time

from harness.configs import forward
from harness.proxy import BINARY, environment

import fleet_plot
import rig

PAGE = rig.ROOT / "docs" / "fleet.md"
SEED = 20261128
PROXIES, WORKERS, SUBJECTS, WINDOWS = 4, 2, 200, 5
EXPONENT = 1.6        # the first asks for two fifths of all
RATE_PER_S = 8000     # of all together
CONNECTIONS = 24      # per proxy
LIMITS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
TIMES = (2.1, 3, 5, 2.5, 4)      # asked for by the first fifty, at least so many times their limit
TIMES_BEHIND = (2.2, 0.5, 4, 0.8, 1.5, 6)
USED_LEAST = 0.995
DAY = 2_000_000_000
KILL_S = 5


def demands():
    """Requests a minute of each caller, on average."""
    weights = [rank ** -EXPONENT for rank in range(1, SUBJECTS + 1)]
    return [60 * RATE_PER_S * weight / sum(weights) for weight in weights]


def limits():
    """Of each caller, a minute."""
    found = []
    for rank, demand in enumerate(demands()):
        times = TIMES[rank % len(TIMES)] if rank < 50 else TIMES_BEHIND[rank % len(TIMES_BEHIND)]
        found.append(max([limit for limit in LIMITS if limit * times <= demand], default=LIMITS[0]))
    return found


class Fleet:
    """The proxies, who the callers are in logs and in Redis, and what was done to whom."""

    def __init__(self, world, accuracy):
        self.world, self.accuracy = world, accuracy
        self.limits = limits()
        self.backend, self.redis = world.backend(), world.redis()
        self.names = self._names()
        self.proxies = [self._start(n) for n in range(PROXIES)]
        self.rank_of_key = self._keys()
        self.kills = []       # (when, which proxy, was its parent killed too)

    def _names(self):
        """{what logs call a caller: its rank}"""
        file = self.world.folder / "names.json"
        file.write_text(json.dumps({**self._config(0, {}), "listen": [{"address": "127.0.0.1:1"}]}))

        def name(rank):
            words = [BINARY, "hash", "-c", str(file), "user", f"user-{rank}"]
            return subprocess.run(words, env=environment(self.world.folder, rig.SECRETS), capture_output=True, text=True, check=True).stdout.strip()

        return {name(rank): rank for rank in range(SUBJECTS)}

    def _config(self, number, names):
        members = collections.defaultdict(list)
        for name, rank in names.items():
            members[f"t{self.limits[rank]}"].append(f"hash:{name}")
        tiers = {f"t{limit}": {"minute": limit, "day": DAY} for limit in sorted({LIMITS[0], *self.limits})}
        quota = {"key": ["user"], "limits": "tier", "default_tier": "t10", "members": members, "accuracy": self.accuracy, "on_failure": "deny"}
        return forward(self.backend, workers=WORKERS, **rig.USERS, quotas={"user": quota}, tiers=tiers,
                       admin={"address": f"unix:{self.world.folder}/admin{number}.sock"},
                       store={"type": "redis", "servers": [self.redis.address], "decision_timeout": "2s", "command_timeout": "5s",
                              "fleet_size": PROXIES})

    def _start(self, number):
        return self.world.proxy(self._config(number, self.names), f"p{number}")

    def _keys(self):
        """{key in Redis: rank}: each caller asks once, and a key appears."""
        known, found = set(), {}
        for rank in range(SUBJECTS):
            self.proxies[0].ask(f"user-{rank}")
            keys = rig.stored_windows(self.redis).keys() - known
            assert len(keys) == 1, f"one key of user-{rank}: {keys}"
            known |= keys
            found[keys.pop()] = rank
        return found

    def held(self, number):
        """By the process, as it says itself: (subjects, requests)."""
        words = [BINARY, "status", "-s", f"unix:{self.world.folder}/admin{number}.sock", "--json"]
        done = subprocess.run(words, env=environment(self.world.folder, rig.SECRETS), capture_output=True, text=True, check=False)
        store = json.loads(done.stdout)["store"] if done.returncode == 0 else {}
        return store.get("leases", 0), store.get("leased", 0)

    def kill_one(self, rng):
        """kill -9 of a serving process, every second time with its parent, which is started again; gives what it held just before."""
        alive = {number: proxy.child for number, proxy in enumerate(self.proxies) if proxy.child}
        number, whole = rng.choice(sorted(alive)), len(self.kills) % 2 == 1
        proxy, child = self.proxies[number], alive[number]
        held = self.held(number)[1]
        os.kill(proxy.pid if whole else child, signal.SIGKILL)  # the child goes with its parent
        self.kills.append((time.time(), number, whole, held))
        if whole:
            proxy.process.wait()
            rig.wait_for(lambda: proxy.ports[0] not in rig.listening_ports(), "the child of a killed parent has ended")
            self.world.forget(proxy)
            self.proxies[number] = self.world.proxy(proxy.config, f"p{number}")


# -- reading

class Seen:
    """By minute and caller: how many asked, how many were admitted."""

    def __init__(self):
        self.asked, self.admitted = (collections.defaultdict(collections.Counter) for _ in range(2))
        self.decisions, self.sources = collections.Counter(), collections.Counter()
        self.of_day = collections.Counter()   # admitted, by caller and the day's start
        self.ids = set()                      # of what was admitted, where answers are compared
        self.torn = 0

    def read(self, line, ranks, with_ids):
        self.decisions[line["decision"]] += 1
        entries = {entry["w"]: entry for entry in line.get("quotas", ())}
        rank = ranks.get(line["subjects"]["user"])
        if rank is None or "minute" not in entries or "start" not in entries["minute"]:
            return
        start = entries["minute"]["start"]
        self.sources[entries["minute"]["source"]] += 1
        self.asked[start][rank] += 1
        if line["decision"] in ("allow", "degraded_allow"):
            self.admitted[start][rank] += 1
            self.of_day[rank, entries["day"]["start"]] += 1
            if with_ids:
                self.ids.add(line["id"])


class TornReader(rig.LogReader):
    """A writer that was killed may have left half a line, and its successor goes on behind it."""

    def __init__(self):
        super().__init__()
        self.torn = 0

    def read(self, path):
        with open(path, "rb") as file:
            for line in file:
                try:
                    record = json.loads(line)
                except ValueError:
                    self.torn += 1
                    continue
                self.lines += 1
                if "event" not in record:
                    yield record


def read_logs(fleet, judge, is_hunted):
    seen, lines, dropped = Seen(), 0, 0
    for number in range(PROXIES):
        reader = TornReader() if is_hunted else rig.LogReader()
        for line in reader.read(fleet.world.folder / f"p{number}.access.log"):
            seen.read(line, fleet.names, is_hunted)
        lines, dropped = lines + reader.lines, dropped + reader.dropped
        if is_hunted:
            seen.torn += reader.torn
        elif not reader.is_gapless or reader.dropped:
            judge.judge_log(reader, may_drop=True)
    if is_hunted:
        judge.tell("log lines read, torn by a kill", f"{lines:,}, {seen.torn}")
    else:
        judge.check("log lines, said to be dropped", f"{lines:,}, {dropped}", "none dropped", dropped == 0)
    judge.tell("decisions in the logs", rig.text_of(dict(seen.decisions)))
    judge.tell("decided by", rig.text_of(dict(seen.sources)))
    return seen


def add_unlogged(load, seen, judge):
    """What a client was given and no log tells (its writer was killed with its lines): counted in the minute in which it was asked for, and in that in
    which it was answered."""
    answered = unlogged = 0
    more = collections.defaultdict(collections.Counter)
    for row in load.rows():
        if row.status != "200":
            continue
        answered += 1
        if row.id in seen.ids:
            continue
        unlogged += 1
        sent_s = int(row.sent_us) / 1e6
        for start in {int(at // 60 * 60) for at in (sent_s, sent_s + int(row.latency_us) / 1e6)}:
            more[start][int(row.user.removeprefix("user-"))] += 1
    judge.tell("answered 200, of them without a log line", f"{answered:,}, {unlogged:,}")
    return more, unlogged


# -- judging

def worst(rows):
    """(subject and minute with the least of its limit used)"""
    return min(rows, key=lambda row: row[3] / row[2], default=None)


def judge_windows(fleet, seen, more, full, judge, least):
    over, needy, rows = 0, [], []
    most = (0, None)
    for start, counter in seen.admitted.items():
        for rank in counter.keys() | more[start].keys():
            admitted, limit = counter[rank] + more[start][rank], fleet.limits[rank]
            over += admitted > limit
            most = max(most, (admitted / limit, (rank, admitted, limit)))
    for start in full:
        for rank, limit in enumerate(fleet.limits):
            asked, admitted = seen.asked[start][rank], seen.admitted[start][rank]
            rows.append((start, rank, limit, admitted, asked))
            if asked >= 2 * limit:
                needy.append(rows[-1])
    windows = sum(len(counter) for counter in seen.asked.values())
    judge.check(f"over the limit, of {windows:,} windows of {SUBJECTS} subjects", over, "0", over == 0)
    judge.tell("the most of a limit that was used", f"{most[0]:.2%} ({most[1][1]:,} of {most[1][2]:,})")
    below = [row for row in needy if row[3] < row[2] * USED_LEAST]
    unused = 1 - sum(row[3] for row in needy) / max(1, sum(row[2] for row in needy))
    judge.check(f"used less than {USED_LEAST:.1%} of it, of {len(needy):,} whole windows with twice its demand", len(below),
                "0" if least else "", not least or not below)
    if needy:
        low = worst(needy)
        judge.tell("the least used of them", f"{low[3]:,} of {low[2]:,} (asked {low[4]:,})")
    judge.tell("their limits together, unused", f"{unused:.3%}")
    return rows, needy


def judge_redis(fleet, seen, judge, is_hunted, unlogged):
    """By caller: charged in the day against admitted; and the last minute that Redis knows."""
    stored = rig.stored_windows(fleet.redis)
    less = lost = 0
    minute = collections.Counter()
    for key, rank in fleet.rank_of_key.items():
        start, used = stored[key][86400]
        admitted = seen.of_day[rank, start]
        less += used < admitted
        lost += used - admitted
        start, used = stored[key][60]
        minute["checked"] += 1
        minute["less"] += used < seen.admitted[start][rank]
        minute["same"] += used == seen.admitted[start][rank]
    judge.check("subjects of which Redis has charged less in the day than the logs admitted", less, "0", less == 0)
    judge.check("subjects of which Redis has charged less in their last minute", minute["less"], "0", minute["less"] == 0)
    judge.tell("subjects of which the last minute agrees to the one", f"{minute['same']} of {minute['checked']}")
    charged = lost + sum(seen.of_day.values())
    judge.tell("charged in the day in Redis, admitted in the logs", f"{charged:,}, {charged - lost:,}")
    if not is_hunted:
        bound = 0 if fleet.accuracy == "exact" else SUBJECTS
        judge.check("charged and never admitted", f"{lost:,}", f"≤ {bound:,}", 0 <= lost <= bound)
        return
    kills = len(fleet.kills)
    bound = kills * sum(bound_of(limit, rate) for limit, rate in zip(fleet.limits, demands()))
    in_flight = kills * CONNECTIONS
    judge.tell("held by the killed ones, as they said just before", f"{sum(kill[3] for kill in fleet.kills):,}")
    judge.check(f"lost with {kills} kills: charged and never admitted", f"{lost:,}",
                f"≤ {bound:,} held by policy + {in_flight:,} in flight + {unlogged:,} admitted without a line", lost <= bound + in_flight + unlogged)


def bound_of(limit, rate_per_min):
    """The most that one process holds of a subject: a grant of at most half of an N-th, on top of what three round trips (10 ms each at most)
    spend; requests that wait are granted one by one."""
    return math.ceil(limit / (2 * PROXIES)) + math.ceil(rate_per_min / 60 / PROXIES * 0.03) + 1


def judge_cost(seen, full, spent, judge):
    asked = sum(sum(seen.asked[start].values()) for start in full)
    admitted = sum(sum(seen.admitted[start].values()) for start in full)
    judge.tell("asked, admitted in the whole minutes", f"{asked:,}, {admitted:,}")
    judge.tell("operations of Redis meanwhile, for each request, for each admitted", f"{spent:,}, {spent / max(1, asked):.2%}, {spent / max(1, admitted):.2%}")


def run(world, judge, name, accuracy, is_hunted=False):
    fleet = Fleet(world, accuracy)
    if time.time() % 60 > 52:
        time.sleep(10)
    first = int(time.time() // 60 * 60) + 60
    full = [first + 60 * n for n in range(WINDOWS)]
    load = world.load(name, [proxy.ports[0] for proxy in fleet.proxies], "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", full[-1] + 60 - time.time(),
                      "-s", SEED, "-u", SUBJECTS, "-z", EXPONENT)
    rng = random.Random(SEED)
    time.sleep(max(0, first - time.time()))
    before = rig.operations(fleet.redis)
    for turn in range(1, WINDOWS * 60 // KILL_S) if is_hunted else ():
        time.sleep(max(0, first + turn * KILL_S - time.time()))
        fleet.kill_one(rng)
    time.sleep(max(0, full[-1] + 60 - 0.2 - time.time()))
    spent = rig.operations(fleet.redis) - before
    totals = load.wait()
    for proxy in fleet.proxies:
        proxy.stop()
    seen = read_logs(fleet, judge, is_hunted)
    judge.tell("sent, missed since no connection was free", f"{totals['sent']:,}, {totals['missed']:,}")
    more, unlogged = add_unlogged(load, seen, judge) if is_hunted else (collections.defaultdict(collections.Counter), 0)
    rows, needy = judge_windows(fleet, seen, more, full, judge, least=not is_hunted)
    judge_redis(fleet, seen, judge, is_hunted, unlogged)
    judge_cost(seen, full, spent, judge)
    judge.equal("keys without TTL", len(rig.keys_without_ttl(fleet.redis)), 0)
    fleet_plot.used(judge, name, [(limit, admitted, asked) for _, _, limit, admitted, asked in rows])
    judge.note(f"{RATE_PER_S:,} requests a second in all from {CONNECTIONS} connections to each of {PROXIES} proxies with {WORKERS} workers, accuracy "
               f"{accuracy}; the k-th of {SUBJECTS} users asks as 1/k^{EXPONENT}; limits of {LIMITS[0]} to {LIMITS[-1]:,} a minute; seed {SEED}; {WINDOWS} whole "
               f"minutes from {first}.")
    if is_hunted:
        wholes = sum(kill[2] for kill in fleet.kills)
        judge.note(f"kill -9 every {KILL_S} s: {len(fleet.kills)} serving processes, {wholes} of them with their parents; lines that died with both are made up "
                   "for by what clients were answered.")
