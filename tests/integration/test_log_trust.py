# SPDX-License-Identifier: Apache-2.0
"""Nothing is lost from the access log without being said: rotation, a full disk, kills, syslog, hostile bytes, secrets.  The long forms with
their numbers are `scripts/chaos logs`."""
import base64
import json
import os
import pathlib
import random
import re
import resource
import signal
import socket
import threading

from harness import access_log, http, log_bytes
from harness.configs import forward, respond
from harness.metrics import scrape
from harness.ports import take_port
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
    wait_for(lambda: scrape(metrics)["sluice_log_dropped_total"] == 1, "the line is counted")
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
    """Every line is UTF-8, JSON and at most 8 KiB (parse_line), one for each request, and tells the very bytes."""
    proxy, rng = start(respond()), random.Random(20261129)
    sent = {}
    for _ in range(400):
        message = log_bytes.hostile_request(rng)
        client = connect(proxy)
        client.send(message)
        sent[client.read()["X-request-id"].split("-")[0]] = message
        client.close()
    proxy.requests(len(sent))
    proxy.stop()
    lines = [line for line in proxy.access_log.read_bytes().splitlines(keepends=True) if b'"event":"' not in line]
    assert len(lines) == len(sent) == 400
    block = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    page = {"re": re, "json": json}
    exec(block[1], page)  # pylint: disable=exec-used  # what the page shows does the same
    told = 0
    for line in lines:
        shown = {name: value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value for name, value in page["recover"](line).items()}
        assert shown == log_bytes.recover(line)
        record = log_bytes.recover(line)
        message = sent.pop(record["id"].decode())
        is_whole = not record.get("cut")
        for name in ("host", "parent_id"):
            if is_whole and name in record:
                assert record[name] in message
                told += 1
        if is_whole and record.get("status") == 400 and "path" in record:
            assert record["path"] in message
    assert not sent and told > 50
    assert any(b'"bytes":true' in line for line in lines)


def test_no_secret_is_told_anywhere(start, upstream, connect, verb):
    """Sixty markers in every place that may hold a credential: none in logs, metrics, status, check --dump or the list of processes."""
    def marker():
        markers.append(f"MARK{len(markers):02}x{random.Random(len(markers)).getrandbits(48):012x}")
        return markers[-1]

    def basic():
        text = base64.b64encode(f"{marker()}:{marker()}".encode()).decode()
        markers.append(text)
        return text

    markers, metrics = [], take_port()
    secrets = {"S1": marker(), "S2": marker()}
    quotas = {"key": {"key": ["key"], "limits": {"minute": 1000}}, "token": {"key": ["token"], "limits": {"minute": 1000}},
              "cookie": {"key": ["cookie"], "limits": {"minute": 1000}}, "bearer": {"key": ["bearer"], "limits": {"minute": 1000}}}
    identities = {"key": {"from": ["header:X-Api-Key"]}, "token": {"from": ["query:token"]}, "cookie": {"from": ["cookie:session"]}, "bearer": {"from": ["bearer"]}}
    store = {"type": "redis", "servers": [f"127.0.0.1:{take_port()}"], "password": {"env": "S1"}, "fleet_size": 1, "on_failure": "local"}
    proxy = start(forward(upstream(), quotas=quotas, identities=identities, store=store, subject_secret={"env": "S2"},
                          log={"level": "debug"}, admin={"address": "unix:admin.sock", "metrics": f"127.0.0.1:{metrics}"}), env=secrets)
    rows = 0
    while len(markers) < 60:
        fields = [("Authorization", f"Bearer {marker()}") if rows % 2 else ("Authorization", f"Basic {basic()}"), ("Cookie", f"session={marker()}; other={marker()}"),
                  ("X-Api-Key", marker()), ("X-Auth-Token", marker()), ("Proxy-Authorization", f"Basic {basic()}"), ("X-Secret", marker())]
        assert connect(proxy).ask("GET", f"/p?token={marker()}&other={marker()}", fields).status in (200, 502)
        client = connect(proxy)
        client.send(f"GET http://{marker()}:{marker()}@test.local/ HTTP/1.1\r\nHost: test.local\r\n\r\n".encode())
        assert client.read().status == 400
        client = connect(proxy)  # malformed, so that it is told why
        client.send(f"GET /?token={marker()} HTTP/1.1\r\nHost: test.local\r\nX-Api-Key: {marker()}\r\nBad Name: {marker()}\r\n\r\n".encode())
        assert client.read().status == 400
        rows += 1
    proxy.requests(3 * rows)
    dump = verb("check", "--dump", "-c", proxy.file, env=secrets)
    assert dump.returncode == 0, dump
    status = verb("status", "--json", "-c", proxy.file, env=secrets)
    assert status.returncode == 0, status
    report = verb("report", "--html", proxy.access_log)
    told = {"status": status.stdout, "dump": dump.stdout + dump.stderr, "report": report.stdout, "metrics": str(scrape(metrics)),
            "argv": "".join(open(f"/proc/{pid}/cmdline", encoding="utf-8").read() for pid in (proxy.pid, proxy.child)),
            "access": proxy.access_log.read_text(), "error": proxy.stderr()}
    assert len(markers) >= 60
    for place, text in told.items():
        assert text, place
        for mark in markers:
            assert mark not in text, f"{mark} in {place}"
