# SPDX-License-Identifier: Apache-2.0
"""Programs that must not take over: they exit, hang, or are killed at some stage of it."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

from harness.proxy import BINARY, environment

import rig
import upgraded

sys.path.insert(0, str(rig.ROOT / "tests" / "fault"))

import state as fault_state  # noqa: E402

DEADLINE_S = 20
LATE_S = 1.5  # so long a program that was stopped gets to have taken over already
KERNEL = fault_state.mask("net") | fault_state.mask("io")
STAGES = (1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)  # calls
KILLED_LEAST = 10  # stages
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
    return proxy.child, len(upgraded.descendants(proxy.pid)), proxy.descriptors(proxy.pid)


def judge_scripts(proxy, program, judge):
    before = what_serves(proxy)
    for name, (text, deadline, code) in SCRIPTS.items():
        program.install(text)
        done = proxy.verb("upgrade", "--deadline", deadline)
        judge.equal(f"a program that {name}: exit code", done.returncode, code)
        rig.wait_for(lambda: what_serves(proxy) == before, f"nobody is left of the program that {name}")


def stopped_below(pid):
    """A process below this one that is stopped, or None."""
    for found in upgraded.descendants(pid):
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
    rig.wait_for(lambda: not upgraded.is_alive(before), "the one before has ended")
    rig.wait_for(lambda: proxy.stderr().count("the process before this one has ended") == proxy.stderr().count("took over from pid"), "the new one knows")


def stop_at(proxy, program, where, nth):
    """Lets the new program stop at its nth call and kills it there.  Gives when it was killed (None: it had taken over by then, and goes on), and the exit
    code of the upgrade."""
    state, own = program.install_stopping()
    state.set(where=where, class_mask=KERNEL, nth=nth, stops=1, is_armed=1)
    verb = subprocess.Popen([BINARY, "upgrade", "-c", str(proxy.file), "--json", "--deadline", f"{DEADLINE_S}s"], cwd=proxy.folder,
                            env=environment(proxy.folder, rig.SECRETS), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    before, killed_at = proxy.pid, None
    rig.wait_for(lambda: verb.poll() is not None or stopped_below(before), "the program stops, or the upgrade is over", 2 * DEADLINE_S)
    try:
        out = verb.communicate(timeout=LATE_S)[0]
    except subprocess.TimeoutExpired:
        state.set(is_armed=0)
        killed_at = time.time()
        os.kill(stopped_below(before), signal.SIGKILL)
        out = verb.communicate(timeout=2 * DEADLINE_S)[0]
    state.set(is_armed=0)
    if verb.returncode == 0:
        answer = json.loads(out)
        for pid in {stopped_below(before), answer["pid"]} - {None}:
            os.kill(pid, signal.SIGCONT)
        take_over(proxy, answer, program, own)
    state.close()
    return killed_at, verb.returncode


def judge_parents(proxy, program, judge):
    """A parent that is killed before it serves.  Gives how many took over, and when others were killed."""
    killed, codes, times = [], set(), []
    for nth in STAGES:
        before = what_serves(proxy)
        killed_at, code = stop_at(proxy, program, fault_state.IN_PARENT, nth)
        if killed_at is None:
            break
        killed.append(nth)
        codes.add(code)
        times.append(killed_at)
        rig.wait_for(lambda state=before: what_serves(proxy) == state, "nobody is left of the program that was killed")
    judge.check("parents killed after so many calls; exit codes", f"{rig.text_of(killed)}; {rig.text_of(sorted(codes))}", f"at {KILLED_LEAST} stages or more; 8",
                len(killed) >= KILLED_LEAST and codes == {8})
    return int(killed_at is None), times


def judge_children(proxy, program, judge):
    """A serving process that is killed before it serves: its parent starts another one, and takes over with that.  Gives the same."""
    killed, codes, count, times = [], set(), 0, []
    for nth in STAGES:
        killed_at, code = stop_at(proxy, program, fault_state.IN_CHILD, nth)
        count += code == 0
        if killed_at is None:
            break
        killed.append(nth)
        codes.add(code)
        times.append(killed_at)
    judge.check("serving processes of them killed after so many calls; exit codes", f"{rig.text_of(killed)}; {rig.text_of(sorted(codes))}",
                f"at {KILLED_LEAST} stages or more; 0, since it is started again", len(killed) >= KILLED_LEAST and codes == {0})
    return count, times


def judge_all(proxy, program, judge):
    """Gives how many programs took over nevertheless, and when others were killed."""
    child = proxy.child
    judge_scripts(proxy, program, judge)
    judge.equal("the same child serves", proxy.child == child, True)
    (parents, parent_times), (children, child_times) = judge_parents(proxy, program, judge), judge_children(proxy, program, judge)
    return parents + children, parent_times + child_times
