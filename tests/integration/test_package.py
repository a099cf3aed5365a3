# SPDX-License-Identifier: Apache-2.0
"""What is shipped beside the program: man pages, the unit, the packaged configuration; and what the serving process may do."""
import gzip
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest
from harness.configs import respond
from harness.ports import take_port
from harness.proxy import BINARY, environment, listening_ports, run_verb
from harness.waiting import PATIENCE_S, wait_for, wait_for_room

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"
IS_SANITIZED = bool(os.environ.get("SLUICE_SANITIZE"))


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """{page: text as a reader sees it}; made as the package makes them."""
    folder = tmp_path_factory.mktemp("man")
    subprocess.run([ROOT / "scripts/man-pages", BINARY, folder], check=True, timeout=60)
    shown = {}
    for name in ("sluice.8", "sluice.json.5", "sluice-log.5"):
        done = subprocess.run(["groff", "-man", "-ww", "-Kutf8", "-Tutf8", "-P-c", "-rLL=200n", folder / name],
                              capture_output=True, text=True, check=True, timeout=60)
        assert done.stderr == "", "groff warns of nothing"
        shown[name] = re.sub(".\b", "", done.stdout)
    return shown


def test_every_verb_and_option_has_its_place(pages, tmp_path):
    page = pages["sluice.8"]
    usage = run_verb(tmp_path, "help").stdout
    verbs = re.findall(r"^  (\w+) +(.+)$", usage, re.MULTILINE)
    assert len(verbs) >= 17
    for name, summary in verbs:
        section = re.search(rf"^   sluice {name}$\n(.*?)(?=^   sluice |^\S)", page, re.MULTILINE | re.DOTALL)
        assert section and summary in " ".join(section[1].split()), name
        options = re.findall(r"(--[\w-]+)(?= |$)", "\n".join(line for line in run_verb(tmp_path, name, "--help").stdout.splitlines()
                                                               if re.match(r"  (-\w,|   ) --", line)), re.MULTILINE)
        assert "--help" in options
        assert all(option in section[1] for option in options), (name, options)
    for code in range(11):
        assert re.search(rf"^       {code}  ", page, re.MULTILINE), f"exit code {code}"
    for word in ("HUP", "USR1", "/etc/sluice/sluice.json", "SLUICE_KEY_FILE"):
        assert word in page


def schema_keys(schema):
    """Every key that the file may have, from the schema that the program prints."""
    keys = set()
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name == "properties":
                keys |= set(value)
            keys |= schema_keys(value)
    elif isinstance(schema, list):
        for value in schema:
            keys |= schema_keys(value)
    return keys


def test_every_key_has_its_place(pages, tmp_path):
    keys = schema_keys(json.loads(run_verb(tmp_path, "schema").stdout)) - {"$schema", "env", "file", "sealed"}
    words = set(re.findall(r"[\w$]+", pages["sluice.json.5"]))
    assert len(keys) > 100 and keys <= words, keys - words


def test_every_field_of_a_line_has_its_place(pages):
    fields = [name for row in re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", (ROOT / "docs/logs.md").read_text().split("\n## ")[1], re.MULTILINE)
              for name in re.findall(r"\w+", row)]
    assert {"seq", "decision", "t_total", "charges_whole"} <= set(fields)
    assert all(re.search(rf"\b{name}\b", pages["sluice-log.5"]) for name in fields)


def test_the_packaged_configuration(tmp_path):
    done = run_verb(tmp_path, "check", "-c", PACKAGING / "sluice.json", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["errors"] == json.loads(done.stdout)["warnings"] == 0
    dump = json.loads(run_verb(tmp_path, "check", "-c", PACKAGING / "sluice.json", "--dump").stdout)
    assert dump["admin"] == {"address": "unix:/run/sluice/admin.sock", "metrics": "127.0.0.1:9180"}
    assert [row["address"] for row in dump["listen"]] == ["127.0.0.1:8080"], "nobody else's before somebody says so"


def test_the_unit(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", PACKAGING / "sluice.service"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr
    unit = (PACKAGING / "sluice.service").read_text()
    settings = dict(line.split("=", 1) for line in unit.splitlines() if re.match(r"\w+=", line))
    assert settings["RestartPreventExitStatus"] == "2 3 7" and settings["SuccessExitStatus"] == "9"
    assert int(settings["WatchdogSec"].removesuffix("s")) >= 10, "four questions in it, each of which may wait for a busy machine"
    limits = json.loads(run_verb(tmp_path, "check", "-c", PACKAGING / "sluice.json", "--dump").stdout)["limits"]
    longest_s = sum(int(limits[name].removesuffix("s")) for name in ("drain_announce", "drain_timeout")) + 5
    assert int(settings["TimeoutStopSec"].removesuffix("s")) >= longest_s
    for command in re.findall(r"^Exec\w+=/usr/bin/sluice (\w+)", unit, re.MULTILINE):
        assert run_verb(tmp_path, command, "--help").returncode == 0


def test_rotation_of_the_package(start, connect, tmp_path):
    """packaging/sluice.logrotate, by logrotate, in a folder of ours: the running service, one that does not run, a file that cannot be opened."""
    if shutil.which("logrotate") is None:
        pytest.skip("no logrotate")
    folder, programs = tmp_path / "log", tmp_path / "bin"
    folder.mkdir(mode=0o750)
    programs.mkdir()
    socket = tmp_path / "admin.sock"
    log = folder / "access.log"
    proxy = start(respond(log={"access": str(log)}, admin={"address": f"unix:{socket}"}))
    connect(proxy).ask()
    for name, words in (("sluice", f'exec {BINARY} "$@" -s {socket}'), ("systemctl", f'echo "$@" >>{tmp_path}/systemctl')):
        (programs / name).write_text(f"#!/bin/sh\n{words}\n")
        (programs / name).chmod(0o755)
    text = (PACKAGING / "sluice.logrotate").read_text()
    assert text.startswith("/var/log/sluice/*.log {\n") and "    su sluice sluice\n" in text
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    group = subprocess.run(["id", "-gn"], capture_output=True, text=True, check=True).stdout.strip()
    (tmp_path / "rotate").write_text(text.replace("/var/log/sluice/", f"{folder}/").replace("su sluice sluice", f"su {user} {group}"))
    (tmp_path / "rotate").chmod(0o644)

    def rotate():
        env = {**environment(tmp_path), "PATH": f"{programs}:/usr/sbin:{os.environ['PATH']}"}
        return subprocess.run(["logrotate", "-s", tmp_path / "status", "-f", tmp_path / "rotate"], env=env, capture_output=True, text=True,
                              timeout=PATIENCE_S, check=False)

    wait_for(lambda: '"status":200' in log.read_text(), "a line")
    done = rotate()
    assert (done.returncode, done.stderr) == (0, "") and '"status":200' in (folder / "access.log.1").read_text()
    wait_for(log.exists, "the log is open again")
    connect(proxy).ask()
    wait_for(lambda: '"status":200' in log.read_text(), "lines go into the new file")
    assert not (tmp_path / "systemctl").exists()

    (programs / "sluice").write_text("#!/bin/sh\necho 'sluice: the access log cannot be opened' >&2\nexit 5\n")
    done = rotate()
    assert done.returncode == 1 and "cannot be opened" in done.stderr, "whoever reads logrotate's mail learns of it"
    assert not (tmp_path / "systemctl").exists()
    proxy.stop()
    (programs / "sluice").write_text(f'#!/bin/sh\nexec {BINARY} "$@" -s {socket}\n')
    log.write_text("a line\n")
    done = rotate()
    assert done.returncode == 0, "nobody runs"
    assert (tmp_path / "systemctl").read_text() == "kill --kill-who=main --signal=USR1 sluice.service\n", "or nobody who has an admin socket"


def test_what_a_package_holds(tmp_path):
    subprocess.run([ROOT / "scripts/package-files", BINARY, tmp_path], check=True, timeout=60)
    share = tmp_path / "root/share"
    assert json.loads((share / "sluice/schema.json").read_text())["properties"]
    for name in ("alerts.rules.yml", "grafana.json"):
        installed = share / "sluice" / name
        assert installed.read_bytes() == (PACKAGING / name).read_bytes() and installed.stat().st_mode & 0o777 == 0o644
    for page in ("man8/sluice.8", "man5/sluice.json.5", "man5/sluice-log.5"):
        assert gzip.open(share / "man" / f"{page}.gz").read().startswith(b".\\\" ")
    version = run_verb(tmp_path, "version").stdout.split()[1]
    assert gzip.open(share / "doc/sluice/changelog.Debian.gz").read().startswith(f"sluice ({version}-1) ".encode())
    assert f"\n## {version} - " in (ROOT / "CHANGELOG.md").read_text()


def status_of(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def test_the_serving_process_is_sandboxed(start, connect):
    proxy = start(respond(), is_sandboxed=True)
    assert connect(proxy).ask().status == 200
    for task in os.listdir(f"/proc/{proxy.child}/task"):
        status = status_of(f"{proxy.child}/task/{task}")
        if IS_SANITIZED:
            assert status["Seccomp"] == "0"
            continue
        assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
        assert all(int(status[name], 16) == 0 for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"))
    assert status_of(proxy.pid)["Seccomp"] == status_of("self")["Seccomp"], "the parent starts programs"


def test_without_the_sandbox(start, tmp_path):
    """To debug: the same configuration, once more, told to do without."""
    proxy = start(respond())
    proxy.stop()
    process = subprocess.Popen([BINARY, "run", "-c", proxy.file, "--sandbox=off"], cwd=tmp_path, env=environment(tmp_path),
                               stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_for(children.read_text, "there is a serving process")
        wait_for(lambda: len(proxy.events("start")) == 2, "it serves")
        assert status_of(int(children.read_text()))["Seccomp"] == status_of("self")["Seccomp"]
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
    done = run_verb(tmp_path, "run", "--sandbox", "maybe")
    assert done.returncode == 2 and "--sandbox" in done.stderr


def test_getting_started(tmp_path):
    """docs/getting-started.md, typed into one shell, on free ports."""
    page = (ROOT / "docs/getting-started.md").read_text()
    ports = {"8000": str(take_port()), "9000": str(take_port())}

    def here(text):
        return re.sub(r"\b(8000|9000)\b", lambda port: ports[port[1]], text)

    (tmp_path / "first.json").write_text(here(re.search(r"```json\n(.*?)```", page, re.DOTALL)[1]))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sluice").symlink_to(BINARY)
    rows = []
    for line in "".join(re.findall(r"```console\n(.*?)```", page, re.DOTALL)).splitlines():
        if line.startswith("$ "):
            rows.append([here(line[2:]), ""])
        else:
            rows[-1][1] += line + "\n"
    assert len(rows) >= 13
    env = {**environment(tmp_path), "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    shell = subprocess.Popen(["bash"], cwd=tmp_path, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)

    def typed(command):
        shell.stdin.write(f"{command}\necho; echo --end--\n")
        shell.stdin.flush()
        said = ""
        for line in shell.stdout:
            if line == "--end--\n":
                return said[:-1]
            said += line
        raise AssertionError(f"the shell has ended: {said}")

    try:
        wait_for_room(60, 15)
        for command, expected in rows:
            if command.startswith("sluice report"):
                wait_for(lambda: (tmp_path / "access.log").read_text().count('"status"') == 6, "all lines are written")
            said = typed(command)
            if "http.server" in command:
                wait_for(lambda: int(ports["9000"]) in listening_ports(), "the backend serves")
            elif command.startswith("sluice run"):
                wait_for(lambda: int(ports["8000"]) in listening_ports() and (tmp_path / "admin.sock").exists(), "sluice serves")
                wait_for(lambda: (tmp_path / "access.log").exists() and '"event":"start"' in (tmp_path / "access.log").read_text(), "its log begins")
            stamp = re.compile(r"\d{4}-\d\d-\d\dT[\d:]+Z")
            assert stamp.sub("", said) == stamp.sub("", expected), command
    finally:
        typed("kill -TERM $(jobs -p); wait")
        shell.stdin.close()
        shell.wait(PATIENCE_S)
        shell.stdout.close()
