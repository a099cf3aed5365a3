# SPDX-License-Identifier: Apache-2.0
"""The two stores behind one interface: charge(now_us, asked), keep(n), correct(now_us, n, index, delta)."""
import subprocess


class Driver:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        said = self.process.stdout.readline()
        assert said, f"the driver ended at: {line}"
        return said.strip()

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(20) == 0

    def quota(self, number, quota):
        limits = " ".join(f"{period}:{limit}" for period, limit in quota.limits)
        assert self.say(f"quota {number} {quota.algorithm} {quota.burst} {limits}") == "ok"

    def keep(self, number):
        assert self.say(f"keep {number}") == "ok"


def parse(said):
    """(answer, [(used, limit, left, is_refused, end_us, start_s)])"""
    answer, *windows = said.split()
    return answer, [tuple(int(n) for n in window.split("/")) for window in windows]


def words_of(asked):
    return " ".join(f"{name[0]}:{name[1]}:{cost}" for name, _, cost in asked)


class Memory(Driver):
    converts_at_once = True
    settles_by_charging = False

    def fresh(self):
        assert self.say("fresh") == "ok"

    def charge(self, now, asked):
        return parse(self.say(f"charge {now} {words_of(asked)}"))

    def correct(self, now, number, index, delta, _):
        return int(self.say(f"correct {now} {number} {index} {delta}"))


class Redis(Driver):
    """The real script in a real Redis, whose clock is an argument here."""

    converts_at_once = False
    settles_by_charging = True

    def __init__(self, program, client):
        super().__init__(program)
        self.client = client
        script = bytes.fromhex(self.say("script")).decode()
        clock = "local t = redis.call('TIME')"
        assert script.count(clock) == 1 and script.count("TIME") == 1
        self.script = client.register_script(script.replace(clock, "local t = {ARGV[#KEYS + 1], ARGV[#KEYS + 2]}"))

    def fresh(self):
        assert self.say("fresh") == "ok"
        self.client.flushall()

    def forget(self):
        """The proxy is replaced by one that knows nothing; Redis stays."""
        assert self.say("forget") == "ok"

    def charge(self, now, asked):
        words = self.say(f"claim {now} {words_of(asked)}").split()
        claims = [bytes.fromhex(word) for word in words[1::2]]
        numbers = self.script(keys=words[0::2], args=[*claims, now // 1000000, now % 1000000])
        return parse(self.say("answer " + " ".join(str(n) for n in numbers)))

    def correct(self, now, number, index, delta, asked):
        """What is owed goes with the subject's next request: one that costs nothing."""
        done = int(self.say(f"owe {now} {number} {index} {delta}"))
        name, quota, _ = asked
        self.charge(now, [(name, quota, 0)])
        return done
