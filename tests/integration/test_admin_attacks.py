# SPDX-License-Identifier: Apache-2.0
"""Whoever is not the operator: web pages, foreign names, wrong tokens, other users, readers that stall.  Nothing changes, and
traffic does not notice."""
import json
import os
import signal
import subprocess
import sys

import pytest

from harness.client import Client, is_refused
from harness.configs import forward, respond
from harness.metrics import scrape
from harness.ports import take_port
from harness.proxy import listening_ports
from harness.waiting import wait_for

TOKEN = "0123456789abcdef-token"
CHANGES = ["/v1/reload", "/v1/log:reopen", "/v1/log:level?level=debug", "/v1/subject:reset?name=127.0.0.1", "/v1/subject:grant?name=127.0.0.1&extra=5&for=60s",
           "/v1/upstreams/app/127.0.0.1:9000:down?force=1"]


def counted(admin):
    return {**respond(quotas={"ip": {"key": ["ip"], "limits": {"day": 100}}}, admin=admin),
            "routes": [{"name": "all", "prefix": "/", "quotas": ["ip"], "respond": {"status": 200, "text": "x\n"}}]}


@pytest.fixture
def guarded(start, tmp_path):
    """A proxy whose admin address is TCP."""
    port, metrics = take_port(), take_port()
    (tmp_path / "token").write_text(TOKEN + "\n")
    proxy = start(counted({"address": f"127.0.0.1:{port}", "token": {"file": str(tmp_path / "token")}, "hosts": ["admin.test"],
                           "metrics": f"127.0.0.1:{metrics}"}))
    proxy.admin, proxy.metrics = port, metrics
    return proxy


def ask(address, method, target, fields):
    with Client(address) as client:
        head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields)
        client.send(head.encode() + b"Content-Length: 0\r\n\r\n")
        return client.read(method)


def changes_of(proxy):
    return [proxy.events(name) for name in ("admin", "reload", "reload_refused", "reset", "grant")]


def test_only_the_token_under_our_own_name_changes_anything(guarded, tmp_path):
    proxy, address = guarded, ("127.0.0.1", guarded.admin)
    own, bearer = ("Host", f"127.0.0.1:{proxy.admin}"), ("Authorization", f"Bearer {TOKEN}")
    attacks = [
        (401, [own]),
        (401, [own, ("Authorization", "Bearer " + TOKEN[:-1])]),
        (401, [own, ("Authorization", "Bearer " + TOKEN + "x")]),
        (401, [own, ("Authorization", "Bearer " + TOKEN.upper())]),
        (401, [own, ("Authorization", "Bearer ")]),
        (401, [own, ("Authorization", "Basic " + TOKEN)]),
        (401, [own, bearer, bearer]),
        (403, [("Host", "evil.test"), bearer]),
        (403, [("Host", "127.0.0.1"), bearer]),
        (403, [("Host", f"localhost:{proxy.admin}"), bearer]),
        (403, [("Host", "admin.test:1"), bearer]),
        (400, [bearer]),
        (400, [own, own, bearer]),
        (403, [own, bearer, ("Origin", f"http://127.0.0.1:{proxy.admin}")]),
        (403, [own, bearer, ("Origin", "null")]),
        (403, [own, bearer, ("Sec-Fetch-Site", "cross-site")]),
        (403, [own, bearer, ("Sec-Fetch-Site", "same-site")]),
    ]
    for status, fields in attacks:
        for method, target in [("POST", CHANGES[len(fields) % len(CHANGES)]), ("POST", CHANGES[0]), ("GET", "/v1/status"), ("GET", "/v1/tail"), ("GET", "/metrics")]:
            reply = ask(address, method, target, fields)
            assert reply.status == status, (fields, target, reply.status)
            assert TOKEN.encode() not in reply.body and b"generation" not in reply.body
    assert not any(changes_of(proxy))
    for fields in ([own, bearer], [("Host", "ADMIN.test"), bearer], [("Host", f"admin.test:{proxy.admin}"), bearer],
                   [own, ("authorization", f"bearer {TOKEN}")], [own, bearer, ("Sec-Fetch-Site", "none")]):
        assert ask(address, "GET", "/v1/status", fields).status == 200
    reply = ask(address, "GET", "/v1/status", [own])
    assert reply["WWW-Authenticate"] == "Bearer" and reply["Content-Type"] == "application/problem+json"
    # Nor does anything that it says hold the token.
    said = proxy.stderr() + proxy.access_log.read_text() + ask(("127.0.0.1", proxy.metrics), "GET", "/metrics", [("Host", "x")]).body.decode()
    said += ask(address, "GET", "/v1/status", [own, bearer]).body.decode()
    assert TOKEN not in said
    assert ask(("127.0.0.1", proxy.metrics), "POST", "/v1/reload", [own, bearer]).status in (404, 405)


# ---- every order, attacked in every way

# (what is wrong with it, status of the answer, whether a Unix socket refuses it too, method, fields of our own name and of the token)
ATTACKS = [
    ("a foreign Host", 403, False, "POST", lambda own, bearer: [("Host", "evil.test"), bearer]),
    ("our name without port", 403, False, "POST", lambda own, bearer: [("Host", own[1].rsplit(":", 1)[0]), bearer]),
    ("no Host", 400, True, "POST", lambda own, bearer: [bearer]),
    ("two Hosts", 400, True, "POST", lambda own, bearer: [own, own, bearer]),
    ("a foreign Host beside ours", 400, True, "POST", lambda own, bearer: [own, ("Host", "evil.test"), bearer]),
    ("Origin", 403, True, "POST", lambda own, bearer: [own, bearer, ("Origin", "http://evil.test")]),
    ("our own Origin", 403, True, "POST", lambda own, bearer: [own, bearer, ("Origin", "http://" + own[1])]),
    ("Origin null", 403, True, "POST", lambda own, bearer: [own, bearer, ("Origin", "null")]),
    ("a page of another site", 403, True, "POST", lambda own, bearer: [own, bearer, ("Sec-Fetch-Site", "cross-site")]),
    ("a page of the same site", 403, True, "POST", lambda own, bearer: [own, bearer, ("Sec-Fetch-Site", "same-site")]),
    ("no token", 401, False, "POST", lambda own, bearer: [own]),
    ("a wrong token", 401, False, "POST", lambda own, bearer: [own, (bearer[0], bearer[1] + "x")]),
    ("a token by another scheme", 401, False, "POST", lambda own, bearer: [own, (bearer[0], bearer[1].replace("Bearer", "Basic"))]),
    ("two tokens", 401, False, "POST", lambda own, bearer: [own, bearer, bearer]),
    *[(f"the method {method}", 405, True, method, lambda own, bearer: [own, bearer])
      for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "QUERY")],
]


class Attacked:
    """A proxy that every order would change: its file is another one, its log was renamed, a server is down and a subject has spent."""

    def __init__(self, start, folder, is_tcp):
        (folder / "token").write_text(TOKEN + "\n")
        self.folder, self.address = folder, f"127.0.0.1:{take_port()}" if is_tcp else f"unix:{folder}/admin.sock"
        self.door = ("127.0.0.1", int(self.address.rsplit(":", 1)[1])) if is_tcp else str(folder / "admin.sock")
        self.own, self.bearer = ("Host", self.address if is_tcp else "sluice"), ("Authorization", f"Bearer {TOKEN}")
        self.servers = [f"127.0.0.1:{take_port()}" for _ in range(2)]
        admin = {"address": self.address, "metrics": f"127.0.0.1:{take_port()}", **({"token": {"file": str(folder / "token")}} if is_tcp else {})}
        config = counted(admin)
        config["upstreams"] = {"app": {"servers": self.servers}}
        config["routes"].append({**forward("app")["routes"][0], "name": "app", "prefix": "/app"})
        self.proxy = start(config)
        with Client(self.proxy.address) as client:
            assert [client.ask().status for _ in range(3)] == [200] * 3
        self.proxy.requests(3)
        assert self.order(f"/v1/upstreams/app/{self.servers[1]}:down").status == 200
        self.proxy.wait_for_event("admin")
        self.log = self.proxy.access_log.rename(folder / "moved")
        self.proxy.write_config({**self.proxy.config, "quotas": {"ip": {"key": ["ip"], "limits": {"day": 77}}}})
        self.pids = {"parent": self.proxy.pid, "child": self.proxy.child}

    def order(self, target):
        return ask(self.door, "POST", target, [self.own, self.bearer])

    def read(self, target):
        reply = ask(self.door, "GET", target, [self.own, self.bearer])
        assert reply.status == 200, (target, reply)
        return json.loads(reply.body)

    def state(self):
        """All that an order could change, but for the level of the error log."""
        status, subject = self.read("/v1/status"), self.read("/v1/subject?name=127.0.0.1")
        for moves in ("uptime_s", "service_uptime_s", "connections", "exchanges_open"):
            del status[moves]
        del status["log"]["lines"]  # counted behind the writing
        windows = [{name: value for name, value in window.items() if not name.startswith("reset")}
                   for row in subject["subjects"] for window in row.pop("windows")]
        upstreams = [[(server["server"], server.get("order"), server["state"]) for server in group["servers"]]
                     for group in self.read("/v1/upstreams")["upstreams"]]
        files = {path.name: path.stat().st_ino for path in self.folder.iterdir()}
        return {"status": status, "windows": windows, "subject": subject, "upstreams": upstreams, "files": files,
                "events": [line for line in self.log.read_bytes().splitlines() if b'"event":' in line], "child": self.proxy.child}

    def is_at_debug(self):
        """A malformed request is told in the error log by its id.  Lines of both logs are written in turns: behind the second one's line stands what the error
        log says of the first."""
        ids = []
        for _ in range(2):
            with Client(self.proxy.address) as client:
                client.send(b"GET / HTTP/1.1\r\n\r\n")
                reply = client.read()
            assert reply.status == 400
            ids.append(reply["X-request-id"].split("-")[0])
            wait_for(lambda: ids[-1] in self.log.read_text(), "the line")
        return ids[0] in self.proxy.stderr()

    def orders(self):
        """{order: what it changes of the state; None: nothing}.  In an order in which each of them can."""
        one, other = (f"/v1/upstreams/app/{server}" for server in self.servers)
        return {f"{other}:ready": "upstreams", f"{one}:drain": "upstreams", f"{one}:down?force=1": "upstreams",
                "/v1/subject:reset?name=127.0.0.1": "windows", "/v1/subject:grant?name=127.0.0.1&extra=5&for=60s": "windows",
                "/v1/config:diff": None, "/v1/log:level?level=debug": None, "/v1/log:reopen": "files",
                "/v1/reload": "status", "/v1/upgrade": "status", "/v1/drain": None}


@pytest.mark.parametrize("is_tcp", [True, False], ids=["tcp", "unix"])
def test_no_order_is_obeyed_that_is_not_the_operators(start, tmp_path, is_tcp):
    """Every order that there is, wrong in every way: nothing is otherwise behind it.  Then each is given rightly, and does what it says, so that this
    could have failed."""
    attacked = Attacked(start, tmp_path, is_tcp)
    proxy, orders = attacked.proxy, attacked.orders()
    wait_for(lambda: attacked.read("/v1/status")["config"]["stale"], "it is known that the file is another one")
    assert not attacked.is_at_debug()
    before = attacked.state()
    for target in orders:
        for what, status, is_refused_by_all, method, fields in ATTACKS:
            if not is_tcp and not is_refused_by_all:
                continue
            reply = ask(attacked.door, method, target, fields(attacked.own, attacked.bearer))
            assert reply.status == status, (target, what, reply)
            assert TOKEN.encode() not in reply.body and b"generation" not in reply.body and b"difference" not in reply.body
            assert attacked.state() == before, (target, what)
    assert not attacked.is_at_debug() and {"parent": proxy.pid, "child": proxy.child} == attacked.pids
    for target, changed in orders.items():
        before = attacked.state()
        if target == "/v1/log:reopen":
            attacked.log = proxy.access_log
        assert attacked.order(target).status == 200, target
        if target.startswith("/v1/log:level"):
            assert attacked.is_at_debug()
        if target == "/v1/drain":
            wait_for(lambda: is_refused(proxy.address), "it has ended")
        elif changed is not None:
            wait_for(lambda: attacked.state()[changed] != before[changed], f"{target} changes something")
    assert proxy.wait_exit() == 0, "the one before the upgrade"
    proxy.access_log.write_bytes((tmp_path / "moved").read_bytes() + proxy.access_log.read_bytes())


# ---- who listens

@pytest.mark.parametrize("admin, more", [
    ({}, 0), ({"metrics": None}, 0), ({"address": "unix:admin.sock"}, 1), ({"address": "unix:admin.sock", "metrics": None}, 2),
    ({"address": None, "token": TOKEN, "metrics": None}, 2)], ids=["none", "metrics", "unix", "unix-metrics", "tcp-metrics"])
def test_nothing_listens_but_what_is_configured(start, tmp_path, admin, more):
    """Of parent and child, TCP and Unix; also behind a reload that opens and closes some, and in the process that follows a killed one."""
    def wanted(config):
        words = [row["address"] for row in config["listen"]] + [config["admin"][key] for key in ("address", "metrics") if key in config.get("admin", {})]
        return {word if not word.startswith("unix:") else "unix:" + os.path.join(tmp_path, word[5:]) for word in words}

    def row():
        return {"address": f"127.0.0.1:{take_port()}"}

    admin = {key: f"127.0.0.1:{take_port()}" if value is None else value for key, value in admin.items()}
    unix = [{"address": f"unix:{tmp_path}/front{n}.sock", "name": f"u{n}"} for n in range(more)]
    proxy = start(respond(listen=[row(), {**row(), "name": "b"}, *unix], **({"admin": admin} if admin else {})))
    assert proxy.listening() == wanted(proxy.config)
    changed = {**proxy.config, "listen": [proxy.config["listen"][0], {**row(), "name": "c"}]}
    proxy.write_config(changed)
    proxy.signal(signal.SIGHUP)
    proxy.wait_for_event("reload")
    wait_for(lambda: proxy.listening() == wanted(changed), "only what is configured listens")
    before = proxy.child
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: proxy.child not in (None, before) and proxy.listening() == wanted(changed), "the next one")


def test_verbs_bring_the_token_of_a_file(guarded, verb, tmp_path):
    file = {"SLUICE_ADMIN_TOKEN_FILE": str(tmp_path / "token")}
    (tmp_path / "wrong").write_text("x" * 20)
    for words in (("status", "-c", guarded.file), ("status", "-s", f"127.0.0.1:{guarded.admin}"), ("log", "level", "info", "-c", guarded.file)):
        assert verb(*words, env=file).returncode == 0
        for env, why in (({}, "SLUICE_ADMIN_TOKEN_FILE"), ({"SLUICE_ADMIN_TOKEN_FILE": str(tmp_path / "wrong")}, "the token of admin.token"),
                         ({"SLUICE_ADMIN_TOKEN_FILE": str(tmp_path / "none")}, "No such file")):
            done = verb(*words, env=env)
            assert done.returncode == 7 and why in done.stderr and TOKEN not in done.stdout + done.stderr, done
    event = guarded.wait_for_event("admin")[0]
    assert event["verb"] == "log:level" and event["from"].startswith("127.0.0.1:") and event["by"] == -1
    assert verb("status", "-s", f"127.0.0.1:{take_port()}", env=file).returncode == 6


def test_check_wants_a_lock_and_warns_of_the_network(verb, tmp_path):
    def check(admin):
        file = tmp_path / "c.json"
        file.write_text(json.dumps({"listen": [{"address": "127.0.0.1:1"}], **respond(admin=admin)}))
        done = verb("check", "-c", file)
        return done.returncode, done.stderr

    code, said = check({"address": "127.0.0.1:9181"})
    assert code == 3 and "/admin/address: a TCP address needs a \"token\"" in said
    for token in ("short", "0123456789abcde", "0123456789 abcdef", "0123456789abcd\u00e9"):
        code, said = check({"address": "127.0.0.1:9181", "token": token})
        assert code == 3 and "/admin/token: a token has 16 to 4096" in said and token not in said, said
    code, said = check({"address": "127.0.0.1:9181", "token": TOKEN})
    assert code == 0 and "crosses the network" not in said
    code, said = check({"address": "0.0.0.0:9181", "token": TOKEN})
    assert code == 0 and "the token crosses the network in plain text" in said and TOKEN not in said
    code, said = check({"address": f"unix:{tmp_path}/a.sock", "token": TOKEN})
    assert code == 0 and "it is for a TCP address" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_cannot_open_the_socket(start, tmp_path):
    proxy = start(counted({"address": f"unix:{tmp_path}/admin.sock"}))
    tried = "import socket,sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])"
    for folder in (tmp_path, *tmp_path.parents):
        if folder != folder.parent and str(folder) != "/tmp":
            os.chmod(folder, 0o755)
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", tried, str(tmp_path / "admin.sock")],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "PermissionError" in done.stderr, done
    assert os.stat(tmp_path / "admin.sock").st_mode & 0o777 == 0o660 and not any(changes_of(proxy))


def test_paths_and_bodies_change_nothing(start, connect, tmp_path):
    proxy = start(counted({"address": f"unix:{tmp_path}/admin.sock"}))
    path = str(tmp_path / "admin.sock")
    for target in ("/../../etc/passwd", "/v1/../v1/reload", "/v1/%2e%2e/v1/reload", "//v1/reload", "/V1/reload", "/v1/reload/", "/v1/reload%00", "/v1/log%3areopen", "http://x/v1/nothing"):
        reply = ask(path, "POST", target, [("Host", "x")])
        assert reply.status in (400, 404), (target, reply.status)
    for head in (b"Content-Length: 1048576\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"):
        client = connect(path)
        client.send(b"POST /v1/reload HTTP/1.1\r\nHost: x\r\n" + head)
        try:
            for _ in range(16):
                client.send(b"z" * 65536)
        except OSError:
            pass
        assert client.read("POST").status == 413
    assert ask(path, "POST", "/v1/reload", [("Host", "x"), ("Origin", "http://evil.test")]).status == 403
    assert not any(changes_of(proxy))


def test_stalling_readers_of_a_tail_harm_nobody(start, connect, verb, tmp_path):
    before = listening_ports()
    metrics = take_port()
    proxy = start(counted({"address": f"unix:{tmp_path}/admin.sock", "metrics": f"127.0.0.1:{metrics}"}))
    path = str(tmp_path / "admin.sock")
    readers = []
    for _ in range(100):
        reader = connect(path, receive_buffer=4096)
        reader.send(b"GET /v1/tail HTTP/1.1\r\nHost: x\r\n\r\n")
        readers.append(reader)
    client = connect(proxy)
    for _ in range(400):
        assert client.ask().status in (200, 429)
    assert verb("status", "-s", path).returncode == 0
    with Client(path) as late:
        late.send(b"GET /v1/tail HTTP/1.1\r\nHost: x\r\n\r\n")
        reply = late.read()
        assert reply.status == 503 and b"16 others watch the log already" in reply.body
    assert len(proxy.requests(400)) == 400 and not proxy.events("dropped")
    ours = listening_ports() - before
    assert {proxy.ports[0], metrics} <= ours
    for reader in readers:
        reader.close()
    wait_for(lambda: ask(path, "GET", "/v1/tail?q=x=y", [("Host", "x")]).status == 400, "it answers")
    descriptors = proxy.descriptors()
    wait_for(lambda: proxy.descriptors() <= descriptors, "they are gone")
    assert not any(changes_of(proxy))


def test_reads_change_nothing(start, connect, verb, tmp_path):
    metrics = take_port()
    proxy = start(counted({"address": f"unix:{tmp_path}/admin.sock", "metrics": f"127.0.0.1:{metrics}"}))
    path = str(tmp_path / "admin.sock")
    client = connect(proxy)
    for _ in range(3):
        client.ask()
    proxy.requests(3)
    first = ask(path, "GET", "/v1/subject?name=127.0.0.1", [("Host", "x")]).body
    numbers = {k: v for k, v in scrape(metrics).items() if k.startswith("sluice_decisions_total")}
    for _ in range(300):
        again = ask(path, "GET", "/v1/subject?name=127.0.0.1", [("Host", "x")]).body
    used = [[w["used"] for w in row["windows"]] for row in json.loads(first)["subjects"]]
    assert used == [[3]] == [[w["used"] for w in row["windows"]] for row in json.loads(again)["subjects"]]
    assert numbers == {k: v for k, v in scrape(metrics).items() if k.startswith("sluice_decisions_total")}
    assert client.ask()["X-ratelimit-remaining"] in (None, "96")
