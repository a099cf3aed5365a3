# SPDX-License-Identifier: Apache-2.0
"""One short life of the proxy, from start to TERM, in which calls fail; and what must be true of it all the same.

Every request is answered completely and rightly, or its connection is closed where one can see it.  Nothing hangs, nothing
crashes, no descriptor, connection slot or exchange is lost, no quota is over-admitted; a clean request succeeds afterwards.
"""
import collections
import datetime
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import time

from harness import access_log, http
from harness.client import Client
from harness.proxy import BINARY, environment
from harness.upstream import Upstream

from state import FaultState

LIMIT = 3              # of quota "user"
LOGIN = json.dumps({"token": {"expires_at": "2099-01-01T00:00:00.000000Z", "project": {"id": "p1"}}}).encode()
BIG = bytes(range(256)) * 4096  # 1 MiB
SUM = hashlib.sha256(BIG).digest()
PIPES_MAX = 8 + 4      # for bodies, and those of the log and the loop
HANG_S = 15            # nothing in the scenario waits so long on purpose
RECOVERY_S = 10
CODES_OF_START = {3, 4, 5, 10}  # documented: configuration, listen, unavailable, internal
STATUSES = {400, 408, 429, 500, 502, 503, 504}  # what we may say of our own instead of the answer


def _paths(value, path=""):
    """Every place in a JSON value, lists by their elements, null as a place of its own."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _paths(member, f"{path}/{name}")
    elif isinstance(value, list):
        for i, member in enumerate(value):
            yield from _paths(member, f"{path}/{i}")
    else:
        yield path + ("/null" if value is None else "")


class Violation(Exception):
    """What must never happen, in a sentence."""


def serve(link):
    """The backend: what it does stands in the path.  Connections of one upstream begin with a PROXY header."""
    try:
        if link.sock.recv(6, socket.MSG_PEEK) == b"PROXY ":
            link.reader.until(b"\r\n")
        while (message := link.reader.request_head()) is not None:
            if "/half" in message.target:
                link.wait_for_end()
                return
            link.reader.body(message, is_bodiless=False, to_end=False)
            link.remember(message)
            if "/die_before" in message.target:
                link.reset()
                return
            if "/die_within" in message.target:
                link.send(http.response(fields=[("Content-Length", 1000)], length=False) + b"x" * 10)
                link.reset()
                return
            if "/big" in message.target:
                link.send(http.response(body=BIG))
            elif message.target == "/sum":
                link.send(http.response(body=hashlib.sha256(message.body).digest()))
            elif message.target == "/login":
                fields = [("Content-Type", "application/json"), ("X-Subject-Token", "T")]
                link.send(http.response(201, "Created", fields, LOGIN))
            elif "/echo" in message.target:
                fields = [("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")]
                sums = [("X-Sum", value) for name, value in message.trailers if name == "X-Sum"]
                link.send(http.response(fields=fields, length=False) + http.chunked([message.body], sums))
            else:
                link.send(http.response(body=b"hello " + message.target.encode()))
    except (http.Ended, OSError):
        pass


class Ended(Exception):
    """The program has ended by itself."""


class Scenario:
    """The lives of one runner, one after the other, in one folder and on the same ports."""

    def __init__(self, folder, preload, ports, redis=None, has_state_file=False, topology="standalone"):
        self.folder, self.preload, self.ports, self.redis, self.topology = folder, preload, ports, redis, topology
        self.upstream = Upstream(serve=serve)
        self.admin = str(folder / "admin.sock")
        self.access = folder / "access.log"
        self.stderr_path = folder / "stderr"
        self.has_state_file = has_state_file
        self.lives = 0
        self.status_paths = None  # what a status has, from the life without faults
        self.counted = 0, 0.0  # descriptors, and since when
        self.rest_descriptors = None  # of the serving process at the end of a life without faults, without pooled connections

    # -- the program

    def _config(self, is_second=False):
        listen = [{"address": f"127.0.0.1:{port}"} for port in self.ports[:2 if is_second else 1]]
        store = {"type": "memory"}
        if self.has_state_file:
            store["state_file"] = str(self.folder / "state")
        if self.redis:
            store = {"type": "redis", "topology": self.topology, "servers": [self.redis.address], "on_failure": "deny", "fleet_size": 1,
                     "decision_timeout": "1s", "command_timeout": "2s"}  # a busy machine is no fault
        config = {
            "listen": listen, "workers": 1, "store": store,
            "upstreams": {"app": {"servers": [self.upstream.address], "timeouts": {"first_byte": "2s"}},
                          "told": {"servers": [self.upstream.address], "timeouts": {"first_byte": "2s"}, "proxy_protocol": "v1"}},
            "quotas": {"user": {"key": ["header:X-User"], "limits": {"day": LIMIT}},
                       "all": {"key": ["route"], "limits": {"minute": 1000000}},
                       "project": {"key": ["token_project"], "limits": {"day": 1000000}}},
            "routes": [{"name": "counted", "prefix": "/counted", "upstream": "app", "quotas": ["user", "all", "project"]},
                       {"name": "login", "path": "/login", "upstream": "app", "learns": "token_project"},
                       {"name": "buffered", "prefix": "/buffered/", "upstream": "told", "buffer_request": "256KiB"},
                       {"name": "free", "prefix": "/", "upstream": "app"}],
            "subject_secret": "5f1e0c9b7a3d48e2", "limits": {"drain_timeout": "2s"},
            "log": {"access": str(self.access), "error": "stderr"},
            "admin": {"address": f"unix:{self.admin}"},
        }
        if self.redis:  # nobody is a member: the limit is the same, and is looked up
            config["tiers"] = {"t": {"day": LIMIT}}
            config["quotas"]["user"] = {"key": ["header:X-User"], "limits": "tier", "default_tier": "t", "members": "redis"}
        (self.folder / "sluice.json").write_text(json.dumps(config))

    def _start(self):
        for path in [self.access, *self.folder.glob("sanitizer.*")]:
            path.unlink(missing_ok=True)
        self._config()
        env = environment(self.folder, {"FAULT_STATE": str(self.state.path)})
        sanitizer = subprocess.run(["ldd", BINARY], capture_output=True, text=True, check=True).stdout
        libraries = re.findall(r"=> (\S*/lib[at]san\.so\S*)", sanitizer)
        env["LD_PRELOAD"] = ":".join([str(self.preload), *libraries])
        env["ASAN_OPTIONS"] += ":verify_asan_link_order=0:handle_abort=1"
        with open(self.stderr_path, "wb") as err:
            self.process = subprocess.Popen([BINARY, "run", "-c", "sluice.json"], cwd=self.folder, env=env, stdin=subprocess.DEVNULL,
                                            stdout=err, stderr=err, start_new_session=True)

    def stderr(self):
        return self.stderr_path.read_text(errors="replace")

    def _child(self):
        try:
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
                return int(file.read().split()[0])
        except (OSError, IndexError):
            return None

    # -- requests: each gives a status, or None when the connection was closed

    def _connect(self, port):
        try:
            client = Client(("127.0.0.1", port), timeout=HANG_S)
        except ConnectionError:
            return None
        self.clients.append(client)
        return client

    def _leave(self):
        """Close every connection of ours."""
        while self.clients:
            self.clients.pop().close()

    def _talk(self, client, data, checks):
        """Send, and judge one response per check; the statuses, None from where the connection ended."""
        statuses = []
        try:
            if client is not None:
                client.send(data)
            for check in checks:
                reply = client.read() if client is not None else None
                if reply is None:
                    break
                self._judge(reply, check)
                statuses.append(reply.status)
                if (reply["Connection"] or "").lower() == "close":
                    break
        except (ConnectionError, http.Ended):
            pass
        except http.Malformed as fault:
            raise Violation(f"a malformed response: {fault}") from fault
        except socket.timeout as fault:
            raise Violation(f"no answer and no end within {HANG_S} s: {data[:60]!r}") from fault
        return statuses + [None] * (len(checks) - len(statuses))

    def _judge(self, reply, check):
        if reply.status in (200, 201):
            if not check(reply):
                raise Violation(f"a 200 with wrong content: {reply!r} {reply.trailers}")
            return
        if reply.status not in STATUSES:
            raise Violation(f"status {reply.status}")
        body = json.loads(reply.body)
        if set(body) != {"error_code", "error_msg", "request_id"}:
            raise Violation(f"an error of a form that is not documented: {body}")

    def _get(self, client, target, fields=()):
        return self._talk(client, http.request("GET", target, fields), [lambda r: r.body == b"hello " + target.encode()])[0]

    def _ask_admin(self, method, path):
        """(status, text); (0, "") when it is closed without an answer."""
        try:
            client = Client(self.admin, timeout=HANG_S)
            self.clients.append(client)
            reply = client.ask(method, path, host="localhost")
            client.close()
            return reply.status, reply.body.decode()
        except (ConnectionError, FileNotFoundError, http.Ended):
            return 0, ""
        except socket.timeout as fault:
            raise Violation(f"the admin socket does not answer {method} {path}") from fault

    # -- the life

    def _traffic(self):
        port = self.ports[0]
        self._talk(self._connect(port), http.request("POST", "/login"), [lambda r: r.body == LOGIN])
        client = self._connect(port)
        self.statuses = []
        for _ in range(LIMIT + 1):
            status = self._get(client, "/counted/a", [("X-User", self.user), ("X-Auth-Token", "T")])
            self.statuses.append(status)
            if status is None:
                client = self._connect(port)
        client = self._connect(port)
        pair = http.request("GET", "/one") + http.request("GET", "/two")
        self.statuses += self._talk(client, pair, [lambda r: r.body == b"hello /one", lambda r: r.body == b"hello /two"])
        if None in self.statuses[-2:]:
            client = self._connect(port)
        chunked = http.request("POST", "/echo", [("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")])
        chunked += http.chunked([b"a" * 10, b"b" * 5000], [("X-Sum", "5010")])
        self.statuses += self._talk(client, chunked, [
            lambda r: r.body == b"a" * 10 + b"b" * 5000 and ("X-Sum", "5010") in r.trailers])
        buffered = http.request("PUT", "/buffered/echo", [("Transfer-Encoding", "chunked")]) + http.chunked([b"c" * 100000], [("X-Sum", "1")])
        self.statuses += self._talk(self._connect(port), buffered, [lambda r: r.body == b"c" * 100000 and r.trailers == [("X-Sum", "1")]])
        self.statuses += self._talk(self._connect(port), http.request("GET", "/big"), [lambda r: r.body == BIG])
        self.statuses += self._talk(self._connect(port), http.request("PUT", "/sum", body=BIG), [lambda r: r.body == SUM])
        self._abort()
        for target in ("/die_before", "/die_within"):
            status = self._talk(self._connect(port), http.request("GET", target), [lambda r: False])[0]
            if status not in (None, 429, 500, 502, 503, 504):
                raise Violation(f"{target} is answered with {status}")

    def _abort(self):
        """Half a body, then a reset."""
        client = self._connect(self.ports[0])
        try:
            if client is not None:
                client.send(b"POST /half HTTP/1.1\r\nHost: test.local\r\nContent-Length: 100\r\n\r\nonly this")
                client.reset()
        except ConnectionError:
            pass

    def _reload(self):
        self._config(is_second=True)
        status, text = self._ask_admin("POST", "/v1/reload")
        if status not in (0, 200, 409, 500, 503, 504):
            raise Violation(f"a reload is answered with {status} {text}")
        self.statuses.append(status or None)
        status, text = self._ask_admin("GET", "/v1/status")
        if status == 200:
            self._judge_status(json.loads(text))
        status, text = self._ask_admin("GET", "/metrics")
        if status == 200 and not (text.startswith("# HELP ") and text.endswith("\n") and "sluice_log_lines_total" in text):
            raise Violation("a metrics page that is not whole")

    def _judge_status(self, facts):
        """Nothing of it may be missing."""
        paths = sorted(_paths(facts))
        if self.status_paths is None:
            self.status_paths = paths
        if paths != self.status_paths and facts["config"]["generation"] > 1:
            raise Violation(f"a status that is not whole: {set(self.status_paths) ^ set(paths)}")

    def _until(self, condition, what, seconds=RECOVERY_S):
        deadline = time.monotonic() + seconds
        while True:
            value, seen = condition()
            if value:
                return value
            if self.process.poll() is not None:
                raise Ended
            if time.monotonic() > deadline:
                raise Violation(f"no recovery: {what} was awaited for {seconds} s, the last was {seen}")
            time.sleep(0.01)

    def _clean(self, port):
        status = self._get(self._connect(port), "/clean")
        self._leave()
        return status == 200, status

    def _clean_counted(self):
        status = self._get(self._connect(self.ports[0]), "/counted/clean", [("X-User", f"{self.user}-clean-{time.monotonic_ns()}")])
        self._leave()
        return status == 200, status

    def _reloaded(self):
        status, text = self._ask_admin("POST", "/v1/reload")
        return status == 200, (status, text)

    def _at_rest(self):
        status, text = self._ask_admin("GET", "/v1/status")
        if status != 200:
            return False, (status, text)
        facts = json.loads(text)
        if None in (facts.get("connections"), facts.get("store")):
            return False, text
        seen = (facts["connections"]["open"], facts["exchanges_open"], facts["state"], facts["store"]["state"])
        return seen == (0, 0, "serving", "up"), seen

    def _pooled_inodes(self):
        """What /proc/PID/fd says of connections to the backend."""
        with open("/proc/net/tcp", encoding="ascii") as file:
            rows = [line.split() for line in file.readlines()[1:]]
        return {f"socket:[{row[9]}]" for row in rows if int(row[2].rsplit(":", 1)[1], 16) == self.upstream.port}

    def _same_descriptors(self):
        child, count = self._child(), 0
        if child is None:
            return False, "no serving process"
        pooled, pipes = self._pooled_inodes(), collections.Counter()
        for name in os.listdir(f"/proc/{child}/fd"):
            try:
                target = os.readlink(f"/proc/{child}/fd/{name}")
            except FileNotFoundError:
                continue
            pipes[target] += target.startswith("pipe:")
            count += target not in pooled
        # Pipes that are kept for bodies: both ends are here.  One end alone is a leak.
        whole = sum(held == 2 for held in pipes.values())
        if whole > PIPES_MAX:
            return False, f"{whole} pipes"
        count -= 2 * whole
        if self.rest_descriptors is None:  # what it says for a second on end
            if count != self.counted[0]:
                self.counted = count, time.monotonic()
            if time.monotonic() - self.counted[1] < 1:
                return False, f"{count} descriptors, not yet for a second"
            self.rest_descriptors = count
        return count == self.rest_descriptors, f"{count} instead of {self.rest_descriptors} descriptors"

    def _is_listening(self):
        """It hears of recalls again: that connection is made, and made anew, in its own time."""
        heard = self.redis.client.execute_command("PUBSUB", "NUMSUB", "sluice:recall") if self.redis else [b"", 1]
        return int(heard[1]) == 1, heard

    def _recover(self):
        self._until(lambda: self._clean(self.ports[0]), "a clean request")
        self._until(self._clean_counted, "a clean counted request")
        self._until(self._reloaded, "a clean reload")
        self._until(lambda: self._clean(self.ports[1]), "a request to the listener that the reload opened")
        self._until(self._at_rest, "no open connection and exchange, store up")
        self._until(self._is_listening, "a connection for recalls")
        self._until(self._same_descriptors, "descriptors at rest")

    def _judge_end(self, is_start):
        for report in self.folder.glob("sanitizer.*"):
            text = report.read_text(errors="replace")
            if not self._is_of_openssl(text):
                raise Violation("sanitizer:\n" + text[:5000])
            self.is_excused = True
        if not self.is_excused and (match := re.search(r"(killed by signal .*|exited with code (?!10\b).*|[Aa]ssertion .*)",
                                                       self.stderr())):
            raise Violation(f"the serving process: {match[1]}")
        if is_start:
            code = self.process.returncode
            if code not in CODES_OF_START and not self.is_excused:
                raise Violation(f"the start failed with exit code {code}")
            if not self.stderr().strip():
                raise Violation(f"the start failed with exit code {code} and without a word")
            return
        access_log.check_sequence(access_log.read_lines(self.access))

    def _is_of_openssl(self, report):
        """Its first use leaks what it had made when it finds no memory; nothing of ours stands in such a report."""
        frames = [frames for _, frames in self.state.records()]
        return ("LeakSanitizer" in report and "/src/" not in report.replace("/src/libsanitizer/", "")
                and bool(frames) and any("libcrypto" in frame for frame in frames[0][:3]))

    def _judge_quota(self, day):
        # One that was sent again on another connection has one id.
        admitted = len({request["X-request-id"] for request in self.upstream.requests if request["X-User"] == self.user})
        if admitted > LIMIT and day == datetime.datetime.now(datetime.timezone.utc).date():
            raise Violation(f"{admitted} requests of a subject were admitted, {LIMIT} are allowed")

    def _ended(self, seconds):
        """Wait for the program's end; a program that does not end is a violation."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired as fault:
            raise Violation(f"the program does not end within {seconds} s") from fault

    def _live(self):
        """True when it served, False when the start failed as it may."""
        day = datetime.datetime.now(datetime.timezone.utc).date()
        if not self._wait_for_listener():
            self._judge_end(is_start=True)
            return False
        try:
            if not self.state.is_armed:
                self._until(lambda: self._clean(self.ports[0]), "a first request")
                self.state.set(is_armed=1)
            self._traffic()
            self._reload()
            self._leave()
            self.state.set(is_armed=0)
            self._recover()
        except Ended:
            self._judge_end(is_start=True)
            if "serving:" in self.stderr():
                raise Violation(f"the program ended with {self.process.returncode} after it served") from None
            return False
        self._judge_quota(day)
        self.process.send_signal(signal.SIGTERM)
        code = self._ended(HANG_S)
        self._judge_end(is_start=False)
        if code != 0 and not self.is_excused:
            raise Violation(f"TERM ends the program with exit code {code}")
        return True

    def _wait_for_listener(self):
        """False when the program ended instead."""
        deadline = time.monotonic() + HANG_S
        while self.process.poll() is None:
            if self._connect(self.ports[0]) is not None:
                self._leave()
                return True
            if time.monotonic() > deadline:
                raise Violation(f"neither a listener nor an end within {HANG_S} s")
            time.sleep(0.005)
        return False

    def run(self, **orders):
        """One life; gives a dictionary with what happened, "violation" among it when there is one."""
        self.lives += 1
        self.user = f"user-{os.getpid()}-{self.lives}-{time.time_ns()}"
        self.upstream.requests.clear()
        self.statuses, self.clients, self.is_excused = [], [], False
        self.state = FaultState(self.folder / "state.fault")
        # The Nth call may be one of the start; with a probability a start would never come to its end.
        self.state.set(is_armed=not orders.get("rate_ppm"), **orders)
        result = {"orders": orders, "violation": None}
        self._start()
        try:
            result["served"] = self._live()
        except Violation as fault:
            result["violation"] = str(fault)
        except Exception as fault:  # pylint: disable=broad-except  # a check of the harness is a violation, too
            result["violation"] = f"{type(fault).__name__}: {fault}"
        finally:
            self._leave()
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
        said = [line for line in self.stderr().split("\n") if line.startswith(("20", "sluice:"))]
        result.update(statuses=self.statuses, fired=self.state.fired, calls=self.state.calls, records=self.state.records(),
                      classes={name: getattr(self.state, name) for name in ("alloc", "net", "io")},
                      restarts=len(re.findall("restart in", self.stderr())), stderr="\n".join(said)[-2500:])
        self.state.close()
        return result

    def end(self):
        self.upstream.stop()
