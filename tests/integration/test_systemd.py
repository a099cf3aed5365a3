# SPDX-License-Identifier: Apache-2.0
"""Under systemd, of which a datagram socket and a launcher stand in: notification, watchdog, sockets, credentials."""
import contextlib
import ctypes
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from harness.client import Client
from harness.configs import respond
from harness.ports import take_port
from harness.proxy import BINARY, environment
from harness.waiting import wait_for

WATCHDOG_US = 800000
PACKAGING = pathlib.Path(__file__).resolve().parents[2] / "packaging"


class Notices:
    """What systemd would hear."""

    def __init__(self, path):
        self.path = path
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(str(path))
        self._sock.setblocking(False)
        self.all = []

    def read(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.all.append(self._sock.recv(4096).decode())
        return self.all

    def wait(self, word, count=1):
        wait_for(lambda: sum(word in notice.splitlines() for notice in self.read()) >= count, f"systemd hears {word} {count} times")

    def without_pings(self):
        return [notice for notice in self.read() if notice != "WATCHDOG=1"]

    def pings(self):
        return self.read().count("WATCHDOG=1")

    def close(self):
        self._sock.close()


@pytest.fixture
def notices(tmp_path):
    made = Notices(tmp_path / "notify.sock")
    yield made
    made.close()


def test_notices_of_a_life(start, notices, verb, tmp_path):
    proxy = start(respond(admin={"address": f"unix:{tmp_path}/admin.sock"}), env={"NOTIFY_SOCKET": str(notices.path)})
    notices.wait("READY=1")
    before_us = time.monotonic_ns() // 1000
    proxy.write_config(proxy.config)
    assert verb("reload", "-c", proxy.file).returncode == 0
    notices.wait("READY=1", 2)
    (tmp_path / "admin.sock").stat()
    broken = json.dumps(proxy.config).replace('"routes"', '"ruotes"')
    proxy.file.write_text(broken)
    assert verb("reload", "-c", proxy.file).returncode == 8  # refused before anything was begun: nothing is heard
    proxy.write_config(proxy.config)
    proxy.stop()
    first, reloading, again, stopping = notices.without_pings()
    assert first.startswith("READY=1\nSTATUS=version ") and first.endswith(" serves generation 1")
    lines = reloading.splitlines()
    assert lines[0] == "RELOADING=1" and lines[1].startswith("MONOTONIC_USEC=")
    assert before_us <= int(lines[1].split("=")[1]) <= time.monotonic_ns() // 1000
    assert again.endswith(" serves generation 2")
    words = stopping.splitlines()
    assert words[0] == "STOPPING=1" and words[1] == "EXTEND_TIMEOUT_USEC=37000000", "30 s of draining, 5 s to be killed, 2 s to end"


def test_main_pid_of_an_upgrade(start, notices, verb, tmp_path):
    """The one that leaves says who is next and nothing more; from then on the next one speaks, and is watched."""
    proxy = start(respond(admin={"address": f"unix:{tmp_path}/admin.sock"}),
                  env={"NOTIFY_SOCKET": str(notices.path), "WATCHDOG_USEC": str(WATCHDOG_US)})
    notices.wait("READY=1")
    done = verb("upgrade", "-c", proxy.file, "--json")
    assert done.returncode == 0, done
    pid = json.loads(done.stdout)["pid"]
    notices.wait("READY=1", 2)
    assert proxy.process.wait(20) == 0
    count = notices.pings()
    wait_for(lambda: notices.pings() >= count + 2, "the next one is watched")
    os.kill(pid, signal.SIGTERM)
    notices.wait("STOPPING=1")
    heard = [notice.splitlines()[0] for notice in notices.without_pings()]
    assert heard == ["READY=1", f"MAINPID={pid}", "READY=1", "STOPPING=1"]
    wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists() or ") Z " in pathlib.Path(f"/proc/{pid}/stat").read_text(), "it ends")


def watched(start, notices, **env):
    """With WATCHDOG_PID, which a process has only once it is there."""
    return start(respond(), env={"NOTIFY_SOCKET": str(notices.path), "WATCHDOG_USEC": str(WATCHDOG_US), **env})


def quiet_pings(notices):
    """No ping in a whole interval; one that was on its way when the last thing happened does not count."""
    deadline, last = time.monotonic() + 20, notices.pings()
    since = time.monotonic()
    while time.monotonic() - since < WATCHDOG_US / 1e6:
        assert time.monotonic() < deadline, "pings go on"
        time.sleep(0.02)
        if notices.pings() != last:
            last, since = notices.pings(), time.monotonic()


def test_a_stopped_child_stops_the_pings(start, notices):
    proxy = watched(start, notices)
    wait_for(lambda: notices.pings() >= 3, "pings")
    with proxy.frozen():
        quiet_pings(notices)
        count = notices.pings()
    wait_for(lambda: notices.pings() >= count + 3, "pings go on")


PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17


@contextlib.contextmanager
def stopped_thread(tid):
    """One thread of a process stands still, the others go on."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def call(request):
        if libc.ptrace(request, tid, None, None) != 0:
            raise OSError(ctypes.get_errno(), f"ptrace({request:#x}, {tid})")

    call(PTRACE_SEIZE)
    call(PTRACE_INTERRUPT)
    os.waitpid(tid, 0x40000000)  # __WALL
    try:
        yield
    finally:
        call(PTRACE_DETACH)


def test_a_stopped_worker_stops_the_pings(start, notices):
    """Each of its threads; the writer of the log is none that requests wait for."""
    proxy = watched(start, notices)
    wait_for(lambda: notices.pings() >= 1, "pings")
    child = proxy.child
    threads = sorted(int(name) for name in os.listdir(f"/proc/{child}/task"))
    silent = 0
    for tid in threads[1:]:
        with stopped_thread(tid):
            try:
                wait_for(lambda n=notices.pings(): notices.pings() >= n + 4, "pings", 4 * WATCHDOG_US / 4e6 * 1.5)
            except AssertionError:
                silent += 1
        wait_for(lambda n=notices.pings(): notices.pings() >= n + 2, "pings go on")
    assert silent == 2  # two workers


def test_a_watchdog_for_another_process_is_not_ours(start, notices):
    watched(start, notices, WATCHDOG_PID="1")
    notices.wait("READY=1")
    quiet_pings(notices)
    assert notices.pings() == 0


# -- sockets

LAUNCH = """
import json, os, socket, sys
fds = []
for kind, address in json.loads(sys.argv[1]):
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(address if isinstance(address, str) else tuple(address))
    if kind == "listening":
        sock.listen(64)
    fds.append(os.dup(sock.fileno()))
    keep = globals().setdefault("keep", []); keep.append(sock)
high = [os.dup2(fd, 200 + i, inheritable=False) for i, fd in enumerate(fds)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i, inheritable=True)
os.environ.update(LISTEN_FDS=str(len(fds)), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=":".join(f"socket-{i}" for i in range(len(fds))))
os.execv(sys.argv[2], sys.argv[2:])
"""


def launch(folder, config, sockets):
    """The program with sockets that are open already."""
    file = folder / "activated.json"
    file.write_text(json.dumps({"workers": 2, "log": {"access": "off"}, **config}))
    with open(folder / "activated.stderr", "w", encoding="utf-8") as err:
        return subprocess.Popen([sys.executable, "-c", LAUNCH, json.dumps(sockets), BINARY, "run", "-c", str(file)], cwd=folder,
                                env=environment(folder), stdin=subprocess.DEVNULL, stdout=err, stderr=err, start_new_session=True)


def is_refused(address):
    try:
        Client(address).close()
        return False
    except OSError:
        return True


def test_socket_activation(verb, tmp_path):
    """Its sockets serve, with all workers; their files stay when it ends; a program that takes over has them too."""
    port, own = take_port(), take_port()
    http_path, admin_path = str(tmp_path / "http.sock"), str(tmp_path / "admin.sock")
    config = respond(listen=[{"address": f"127.0.0.1:{port}"}, {"address": f"unix:{http_path}"}, {"address": f"127.0.0.1:{own}"}],
                     admin={"address": f"unix:{admin_path}"})
    process = launch(tmp_path, config, [("listening", ["127.0.0.1", port]), ("listening", http_path), ("listening", admin_path)])
    pid = process.pid
    try:
        wait_for(lambda: not is_refused(admin_path) and not is_refused(("127.0.0.1", own)), "it serves")
        for address in (("127.0.0.1", port), http_path) * 10:
            with Client(address) as client:
                assert client.ask().status == 200
        with Client(("127.0.0.1", own)) as client:
            assert client.ask().status == 200
        done = verb("upgrade", "-c", tmp_path / "activated.json", "--json")
        assert done.returncode == 0, done
        pid = json.loads(done.stdout)["pid"]
        assert process.wait(20) == 0
        for address in (("127.0.0.1", port), http_path) * 5:
            with Client(address) as client:
                assert client.ask().status == 200
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: ") Z " in pathlib.Path(f"/proc/{pid}/stat").read_text() if os.path.exists(f"/proc/{pid}") else True, "it ends")
        assert os.path.exists(http_path) and os.path.exists(admin_path)
    finally:
        for one in {process.pid, pid}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("sockets, words", [
    ([("listening", None), ("listening", "extra.sock")], 'systemd listens on unix:extra.sock ("socket-1") for this service, but'),
    ([("listening", None), ("bound", "extra.sock")], 'descriptor 4 ("socket-1") from systemd is no listening stream socket'),
    ([("datagram", None)], 'descriptor 3 ("socket-0") from systemd is no listening stream socket'),
])
def test_a_socket_that_fits_nothing_is_named(tmp_path, sockets, words):
    port = take_port()
    process = launch(tmp_path, respond(listen=[{"address": f"127.0.0.1:{port}"}]),
                     [(kind, address or ["127.0.0.1", port]) for kind, address in sockets])
    assert process.wait(20) == 4
    said = (tmp_path / "activated.stderr").read_text()
    assert words in said.strip().splitlines()[-1] and said.count("sluice: ") == 1


def test_the_example_of_a_socket_unit(connect, tmp_path):
    """packaging/sluice.socket, with the configuration that it shows, on a free port."""
    unit = (PACKAGING / "sluice.socket").read_text()
    listens = re.findall(r"^ListenStream=(.+):(\d+)$", unit, re.MULTILINE)
    rows = json.loads(re.search(r'^# +"listen": (\[.*?\])  ', unit, re.MULTILINE)[1])
    assert [f"{host}:{port}" for host, port in listens] == [row["address"] for row in rows] and len(rows) == 1
    port = take_port()
    rows[0]["address"] = rows[0]["address"].replace(listens[0][1], str(port))
    process = launch(tmp_path, respond(listen=rows), [("listening", [listens[0][0], port])])
    try:
        wait_for(lambda: (tmp_path / "activated.stderr").read_text().count("serving: version"), "it serves")
        assert connect(("127.0.0.1", port)).ask().status == 200
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def test_credentials(start, connect, verb, tmp_path):
    """What docs/packaging.md shows: a secret of {"file": ...} lies in the folder that systemd names."""
    page = (PACKAGING.parent / "docs/packaging.md").read_text().split("\n**Secrets.**")[1].split("\n**")[0]
    (name, source), = re.findall(r"^LoadCredential=([\w-]+):(\S+)$", page, re.MULTILINE)
    config = json.loads("{" + re.search(r"```json\n(.*?)```", page, re.DOTALL)[1] + "}")
    assert config == {"subject_secret": {"file": name}} and source == f"/etc/sluice/credentials/{name}"
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / name).write_text("a secret of the fleet")
    proxy = start(respond(**config), env={"CREDENTIALS_DIRECTORY": str(folder)})
    assert connect(proxy).ask().status == 200
    done = verb("check", "-c", proxy.file)
    assert done.returncode == 5 and f"{tmp_path}/{name} cannot be read" in done.stderr, "not the service, which systemd gives it"
    assert "CREDENTIALS_DIRECTORY=/etc/sluice/credentials sluice check" in page
    assert verb("check", "-c", proxy.file, env={"CREDENTIALS_DIRECTORY": str(folder)}).returncode == 0
