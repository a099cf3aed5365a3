# SPDX-License-Identifier: Apache-2.0
"""The access log is complete, gapless, valid whatever comes in, and never in the way."""
import json
import os
import re
import signal
import subprocess
import threading
import time

import pytest
from harness import access_log, http
from harness.configs import forward, respond
from harness.proxy import BINARY, environment
from harness.waiting import wait_for, wait_for_room

TS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def test_fields_of_a_forwarded_request(start, upstream, connect):
    quotas = {"ip": {"key": ["ip"], "limits": {"minute": 10, "day": 1000}}}
    server = upstream()
    proxy = start(forward(server, quotas=quotas))
    client = connect(proxy)
    wait_for_room(60, 5)
    message = http.request("POST", "/v1//x?b=secret&a=2", body=b"12345", host="api.example:81")
    client.send(message)
    reply = client.read()
    line = proxy.requests(1)[0]
    start_line = proxy.log_lines()[0]
    assert TS.fullmatch(line["ts"])
    assert line["boot"] == start_line["boot"] and line["seq"] == start_line["seq"] + 1
    assert {k: line[k] for k in ("v", "gen", "client_ip", "peer_ip", "proto", "method", "host", "path", "listener", "route",
                                 "upstream", "server", "tries", "reused", "decision", "status", "end")} == {
        "v": 1, "gen": 1, "client_ip": "127.0.0.1", "peer_ip": "127.0.0.1", "proto": "HTTP/1.1", "method": "POST",
        "host": "api.example:81", "path": "/v1/x", "listener": f"127.0.0.1:{proxy.ports[0]}", "route": "all", "upstream": "app",
        "server": server.address, "tries": 1, "reused": False, "decision": "allow", "status": 200, "end": "ok"}
    assert line["bytes_in"] == len(message)
    assert line["bytes_out"] == len(reply.raw)
    assert "secret" not in json.dumps(line)
    assert line["subjects"] == {"ip": "127.0.0.1"}
    now = time.time()
    minute, day = line["quotas"]
    assert minute["start"] == int(now // 60 * 60) and day["start"] == int(now // 86400 * 86400)
    assert (minute["q"], minute["w"], minute["charged"], minute["used"], minute["limit"]) == ("ip", "minute", 1, 1, 10)
    assert (day["q"], day["w"], day["charged"], day["used"], day["limit"]) == ("ip", "day", 1, 1, 1000)
    assert 1 <= minute["reset_s"] <= 60
    assert 0 <= line["t_header"] and 0 < line["t_first"] <= line["t_total"] < 20_000_000
    client.ask()
    assert proxy.requests(2)[1]["reused"] is True


def test_near_is_said_at_80_percent(start, upstream, connect):
    proxy = start(forward(upstream(), quotas={"ip": {"key": ["ip"], "limits": {"hour": 10}}}))
    client = connect(proxy)
    for _ in range(11):
        client.ask()
    near = [bool(line.get("near")) for line in proxy.requests(11)]
    assert near[:10] == [False] * 7 + [True] * 3


def test_any_byte_in_a_request_gives_valid_lines(start, upstream, connect):
    proxy = start(forward(upstream()))
    targets = ["/%FF%FE", "/a%22b%5Bc", "/" + "%C3%A9" * 50, "/%e2%80%ae", "/" + "x" * 12000, "/?" + "&".join(f"n{i}=v" for i in range(2000)),
               '/"quotes"', "/<script>", "/%7B%22v%22%3A1%7D"]
    for target in targets:
        connect(proxy).ask("GET", target, [("X-Request-Id", '"}\\\xff\xc3('), ("User-Agent", '\xff\xfe"\\')])
    lines = proxy.requests(len(targets))
    assert len(lines) == len(targets)
    assert all(line["parent_id"] for line in lines if "parent_id" in line)
    assert any(line.get("cut") for line in lines), "a long value is cut, and the line says so"


@pytest.mark.parametrize("target", ["http://alice:s3cret@test.local/x", "http://alice:s3cret@test.local", "HTTPS://alice:s3cret@/x?y", "http://s3cret:80:80/"])
def test_what_is_refused_of_a_target_is_not_logged(start, connect, target):
    """A target may have a user and a password in it."""
    proxy = start(respond())
    client = connect(proxy)
    client.send(f"GET {target} HTTP/1.1\r\nHost: test.local\r\n\r\n".encode())
    line = proxy.line_of(client.read())
    assert (line["status"], line["reason"]) == (400, "bad_target") and "host" not in line
    assert "s3cret" not in proxy.access_log.read_text() + proxy.stderr()


def test_reopen_on_usr1(start, connect):
    """Rename, signal: every line is in the old file or the new one, none twice, none lost."""
    proxy = start(respond())
    stop = threading.Event()
    counts = []

    def load():
        client = connect(proxy)
        count = 0
        while not stop.is_set():
            assert client.ask().status == 200
            count += 1
        counts.append(count)

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    parts = []
    for turn in range(8):
        part = proxy.folder / f"part{turn}"
        os.rename(proxy.access_log, part)
        parts.append(part)
        proxy.signal(signal.SIGUSR1)
        wait_for(proxy.access_log.exists, "the log file is there again")
    stop.set()
    for thread in threads:
        thread.join()
    wait_for(lambda: sum(len(access_log.requests_of(access_log.read_lines_so_far(p))) for p in [*parts, proxy.access_log]) >= sum(counts),
             "all lines are written")
    lines = [line for part in [*parts, proxy.access_log] for line in access_log.read_lines(part)]
    access_log.check_sequence(lines)
    assert len(access_log.requests_of(lines)) == sum(counts)
    # What stop() checks begins in the middle: put the parts together for it.
    proxy.signal(signal.SIGTERM)
    assert proxy.wait_exit() == 0
    tail = proxy.access_log.read_bytes()
    proxy.access_log.write_bytes(b"".join(part.read_bytes() for part in parts) + tail)


def test_stalled_reader_of_stdout_stops_nobody(connect, tmp_path):
    """The log goes to a pipe that nobody reads: requests go on, what is lost is counted and said."""
    from harness.ports import take_port
    port = take_port()
    config = respond(listen=[{"address": f"127.0.0.1:{port}"}], workers=1, limits={"requests_per_connection": "unlimited"}, log={"access": "stdout", "error": str(tmp_path / "error.log")})
    file = tmp_path / "c.json"
    file.write_text(json.dumps(config))
    process = subprocess.Popen([BINARY, "run", "-c", str(file)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=open(tmp_path / "stderr", "wb"), env=environment(tmp_path), cwd=tmp_path, start_new_session=True)
    try:
        from harness.proxy import listening_ports
        wait_for(lambda: port in listening_ports(), "it listens")
        client = connect(("127.0.0.1", port))
        burst = http.request("GET", "/" + "x" * 500) * 50
        total = 0
        for _ in range(200):
            client.send(burst)
            for _ in range(50):
                assert client.read().status == 200
            total += 50
        lines = []
        reader = threading.Thread(target=lambda: [lines.append(line) for line in process.stdout])
        reader.start()
        wait_for(lambda: any(b'"event":"dropped"' in line for line in list(lines)) or len(lines) > total, "the loss is said")
        for _ in range(10):
            assert client.ask().status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        reader.join()
        records = [access_log.parse_line(line) for line in lines]
        dropped = sum(record["n"] for record in access_log.events_of(records, "dropped"))
        assert len(access_log.requests_of(records)) + dropped == total + 10
        access_log.check_sequence(records)
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def test_missing_directory_of_the_log_is_said_at_start(verb, tmp_path):
    config = respond(listen=[{"address": "127.0.0.1:18080"}], log={"access": str(tmp_path / "no/such/dir/access.log")})
    file = tmp_path / "c.json"
    file.write_text(json.dumps(config))
    done = verb("run", "-c", file)
    assert done.returncode == 5, done
    assert "no/such/dir" in done.stderr and len(done.stderr.strip().splitlines()) <= 2


def test_log_off(start, connect):
    proxy = start(respond(log={"access": "off"}))
    assert connect(proxy).ask().status == 200
    assert not proxy.access_log.exists()


def test_start_and_stop_are_lines(start, connect):
    proxy = start(respond())
    connect(proxy).ask()
    proxy.requests(1)
    proxy.signal(signal.SIGTERM)
    assert proxy.wait_exit() == 0
    events = [line["event"] for line in proxy.log_lines() if "event" in line]
    assert events[0] == "start" and events[-1] == "stop"


def test_a_client_and_the_proxy_in_front_of_it_are_told_apart(start, connect):
    """Their texts may be kept in the same place: 127.0.0.1 and 198.51.100.1 are."""
    proxy = start(respond(trusted_proxies=["127.0.0.1"], quotas={"q": {"key": ["ip"], "limits": {"day": 1}}}, workers=1,
                          routes=[{"name": "all", "prefix": "/", "respond": {"text": "here"}, "quotas": ["q"]}]))
    client = connect(proxy)
    replies = [client.ask(fields=[("X-Forwarded-For", "198.51.100.1")]) for _ in range(6)]
    assert [reply.status for reply in replies] == [200] + [429] * 5
    lines = proxy.requests(6)
    assert [(line["client_ip"], line["peer_ip"]) for line in lines] == [("198.51.100.1", "127.0.0.1")] * 6
