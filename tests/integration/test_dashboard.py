# SPDX-License-Identifier: Apache-2.0
"""What the live page is made of: GET /v1/live, GET /dashboard, and the port that `sluice dashboard` opens for a browser."""
import base64
import hashlib
import json
import re
import signal

import pytest

from harness.client import Client
from harness.dashboard import PASSWORD, Dashboard, ask_as, get, live_of, make_traffic, policy
from harness.ports import take_port
from harness.waiting import wait_for

TOKEN = "0123456789abcdef-token"
OWN = ("Host", "sluice")


@pytest.fixture
def served(start, upstream, tmp_path):
    proxy = start(policy(upstream(), tmp_path))
    return proxy, tmp_path / "admin.sock"


@pytest.fixture
def opened(served, tmp_path):
    dashboard = Dashboard(tmp_path, "-s", served[1])
    yield dashboard
    if dashboard.process.poll() is None:
        dashboard.end()


def named(rows, key, name):
    return next(row for row in rows if row[key] == name)


def test_live_says_what_happened(served):
    proxy, socket = served
    before = live_of(socket)
    assert before["requests"]["limited"] == 0 and before["refused"]["rows"] == [] and before["malformed"]["errors"] == []
    make_traffic(proxy)
    live = wait_for(lambda: (got := live_of(socket))["requests"]["ended"] == 18 and got["log"]["lines"] >= 18 and got, "all requests are counted and logged")
    assert live["requests"]["limited"] == 7 and live["requests"]["open"] == 0
    assert live["requests"]["ends"] == {"ok": 8, "limited": 7, "upstream_connect": 2, "bad_request": 1}
    assert live["boot"] == before["boot"] and live["generation"] == 1 and live["state"] == "serving" and live["stale"] is False
    assert live["mono_us"] > before["mono_us"] and live["pid"] == proxy.pid

    search, lost = named(live["routes"], "route", "search"), named(live["routes"], "route", "lost")
    assert (search["requests"], search["2xx"], search["4xx"], search["5xx"]) == (15, 8, 7, 0)
    assert (lost["requests"], lost["5xx"]) == (2, 2)
    user, address = (named(live["quotas"], "quota", name) for name in ("per-user", "per-address"))
    assert (user["admitted"], user["refused"], user["degraded"], user["shadow"]) == (8, 7, 0, False)
    assert (address["admitted"], address["refused"]) == (8, 0)
    total = live["latency"]["total"]
    assert len(total["counts"]) == len(live["latency"]["bounds_us"]) + 1 and sum(total["counts"]) == 18 and total["sum_us"] > 0
    assert sum(live["latency"]["server"]["counts"]) == 8 and sum(live["latency"]["decision"]["counts"]) == 15

    rows = live["refused"]["rows"]
    assert live["refused"]["kept"] == 7 and live["refused"]["passed_over"] == 0 and len(rows) == 1
    assert {key: rows[0][key] for key in ("subject", "kind", "quota", "window", "used", "limit", "route", "degraded")} == {
        "subject": "alice", "kind": "basic_user", "quota": "per-user", "window": "day", "used": 5, "limit": 5, "route": "search", "degraded": False}
    assert 0 < rows[0]["retry_after_s"] <= 86400
    top = named(live["top"], "quota", "per-user")
    assert [(row["subject"], row["admitted"], row["refused"]) for row in top["refused"]] == [("alice", 5, 7)]
    assert [(row["subject"], row["admitted"], row["refused"]) for row in top["subjects"]] == [("alice", 5, 7), ("bob", 3, 0)]
    assert [row["fault"] for row in live["malformed"]["errors"]] == ["path_nul"]

    assert live["connections"]["open"] == 0 and live["store"]["type"] == "memory" and len(live["loop_lag_us"]) == 2
    assert [server["state"] for upstream in live["upstreams"] for server in upstream["servers"]] == ["up", "up"]
    process = live["process"]
    assert process["rss_bytes"] // 1024 > proxy.memory_kib() // 2 and process["cpu_us"] > 0
    assert abs(process["fds"] - proxy.descriptors()) <= 4 < process["fds_max"]
    assert live["log"]["dropped"] == 0 and live["log"]["seq"] >= 18
    assert PASSWORD not in json.dumps(live) and base64.b64encode(PASSWORD.encode()).decode() not in json.dumps(live)


def test_last_refusals_are_of_all_workers_and_outlive_a_reload(served, verb):
    proxy, socket = served
    for user in ("alice", "bob"):  # on connections of their own: both workers refuse some
        for _ in range(12):
            ask_as(proxy, user, 1)
    rows = live_of(socket)["refused"]["rows"]
    assert [row["subject"] for row in rows] == ["bob", "alice"]
    assert rows == sorted(rows, key=lambda row: row["at"], reverse=True)
    config = json.loads(proxy.file.read_text())
    del config["quotas"]["per-user"], config["identities"]
    config["routes"][1]["quotas"] = ["per-address"]
    proxy.write_config(config)
    wait_for(lambda: live_of(socket)["stale"], "the file is another one")
    assert live_of(socket)["reload_refused"] is False
    assert verb("reload", "-s", socket).returncode == 0
    live = live_of(socket)
    assert live["stale"] is False
    assert [row["quota"] for row in live["refused"]["rows"]] == ["per-user"] * 2 and [row["quota"] for row in live["quotas"]] == ["per-address"]


def test_numbers_of_names_without_series_are_told_together(start, tmp_path):
    """More routes and quotas than have series of their own: their failures and refusals are seen nevertheless."""
    quotas = {f"q{n}": {"key": ["route"], "limits": {"day": 1}} for n in range(250)}
    routes = [{"name": f"r{n}", "prefix": f"/r{n}/", "upstream": "dead", "quotas": [f"q{n}"]} for n in range(250)]
    config = {"upstreams": {"dead": {"servers": [f"127.0.0.1:{take_port()}"]}}, "quotas": quotas, "routes": routes}
    proxy = start({**config, "admin": {"address": f"unix:{tmp_path}/admin.sock"}})
    with Client(proxy.address) as client:
        assert [client.ask("GET", "/r249/").status, client.ask("GET", "/r239/").status, client.ask("GET", "/r239/").status] == [502, 502, 429]
    live = wait_for(lambda: (got := live_of(tmp_path / "admin.sock"))["requests"]["ended"] == 3 and got, "all are counted")
    assert sum(row["5xx"] for row in live["routes"]) == 2 and named(live["routes"], "route", "_other")["requests"] == 3
    assert len(live["routes"]) < 250 and [row["route"] for row in live["routes"]].count("_other") == 1
    assert sum(row["refused"] for row in live["quotas"]) == 1 and named(live["quotas"], "quota", "_other")["refused"] == 1


def test_a_flood_of_refusals_is_counted_not_kept(served):
    proxy, socket = served
    ask_as(proxy, "alice", 400)
    refused = live_of(socket)["refused"]
    assert refused["kept"] + refused["passed_over"] == 395 and refused["kept"] < 200
    assert [row["subject"] for row in refused["rows"]] == ["alice"]


def test_slots_and_buckets_refuse_by_name(start, upstream, tmp_path):
    config = policy(upstream(), tmp_path)
    config["quotas"]["per-user"] = {"key": ["user"], "in_flight": 1, "limits": {"day": 0}}
    proxy = start(config)
    assert ask_as(proxy, "alice", 1) == [429]
    row, = live_of(tmp_path / "admin.sock")["refused"]["rows"]
    assert (row["window"], row["used"], row["limit"], row["retry_after_s"]) == ("day", 0, 0, 0)


def test_the_page_is_whole_and_its_policy_fits(served):
    _, socket = served
    reply = get(str(socket), "/dashboard", [OWN])
    page = reply.body.decode()
    assert reply.status == 200 and reply["Content-Type"] == "text/html; charset=UTF-8" and reply["Cache-Control"] == "no-store"
    rules = dict(rule.strip().split(" ", 1) for rule in reply["Content-Security-Policy"].split(";"))
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        inside, = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert rules["default-src"] == rules["frame-ancestors"] == "'none'" and rules["connect-src"] == "'self'"
    assert reply["Referrer-Policy"] == "no-referrer" and reply["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"\bon[a-z]+=|https?://(?!www\.w3\.org/2000/svg)|innerHTML|eval\(|@STYLE@|@SCRIPT@", page)
    head = get(str(socket), "/dashboard", [OWN], "HEAD")
    assert head.status == 200 and head.body == b"" and int(head["Content-Length"]) == len(reply.body)
    assert get(str(socket), "/dashboard", [OWN, ("Origin", "http://evil.test")]).status == 403
    assert get(str(socket), "/dashboard", [OWN], "POST").status == 405


def test_over_tcp_it_needs_the_token(start, upstream, tmp_path, verb):
    port = take_port()
    (tmp_path / "token").write_text(TOKEN + "\n")
    config = policy(upstream(), tmp_path)
    config["admin"] = {"address": f"127.0.0.1:{port}", "token": {"file": str(tmp_path / "token")}}
    start(config)
    own = ("Host", f"127.0.0.1:{port}")
    for target in ("/dashboard", "/v1/live"):
        assert get(("127.0.0.1", port), target, [own]).status == 401
        assert get(("127.0.0.1", port), target, [own, ("Authorization", f"Bearer {TOKEN}")]).status == 200
    done = verb("dashboard", "-s", f"127.0.0.1:{port}")
    assert done.returncode == 7 and "SLUICE_ADMIN_TOKEN_FILE" in done.stderr and done.stdout == ""


def test_only_who_has_the_address_gets_through(opened):
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[0-9a-f]{32}/", opened.url)
    own, base = ("Host", opened.host), opened.path
    key = base.strip("/")
    page = opened.get(base, own)
    assert page.status == 200 and page["Content-Security-Policy"] and b"<title>Sluice</title>" in page.body
    assert json.loads(opened.get(base + "v1/live", own).body)["state"] == "serving"
    assert opened.get(base, ("Host", opened.host.replace("127.0.0.1", "localhost"))).status == 200
    assert opened.get(base, own, ("Sec-Fetch-Site", "none")).status == 200
    assert opened.get(base + "v1/live", own, ("Sec-Fetch-Site", "same-origin")).status == 200
    assert opened.get(base, own, method="HEAD").body == b""
    other = ("0" if key[-1] != "0" else "1")
    refused = [
        (404, "/", [own]), (404, "/dashboard", [own]), (404, "/v1/live", [own]), (404, f"/{key}", [own]), (404, f"/{key[:-1]}{other}/", [own]),
        (404, f"/{key[:-1]}/", [own]), (404, f"/{key}{other}/", [own]), (404, f"/{key.upper() if key.upper() != key else key[::-1]}/", [own]),
        (404, base + "v1/status", [own]), (404, base + "v1/reload", [own]), (404, base + "metrics", [own]), (404, base + "v1/live?x", [own]),
        (404, base + "../v1/status", [own]), (404, base + "%76%31/live", [own]),
        (403, base, [("Host", "evil.test")]), (403, base, [("Host", "127.0.0.1")]), (403, base, [("Host", "127.0.0.1:1")]),
        (403, base, [own, ("Origin", "http://evil.test")]), (403, base, [own, ("Origin", "null")]), (403, base, [own, ("Origin", f"http://{opened.host}")]),
        (403, base, [own, ("Sec-Fetch-Site", "cross-site")]), (403, base, [own, ("Sec-Fetch-Site", "same-site")]),
        (400, base, []), (400, base, [own, own]), (400, base, [own, ("X y", "z")]), (400, base, [own, ("Content-Length", "1")]),
    ]
    for status, target, fields in refused:
        reply = opened.get(target, *fields)
        assert reply.status == status and b"boot" not in reply.body and key.encode() not in reply.body, (target, fields, reply)
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        reply = opened.get(base + "v1/live", own, method=method)
        assert reply.status == 405 and reply["Allow"] == "GET, HEAD"
    with Client(opened.address) as client:
        client.send(b"\x16\x03\x01\x00\x00 nonsense\r\n\r\n")
        assert client.read().status == 400
    with Client(opened.address) as client:
        client.send(b"GET / HTTP/1.1\r\nX: " + b"y" * 9000)
        assert client.read().status == 400


def test_silent_connections_shut_nobody_out(opened):
    silent = [Client(opened.address) for _ in range(40)]
    assert opened.get(opened.path, ("Host", opened.host)).status == 200
    for client in silent:
        client.close()


def test_the_verb_says_why_and_ends_clean(served, opened, tmp_path, verb):
    proxy, socket = served
    port = opened.address[1]
    done = verb("dashboard", "-s", socket, "--port", port)
    assert done.returncode == 4 and f"127.0.0.1:{port}" in done.stderr
    for wrong in ("0", "65536", "x"):
        assert verb("dashboard", "-s", socket, "--port", wrong).returncode == 2
    proxy.stop()
    reply = opened.get(opened.path + "v1/live", ("Host", opened.host))
    assert reply.status == 503 and b"no instance answers there" in reply.body
    assert verb("dashboard", "-s", socket).returncode == 6
    code, out, err = opened.end(signal.SIGINT)
    assert (code, out) == (0, "") and "^C ends it" in err
    assert not list(tmp_path.glob("sanitizer.*"))
