# SPDX-License-Identifier: Apache-2.0
"""The README is true: its commands are run, its configurations are checked, its output is what comes out today."""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess

import pytest
from harness.client import Client
from harness.ports import take_port
from harness.proxy import BINARY, environment
from harness.waiting import PATIENCE_S, wait_for, wait_for_room

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
QUICKSTART_PORTS = (8080, 9000, 9180)


def blocks(kind):
    return [text for found, text in BLOCK.findall(README) if found == kind]


def transcript():
    """[(command, expected output)] of all console blocks."""
    rows = []
    for block in blocks("console"):
        for line in block.splitlines(keepends=True):
            if line.startswith("$ "):
                rows.append([line[2:].strip(), ""])
            else:
                rows[-1][1] += line
    return [tuple(row) for row in rows]


def skeleton(text):
    """What stays the same from run to run: ids, times and numbers are taken out."""
    text = text.replace("\r\n", "\n")
    text = re.sub(r"\b[0-9a-f]{32}\b", "<id>", text)
    text = re.sub(r"-\d{13}-\S+", "-<ms>-<host>", text)
    text = re.sub(r"^Date: .*$", "Date: <date>", text, flags=re.MULTILINE)
    text = re.sub(r"\d+ ?(ms|s|m|h|d)\b", "<time>", text)
    return re.sub(r"\d+", "<n>", text).strip()


def shell(command, cwd, **env):
    """Run a README command; where it says build/release/sluice the program under test stands."""
    command = command.replace("build/release/sluice", BINARY)
    return subprocess.run(["bash", "-c", command], cwd=cwd, env=environment(cwd, env), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=4 * PATIENCE_S, check=False)


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@pytest.fixture
def quickstart(tmp_path):
    """scripts/quickstart in the background, as the README tells."""
    taken = [port for port in QUICKSTART_PORTS if not is_free(port)]
    if taken:
        pytest.skip(f"something else listens on port {taken}")
    output = open(tmp_path / "quickstart", "wb")
    process = subprocess.Popen(["scripts/quickstart"], cwd=ROOT, env=environment(tmp_path, {"SLUICE_BIN": BINARY}),
                               stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
    try:
        wait_for(lambda: "curl -i" in (tmp_path / "quickstart").read_text(), "quickstart prints the line to try")
        yield process
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
        assert process.wait(PATIENCE_S) == 0
        assert not list(tmp_path.glob("sanitizer.*"))
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        output.close()


def test_every_command_is_known():
    """A new command in the README needs a place in the tests below."""
    known = ["scripts/quickstart", "scripts/test", "curl -i http://127.0.0.1:8080/hello", "curl -i http://127.0.0.1:8080/hello",
             "export SLUICE_SUBJECT_SECRET=$(head -c 24 /dev/urandom | base64)", "build/release/sluice check -c my.json",
             "build/release/sluice run -c my.json", "curl -s http://127.0.0.1:8080/ping",
             "curl -s -o /dev/null -w '%{http_code}\\n' -H 'X-Api-Key: me' http://127.0.0.1:8080/v1/hello", "grep '\"status\":429' build/quickstart/access.log | tail -n 1",
             "build/release/sluice status -s build/quickstart/admin.sock", "build/release/sluice top -s build/quickstart/admin.sock",
             "curl -s http://127.0.0.1:9180/metrics | grep decisions_total",
             "build/release/sluice report -c conf/quickstart.json build/quickstart/access.log | head -n 2",
             "build/release/sluice verify -c conf/quickstart.json build/quickstart/access.log | tail -n 1"]
    assert [command for command, _ in transcript()] == known


def test_quickstart_transcript(quickstart):
    rows = transcript()
    first, second = [row for row in rows if row[0].startswith("curl -i")]
    wait_for_room(60, 15)
    answer = shell(first[0], ROOT).stdout
    assert skeleton(answer) == skeleton(first[1])
    assert "X-ratelimit: 5" in answer and "X-ratelimit-used: 4" in answer
    for _ in range(4):
        assert " 200 OK" in shell(first[0], ROOT).stdout
    refusal = shell(second[0], ROOT).stdout
    assert skeleton(refusal) == skeleton(second[1])
    assert "limit:5,time:1 minute" in refusal

    tail, status, top, metrics, report, verify = rows[-6:]
    wait_for(lambda: '"status":429' in shell(tail[0], ROOT).stdout, "the refusal is in the log")
    line, shown = json.loads(shell(tail[0], ROOT).stdout), json.loads(tail[1])
    assert list(line) == list(shown)
    for name in ("method", "path", "route", "decision", "refused_by", "status", "end"):
        assert line[name] == shown[name], name
    # Retry-After is one digit near the window's end and two before
    assert line["bytes_out"] - len(str(line["retry_after"])) == shown["bytes_out"] - len(str(shown["retry_after"]))
    assert [list(entry) for entry in line["quotas"]] == [list(entry) for entry in shown["quotas"]]

    said = shell(status[0], ROOT)
    assert said.returncode == 0 and skeleton(said.stdout) == skeleton(status[1])
    said = shell(metrics[0], ROOT)
    assert said.stdout == metrics[1], "six requests: five counted and answered by the backend's route, one refused"
    for command, expected in (top, report, verify):
        said = shell(command, ROOT)
        assert said.returncode == 0 and skeleton(said.stdout) == skeleton(expected), command


def test_quickstart_check():
    taken = [port for port in QUICKSTART_PORTS if not is_free(port)]
    if taken:
        pytest.skip(f"something else listens on port {taken}")
    done = shell("scripts/quickstart --check", ROOT, SLUICE_BIN=BINARY)
    assert done.returncode == 0 and done.stdout.endswith("quickstart: ok\n"), done


def test_first_configuration(tmp_path):
    """Checked as it stands; then run, asked and reloaded (on free ports)."""
    text, redis = blocks("json")
    (tmp_path / "my.json").write_text(text)
    setup = "export SLUICE_SUBJECT_SECRET=$(head -c 24 /dev/urandom | base64); "
    done = shell(setup + "build/release/sluice check -c my.json", tmp_path)
    assert done.returncode == 0 and "warning" not in done.stdout + done.stderr, done
    assert ("build/release/sluice check -c my.json", done.stdout) in transcript()

    (tmp_path / "shared.json").write_text(text.replace('"quotas": {', redis.strip() + ',\n  "quotas": {', 1))
    done = shell(setup + "build/release/sluice check -c shared.json", tmp_path)
    assert done.returncode == 0, done

    port = take_port()
    text = text.replace("0.0.0.0:8080", f"127.0.0.1:{port}").replace("127.0.0.1:9180", f"127.0.0.1:{take_port()}")
    for server in ("9000", "9001"):
        text = text.replace(f"127.0.0.1:{server}", f"127.0.0.1:{take_port()}")
    (tmp_path / "my.json").write_text(text)
    process = subprocess.Popen([BINARY, "run", "-c", "my.json"], cwd=tmp_path, stdin=subprocess.DEVNULL,
                               env=environment(tmp_path, {"SLUICE_SUBJECT_SECRET": "s" * 32}),
                               stderr=open(tmp_path / "stderr", "wb"), start_new_session=True)
    try:
        wait_for((tmp_path / "access.log").exists, "it serves")
        with Client(("127.0.0.1", port)) as client:
            reply = client.ask("GET", "/ping")
            assert reply.status == 200 and reply.body == b'{"ok":true}'
            reply = client.ask("GET", "/v1/x", [("X-Api-Key", "k")])
            assert reply.status == 502 and reply["X-ratelimit"] == "60", "nobody listens behind it, but it has counted"
        shown = [row for row in transcript() if row[0].startswith("curl -s ") and ":8080/" in row[0]]
        assert len(shown) == 2
        for command, expected in shown:
            assert shell(command.replace("8080", str(port)), tmp_path).stdout.strip() == expected.strip()
        done = shell("build/release/sluice reload -s admin.sock", tmp_path)
        assert done.returncode == 0, done
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()


def test_test_script_tells_how_to_use_it():
    done = shell("scripts/test --help", ROOT)
    assert done.returncode == 0 and "--tsan" in done.stdout
    assert shell("scripts/test --nonsense", ROOT).returncode == 2
