# SPDX-License-Identifier: Apache-2.0
"""The guard of what a request costs (scripts/check-instructions): a slowdown is found and named, none is invented, and what it
compares with is the right commit."""
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "bench"))
import callgrind  # noqa: E402
import guard  # noqa: E402

pytestmark = pytest.mark.skipif(bool(os.environ.get("SLUICE_SANITIZE")), reason="valgrind does not run sanitized programs")
BUILD = pathlib.Path(os.environ["SLUICE_BIN"]).parent


def check(*words):
    run = subprocess.run([ROOT / "scripts" / "check-instructions", BUILD, "--before", BUILD / "sluice", "--scenario", "plain", *words],
                         capture_output=True, text=True, check=False)
    return run.returncode, run.stdout + run.stderr


def test_the_same_program_costs_the_same():
    code, text = check()
    assert code == 0, text
    assert "  plain: " in text and "%)" in text


def test_a_slowdown_is_found_and_named():
    code, text = check("--preload", str(BUILD / "libslow_preload.so"))
    assert code == 1, text
    first = text.split("functions that grew most:\n")[1].splitlines()[0]
    assert first.strip().startswith("needless_work: 0 -> "), text


# ---- the verdict, on made-up figures ----

def profile(**cost):
    return callgrind.Profile(callgrind.collections.Counter(cost))


@pytest.mark.parametrize("more, is_grown", [(0, False), (50, False), (51, True), (-500, False)])
def test_the_limit_is_five_percent(more, is_grown):
    lines, verdict = guard.compare({"plain": profile(a=600, b=400)}, {"plain": profile(a=600, b=400 + more)})
    assert verdict is is_grown
    assert [line.strip() for line in lines[1:]] == ([f"b: 400 -> {400 + more} (+{more})"] if is_grown else [])


def test_one_scenario_that_grew_is_enough():
    before, after = {"plain": profile(a=100), "local": profile(a=100)}, {"plain": profile(a=10), "local": profile(a=90, new=20)}
    lines, verdict = guard.compare(before, after)
    assert verdict
    assert lines[-1].strip() == "new: 0 -> 20 (+20)"


def test_allocations_are_found():
    quiet, busy = callgrind.Profile(None, callgrind.collections.Counter(free=1)), callgrind.Profile(None, callgrind.collections.Counter(malloc=1))
    assert guard.allocating({"plain": quiet}) == []
    assert guard.allocating({"plain": quiet, "local": busy}) == ["  local: 1.00 allocations a request; there are to be none"]


def test_callgrind_files_are_read(tmp_path):
    file = tmp_path / "out"
    file.write_text("version: 1\nevents: Ir\n\nfl=(1) a.c\nfn=(1) main\n10 5\n+1 7\ncfn=(2) work.part.0\ncalls=3 20\n12 300\n* 1\n\n"
                    "fn=(2)\n20 290\ncfn=(3) malloc\ncalls=1 0\n+1 10\n\nfn=(3)\n0 10\n\ntotals: 313\n")
    read = callgrind.read(file)
    assert dict(read.cost) == {"main": 13, "work": 290, "malloc": 10}
    assert dict(read.calls) == {"work": 3, "malloc": 1}
    assert (read.total(), read.allocations()) == (313, 1)
    assert dict(read.minus(callgrind.Profile(callgrind.collections.Counter(main=3)), 10).cost) == {"main": 1, "work": 29, "malloc": 1}


# ---- what it compares with ----

class Repository:
    def __init__(self, folder):
        self.folder = folder
        (folder / "src").mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *words):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", *identity, *words], cwd=self.folder, capture_output=True, text=True, check=True).stdout.strip()

    def commit(self, text, message="m", name="src/a.c"):
        (self.folder / name).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "clone")


def test_on_main_it_is_the_parent(repository):
    first = repository.commit("1")
    repository.commit("2")
    assert guard.choose_base(repository.folder) == first
    assert guard.is_changed(repository.folder, first)


def test_with_changes_it_is_the_last_commit(repository):
    repository.commit("1")
    second = repository.commit("2")
    (repository.folder / "notes").write_text("no source")
    assert guard.choose_base(repository.folder) != second
    (repository.folder / "src" / "b.c").write_text("not even added")
    assert guard.choose_base(repository.folder) == second
    assert guard.is_changed(repository.folder, second)


def test_on_a_branch_it_is_where_it_left_main(repository):
    fork = repository.commit("1")
    repository.git("checkout", "-q", "-b", "work")
    repository.commit("2", "work: slower\n\nWhy.\n\nInstructions: keeps a promise")
    repository.commit("3")
    assert guard.choose_base(repository.folder) == fork
    assert guard.accepted_reasons(repository.folder, fork) == ["keeps a promise"]
    assert guard.accepted_reasons(repository.folder, "HEAD^") == []


def test_what_is_no_source_changes_nothing(repository):
    repository.commit("1")
    repository.commit("page", name="page.md")
    assert not guard.is_changed(repository.folder, guard.choose_base(repository.folder))


def test_without_history_it_says_so(repository, tmp_path):
    with pytest.raises(guard.Skip, match="no clone"):
        guard.choose_base(tmp_path)
    repository.commit("1")
    with pytest.raises(guard.Skip, match="parent commit is not here"):
        guard.choose_base(repository.folder)
    with pytest.raises(guard.Skip, match="no commit 123456"):
        guard.choose_base(repository.folder, "123456")
    (repository.folder / "unpacked").mkdir()
    with pytest.raises(guard.Skip, match="no clone"):
        guard.choose_base(repository.folder / "unpacked")
