# SPDX-License-Identifier: Apache-2.0
"""Reading what valgrind's callgrind has written: instructions in user mode, and calls, by function."""
import collections
import re

ALLOCATORS = ("malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign", "strdup")
NAMED = re.compile(r"(c?fn)=\((\d+)\)(?: (.*))?")


class Profile:
    """Counts of one process, or what one did beyond another.  cost: instructions of the function itself."""

    def __init__(self, cost=None, calls=None):
        self.cost, self.calls = cost or collections.Counter(), calls or collections.Counter()

    def total(self):
        return sum(self.cost.values())

    def allocations(self):
        return sum(count for name, count in self.calls.items() if name in ALLOCATORS)

    def minus(self, other, share=1):
        """What this one has beyond the other, divided by `share`: a number of requests."""
        def less(mine, theirs):
            return collections.Counter({name: (mine[name] - theirs[name]) / share
                                        for name in {*mine, *theirs} if mine[name] != theirs[name]})
        return Profile(less(self.cost, other.cost), less(self.calls, other.calls))

    def plus(self, other):
        return Profile(self.cost + other.cost, self.calls + other.calls)


def plain_name(name):
    """Without what distinguishes copies of one function: recursion ('2), the compiler's clones (.part.0, .cold)."""
    return re.sub(r"'\d+$", "", re.sub(r"\.(part|isra|constprop|cold|lto_priv)\b.*", "", name))


def read(path):
    """The profile in a callgrind.out file (of one event, instructions)."""
    profile, names = Profile(), {}
    function = called = None
    is_inclusive = False  # the next line is what a call cost with all below it: not the caller's own
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            first = line[0]
            if first in "0123456789+-*":
                if not is_inclusive:
                    profile.cost[function] += int(line.split()[1])
                is_inclusive = False
            elif line.startswith("calls="):
                profile.calls[called] += int(line[6:].split()[0])
                is_inclusive = True
            elif match := NAMED.match(line):
                kind, number, name = match.groups()
                if name:
                    names[number] = plain_name(name)
                if kind == "fn":
                    function = names[number]
                else:
                    called = names[number]
    return profile
