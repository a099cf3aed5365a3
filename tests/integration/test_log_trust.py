# SPDX-License-Identifier: Apache-2.0
"""Nothing is lost from the access log without being said: rotation, a full disk, kills, syslog, hostile bytes, secrets.  The long forms with
their numbers are `scripts/chaos logs`."""
import collections
import contextlib
import json
import mmap
import os
import pathlib
import random
import re
import resource
import signal
import socket
import subprocess
import threading

import pytest

from harness import access_log, http, log_bytes, secrets
from harness.client import Client
from harness.configs import forward, respond
from harness.metrics import scrape
from harness.ports import take_port
from harness.proxy import BINARY, environment
from harness.redis_server import RedisServer
from harness.tls import Authority, client_context
from harness.waiting import wait_for

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "logs.md"
FAST = {"limits": {"requests_per_connection": "unlimited"}}


def ask_many(connect, proxy, count, target="/"):
    client = connect(proxy)
    burst = http.request("GET", target) * 50
    for _ in range(count // 50):
        client.send(burst)
        for _ in range(50):
            assert client.read().status == 200


def reopen(proxy, turn):
    """By signal and by endpoint in turn."""
    if turn % 2:
        proxy.signal(signal.SIGUSR1)
        return
    with socket.socket(socket.AF_UNIX) as admin:
        admin.connect(str(proxy.folder / "admin.sock"))
        admin.sendall(b"POST /v1/log:reopen HTTP/1.1\r\nHost: sluice\r\nContent-Length: 0\r\n\r\n")
        assert admin.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_rotation_in_both_ways_loses_nothing(start, connect):
    proxy = start(respond(admin={"address": "unix:admin.sock"}, **FAST))
    threads = [threading.Thread(target=ask_many, args=(connect, proxy, 4000)) for _ in range(2)]
    for thread in threads:
        thread.start()
    parts = []
    for turn in range(6):
        parts.append(proxy.folder / f"part{turn}")
        os.rename(proxy.access_log, parts[-1])
        reopen(proxy, turn)
        wait_for(proxy.access_log.exists, "the log file is there again")
    for thread in threads:
        thread.join()
    proxy.signal(signal.SIGTERM)
    assert proxy.wait_exit() == 0
    lines = [line for part in [*parts, proxy.access_log] for line in access_log.read_lines(part)]
    access_log.check_sequence(lines)
    assert len(access_log.requests_of(lines)) == 8000 and not access_log.events_of(lines, "dropped")
    proxy.access_log.write_bytes(b"".join(part.read_bytes() for part in [*parts, proxy.access_log]))


def test_a_full_disk_is_survived_said_and_left(start, connect):
    """A file as large as it may be is a full disk that needs no root."""
    proxy = start(respond(workers=1, **FAST))
    child = proxy.child
    _, hard = resource.prlimit(child, resource.RLIMIT_FSIZE)
    resource.prlimit(child, resource.RLIMIT_FSIZE, (proxy.access_log.stat().st_size + 100_001, hard))
    ask_many(connect, proxy, 2000)
    wait_for(lambda: "lines are dropped and counted" in proxy.stderr(), "the trouble is said")
    assert proxy.child == child and proxy.access_log.read_bytes().endswith(b"}\n"), "no line is torn"
    resource.prlimit(child, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))

    def is_back():
        connect(proxy).ask()
        return access_log.events_of(proxy.log_lines_so_far(), "dropped")

    dropped = wait_for(is_back, "it is said what was lost")
    assert {tuple(line["reasons"]) for line in dropped} == {("disk_full",)}
    proxy.stop()
    lines = proxy.log_lines()
    lost = sum(line["n"] for line in access_log.events_of(lines, "dropped"))
    assert 500 < lost < 2000 + 50 and len(access_log.requests_of(lines)) + lost >= 2000


def test_all_of_the_service_is_killed(start, connect, verb):
    """What the file tells of the one before stands in the start line; a torn line stays one line."""
    proxy = start(respond())
    connect(proxy).ask()
    proxy.requests(1)
    before = proxy.log_lines()[-1]
    child = proxy.child
    os.kill(proxy.pid, signal.SIGKILL)
    proxy.process.wait()
    wait_for(lambda: not os.path.exists(f"/proc/{child}"), "the serving process has gone with it")
    with open(proxy.access_log, "ab") as file:
        file.write(b'{"v":1,"boot":"' + before["boot"].encode())
    again = start({**proxy.config, "log": proxy.config["log"]}, name="again", wait=False)
    log = proxy.access_log

    def start_line():
        rows = [line for line in log.read_bytes().splitlines() if b'"event":"start"' in line]
        return rows[1:] and json.loads(rows[1])

    said = wait_for(start_line, "the start is said")
    assert (said["previous_boot"], said["previous_seq"], said["previous"]) == (before["boot"], before["seq"], "killed")
    again.stop()
    torn = [line for line in log.read_bytes().splitlines(keepends=True) if not line.endswith(b"}\n")]
    assert torn == [b'{"v":1,"boot":"' + before["boot"].encode() + b"\n"]
    told = json.loads(verb("verify", "--json", log).stdout)
    assert told["killed"] == 1 and told["unreadable"]["lines"] == 1 and told["verdict"] == "incomplete" and told["missing"]["lines"] == 0

    third = start({**proxy.config, "log": proxy.config["log"]}, name="third", wait=False)
    said = wait_for(lambda: [json.loads(line) for line in log.read_bytes().splitlines() if b'"event":"start"' in line][2:], "the start is said")[0]
    assert said["previous"] == "stopped"
    third.stop()
    proxy.is_stopped = True


def test_syslog(start, connect, tmp_path, verb):
    """Both logs to a daemon; without one requests go on, and what is lost is counted and said."""
    def bind():
        daemon = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        daemon.settimeout(20)
        daemon.bind(path)
        return daemon

    def take(word):
        while True:
            head, _, text = daemon.recv(9000).partition(b": ")
            if word in text:
                return head, text

    path = str(tmp_path / "log")
    daemon, metrics = bind(), take_port()
    target = f"syslog:socket={path},tag=edge,facility=local1"
    proxy = start(respond(log={"access": target, "error": target}, workers=1, admin={"metrics": f"127.0.0.1:{metrics}"}))
    head, text = take(b'"event":"start"')
    assert head.startswith(b"<142>") and b" edge[" in head and json.loads(text)["seq"] == 1
    connect(proxy).ask("GET", "/there")
    assert json.loads(take(b'"path":"/there"')[1])["seq"] == 2
    daemon.close()
    os.unlink(path)
    connect(proxy).ask("GET", "/lost")
    wait_for(lambda: scrape(metrics)['sluice_log_dropped_total{reason="no_syslog"}'] == 1, "the line is counted")
    daemon = bind()

    def dropped():
        assert connect(proxy).ask().status == 200
        daemon.settimeout(0.2)
        try:
            return json.loads(take(b'"event":"dropped"')[1])
        except TimeoutError:
            return None

    said = wait_for(dropped, "the loss is said")
    assert said["from_seq"] == 3 and said["n"] >= 1 and said["reasons"] == ["no_syslog"]
    daemon.close()
    proxy.stop()
    done = verb("check", "-c", proxy.file)
    assert done.returncode == 0 and "warning" not in done.stderr
    proxy.write_config({**proxy.config, "log": {"access": "syslog:facility=none"}})
    done = verb("check", "-c", proxy.file)
    assert "/log/access: the facility of syslog is" in done.stderr


def test_hostile_bytes_come_back_from_the_line(start, connect):
    """Every line is UTF-8, JSON and at most 8 KiB (parse_line), one for each request, and tells the very bytes of all that it tells."""
    proxy, rng = start({**log_bytes.config(), **FAST}), random.Random(20261129)
    sent = {}
    for _ in range(1500):
        request = log_bytes.hostile_request(rng)
        with Client(proxy.address) as client:
            client.send(request.message)
            sent[client.read()["X-request-id"].split("-")[0]] = request
    proxy.requests(len(sent))
    proxy.stop()
    lines = [line for line in proxy.access_log.read_bytes().splitlines(keepends=True) if b'"event":"' not in line]
    assert len(lines) == len(sent) == 1500
    block = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    page = {"re": re, "json": json}
    exec(block[1], page)  # pylint: disable=exec-used  # what the page shows does the same
    seen = collections.Counter()
    for line in lines:
        record = log_bytes.recover(line)
        assert log_bytes.as_bytes(page["recover"](line)) == record
        request = sent.pop(record["id"].decode())
        faults = log_bytes.faults_of(line, request)
        assert not faults, (faults, line, request)
        is_all = len(request.places) == len(log_bytes.PLACES) and record["status"] == 200
        seen.update([*log_bytes.told(record), *[name for name in ("cut", "bytes") if name in record], *["all"] * is_all, record["status"]])
    assert not sent
    fields = ("method", "host", "path", "query", "parent_id", "subjects.user", "subjects.segment")
    assert all(seen[name] > 30 for name in (*fields, "cut", "bytes", "all", 200, 400)), seen


class Secretive:
    """A proxy whose configuration has every kind of secret, and that hears all others."""

    def __init__(self, start, upstream, world, verb):
        self.marks, self.folder, self.run = secrets.Marks(), world.folder, verb
        self.port, self.metrics, mark = take_port(), take_port(), self.marks.new
        self.token = mark("admin.token")
        (self.folder / "token").write_text(self.token + "\n")
        (self.folder / "key").write_text(verb("seal", "--new-key").stdout)
        self.marks.add("SLUICE_KEY_FILE", (self.folder / "key").read_text().strip())
        self.env = {"REDIS_PASSWORD": mark("store.password"), "SIGNING_KEY": mark("keys of an identity") * 2, "SLUICE_KEY_FILE": str(self.folder / "key"),
                    "SLUICE_ADMIN_TOKEN_FILE": str(self.folder / "token")}
        self.redis = self.redis_of(world, mark("requirepass"))
        self.server = upstream(answer=secrets.answering(self.marks))
        self.proxy = start(self.config(), env=self.env)
        wait_for(lambda: any(row["user"] == "sluice" for row in self.redis.client_list()), "it is let in with user and password")

    def redis_of(self, world, password):
        server = RedisServer(world.folder, "--requirepass", password)
        world.redises.append(server)
        owner = server.client_of(password=password)
        owner.execute_command("ACL", "SETUSER", "sluice", "on", ">" + self.env["REDIS_PASSWORD"], "~*", "&*", "+@all")
        self.redis_address = server.address
        return owner

    def sealed(self, place):
        """As it may stand in the file; the text that is sealed is no less secret."""
        done = subprocess.run([BINARY, "seal"], input=self.marks.new(place), env=environment(self.folder, self.env), capture_output=True, text=True, check=True)
        self.marks.add("sealed " + place, json.loads(done.stdout)["sealed"])
        return json.loads(done.stdout)

    def config(self):
        pair = Authority(self.folder / "tls").issue("test.local")
        self.marks.add("private key of TLS", max(pathlib.Path(pair.key).read_text().splitlines(), key=len))
        sources = {"key": "header:X-Api-Key", "token": "query:token", "cookie": "cookie:session", "bearer": "bearer", "signed": "jwt:sub", "user": "basic_user"}
        identities = {name: {"from": [source], "missing": "skip"} for name, source in sources.items()}
        identities["signed"]["keys"] = [{"algorithm": "HS256", "key": {"env": "SIGNING_KEY"}}]
        rules = {"request_headers": {"set": {"X-Backend-Key": self.marks.new("header rule"), "X-Backend-Auth": "Basic " + self.marks.basic("header rule"),
                                             "X-Who": f"${{client_ip}};{self.marks.new('header rule beside a value')}"}}}
        store = {"type": "redis", "servers": [self.redis_address], "username": "sluice", "password": {"env": "REDIS_PASSWORD"}, "fleet_size": 1,
                 "decision_timeout": "1s", "command_timeout": "2s"}
        config = forward(self.server, route=rules, identities=identities, store=store, subject_secret=self.sealed("subject_secret"), log={"level": "debug"},
                         listen=[{"address": f"127.0.0.1:{take_port()}"}, {"name": "tls", "address": f"127.0.0.1:{take_port()}", "tls": pair.config}],
                         admin={"address": f"127.0.0.1:{self.port}", "token": {"file": str(self.folder / "token")}, "metrics": f"127.0.0.1:{self.metrics}"},
                         quotas={name: {"key": [name], "limits": {"day": 3 if name == "key" else 1000}} for name in identities})
        config["routes"].insert(0, {**config["routes"][0], **rules, "name": "stripped", "prefix": "/api", "strip_prefix": "/api"})
        return config

    def ask(self, connect):
        """Every request that has a secret, then some that are counted by one, and by TLS.  Gives words that `explain` understands."""
        words = []
        for place, status, build in secrets.REQUESTS:
            client = connect(self.proxy)
            client.send(build(self.marks))
            assert client.read().status == status, place
        for name, value in [("X-Api-Key", self.marks.new("refused key")), ("Authorization", "Bearer " + secrets.token(self.marks, self.env["SIGNING_KEY"])),
                            ("Cookie", f"session={self.marks.new('explained cookie')}"), ("Authorization", "Basic " + self.marks.basic("explained password"))]:
            target = f"/api/p?token={self.marks.new('explained query')}&other={self.marks.new('explained query')}"
            statuses = [connect(self.proxy).ask("GET", target, [(name, value)]).status for _ in range(5)]
            assert statuses == [200] * 3 + [429 if name == "X-Api-Key" else 200] * 2
            words.append(["explain", "GET", target, "-H", f"{name}: {value}"])
        secured = connect(("127.0.0.1", self.proxy.ports[1]), tls=client_context(), name="test.local")
        assert secured.ask("GET", "/p", [("X-Api-Key", self.marks.new("key over TLS"))]).status == 200
        return words

    def get(self, target):
        with Client(("127.0.0.1", self.port)) as client:
            reply = client.ask("GET", target, [("Authorization", f"Bearer {self.token}")], host=f"127.0.0.1:{self.port}")
        assert reply.status == 200, target
        return reply.body.decode()

    def verb(self, *words, codes=(0,)):
        done = self.run(*words, "-c", self.proxy.file, env=self.env)
        assert done.returncode in codes and done.stdout + done.stderr, (words, done)
        return done.stdout + done.stderr

    @contextlib.contextmanager
    def tail(self, *words):
        """`sluice tail`; its file has lines when this begins, and at its end the last request's."""
        said = self.folder / "_".join(("tail", *words))
        with open(said, "wb") as out:
            done = subprocess.Popen([BINARY, "tail", "-c", self.proxy.file, *words], stdout=out, stderr=out, env=environment(self.folder, self.env))
        told = {}
        try:
            with Client(self.proxy.address) as client:
                wait_for(lambda: client.ask("GET", "/the-first").status == 200 and "/the-first" in said.read_text(), "it watches")
            yield told
            with Client(self.proxy.address) as client:
                wait_for(lambda: client.ask("GET", "/the-last").status == 200 and "/the-last" in said.read_text(), "the tail has come so far")
            told["text"] = said.read_text()
        finally:
            done.kill()
            done.wait()

    def changes(self):
        """What diff and reload say: of a change, of one that is refused, and of a file that is broken where a secret stands."""
        said, config = {}, json.loads(json.dumps(self.proxy.config))
        config["routes"][1]["request_headers"]["set"]["X-Backend-Key"] = self.marks.new("changed header rule")
        config["routes"][1]["request_headers"]["add"] = {"X-More": self.marks.new("added header rule")}
        self.proxy.write_config(config)
        said["diff"] = self.verb("diff", codes=(1,)) + self.verb("diff", "--json", codes=(1,))
        said["reload"] = self.verb("reload") + self.verb("reload", "--json")
        refused = {**config, "subject_secret": self.sealed("changed subject_secret"),
                   "store": {**config["store"], "password": self.marks.new("plain store.password")}}
        self.proxy.write_config(refused)
        said["refused diff"] = self.verb("diff", codes=(1,)) + self.verb("diff", "--json", codes=(1, 3, 8))
        said["refused reload"] = self.verb("reload", codes=(8,)) + self.verb("check") + self.verb("check", "--json") + self.verb("check", "--dump")
        plain = self.marks.new("plain secret in a broken file")
        for text in (f'"subject_secret": "{plain}" x', f'"store": {{"pasword": "{plain}"}}', f'"admin": {{"token": "{plain}", "token": "{plain}"}}',
                     f'"upstreams": {{"a": {{"servers": ["alice:{plain}@10.0.0.1:80"]}}}}'):
            self.proxy.file.write_text("{" + text + "}")
            address = f"127.0.0.1:{self.port}"
            said["broken: " + text[:16]] = self.verb("reload", "-s", address, codes=(8,)) + "".join(self.verb(*words, codes=(3,)) for words in (
                ["check"], ["check", "--json"], ["diff", self.proxy.file, "-s", address], ["diff", "--json", "-s", address]))
        self.proxy.write_config(config)
        assert self.verb("reload")
        return said

    def told(self, words):
        """{place: all that is said there}."""
        log, proxy = self.proxy.access_log, self.proxy
        counted = json.loads(self.get("/v1/top"))
        said = {target: self.get(target) for target in ("/v1/live", "/v1/status", "/v1/errors", "/v1/top", "/v1/upstreams", "/metrics", "/dashboard")}
        with Client(("127.0.0.1", self.metrics)) as client:
            said["metrics"] = client.ask("GET", "/metrics").body.decode()
        for verb in ("status", "errors", "top", "upstreams", "doctor", "check"):
            said[verb] = self.verb(verb) + self.verb(verb, "--json")
        said["dump"], said["acl"] = self.verb("check", "--dump"), self.verb("check", "--acl")
        for verb in ("report", "verify"):
            said[verb] = self.verb(verb, log, codes=(0, 1)) + self.verb(verb, "--json", log, codes=(0, 1))
        said["html"] = self.verb("report", "--html", log)
        for number, asked in enumerate(words):
            for more in ([], ["--json"], ["--live"], ["--live", "--json"]):
                said[f"explain {number} {' '.join(more)}"] = self.verb(*asked, *more, codes=(0, 1))
        assert counted["quotas"], counted
        said["cmdline"] = "".join(open(f"/proc/{pid}/{name}", encoding="utf-8").read() for pid in (proxy.pid, proxy.child) for name in ("cmdline", "comm"))
        said["redis"] = "".join(repr((key, self.redis.dump(key), self.redis.type(key) == b"string" and self.redis.get(key))) for key in self.redis.keys("*"))
        said["access log"], said["error log"] = log.read_text(), proxy.stderr()
        return said


def test_no_secret_is_told_anywhere(start, upstream, connect, verb, world):
    """A mark in every place that may hold a credential: none in logs, in what any verb or endpoint says, in metrics, in pages, in Redis or in
    the list of processes."""
    secretive = Secretive(start, upstream, world, verb)
    with secretive.tail() as sentences, secretive.tail("--json") as lines:
        words = secretive.ask(connect)
        said = secretive.changes()
    said |= {"tail": sentences["text"], "tail --json": lines["text"], **secretive.told(words)}
    marks = secretive.marks
    assert len(marks.places) >= 80 and len(secretive.proxy.requests()) >= len(secrets.REQUESTS) + 20
    refused = [entry for line in secretive.proxy.requests() if line.get("status") == 429 for entry in line["quotas"] if "source" in entry]
    assert refused and all(entry["source"] in ("store", "lease") for entry in refused)
    # They were really there: the server got what the rules say, and what clients sent.
    sent = {value for request in secretive.server.requests for name, value in request.fields}
    assert {mark for mark, place in marks.places.items() if place == "header rule" and mark.startswith("MARK")} & sent
    told = sorted({f"{place}: {where}" for place, text in said.items() for _, where in marks.told_in(text)})
    assert not told and all(said.values()), "\n".join(told)


@pytest.mark.skipif(bool(os.environ.get("SLUICE_SANITIZE")), reason="programs with a sanitizer run without the sandbox")
@pytest.mark.parametrize("is_sandboxed", [True, False])
def test_the_serving_process_leaves_no_core(start, upstream, connect, tmp_path, is_sandboxed):
    """Whoever makes it fail does not find its secrets on the disk; without the sandbox he would, so that the look can fail."""
    if pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip() not in ("core", "core.%p"):
        pytest.skip("this machine writes cores elsewhere")
    marks = secrets.Marks()
    proxy = start(forward(upstream(), subject_secret={"env": "S1"}, route={"request_headers": {"set": {"X-Backend-Key": marks.new("header rule")}}}),
                  env={"S1": marks.new("subject_secret")}, is_sandboxed=is_sandboxed,
                  before=lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)))
    connect(proxy).ask("GET", "/", [("Authorization", f"Bearer {marks.new('Authorization')}")])
    child = proxy.child
    os.kill(child, signal.SIGQUIT)
    for number in (signal.SIGABRT, signal.SIGSEGV):
        assert proxy.child == child, "SIGQUIT is for the parent"
        assert resource.prlimit(child, resource.RLIMIT_CORE)[0] == resource.RLIM_INFINITY
        starts = len(proxy.events("start"))
        os.kill(child, number)
        proxy.wait_for_event("start", starts + 1)
        child = wait_for(lambda: proxy.child, "another one serves")
    cores = list(tmp_path.glob("core*"))
    if is_sandboxed:
        assert not cores
        return
    with open(cores[0], "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        assert all(data.find(mark.encode()) >= 0 for mark, place in marks.places.items() if place != "Authorization")
    for core in cores:
        core.unlink()
