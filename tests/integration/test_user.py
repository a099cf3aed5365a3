# SPDX-License-Identifier: Apache-2.0
"""Started as root with a "user": who serves, what it can still do, and that everything the service does later works for it too."""
import grp
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile

import pytest
from harness.configs import respond
from harness.ports import take_port
from harness.processes import is_alive
from harness.proxy import BINARY, environment, run_verb
from harness.waiting import PATIENCE_S, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

IS_SANITIZED = bool(os.environ.get("SLUICE_SANITIZE"))
NAME = "daemon"
UID, GID = pwd.getpwnam(NAME).pw_uid, grp.getgrnam(NAME).gr_gid
LATER_PORTS = range(700, 1000)


@pytest.fixture
def tmp_path():
    """That user's, and on a path that it can go: what pytest makes is root's alone."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-user-"))
    os.chown(folder, UID, GID)
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def ids_of(pid):
    """(user ids, group ids, supplementary groups) as the kernel has them."""
    rows = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return tuple([int(word) for word in rows[name].split()] for name in ("Uid", "Gid", "Groups"))


def capabilities_of(pid):
    rows = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    return {int(rows[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} | {int(rows["NoNewPrivs"]) << 100}


def assert_serves_as_user(pid):
    for task in os.listdir(f"/proc/{pid}/task"):
        assert ids_of(f"{pid}/task/{task}") == ([UID] * 4, [GID] * 4, [])
        assert capabilities_of(f"{pid}/task/{task}") == {0, 1 << 100}


def owner_of(path):
    info = os.lstat(path)
    return info.st_uid, info.st_gid


def free_low_port():
    for port in LATER_PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError("no port below 1024 is free")


def test_a_life(start, connect, verb, tmp_path):
    """Serves as the user; then again after a kill, a reload with a port that only root may take, rotations and an upgrade."""
    admin = tmp_path / "admin.sock"
    config = respond(user=f"{NAME}:{NAME}", admin={"address": f"unix:{admin}"},
                     store={"type": "memory", "state_file": str(tmp_path / "state"), "state_interval": "100ms"})
    proxy = start(config, before=lambda: os.setgroups([4, 27]))
    assert connect(proxy).ask().status == 200
    assert_serves_as_user(proxy.child)
    wait_for(lambda: ids_of(proxy.pid)[0] == [0] * 4, "the parent is root whenever it does not write the state file")
    assert ids_of(proxy.pid)[2] == []
    assert owner_of(admin) == (UID, GID) and stat.S_IMODE(os.lstat(admin).st_mode) == 0o660
    assert owner_of(proxy.access_log) == owner_of(tmp_path / "state") == (UID, GID)

    first = proxy.child
    os.kill(first, signal.SIGKILL)
    proxy.wait_for_event("start", 2)
    assert_serves_as_user(wait_for(lambda: proxy.child, "another one serves"))

    port = free_low_port()
    proxy.write_config({**proxy.config, "listen": [*proxy.config["listen"], {"address": f"127.0.0.1:{port}"}]})
    done = verb("reload", "-c", proxy.file)
    assert done.returncode == 0, done
    assert connect(("127.0.0.1", port)).ask().status == 200
    proxy.write_config({**proxy.config, "user": "root"})
    done = verb("reload", "-c", proxy.file)
    assert done.returncode == 8 and "user cannot change in a running process: only a restart takes it over" in done.stdout + done.stderr
    proxy.write_config(proxy.config)

    for number, reopen in enumerate((lambda: proxy.signal(signal.SIGUSR1), lambda: verb("log", "reopen", "-s", str(admin)))):
        old = tmp_path / f"old{number}"
        proxy.access_log.rename(old)
        reopen()
        wait_for(proxy.access_log.exists, "there is a new file")
        assert owner_of(proxy.access_log) == (UID, GID)
        connect(proxy).ask()
        wait_for(lambda: '"status":200' in proxy.access_log.read_text(), "the new file is written to")

    done = verb("upgrade", "-c", proxy.file, "--json")
    assert done.returncode == 0, done
    pid = json.loads(done.stdout)["pid"]
    try:
        assert proxy.process.wait(PATIENCE_S) == 0
        child = int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text())
        assert connect(proxy).ask().status == 200
        assert_serves_as_user(child)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not is_alive(child), "the serving process ends with its parent, whoever it is")
    finally:
        proxy.is_stopped = True
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)


def test_a_link_in_the_log_folder_leads_nowhere(start, connect, tmp_path):
    """Who has taken over the serving process can exchange files in its folder, and would have root write into others."""
    secret = pathlib.Path(tempfile.mkdtemp()) / "root"
    secret.write_text("root's\n")
    try:
        proxy = start(respond(user=NAME))
        assert connect(proxy).ask().status == 200
        proxy.access_log.rename(tmp_path / "old")
        proxy.access_log.symlink_to(secret)
        secret.parent.chmod(0o755)
        proxy.signal(signal.SIGUSR1)
        wait_for(lambda: "cannot be opened again: Permission denied; the old file is kept" in proxy.stderr(), "that is said")
        os.kill(proxy.child, signal.SIGKILL)  # what it leaves behind is for the parent to write
        wait_for(lambda: "restart in" in proxy.stderr(), "it is dead")
        proxy.signal(signal.SIGTERM)
        proxy.wait_exit()
        proxy.is_stopped = True
        assert secret.read_text() == "root's\n"
    finally:
        shutil.rmtree(secret.parent)


def test_standard_output_that_is_a_pipe(tmp_path):
    """The pipe is root's.  Lines reach it all the same, and whoever shares it does not find it non-blocking."""
    config = respond(user=NAME, listen=[{"address": f"127.0.0.1:{take_port()}"}], workers=1, log={"access": "stdout", "error": "stderr"})
    (tmp_path / "pipe.json").write_text(json.dumps(config))
    process = subprocess.Popen([BINARY, "run", "-c", "pipe.json"], cwd=tmp_path, env=environment(tmp_path), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        line = json.loads(process.stdout.readline())
        assert line["event"] == "start"
        for fd in (1, 2):
            flags = pathlib.Path(f"/proc/{process.pid}/fdinfo/{fd}").read_text().split("flags:\t")[1].split()[0]
            assert int(flags, 8) & os.O_NONBLOCK == 0
        process.terminate()
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, err
        assert json.loads(out.splitlines()[-1])["event"] == "stop"
    finally:
        process.kill()
        process.wait()


def fail_to_run(tmp_path, config, before=None):
    config = {"listen": [{"address": f"127.0.0.1:{take_port()}"}], "log": {"access": "off"}, **config}
    (tmp_path / "bad.json").write_text(json.dumps(config))
    done = run_verb(tmp_path, "run", "-c", "bad.json", limits=before)
    return done.returncode, done.stderr


@pytest.mark.parametrize("user, words", [
    ("no-such-user", 'there is no user "no-such-user": make it (useradd --system no-such-user), or change "user"'),
    ("daemon:no-such-group", 'there is no group "no-such-group": make it (groupadd), or change "user"'),
    ("54321", 'user 54321 has no entry in passwd, so a group is needed: "54321:GROUP"'),
])
def test_nobody_of_this_name(tmp_path, user, words):
    code, said = fail_to_run(tmp_path, respond(user=user))
    assert code == 3 and words in said
    done = run_verb(tmp_path, "check", "-c", "bad.json")
    assert done.returncode == 0 and f"warning: /user: {words}" in done.stderr, "the file is right; this machine is not"


@pytest.mark.parametrize("user", ["daemon:", ":daemon", "a:b:c", "a b", ""])
def test_what_is_no_name(tmp_path, user):
    code, said = fail_to_run(tmp_path, respond(user=user))
    assert code == 3 and "/user" in said


def test_files_that_it_cannot_write(tmp_path):
    folder = tmp_path / "roots"
    folder.mkdir(mode=0o755)
    code, said = fail_to_run(tmp_path, respond(user=NAME, log={"access": "roots/access.log"}))
    assert code == 5 and "log: no file can be made in roots: Permission denied, as user daemon (change " in said
    done = run_verb(tmp_path, "check", "-c", "bad.json")
    assert "warning: /log/access: no file can be made in roots: Permission denied" in done.stderr
    code, said = fail_to_run(tmp_path, respond(user=NAME, store={"type": "memory", "state_file": "roots/state"}))
    assert code == 5 and "store.state_file: cannot create roots/state.new: Permission denied, as user daemon" in said
    assert not list(folder.iterdir())


@pytest.mark.skipif(IS_SANITIZED, reason="programs with a sanitizer have no sandbox")
def test_root_in_the_sandbox_is_no_stronger_than_its_files(tmp_path):
    """Root has no capabilities there: a folder of somebody else is not writable, which is told at the start and not by a log without lines."""
    folder = tmp_path / "daemons"
    folder.mkdir(mode=0o755)
    os.chown(folder, UID, GID)
    code, said = fail_to_run(tmp_path, respond(log={"access": "daemons/access.log"}))
    assert code == 5 and "log: no file can be made in daemons: Permission denied, as root without its capabilities (change " in said
    done = run_verb(tmp_path, "check", "-c", "bad.json")
    assert done.returncode == 0 and "warning: /log/access: no file can be made in daemons: Permission denied" in done.stderr
    assert not list(folder.iterdir())


def can_be_started(before):
    try:
        return subprocess.run([BINARY, "version"], preexec_fn=before, capture_output=True, check=False).returncode == 0
    except PermissionError:
        return False


def become(uid, gid):
    def change():
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    return change


def test_not_root(start, connect, tmp_path):
    """The user that is meant serves as before; another one is told what to do."""
    if not can_be_started(become(UID, GID)):
        pytest.skip("the program lies where only root may go")
    for user, words in (("root", "as root"), ("bin", "as root or as bin"), ("daemon:tty", "as root or as daemon:tty")):
        code, said = fail_to_run(tmp_path, respond(user=user), become(UID, GID))
        assert (code, said) == (7, f'sluice: "user" is {user}, and only root can change to it: start the service {words}, '
                                   f'or take "user" out of the configuration (this is user {UID}, group {GID})\n')
    (tmp_path / "sluice.stderr").touch()
    proxy = start(respond(user=NAME), before=become(UID, GID))
    assert connect(proxy).ask().status == 200
    assert ids_of(proxy.pid) == ids_of(proxy.child) == ([UID] * 4, [GID] * 4, [])


def test_root_that_nobody_asked_for(start, verb, tmp_path):
    """Told, in the check and in the error log; not when "user" says so."""
    os.chown(tmp_path, 0, 0)  # root without capabilities may write nowhere else
    note = 'started as root the serving process stays root: name a "user" for it, or start it as one\n'
    proxy = start(respond(log={"error": str(tmp_path / "error.log")}))
    wait_for(lambda: note in (tmp_path / "error.log").read_text(), "the error log says so")
    assert f"note: {note}" in verb("check", "-c", proxy.file).stderr
    proxy.stop()
    proxy = start(respond(user="root", log={"error": str(tmp_path / "root.log")}))
    wait_for(lambda: "serving: version" in (tmp_path / "root.log").read_text(), "it serves")
    assert ids_of(proxy.child)[0] == [0] * 4
    assert verb("check", "-c", proxy.file).stderr == ""
    proxy.stop()
    assert note not in (tmp_path / "root.log").read_text()


def test_without_the_sandbox_it_is_the_user_all_the_same(start, tmp_path):
    """To debug, by that user: it may be traced, and has no more rights than before."""
    proxy = start(respond(user=NAME))
    proxy.stop()
    process = subprocess.Popen([BINARY, "run", "-c", proxy.file, "--sandbox=off"], cwd=tmp_path, env=environment(tmp_path),
                               stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: len(proxy.events("start")) == 2, "it serves")
        child = int(pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
        assert_serves_as_user(child)
        assert owner_of(f"/proc/{child}/fd") == (UID, GID), "dumpable"
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()


def test_the_sandbox_ends_tracing(start):
    proxy = start(respond(user=NAME))
    assert owner_of(f"/proc/{proxy.child}/fd") == ((UID, GID) if IS_SANITIZED else (0, 0))
