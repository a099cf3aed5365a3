# SPDX-License-Identifier: Apache-2.0
"""What the logs of four proxies prove: `verify` finds no window above its limit, and finds one that was planted; `replay` of a million lines gives the logged
decisions back, and what it foretells of another policy is what four proxies with that policy do."""
import collections
import json
import time

from harness.configs import forward
from harness.waiting import wait_for_next_window

import log_tools
import rig

PAGE = rig.ROOT / "docs" / "logs.md"
PROXIES, REQUESTS, RATE_PER_S, CONNECTIONS = 4, 1_000_000, 4000, 24
USERS, EXPONENT = 2000, 0.6
OLD, NEW, DAY = 100, 60, 1_000_000_000  # a minute; a day: never reached
LEASED_REQUESTS = 250_000
REPLAY_MAX_S, SAME_LEAST, FORETOLD_MAX = 15, 0.9999, 0.01
SEED = 20261130


# -- what happens

class Run:
    """Four proxies of one store under load; what clients were answered.  All runs begin at the same second of a minute and ask for the same."""

    def __init__(self, world, redis, backend, name, minute, accuracy, requests):
        self.name, self.minute = name, minute
        quota = {"key": ["user"], "limits": {"minute": minute, "day": DAY}, "accuracy": accuracy, "on_failure": "deny"}
        store = {"type": "redis", "servers": [redis.address], "decision_timeout": "2s", "command_timeout": "5s", "fleet_size": PROXIES, "prefix": name}
        config = forward(backend, workers=2, quotas={"user": quota}, store=store, **rig.USERS)
        self.proxies = [world.proxy(config, f"{name}{n}") for n in range(PROXIES)]
        for proxy in self.proxies:
            rig.wait_for(lambda asked=proxy: rig.counts_in_redis(asked), "the proxy counts in Redis")
        self.logs = [proxy.access_log for proxy in self.proxies]
        self._load(world, requests)
        self.windows = self._windows()

    def _load(self, world, requests):
        wait_for_next_window(60)
        load = world.load(self.name, [proxy.ports[0] for proxy in self.proxies], "-c", CONNECTIONS, "-r", RATE_PER_S, "-m", requests, "-d", 3600, "-s", SEED,
                          "-u", USERS, "-z", EXPONENT)
        began = time.monotonic()
        load.wait(1200)
        self.seconds = time.monotonic() - began
        for proxy in self.proxies:
            proxy.stop()
        self.statuses = collections.Counter(row.status for row in load.rows())

    def _windows(self):
        """{(subject, start): charged} of the minute: a sum that no verb has made."""
        charged, reader = collections.Counter(), rig.LogReader()
        for log in self.logs:
            for line in reader.read(log):
                entry = rig.window_of(line, "user", "minute")
                if entry and entry["charged"]:
                    charged[line["subjects"]["user"], entry["start"]] += entry["charged"]
        self.reader = reader
        return charged

    def judge(self, judge):
        judge.check(f"{self.name}: answers in {self.seconds:.0f} s", rig.text_of(dict(self.statuses)), "only 200 and 429", set(self.statuses) == {"200", "429"})
        judge.judge_log(self.reader)
        judge.at_most(f"{self.name}: the most of {len(self.windows):,} windows of a minute", max(self.windows.values()), self.minute)


# -- verify

def minute_of(told):
    return next(row for row in told["quotas"] if row["window"] == "minute")


def plant(run, path):
    """A copy of the third log in which one refusal is an admission: of a subject in a window that was full.  Gives the window."""
    window = None
    with open(run.logs[2], encoding="utf-8") as old, open(path, "w", encoding="utf-8") as new:
        for text in old:
            line = json.loads(text) if window is None and '"decision":"refuse"' in text else None
            entry = line and rig.window_of(line, "user", "minute")
            if entry and run.windows[line["subjects"]["user"], entry["start"]] == run.minute:
                window = line["subjects"]["user"], entry["start"]
                line["decision"], line["status"], line["end"] = "allow", 200, "ok"
                for each in line["quotas"]:
                    each["charged"] = 1
                del line["refused_by"]
                text = json.dumps(line) + "\n"
            new.write(text)
    return window


def drop_line(run, path):
    """A copy of the second log without one of its lines.  Gives the line."""
    gone, at = None, run.logs[1].stat().st_size // 2
    with open(run.logs[1], encoding="utf-8") as old, open(path, "w", encoding="utf-8") as new:
        for text in old:
            at -= len(text)
            if gone is None and at < 0:
                gone = json.loads(text)
            else:
                new.write(text)
    return gone


def judge_verify(world, run, judge):
    proxy, logs = run.proxies[0], run.logs
    told = log_tools.verify(proxy, logs)
    judge.equal(f"{run.name}: verify: exit code, verdict, windows of a minute", [told.exit_code, told.json["verdict"], minute_of(told.json)["windows"]],
                [0, "clean", len(run.windows)])
    judge.tell(f"{run.name}: verify read {told.json['lines']:,} lines in", f"{told.seconds:.1f} s")
    edited = world.folder / f"{run.name}.edited"
    subject, start = plant(run, edited)
    told = log_tools.verify(proxy, [logs[0], logs[1], edited, logs[3]])
    found = [(row["subject"], row["window"], row["start"], row["admitted"], row["limit"], row["over"]) for row in told.json["excess"]]
    judge.check(f"{run.name}: one refusal made an admission: exit code, verdict, windows found", f"{told.exit_code}, {told.json['verdict']}, {len(found)}",
                "1, excess, exactly that one", (told.exit_code, told.json["verdict"], found)
                == (1, "excess", [(subject, "minute", start, run.minute + 1, run.minute, 1)]))
    gone = drop_line(run, edited)
    told = log_tools.verify(proxy, [logs[0], edited, logs[2], logs[3]])
    gap = {"boot": gone["boot"], "from_seq": gone["seq"], "to_seq": gone["seq"]}
    judge.check(f"{run.name}: one line taken out: exit code, verdict, gaps", f"{told.exit_code}, {told.json['verdict']}, {told.json['missing']['count']}",
                "1, incomplete, exactly that one", (told.exit_code, told.json["verdict"], told.json["missing"]["gaps"]) == (1, "incomplete", [gap]))
    edited.unlink()


# -- replay

def judge_replay(old, new, requests, judge):
    told = log_tools.replay(old.proxies[0], new.proxies[0].file, old.logs)
    found, refused = told.json, new.statuses["429"]
    share = found["as_logged"] / max(1, found["compared"])
    judge.at_least("replay: requests compared", found["compared"], requests)
    judge.check("replay: decisions as logged", f"{found['as_logged']:,} of {found['compared']:,} ({share:.4%})", f"≥ {SAME_LEAST:.2%}", share >= SAME_LEAST)
    judge.check("replay took, old and new policy", f"{told.seconds:.1f} s", f"≤ {REPLAY_MAX_S} s", told.seconds <= REPLAY_MAX_S)
    judge.equal("replay: not judged", found["not_judged"], {})
    judge.equal("replay: refused by the old policy, and 429 in its run", found["new"]["refused_by_old"], old.statuses["429"])
    error = found["new"]["refused"] / max(1, refused) - 1
    judge.check("replay: refused by the new policy as foretold, and 429 in a run with it", f"{found['new']['refused']:,}, {refused:,} ({error:+.2%})",
                f"within {FORETOLD_MAX:.0%}", abs(error) <= FORETOLD_MAX)


def run(world, judge):
    redis, backend, requests = world.redis(), world.backend(), world.scaled(REQUESTS)
    old = Run(world, redis, backend, "old", OLD, "exact", requests)
    new = Run(world, redis, backend, "new", NEW, "exact", requests)
    leased = Run(world, redis, backend, "leased", OLD, "leased", world.scaled(LEASED_REQUESTS))
    for each in (old, new, leased):
        each.judge(judge)
    for each in (old, leased):
        judge_verify(world, each, judge)
    judge_replay(old, new, requests, judge)
    judge.note(f"{PROXIES} proxies of 2 workers and one Redis; {RATE_PER_S:,} requests a second, the k-th of {USERS:,} users as 1/k^{EXPONENT}; {OLD} a minute by the old policy and in the "
               f"leased run, {NEW} by the new one.  The runs ask for the same, from the beginning of a minute on.  The windows of a minute are added up by this script too.")
