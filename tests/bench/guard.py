# SPDX-License-Identifier: Apache-2.0
"""Does a request cost more instructions than before?  Builds the program as it was, gives both the same small load under callgrind,
and compares instructions in user mode per request, function by function.

One connection, one request after the other, and a fixed number of them, so that a busy machine hardly changes what is counted: five
runs of one build differed by 0.2 % at most, and by 0.8 % with twenty other programs on two processors.  Start and end fall out as the difference of a short run and a long one."""
import pathlib
import re
import shutil
import subprocess
import tempfile

import measure
import scenarios

GUARDED = ("plain", "local", "redis", "refuse")
GROWTH_MAX = 0.05
FEW, MANY = 200, 2200  # requests
NAMED = 8  # functions
KEPT_BUILDS = 3
BUILT_FROM = ("src", "CMakeLists.txt", "CMakePresets.json")
ALLOCATIONS_MAX = 0.01  # a request


class Skip(Exception):
    """There is nothing to compare with; says why."""


def git(root, *words):
    """What git prints; None where it fails or is not there."""
    try:
        run = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return run.stdout.strip() if run.returncode == 0 else None


def is_changed(root, base):
    """Does what the program is built from differ from that commit?"""
    return git(root, "diff", "--quiet", base, "--", *BUILT_FROM) is None or bool(
        git(root, "ls-files", "--others", "--exclude-standard", "--", *BUILT_FROM))


def choose_base(root, wanted=None):
    """The commit to compare with: the one that is asked for; on a branch where it left main; else the parent, or
    the last commit while there are changes that are not committed."""
    head = git(root, "rev-parse", "--verify", "HEAD")
    if head is None or not pathlib.Path(git(root, "rev-parse", "--show-toplevel") or "/").samefile(root):
        raise Skip("this is no clone of a git repository, or git does not trust it")
    if wanted:
        base = git(root, "rev-parse", "--verify", f"{wanted}^{{commit}}")
        if base is None:
            raise Skip(f"there is no commit {wanted} (a shallow clone?)")
        return base
    fork = git(root, "merge-base", "HEAD", "main") or git(root, "merge-base", "HEAD", "origin/main")
    if fork and fork != head:
        return fork
    if is_changed(root, head):
        return head
    parent = git(root, "rev-parse", "--verify", "HEAD^")
    if parent is None:
        raise Skip("the parent commit is not here (a shallow clone, or the first commit)")
    return parent


def accepted_reasons(root, base):
    """The trailers "Instructions: why" of the commits since then."""
    text = git(root, "log", "--format=%(trailers:key=Instructions,valueonly)", f"{base}..HEAD") or ""
    return [line.strip() for line in text.splitlines() if line.strip()]


def build(root, commit, folder):
    """The program as it was then, from the cache where it is there."""
    program = folder / commit[:16] / "sluice"
    if program.exists():
        program.parent.touch()
        return program
    shutil.rmtree(program.parent, ignore_errors=True)
    program.parent.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="source-", dir=folder) as source:
        archive = subprocess.run(["git", "archive", commit], cwd=root, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", source], input=archive, check=True)
        for command in (["cmake", "--preset", "release"], ["ninja", "-C", "build/release", "--quiet", "sluice"]):
            run = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
            if run.returncode != 0:
                raise Skip(f"{commit[:12]} does not build here: {(run.stderr or run.stdout)[-500:]}")
        shutil.copy2(pathlib.Path(source) / "build/release/sluice", program)
    for old in sorted(folder.glob("[0-9a-f]*"), key=lambda f: f.stat().st_mtime)[:-KEPT_BUILDS]:
        shutil.rmtree(old)
    return program


def measure_all(place, names, program, environment=()):
    """{scenario: profile per request}"""
    profiles = {}
    for name in names:
        scenario = scenarios.SCENARIOS[name]
        place.open(scenario)
        try:
            profiles[name] = measure.profile_per_request(place, "sluice", scenario, FEW, MANY, 1, program, environment)
        finally:
            place.close()
    return profiles


def growers(before, after):
    """Lines about the functions that grew most."""
    grown = after.minus(before).cost.most_common(NAMED)
    return [f"      {name}: {before.cost[name]:,.0f} -> {after.cost[name]:,.0f} (+{more:,.0f})" for name, more in grown if more >= 1]


def compare(before, after):
    """(lines to print, whether a scenario grew too much)"""
    lines, is_grown = [], False
    for name, profile in after.items():
        growth = profile.total() / before[name].total() - 1
        is_over = profile.total() > before[name].total() * (1 + GROWTH_MAX)
        lines.append(f"  {name}: {before[name].total():,.0f} -> {profile.total():,.0f} instructions a request ({growth:+.1%})"
                     + (f", more than {GROWTH_MAX:.0%}; functions that grew most:" if is_over else ""))
        lines += growers(before[name], profile) if is_over else []
        is_grown = is_grown or is_over
    return lines, is_grown


def allocating(profiles):
    return [f"  {name}: {profile.allocations():.2f} allocations a request; there are to be none"
            for name, profile in profiles.items() if profile.allocations() > ALLOCATIONS_MAX]


def subject(root, commit):
    return re.sub(r"\s+", " ", git(root, "log", "-1", "--format=%h %s", commit) or commit)
