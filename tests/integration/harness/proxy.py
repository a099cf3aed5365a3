# SPDX-License-Identifier: Apache-2.0
"""The proxy under test: started from a configuration, watched, and judged when it stops."""
import contextlib
import copy
import json
import os
import pathlib
import signal
import socket
import subprocess

from . import access_log
from .client import Client
from .configs import PROBE
from .ports import take_port
from .waiting import PATIENCE_S, wait_for

BINARY = os.environ.get("SLUICE_BIN") or str(pathlib.Path(__file__).resolve().parents[3] / "build/release/sluice")
IS_ROOT = os.geteuid() == 0


def environment(folder, extra=None):
    """The child environment: sanitizers write into the test's folder, where they are looked for."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("SLUICE_")}
    env["ASAN_OPTIONS"] = f"log_path={folder}/sanitizer:detect_leaks=1:abort_on_error=0:exitcode=99"
    env["UBSAN_OPTIONS"] = f"log_path={folder}/sanitizer:print_stacktrace=1"
    env["TSAN_OPTIONS"] = f"log_path={folder}/sanitizer:halt_on_error=0:exitcode=99:second_deadlock_stack=1"
    env.update(extra or {})
    return env


def run_verb(folder, *words, env=None, timeout=PATIENCE_S, limits=None):
    """Run `sluice WORDS...` to its end; gives the CompletedProcess with text output.  limits: called in the child before it begins."""
    return subprocess.run([BINARY, *words], cwd=folder, env=environment(folder, env), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=timeout, check=False, preexec_fn=limits)


def listening_ports():
    """Local TCP ports in state LISTEN."""
    ports = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in pathlib.Path(table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":
                ports.add(int(words[1].rsplit(":", 1)[1], 16))
    return ports


_ACCEPTS = 0x10000  # __SO_ACCEPTCON of linux/net.h


def _address_of(text):
    """"0100007F:1F90" as "127.0.0.1:8080"; of IPv6 the hexadecimal digits."""
    host, port = text.split(":")
    return f"{socket.inet_ntoa(bytes.fromhex(host)[::-1]) if len(host) == 8 else host}:{int(port, 16)}"


class Sluice:
    """One running `sluice run`.  What the configuration leaves out is filled in: a listener, logs, two workers.
    before() runs in its process, ahead of the program: limits, namespaces.  program: a file instead of the built one.  An ordinary user
    cannot look into a process in its sandbox, as much of this does: there it is off, but for tests that are about it."""

    def __init__(self, folder, config, name="sluice", env=None, before=None, wait=True, is_sandboxed=IS_ROOT, program=None):
        self.folder, self.name = folder, name
        self.file = folder / f"{name}.json"
        self.access_log = folder / f"{name}.access.log"
        self.error_log = folder / f"{name}.stderr"
        self.ports = []
        self.expected_exit = 0
        self.config = self._complete(config)
        self.write_config(self.config)
        with open(self.error_log, "ab") as err:
            self.is_open = IS_ROOT or not is_sandboxed
            self.process = subprocess.Popen([str(program or BINARY), "run", "-c", str(self.file), *([] if is_sandboxed else ["--sandbox=off"])], cwd=folder,
                                            env=environment(folder, env), stdin=subprocess.DEVNULL, stdout=err,
                                            stderr=err, start_new_session=True, preexec_fn=before)
        self.is_stopped = False
        if wait:
            self.wait_until_serving()

    def _complete(self, config):
        config = copy.deepcopy(config)
        if "listen" not in config:
            config["listen"] = [{"address": f"127.0.0.1:{take_port()}"}]
        config.setdefault("workers", 2)
        log = config.setdefault("log", {})
        log.setdefault("access", str(self.access_log))
        log.setdefault("error", "stderr")
        self.ports = [int(row["address"].rsplit(":", 1)[1]) for row in config["listen"]
                      if not row["address"].startswith("unix:")]
        return config

    def write_config(self, config):
        self.file.write_text(json.dumps(config, indent=2))

    @property
    def address(self):
        return ("127.0.0.1", self.ports[0])

    @property
    def url(self):
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def pid(self):
        return self.process.pid

    @property
    def child(self):
        """The process id of the serving child, None while there is none."""
        try:
            words = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        except FileNotFoundError:
            return None
        return int(words[0]) if words else None

    def wait_until_serving(self):
        def serves():
            assert self.process.poll() is None, f"sluice ended with {self.process.returncode}:\n{self.stderr()}"
            if not set(self.ports) <= listening_ports() or not self.child:
                return False
            return not self._logs_to_file() or self.events("start")

        wait_for(serves, "sluice serves")

    def _logs_to_file(self):
        return self.config["log"]["access"] == str(self.access_log)

    # -- what it says

    def stderr(self):
        return self.error_log.read_text(errors="replace")

    def log_lines(self):
        return access_log.read_lines(self.access_log)

    def events(self, name):
        return access_log.events_of(self.log_lines_so_far(), name)

    def requests(self, count=None):
        """The request lines of the access log, but for probes; waits until there are `count`."""
        def lines():
            return [line for line in access_log.requests_of(self.log_lines_so_far()) if line.get("route") != PROBE]

        if count is not None:
            wait_for(lambda: len(lines()) >= count, f"{count} request lines in {self.access_log}")
        return lines()

    def line_of(self, reply):
        """The log line of a reply, found by its request id (lines of different workers are in no order)."""
        own_id = reply["X-request-id"].split("-")[0]
        return wait_for(lambda: next((line for line in self.requests() if line["id"] == own_id), None),
                        f"the log line of {own_id}")

    def log_lines_so_far(self):
        return access_log.read_lines_so_far(self.access_log)

    def wait_for_event(self, name, count=1):
        return wait_for(lambda: len(self.events(name)) >= count and self.events(name), f"event {name} in the log")

    # -- what it holds

    def memory_kib(self, field="VmRSS", pid=None):
        for line in pathlib.Path(f"/proc/{pid or self.child}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise AssertionError(field)

    def descriptors(self, pid=None):
        return len(os.listdir(f"/proc/{pid or self.child}/fd"))

    def connected_sockets(self, ignore_ports=()):
        """Connected TCP sockets of the child as (local port, remote port), but for those to ignore_ports."""
        child = self.child
        if child is None or not self.is_open:
            return []
        inodes = set()
        for name in os.listdir(f"/proc/{child}/fd"):
            try:
                target = os.readlink(f"/proc/{child}/fd/{name}")
            except FileNotFoundError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
        found = []
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            for line in pathlib.Path(table).read_text().splitlines()[1:]:
                words = line.split()
                ports = tuple(int(words[i].rsplit(":", 1)[1], 16) for i in (1, 2))
                if words[9] in inodes and words[3] != "0A" and ports[1] not in ignore_ports:
                    found.append(ports)
        return found

    def listening(self):
        """The sockets of parent and child that somebody can connect or send to: {"127.0.0.1:80", "unix:/path"}, as a configuration has them."""
        inodes = set()
        for pid in (self.pid, self.child):
            for name in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(FileNotFoundError):
                    inodes.add(os.readlink(f"/proc/{pid}/fd/{name}").removeprefix("socket:[").removesuffix("]"))
        found = set()
        for table, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07"), ("raw", "07"), ("raw6", "07")):
            for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                words = line.split()
                if words[9] in inodes and words[3] == state:
                    found.add(("" if table == "tcp" else table + " ") + _address_of(words[1]))
        for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]:
            words = line.split(maxsplit=7)
            if words[6] in inodes and int(words[3], 16) & _ACCEPTS:
                found.add("unix:" + os.path.join(self.folder, words[7]))
        return found

    # -- what is done to it

    @contextlib.contextmanager
    def frozen(self):
        """What happens inside reaches the serving process as one batch of events, in the order in which it happened."""
        child = self.child
        os.kill(child, signal.SIGSTOP)
        try:
            wait_for(lambda: ") T " in pathlib.Path(f"/proc/{child}/stat").read_text(), "the proxy has stopped")
            yield
        finally:
            os.kill(child, signal.SIGCONT)

    def signal(self, number):
        os.kill(self.pid, number)

    def wait_exit(self, seconds=PATIENCE_S):
        return self.process.wait(seconds)

    def stop(self):
        """TERM, then judge: exit code, sanitizer reports, and the access log from first line to last."""
        if self.is_stopped:
            return
        self.is_stopped = True
        try:
            if self.process.poll() is None:
                self.signal(signal.SIGTERM)
            code = self.wait_exit(2 * PATIENCE_S)
        finally:
            self.kill()
        self.assert_no_report()
        assert code == self.expected_exit, f"exit code {code}, stderr:\n{self.stderr()[-4000:]}"
        if self._logs_to_file():
            access_log.check_sequence(self.log_lines())

    def assert_no_report(self):
        for report in self.folder.glob("sanitizer.*"):
            raise AssertionError(f"{report.name}:\n{report.read_text(errors='replace')[:6000]}")

    def kill(self):
        """Whatever is left of it: its process group is its own."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


def wait_until_counting(proxy):
    """Every worker has its store: none of several connections in a row was decided without it."""
    def counts():
        ids = []
        for _ in range(6):
            with Client(proxy.address) as client:
                reply = client.ask("GET", "/.probe", host="probe.invalid")
            if reply.status != 204:
                return False
            ids.append(reply["X-request-id"].split("-")[0])
        wait_for(lambda: set(ids) <= {line["id"] for line in access_log.requests_of(proxy.log_lines_so_far())}, "the probes are logged")
        return all(entry["source"] in ("store", "lease") for line in access_log.requests_of(proxy.log_lines_so_far()) if line["id"] in ids
                   for entry in line["quotas"])

    wait_for(counts, "the proxy counts in its store")
