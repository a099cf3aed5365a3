# SPDX-License-Identifier: Apache-2.0
"""Programs that must not take over: they exit, hang, or are killed, at once or at some stage of it."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

from harness import processes
from harness.proxy import BINARY, environment

import rig

sys.path.insert(0, str(rig.ROOT / "tests" / "fault"))

import state as fault_state  # noqa: E402

DEADLINE_S, HUNG_S = 20, 2
LATE_S = 1.0  # so long a program that was stopped gets to have taken over already
KERNEL = fault_state.mask("net") | fault_state.mask("io")
# who: (where, a stage is so many calls behind the one before)
WHO = {"the new parent": (fault_state.IN_PARENT, 2), "its serving process": (fault_state.IN_CHILD, 3)}
ENDED_LEAST, ENDED_MOST = 10, 30  # stages
EXIT_CODE = 3
READY, READY_S = "ready to take over: version", 1.0  # what it says, and how long it stays so
# program: (how it starts, deadline of the upgrade, exit code)
SCRIPTS = {
    "exits": ("#!/bin/sh\nexit 3\n", "5s", 8),
    "is killed at once": ("#!/bin/sh\nkill -9 $$\n", "5s", 8),
    "is no program": ("nothing that runs\n", "5s", 8),
    "hangs": ("#!/bin/sh\nexec sleep 600\n", "2s", 9),
}


class Program:
    """path: the file by which the program in charge was started, and which starts the next; the good program, until something else is put there."""

    def __init__(self, folder):
        self.path = folder / "bin" / "sluice"
        self.path.parent.mkdir()
        self._count, self._good = 0, self.path.with_suffix(".good")
        shutil.copy(BINARY, self._good)
        os.link(self._good, self.path)

    def install(self, text):
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text)
        fresh.chmod(0o755)
        os.replace(fresh, self.path)

    def install_gated(self):
        """The good program, which begins when the file is there that this gives."""
        self._count += 1
        gate = self._good.with_name(f"go{self._count}")
        self.install(f"#!/bin/sh\nwhile [ ! -e '{gate}' ]; do sleep 0.02; done\nexec '{self._good}' \"$@\"\n")
        return gate

    def install_stopping(self):
        """The good program under orders of its own: gives them, and the file from which it runs."""
        self._count += 1
        own = self.path.with_name(f"sluice{self._count}")
        os.link(self._good, own)
        state = fault_state.FaultState(own.with_suffix(".state"))
        self.install(f"#!/bin/sh\nFAULT_STATE='{state.path}' LD_PRELOAD='{rig.BUILD}/libfault_preload.so' exec '{own}' \"$@\"\n")
        return state, own


def what_serves(proxy):
    """Of which nothing may change."""
    return proxy.child, len(processes.descendants(proxy.pid)), proxy.descriptors(proxy.pid)


def judge_scripts(proxy, program, judge):
    before = what_serves(proxy)
    for name, (text, deadline, code) in SCRIPTS.items():
        program.install(text)
        done = proxy.verb("upgrade", "--deadline", deadline)
        judge.equal(f"a program that {name}: exit code", done.returncode, code)
        rig.wait_for(lambda: what_serves(proxy) == before, f"nobody is left of the program that {name}")


def stopped_below(pid):
    """A process below this one that is stopped, or None."""
    for found in processes.descendants(pid):
        try:
            if pathlib.Path(f"/proc/{found}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T":
                return found
        except (FileNotFoundError, ProcessLookupError):
            continue
    return None


def take_over(proxy, answer, program, own):
    """The new program serves; those before end."""
    before = proxy.pid
    proxy.adopt(answer)
    program.path = own
    rig.wait_for(lambda: not processes.is_alive(before), "the one before has ended")
    rig.wait_for(lambda: proxy.stderr().count("the process before this one has ended") == proxy.stderr().count("took over from pid"), "the new one knows")


def begin_upgrade(proxy, deadline_s):
    """The verb, which answers when the upgrade is over."""
    return subprocess.Popen([BINARY, "upgrade", "-c", str(proxy.file), "--json", "--deadline", f"{deadline_s}s"], cwd=proxy.folder,
                            env=environment(proxy.folder, rig.SECRETS), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def end_by_kill(state, pid):
    state.set(is_armed=0)
    os.kill(pid, signal.SIGKILL)


def end_by_exit(state, pid):
    state.set(is_armed=0, exits=EXIT_CODE)
    os.kill(pid, signal.SIGCONT)


ENDS = {  # what a program that is stopped at some stage does then: (how, deadline of the upgrade, exit code)
    "exits": (end_by_exit, DEADLINE_S, 8),
    "hangs": (None, HUNG_S, 9),
    "is killed": (end_by_kill, DEADLINE_S, 8),
}


def end_at(proxy, program, where, nth, kind):
    """Lets the new program stop at its nth call and do there what `kind` says.  Gives the exit code of the upgrade.  With 0 it has taken over by then, and
    nothing is done to it: the answer of the verb is the commit."""
    end, deadline_s, _ = ENDS[kind]
    state, own = program.install_stopping()
    state.set(where=where, class_mask=KERNEL, nth=nth, stops=1, is_armed=1)
    verb, before = begin_upgrade(proxy, deadline_s), proxy.pid
    rig.wait_for(lambda: verb.poll() is not None or stopped_below(before), "the program stops, or the upgrade is over", 2 * DEADLINE_S)
    try:
        out = verb.communicate(timeout=LATE_S if end else 2 * DEADLINE_S)[0]
    except subprocess.TimeoutExpired:
        end(state, stopped_below(before))
        out = verb.communicate(timeout=2 * DEADLINE_S)[0]
    state.set(is_armed=0)
    if verb.returncode == 0:
        answer = json.loads(out)
        for pid in {stopped_below(before), answer["pid"]} - {None}:
            os.kill(pid, signal.SIGCONT)
        take_over(proxy, answer, program, own)
    state.close()
    return verb.returncode


def judge_stages(proxy, program, judge, who, kind):
    """Gives how many programs took over."""
    ended, codes, (where, step), expected = [], set(), WHO[who], ENDS[kind][2]
    while len(ended) < ENDED_MOST:
        before, nth = what_serves(proxy), 1 + step * len(ended)
        code = end_at(proxy, program, where, nth, kind)
        if code == 0:
            break
        ended.append(nth)
        codes.add(code)
        rig.wait_for(lambda state=before: what_serves(proxy) == state, f"nobody is left of the program that {kind}")
    judge.check(f"{who} {kind} after so many calls; exit codes of the upgrades", f"{rig.text_of(ended)}; {rig.text_of(sorted(codes))}",
                f"at {ENDED_LEAST} stages or more; {expected}", len(ended) >= ENDED_LEAST and codes == {expected})
    return int(len(ended) < ENDED_MOST)


def kill_when_ready(proxy, program, who):
    """The new program has said that it could serve, but the parent that is to hear it stands still meanwhile.  Gives the exit code of the upgrade."""
    gate, ready = program.install_gated(), proxy.stderr().count(READY)
    verb = begin_upgrade(proxy, DEADLINE_S)
    parent = rig.wait_for(lambda: [pid for pid in processes.descendants(proxy.pid) if pid != proxy.child], "it is under way")[0]
    os.kill(proxy.pid, signal.SIGSTOP)
    try:
        gate.touch()
        rig.wait_for(lambda: proxy.stderr().count(READY) > ready, "it could serve")
        time.sleep(READY_S)
        is_parent = WHO[who][0] == fault_state.IN_PARENT
        victim = parent if is_parent else processes.descendants(parent)[0]
        os.kill(victim, signal.SIGKILL)
        rig.wait_for(lambda: not processes.is_alive(victim) and (is_parent or f"(pid {victim}) killed" in proxy.stderr()), "it has ended, and this is known")
    finally:
        os.kill(proxy.pid, signal.SIGCONT)
    verb.communicate(timeout=2 * DEADLINE_S)
    return verb.returncode


def judge_ready(proxy, program, judge):
    for who in WHO:
        before = what_serves(proxy)
        judge.equal(f"{who} is killed when it is ready, and nobody has heard of it: exit code", kill_when_ready(proxy, program, who), 8)
        rig.wait_for(lambda state=before: what_serves(proxy) == state, "nobody is left of the program that was ready")


def judge_all(proxy, program, judge):
    """Gives how many programs took over nevertheless, since they had done so before the stage."""
    child = proxy.child
    judge_scripts(proxy, program, judge)
    judge_ready(proxy, program, judge)
    judge.equal("the same child serves", proxy.child == child, True)
    return sum(judge_stages(proxy, program, judge, who, kind) for who in WHO for kind in ENDS)
