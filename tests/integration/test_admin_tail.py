# SPDX-License-Identifier: Apache-2.0
"""What operators watch and raise for a while: tail, the level of the error log, the log files, and completion in bash."""
import contextlib
import json
import os
import re
import subprocess
import urllib.parse

import pytest

from harness.client import Client
from harness.configs import respond
from harness.proxy import BINARY, environment
from harness.waiting import wait_for


def config(tmp_path, **more):
    return respond(quotas={"ip": {"key": ["ip"], "limits": {"day": 2}}}, admin={"address": f"unix:{tmp_path}/admin.sock"}, **more)


def counted(tmp_path, **more):
    made = config(tmp_path, **more)
    made["routes"] = [{"name": "free", "path": "/free", "respond": {"status": 200, "text": "x\n"}},
                      {"name": "search", "prefix": "/", "quotas": ["ip"], "respond": {"status": 200, "text": "x\n"}}]
    return made


class Tail:
    """A reader of /v1/tail."""

    def __init__(self, tmp_path, expression="", receive_buffer=None):
        self.client = Client(str(tmp_path / "admin.sock"), receive_buffer=receive_buffer)
        self.client.send(b"GET /v1/tail?q=" + urllib.parse.quote(expression, safe="").encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        self.bytes = b""
        while b"\r\n\r\n" not in self.bytes:
            self.bytes += self.client.sock.recv(65536)
        self.head, self.bytes = self.bytes.split(b"\r\n\r\n", 1)

    def line(self):
        while b"\n" not in self.bytes:
            data = self.client.sock.recv(65536)
            assert data, "the tail has ended"
            self.bytes += data
        line, self.bytes = self.bytes.split(b"\n", 1)
        return line


@contextlib.contextmanager
def tail_verb(tmp_path, *words):
    done = subprocess.Popen([BINARY, "tail", "-s", str(tmp_path / "admin.sock"), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, env=environment(tmp_path))
    try:
        yield done
    finally:
        done.kill()
        done.wait()
        done.stdout.close()
        done.stderr.close()


def watchers(verb, tmp_path):
    return sum(1 for _ in open("/proc/net/unix") if str(tmp_path / "admin.sock") in _) - 1


def test_a_tail_has_the_lines_of_the_log(start, connect, verb, tmp_path):
    proxy = start(counted(tmp_path))
    everything, refused = Tail(tmp_path), Tail(tmp_path, "decision=refuse & route=search|other & status>=429 & t_total<1h")
    assert everything.head.startswith(b"HTTP/1.1 200 OK\r\n") and b"application/x-ndjson" in everything.head
    client = connect(proxy)
    for path in ("/a", "/free", "/b", "/c"):
        client.ask("GET", path)
    written = wait_for(lambda: len(lines := proxy.access_log.read_bytes().splitlines()[1:]) == 4 and lines, "the lines")
    assert {everything.line() for _ in range(4)} == set(written)
    line = refused.line()
    assert line in written and json.loads(line)["decision"] == "refuse" and not refused.bytes
    # As sentences.
    with tail_verb(tmp_path, "--refused", "-q", "client_ip=127.0.0.1") as done:
        wait_for(lambda: watchers(verb, tmp_path) >= 3, "it watches")
        client.ask("GET", "/free")
        client.ask("GET", "/again")
        said = done.stdout.readline()
    assert said[8:].startswith(" 429 127.0.0.1 hit ip/day 2/2 on search, retry in ") and said.endswith(" s\n"), said


@pytest.mark.parametrize("expression, why", [
    ("rotue=search", 'at byte 1: "rotue" is no field of a line (did you mean "route"?)'),
    ("route=a & status>abc", "at byte 18: a number is expected"),
    ("t_total>100xs", "at byte 9: a time is expected, such as 100ms, or microseconds"),
    ("route>a", "at byte 6: this field is a text: only = and != compare it"),
    ("route", "at byte 6: one of = != > >= < <= is expected"),
    ("route=", "at byte 7: a value is expected"),
    ('route="a', "at byte 7: the quote is not closed"),
    ("route=a&", "at byte 9: the name of a field is expected, as in route=search"),
    ('route="a" b', "at byte 11: & is expected between two conditions"),
])
def test_a_wrong_expression_is_told_with_its_place(start, verb, tmp_path, expression, why):
    start(config(tmp_path))
    done = verb("tail", "-s", tmp_path / "admin.sock", "-q", expression)
    assert done.returncode == 2 and done.stderr == f"sluice: {why}\n", done


def test_a_tail_of_no_log_says_why(start, verb, tmp_path):
    start(config(tmp_path, log={"access": "off"}))
    done = verb("tail", "-s", tmp_path / "admin.sock")
    assert done.returncode == 1 and done.stderr == 'sluice: log.access is "off": no lines are made that could be shown\n'


def test_a_head_request_watches_nothing(start, connect, tmp_path):
    proxy = start(counted(tmp_path))
    assert connect(str(tmp_path / "admin.sock")).ask("HEAD", "/v1/tail").status == 405
    client = connect(proxy)
    for count in range(10):
        assert client.ask("GET", "/free?old").status == 200
        wait_for(lambda: proxy.access_log.read_bytes().count(b'"query":["old"]') == count + 1, "the line")
    tail = Tail(tmp_path)
    assert client.ask("GET", "/free?new").status == 200
    assert json.loads(tail.line())["query"] == ["new"]


def test_a_reader_that_stalls_is_told_what_it_lost(start, connect, tmp_path):
    proxy = start(counted(tmp_path))
    stalled, good = Tail(tmp_path, receive_buffer=4096), Tail(tmp_path, "path=/free & query=last")
    client, path = connect(proxy), "/free?" + "&".join(f"{'n' * 60}{i}=1" for i in range(50))
    for _ in range(600):
        client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert client.read().status == 200
    written = wait_for(lambda: len(lines := proxy.access_log.read_bytes().splitlines()[1:]) == 600 and lines, "the lines")
    # What it reads stands in the log, in that order; and it is told how many lines are missing.
    read, lost = [], 0
    while len(read) + lost < 600:
        line = stalled.line()
        if b'"event":"tail_lost"' in line:
            lost += json.loads(line)["n"]
        else:
            read.append(line)
    places = [written.index(line) for line in read]
    assert len(read) + lost == 600 and lost > 0 and places == sorted(set(places))
    client.ask("GET", "/free?last")
    assert json.loads(stalled.line())["query"] == ["last"]
    assert json.loads(good.line())["query"] == ["last"] and not good.bytes
    assert connect(str(tmp_path / "admin.sock")).ask("GET", "/readyz").status == 200


def test_the_level_ends_by_itself_and_with_a_reload(start, verb, tmp_path):
    proxy = start(config(tmp_path, log={"level": "warn"}))
    socket = tmp_path / "admin.sock"

    def level(*words):
        return verb("log", "level", *words, "-s", socket)

    assert level("info", "--for", "1s").stdout == "level warn -> info for 1s, then warn\n"
    event = proxy.wait_for_event("admin")[0]
    assert (event["verb"], event["before"], event["after"]) == ("log:level", {"level": "warn"}, {"level": "info", "for_s": 1})
    assert event["by"] == os.getuid() and event["pid"] > 0
    proxy.wait_for_event("log_level_over")
    assert level("debug").stdout == "level warn -> debug for 10m 0s, then warn\n"
    assert verb("reload", "-s", socket).returncode == 0
    proxy.wait_for_event("reload")
    # The parent was raised too: what it says of a reload at "info" is there once, of the one in between.
    assert level("info").stdout == "level warn -> info for 10m 0s, then warn\n"
    assert verb("reload", "-s", socket).returncode == 0
    assert level("configured").stdout == "level warn -> warn\n"
    for words, why in ((("loud",), "debug, info"), (("info", "--for", "25h"), "1s to 24h"), ((), "LEVEL is needed")):
        done = level(*words)
        assert done.returncode == 2 and why in done.stderr, done


def test_reopen_says_which_file_cannot_be_opened(start, connect, verb, tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    proxy = start(counted(tmp_path, log={"access": str(folder / "a.log"), "error": str(tmp_path / "e.log")}))
    socket = tmp_path / "admin.sock"
    assert verb("log", "reopen", "-s", socket).stdout == "the log files are open again\n"
    folder.rename(tmp_path / "away")
    done = verb("log", "reopen", "-s", socket)
    assert done.returncode == 5 and f"the access log {folder}/a.log cannot be opened: No such file or directory; the old file is kept" in done.stderr
    connect(proxy).ask("GET", "/free")
    wait_for(lambda: '"path":"/free"' in (tmp_path / "away" / "a.log").read_text(), "the old file is written on")
    folder.mkdir()
    assert verb("log", "reopen", "-s", socket).returncode == 0


COMPLETE = """
source <("$SLUICE" completion bash)
while IFS=$'\\x1f' read -r -a COMP_WORDS; do
    COMP_CWORD=$((${#COMP_WORDS[@]} - 2))
    COMP_WORDS=("${COMP_WORDS[@]:0:COMP_CWORD + 1}")
    _sluice
    echo "${COMPREPLY[@]}"
done
"""


def complete(tmp_path, *rows):
    """What one shell offers for each list of words, of which the last is not finished."""
    asked = "".join("\x1f".join(("sluice", *words, "end")) + "\n" for words in rows)
    done = subprocess.run(["bash", "-c", COMPLETE], cwd=tmp_path, env={**os.environ, "SLUICE": BINARY}, input=asked, capture_output=True, text=True, check=True)
    assert not done.stderr, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def helped(*words):
    return subprocess.run([BINARY, *words], capture_output=True, text=True, check=True).stdout


def test_bash_completes_verbs_options_and_files(tmp_path):
    """Every verb completes every option that its help names and no other, behind an option with a value what that is, and its words."""
    files, usage = ["one.json", "two.log"], helped("help")
    for name in files:
        (tmp_path / name).touch()
    verbs = [line.split()[0] for line in usage.split("OPTION...]")[1].split("`sluice VERB")[0].splitlines() if line.startswith("  ")]
    words = {"log": ["configured", "debug", "error", "info", "reopen", "warn", "level"], "upstreams": ["drain", "ready", "down"],
             "completion": ["bash"], "help": verbs, "explain": ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]}
    wanted = {("",): verbs, ("rep",): ["replay", "report"], ("up",): ["upgrade", "upstreams"], ("x",): [], ("diff", "o"): ["one.json"],
              ("verify", "-c", "one.json", "o"): ["one.json"], ("check", "--d"): ["--dump"], ("log", "re"): ["reopen"]}
    seen = set()
    for name in verbs:
        help_text = helped(name, "--help")
        rows = re.findall(r"^  (?:-(\w),|   ) --([\w-]+)(?: (\S+))?  ", help_text, re.MULTILINE)
        long = [f"--{option}" for _, option, _ in rows]
        wanted[(name, "-")] = [f"-{letter}" for letter, _, _ in rows if letter] + long
        wanted[(name, "--")] = long
        takes_files = re.search(r"usage: sluice [^\n]* (LOG\.\.\.|\[FILE\])\n", help_text)
        wanted[(name, "")] = files if takes_files else words.get(name, [])
        for letter, option, value in rows:
            wanted[(name, f"--{option}")] = [one for one in long if one.startswith(f"--{option}")]
            for given in [f"--{option}", *([f"-{letter}"] if letter else [])] if value else []:
                wanted[(name, given, "")] = files if value in ("FILE", "SOCKET") else []
        seen.update(wanted[(name, "-")])
    assert {"-c", "-s", "-H", "-q", "--policy", "--output", "--sandbox", "--new-key", "--force", "--port", "--deadline", "--help"} <= seen and len(verbs) > 20
    for asked, found in zip(wanted, complete(tmp_path, *wanted), strict=True):
        assert sorted(found) == sorted(wanted[asked]), asked
