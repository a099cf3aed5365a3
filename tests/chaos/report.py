# SPDX-License-Identifier: Apache-2.0
"""Tables of what was found, on the terminal and in docs/: each scenario's section says when, where and by which command."""
import datetime
import json
import os
import pathlib
import platform
import re
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def first_line(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    return (done.stdout or done.stderr).strip().split("\n")[0]


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    redis = re.search(r"v=(\S+)", first_line("redis-server", "--version"))
    return (f"{os.cpu_count()} × {model[1] if model else platform.machine()}, {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') >> 30} GiB, "
            f"Linux {platform.release().split('-')[0]}, Redis {redis[1] if redis else '?'}, Python {platform.python_version()}")


def build_of(build):
    text = (build / "CMakeCache.txt").read_text()
    kind = re.search(r"CMAKE_BUILD_TYPE:\w+=(\w*)", text)[1]
    sanitize = re.search(r"SLUICE_SANITIZE:\w+=(\S*)", text)
    commit = first_line("git", "rev-parse", "--short", "HEAD")
    is_dirty = bool(first_line("git", "status", "--porcelain", "src"))
    return (f"commit {commit}{' with changes' if is_dirty else ''}, {kind} build"
            f"{' with ' + sanitize[1] if sanitize and sanitize[1] else ''}")


class Weather:
    """How busy the machine was meanwhile: a process that only sleeps (weather.py), load and stolen time."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, str(pathlib.Path(__file__).with_name("weather.py"))],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.cpu = self._cpu()

    @staticmethod
    def _cpu():
        return [int(word) for word in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        late = json.loads(self.process.communicate(timeout=20)[0])
        spent = [b - a for a, b in zip(self.cpu, self._cpu())]
        return (f"a process that sleeps 2 ms woke late by {late['median']} ms (median of the worst in 50 ms), {late['p99']} ms (99 %), "
                f"{late['max']} ms (worst); processors {100 - 100 * (spent[3] + spent[4]) // max(1, sum(spent))} % busy, "
                f"{100 * spent[7] // max(1, sum(spent))} % stolen")


def table(judge):
    lines = ["| what | measured | bound | |", "|---|---|---|---|"]
    for what, measured, bound, is_kept in judge.rows:
        lines.append(f"| {what} | {measured} | {bound or '-'} | {'' if not bound else 'kept' if is_kept else '**broken**'} |")
    return "\n".join(lines)


def print_table(judge):
    width = max(len(what) for what, *_ in judge.rows)
    for what, measured, bound, is_kept in judge.rows:
        mark = " " if not bound else "+" if is_kept else "!"
        print(f"  {mark} {what:<{width}}  {measured}" + (f"   ({bound})" if bound else ""))
    for note in judge.notes:
        print(f"    {note}")


def dated(judge, command, build):
    """When it was found, how, on what, and how it went."""
    return (f"{datetime.datetime.fromtimestamp(judge.began, datetime.timezone.utc):%Y-%m-%d %H:%M} UTC, `{command}`, {build_of(build)}, {machine()}: "
            f"**{'kept' if judge.is_kept else 'broken'}**.")


def section(judge, command, build, doc):
    text = [f"## {judge.name}", "", doc, "", dated(judge, command, build), "", table(judge), ""]
    for note in judge.notes:
        text += [note, ""]
    for name in judge.plots:
        text += [f"![{judge.name}: what was asked for and what was admitted]({name})", ""]
    return "\n".join(text)


def write_section(page, name, text):
    """Between its marks, or at the page's end."""
    begin, end = f"<!-- {name} begin -->", f"<!-- {name} end -->"
    whole = page.read_text()
    block = f"{begin}\n{text}{end}"
    if begin in whole:
        head, _, rest = whole.partition(begin)
        whole = head + block + rest.partition(end)[2]
    else:
        whole = whole.rstrip("\n") + "\n\n" + block + "\n"
    page.write_text(whole)
