# SPDX-License-Identifier: Apache-2.0
"""The metrics port: what it answers and to whom, that the page is what the format says, and that it stays small whatever is asked
and whatever the configuration names."""
import json
import os
import re
import signal
import time

import pytest

from harness import exposition, http
from harness.client import Client
from harness.configs import forward, respond
from harness.metrics import scrape, scrape_families
from harness.ports import take_port
from harness.tls import Authority
from harness.waiting import wait_for

SERIES_MAX = 5000
REQUESTS = int(os.environ.get("SLUICE_SERIES", "5000"))
HOSTILE = 'a"b\\c\nd {e="f"} \u00e9'


def count_of(families):
    return sum(len(family.samples) for family in families.values())


def ask(port, method, target, more=""):
    with Client(("127.0.0.1", port)) as client:
        client.send(f"{method} {target} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())
        return client.read(method)


def with_port(config):
    port = take_port()
    return {**config, "admin": {**config.get("admin", {}), "metrics": f"127.0.0.1:{port}"}}, port


# ---- the format ----

def test_every_name_is_as_prometheus_has_it(start, upstream, connect, tmp_path):
    """Names with every byte that must be escaped, a certificate, a quota, a server; and what no other test looks at."""
    authority = Authority(tmp_path / "tls")
    config = forward(upstream(), quotas={"per-ip": {"key": ["ip"], "limits": {"hour": 3}}})
    config["routes"] = [{"name": HOSTILE, "path": "/here", "upstream": "app", "quotas": ["per-ip"]}, *config["routes"]]
    config["listen"] = [{"address": f"127.0.0.1:{take_port()}"}, {"address": f"127.0.0.1:{take_port()}", "tls": authority.issue("x.test").config}]
    config, port = with_port(config)
    proxy = start(config)
    client = connect(proxy)
    for _ in range(5):
        client.ask("GET", "/here")
    with Client(proxy.address) as bad:
        bad.send(b"GET / HTTP/1.1\r\nHost: x\r\nBad name: y\r\n\r\n")
        assert bad.read().status == 400
    wait_for(lambda: scrape(port)['sluice_faults_total{fault="bad_field_name",sender="client"}'] == 1, "the fault is counted")
    families = scrape_families(port)
    assert exposition.lint(families, "sluice_") == []
    assert count_of(families) <= SERIES_MAX

    def value(name, **labels):
        found = [s.value for s in families["sluice_" + name].samples if s.labels == labels]
        assert len(found) == 1, (name, labels)
        return found[0]

    assert value("route_requests_total", route=HOSTILE) == 5
    assert value("quota_decisions_total", quota="per-ip", decision="allow") == 3 and value("quota_decisions_total", quota="per-ip", decision="refuse") == 2
    durations = {s.labels["route"]: s.value for s in families["sluice_route_duration_seconds"].samples if s.name.endswith("_count")}
    assert durations[HOSTILE] == 5
    responses = [s.value for s in families["sluice_upstream_response_seconds"].samples if s.name.endswith("_count")]
    assert responses == [3]
    assert value("ready") == 1 and value("workers") == 2 and value("metrics_series_folded") == 0
    assert value("upstream_servers", upstream="app") == 1 and value("upstream_servers_usable", upstream="app") == 1
    assert value("process_open_fds") > 10 and value("process_max_fds") >= value("process_open_fds")
    assert value("process_resident_memory_bytes") > 1 << 20 and value("process_cpu_seconds_total") > 0
    started = value("process_start_time_seconds")
    assert 0 <= time.time() - started < 600
    assert value("connections_max") > value("connections_open") >= 1
    assert value("tls_certificate_expiry_timestamp_seconds") > started
    assert value("store_subjects") == 1 and value("store_subjects_max") >= 1000
    assert value("log_buffer_bytes") >= 0
    version = families["sluice_build_info"].samples
    assert [s.value for s in version] == [1] and re.fullmatch(r"\d+\.\d+\.\d+.*", version[0].labels["version"])
    lag = {s.name: s.value for s in families["sluice_loop_lag_seconds"].samples if "le" not in s.labels}
    wait_for(lambda: scrape(port)["sluice_loop_lag_seconds_count"] > lag["sluice_loop_lag_seconds_count"], "every thread looks four times a second")


@pytest.mark.parametrize("page, why", [
    (b"# HELP a A.\n# TYPE a counter\na 1", "last line"),
    (b"a 1\n", "HELP"),
    (b"# HELP a A.\na 1\n", "TYPE"),
    (b"# HELP a A.\n# TYPE a counter\na 1\na 2\n", "twice"),
    (b'# HELP a A.\n# TYPE a counter\na{x="1",y="2"} 1\na{y="2",x="1"} 1\n', "twice"),
    (b"# HELP a A.\n# TYPE a counter\na 1\n# HELP b B.\n# TYPE b gauge\nb 1\n# HELP a A.\n", "two places"),
    (b'# HELP a A.\n# TYPE a counter\na{x="\n"} 1\n', "neither"),
    (b'# HELP a A.\n# TYPE a counter\na{x="\\q"} 1\n', "labels"),
    (b'# HELP a A.\n# TYPE a counter\na{x="y"z="1"} 1\n', "labels"),
    (b"# HELP a A.\n# TYPE a counter\na 1 \n", "neither"),
    (b"# HELP a A.\n# TYPE a counter\nb 1\n", "below"),
    (b"# HELP a A.\n# TYPE a gauge\n# HELP b B.\n# TYPE b gauge\nb 1\n", "no sample"),
])
def test_the_reader_itself_is_strict(page, why):
    with pytest.raises(AssertionError, match=why):
        exposition.parse(page)


@pytest.mark.parametrize("text, why", [
    ("# HELP sluice_a A.\n# TYPE sluice_a counter\nsluice_a 1\n", "_total"),
    ("# HELP sluice_a_total A.\n# TYPE sluice_a_total gauge\nsluice_a_total 1\n", "_total"),
    ("# HELP sluice_wait_ms A.\n# TYPE sluice_wait_ms gauge\nsluice_wait_ms 1\n", "base unit"),
    ("# HELP sluice_seconds_left A.\n# TYPE sluice_seconds_left gauge\nsluice_seconds_left 1\n", "last word"),
    ("# HELP other_a A.\n# TYPE other_a gauge\nother_a 1\n", "prefix"),
    ("# HELP sluice_a no sentence\n# TYPE sluice_a gauge\nsluice_a 1\n", "sentence"),
    ('# HELP sluice_a A.\n# TYPE sluice_a gauge\nsluice_a 1\nsluice_a{abc="d"} 1\n', "same labels"),
    ('# HELP sluice_a A.\n# TYPE sluice_a gauge\nsluice_a{job="d"} 1\n', "label"),
])
def test_the_rules_can_be_broken(text, why):
    faults = exposition.lint(exposition.parse(text.encode()), "sluice_")
    assert len(faults) >= 1 and why in " ".join(faults)


# ---- how much it can be ----

def test_ten_thousand_routes(start, connect, tmp_path):
    """Each is served and counted; the page shows the first ones and the sum of the others, and says so.  A reload to few names shows few."""
    routes = [{"name": f"r{n}", "path": f"/{n}", "quotas": [f"q{n % 500}"], "respond": {"status": 200, "text": "x"}} for n in range(9500)]
    routes += [{"name": f"u{n}", "path": f"/u/{n}", "upstream": f"up{n}"} for n in range(500)]
    upstreams = {f"up{n}": {"servers": [f"127.0.0.1:{1 + (3 * n + k) % 1000}" for k in range(3)]} for n in range(500)}
    quotas = {f"q{n}": {"key": ["ip"], "limits": {"hour": 1000000}, **({"mode": "shadow"} if n % 2 else {})} for n in range(500)}
    config, port = with_port({"routes": routes, "quotas": quotas, "upstreams": upstreams, "workers": 1, "log": {"access": "off"}})
    config["admin"]["address"] = f"unix:{tmp_path}/a.sock"
    proxy = start(config)
    client = connect(proxy)
    for n in (0, 0, 39, 40, 199, 200, 9499):
        assert client.ask("GET", f"/{n}").status == 200
    families = scrape_families(port)
    assert exposition.lint(families, "sluice_") == []
    assert 3000 < count_of(families) <= SERIES_MAX

    def shown(name, *labels):
        return {tuple(s.labels[label] for label in labels): s.value for s in families["sluice_" + name].samples if "le" not in s.labels and not s.name.endswith("_sum")}

    requests = shown("route_requests_total", "route")
    assert list(requests) == [*((f"r{n}",) for n in range(200)), ("_other",)], "the first of the file, in its order"
    assert requests["r0",] == 2 and requests["r39",] == requests["r40",] == requests["r199",] == 1 and requests["_other",] == 2
    assert shown("route_responses_total", "route", "class")["_other", "2xx"] == 2
    durations = shown("route_duration_seconds", "route")
    assert len(durations) == 41 and durations["r0",] == 2 and durations["r39",] == 1 and durations["_other",] == 4
    decisions = shown("quota_decisions_total", "quota", "decision")
    assert {quota for quota, _ in decisions} == {*(f"q{n}" for n in range(100)), "_other"}
    assert decisions["q0", "allow"] == 2 and decisions["q39", "shadow_allow"] == 1 and decisions["_other", "shadow_allow"] == 2 and decisions["_other", "allow"] == 1
    windows = shown("quota_window_refused_total", "quota", "window")
    assert set(windows) == {*((f"q{n}", "hour") for n in range(0, 400, 2)), ("_other", "_other")}, "those in shadow have none"
    servers = shown("upstream_server_ok_total", "upstream", "server")
    assert len(servers) == 151 and ("_other", "_other") in servers
    assert len(shown("upstream_server_usable", "upstream", "server")) == 150 and len(shown("upstream_servers", "upstream")) == 50
    folded = families["sluice_metrics_series_folded"].samples[0].value
    assert folded == 6 * 9800 + 9960 + 3 * 400 + 2 * 50 + 450 * 2 + 476 + 5 * 1350
    assert "series of metrics are not shown one by one" in proxy.stderr()
    status = json.loads(ask_socket(tmp_path / "a.sock", "/v1/status"))["routes"]
    assert status[199]["requests"] == 1 and "requests" not in status[200] and "2xx" not in status[200]

    few = {**proxy.config, "routes": [routes[0], routes[9499], {"name": "fresh", "path": "/fresh", "respond": {"status": 204}}]}
    del few["upstreams"]
    proxy.write_config(few)
    proxy.signal(signal.SIGHUP)
    wait_for(lambda: scrape(port)["sluice_config_generation"] == 2, "the reload is in force")
    assert client.ask("GET", "/0").status == 200 and client.ask("GET", "/fresh").status == 204
    families = scrape_families(port)
    assert shown("route_requests_total", "route") == {("r0",): 3, ("_other",): 3}
    assert "sluice_upstream_servers" not in families and count_of(families) < 1500


def ask_socket(path, target):
    with Client(str(path)) as client:
        reply = client.ask("GET", target)
    assert reply.status == 200
    return reply.body


def test_traffic_makes_no_series(start, connect):
    """As many users, paths, methods and hosts as there are requests; good ones and bad ones."""
    config = respond(quotas={"user": {"key": ["user"], "limits": {"hour": 1}}}, identities={"user": {"from": ["header:X-User"]}},
                     subject_secret="a secret of this test", log={"access": "off"}, workers=1)
    config["routes"][0]["quotas"] = ["user"]
    config, port = with_port(config)
    proxy = start(config)
    client = connect(proxy)
    client.ask("GET", "/", [("X-User", "first")])
    before = scrape_families(port)
    batch = 250
    for begin in range(0, REQUESTS, batch):
        client.send(b"".join(f"M{n} /p{n}/{n * 7919} HTTP/1.1\r\nHost: h{n}.example\r\nX-User: u{n}\r\nUser-Agent: a{n}\r\n\r\n".encode() for n in range(begin, begin + batch)))
        for _ in range(batch):
            assert client.read().status == 200
    for n in range(50):
        with Client(proxy.address) as bad:
            bad.send(f"GET /{n} HTTP/1.1\r\nHost: x\r\nBad{n} name: y\r\n\r\n".encode())
            assert bad.read().status == 400
    after = scrape_families(port)

    def series(families):
        return {(s.name, *sorted(s.labels.items())) for family in families.values() for s in family.samples}

    assert series(after) == series(before) and len(series(after)) <= 1000
    assert exposition.lint(after, "sluice_") == []
    assert sum(s.value for s in after["sluice_route_requests_total"].samples) == REQUESTS + 1


# ---- the port ----

def test_what_machines_ask_for(start, connect, tmp_path):
    config, port = with_port(respond(admin={"address": f"unix:{tmp_path}/a.sock"}))
    start(config)
    for target, status, body in (("/healthz", 200, b"ok\n"), ("/readyz", 200, b"ready\n")):
        reply = ask(port, "GET", target)
        assert (reply.status, reply.body, reply["Content-Type"]) == (status, body, "text/plain; charset=UTF-8"), target
        assert reply["Cache-Control"] == "no-store" and reply["Connection"] == "close"
        reply = ask(port, "HEAD", target)
        assert (reply.status, reply.body, reply["Content-Length"]) == (status, b"", str(len(body)))
    reply = ask(port, "HEAD", "/metrics")
    assert reply.status == 200 and reply.body == b"" and int(reply["Content-Length"]) > 10000
    for target in ("/metrics", "/healthz", "/readyz"):
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"):
            reply = ask(port, method, target, "Content-Length: 0\r\n")
            assert reply.status == 405 and reply["Allow"] == "GET, HEAD", (method, target)
        assert ask(port, "GET", target, "Content-Length: 5\r\n").status == 413
        assert ask(port, "GET", target + "/").status == 404 and ask(port, "GET", target.upper()).status == 404
        assert ask(port, "GET", target + "?x=y").status == 200
    for target in ("/", "/v1/status", "/v1/top", "/v1/errors", "/v1/tail", "/v1/subject?name=x", "/v1/reload"):
        for method in ("GET", "POST"):
            assert ask(port, method, target, "Content-Length: 0\r\n").status == 404, (method, target)
    assert ask_socket(tmp_path / "a.sock", "/readyz") == b"ready\n"


def test_draining_is_told_before_anybody_is_sent_away(start, upstream, connect):
    server = upstream(answer=lambda message: http.response(body=b"x"))
    config, port = with_port(forward(server, limits={"drain_announce": "60s", "drain_timeout": "10s"}))
    proxy = start(config)
    client = connect(proxy)
    assert client.ask("GET", "/").status == 200
    proxy.signal(signal.SIGTERM)
    wait_for(lambda: ask(port, "GET", "/readyz").status == 503, "it says that it drains")
    reply = ask(port, "GET", "/readyz")
    assert (reply.status, reply.reason, reply.body) == (503, "Service Unavailable", b"draining\n")
    assert ask(port, "HEAD", "/readyz").status == 503 and ask(port, "GET", "/healthz").status == 200
    assert scrape(port)["sluice_ready"] == 0
    assert client.ask("GET", "/").status == 200 and connect(proxy).ask("GET", "/").status == 200, "everything else goes on"
    proxy.signal(signal.SIGTERM)  # twice: at once


def test_slow_readers_and_crowds_lock_nobody_out(start, connect):
    """Who asks and does not read, who connects and does not ask, 100 of each: the next one is answered, and traffic too."""
    config, port = with_port(respond())
    proxy = start(config)
    readers = []
    for n in range(200):
        reader = connect(("127.0.0.1", port), receive_buffer=4096)
        if n % 2 == 0:
            reader.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        readers.append(reader)
    for target in ("/readyz", "/healthz", "/metrics"):
        assert ask(port, "GET", target).status == 200
    assert connect(proxy).ask().status == 200
    ours = {peer for own, peer in proxy.connected_sockets() if own == port}
    assert len(ours) <= 33, "32 at most, and the one that just went"
    for reader in readers:
        reader.close()
