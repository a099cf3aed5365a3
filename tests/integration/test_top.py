# SPDX-License-Identifier: Apache-2.0
"""A look inside a running proxy: who takes most of each quota, and which messages were refused as malformed."""
import json

import pytest

from harness.client import Client
from harness.configs import forward
from harness.metrics import scrape
from harness.ports import take_port
from harness.upstream import answering
from harness.waiting import wait_for


@pytest.fixture
def served(start, upstream, verb, tmp_path):
    """A proxy of two workers, and what its admin socket answers."""
    def make(server, admin_metrics=None, **more):
        config = forward(server, quotas={"key": {"key": ["user"], "limits": {"hour": 5}}, "ip": {"key": ["ip"], "limits": {"hour": 100000}}},
                         identities={"user": {"from": ["header:X-User"]}}, admin={"address": f"unix:{tmp_path}/admin.sock", **({"metrics": admin_metrics} if admin_metrics else {})}, **more)
        proxy = start(config)

        def ask(*words):
            done = verb(*words, "-s", tmp_path / "admin.sock", "--json")
            assert done.returncode == 0, done
            return json.loads(done.stdout)
        return proxy, config, ask
    return make


def ask_as(proxy, user, times):
    """Each on a connection of its own: both workers serve some."""
    for _ in range(times):
        with Client(proxy.address) as client:
            client.ask(fields=[("X-User", user)])


def quota_of(answer, name):
    return next(quota for quota in answer["quotas"] if quota["quota"] == name)


def test_top_adds_up_the_workers_and_outlives_a_reload(served, upstream, verb, tmp_path):
    proxy, config, ask = served(upstream())
    for user, times in (("alice", 12), ("bob", 3), ("carol", 9)):
        ask_as(proxy, user, times)
    quota = quota_of(ask("top", "--refused", "--quota", "key"), "key")
    assert [(row["admitted"], row["refused"], row["missing_at_most"], row["kind"]) for row in quota["subjects"]] == [
        (5, 7, 0, "header"), (5, 4, 0, "header")]
    assert quota["identities"] == ["user"] and quota["decisions"] == 24 and quota["unlisted_at_most"] == 0
    logged = {subject["user"] for subject in (line["subjects"] for line in proxy.requests(24))}
    worst = quota["subjects"][0]["subject"]
    assert worst in logged and len(worst) == 22 and quota["subjects"][0]["share"] == 0.5
    ip = quota_of(ask("top"), "ip")["subjects"]
    assert [(row["subject"], row["admitted"], row["refused"]) for row in ip] == [("127.0.0.1", 13, 0)]

    config = json.loads(proxy.file.read_text())
    config["quotas"]["key"]["limits"] = {"hour": 7}
    del config["quotas"]["ip"]
    config["routes"] = [{**route, "quotas": [name for name in route.get("quotas", []) if name != "ip"]} for route in config["routes"]]
    proxy.write_config(config)
    assert verb("reload", "-s", tmp_path / "admin.sock").returncode == 0
    ask_as(proxy, "bob", 1)
    answer = ask("top")
    assert "ip" not in [quota["quota"] for quota in answer["quotas"]]
    assert [row["admitted"] for row in quota_of(answer, "key")["subjects"]] == [5, 5, 4]

    done = verb("top", "--refused", "-s", tmp_path / "admin.sock")
    assert done.returncode == 0 and worst in done.stdout and "`sluice show SUBJECT`" in done.stdout, done
    done = verb("top", "--quota", "nobody", "-s", tmp_path / "admin.sock")
    assert done.returncode == 1 and "no quota of this name" in done.stderr, done

    config["quotas"]["key"]["mode"] = "shadow"
    proxy.write_config(config)
    assert verb("reload", "-s", tmp_path / "admin.sock").returncode == 0
    ask_as(proxy, "alice", 1)
    shadow = quota_of(ask("top"), "key")
    assert shadow["shadow"] is True and shadow["decisions"] == 0 and shadow["subjects"] == []


def test_a_crowd_is_told_within_bounds(served, upstream):
    """As a metric too: what cannot be told of 400 subjects in the 256 places of a worker."""
    port = take_port()
    proxy, _, ask = served(upstream(), admin_metrics=f"127.0.0.1:{port}")
    with Client(proxy.address) as client:
        for n in range(800):
            client.ask(fields=[("X-User", f"user-{n % 400}")])
    missing = quota_of(ask("top"), "key")["unlisted_at_most"]
    assert missing > 0
    wait_for(lambda: scrape(port)['sluice_quota_top_missing{quota="key"}'] == missing, "it is a metric too")
    assert scrape(port)['sluice_quota_top_missing{quota="ip"}'] == 0


def test_errors_show_the_byte_and_no_secret(served, upstream, verb, tmp_path):
    def bad_head(link):
        link.read_request()
        link.send(b"HTTP/1.1 200 OK\r\nSet-Cookie: s=SECRET\r\nBad Name: x\r\n\r\n")
        link.wait_for_end()
    server = upstream(serve=bad_head)
    proxy, _, ask = served(server)
    requests = [
        b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer SECRET\x01SECRET\r\n\r\n",
        b"GET /a%00b?t=SECRET HTTP/1.1\r\nHost: h\r\nX-User: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nX-User: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ]
    for data in requests:
        with Client(proxy.address) as client:
            client.send(data)
            assert client.reader.response().status == 400
    with Client(proxy.address) as client:
        assert client.ask(fields=[("X-User", "a")]).status == 502
    answer = wait_for(lambda: (got := ask("errors")) and len(got["errors"]) == 4 and got, "all are there")
    assert "SECRET" not in json.dumps(answer)
    by_server = [row for row in answer["errors"] if row["from"] == "server"]
    assert [row["sender"] for row in by_server] == [server.address] and "Bad Name" in by_server[0]["window"]["text"]
    lines = {line["id"]: line for line in proxy.requests(4)}
    for row in answer["errors"]:
        assert any(name.startswith(row["id"]) and line.get("reason") == row["fault"] for name, line in lines.items()), row
    control = next(row for row in answer["errors"] if row["offset"] == requests[0].index(b"\x01"))
    hexes = control["window"]["hex"].split(" ")
    assert hexes[control["offset"] - control["window"]["from"]] == "01" and "**" in hexes
    path = next(row for row in answer["errors"] if "/a%00b" in (row["window"] or {}).get("text", ""))
    assert path["offset"] == requests[1].index(b"%00")
    done = verb("errors", "-s", tmp_path / "admin.sock")
    assert done.returncode == 0 and "4 of 4 refused messages" in done.stdout and "SECRET" not in done.stdout, done


def test_a_flood_of_bad_requests_is_counted_not_kept(served, upstream, verb):
    proxy, _, ask = served(upstream(serve=answering(lambda _: b"")))
    for _ in range(300):
        with Client(proxy.address) as client:
            client.send(b"\x00\r\n\r\n")
            client.reader.response()
    answer = ask("errors")
    assert len(answer["errors"]) <= 64 and answer["kept"] + answer["passed_over"] == 300
