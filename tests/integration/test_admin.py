# SPDX-License-Identifier: Apache-2.0
"""Operators' doors: status and reload over the admin socket, and the metrics page."""
import json
import re

from harness.configs import forward
from harness.metrics import scrape
from harness.ports import take_port
from harness.waiting import wait_for


def with_admin(server, tmp_path, **more):
    port = take_port()
    config = forward(server, quotas={"ip": {"key": ["ip"], "limits": {"hour": 3}}},
                     admin={"address": f"unix:{tmp_path}/admin.sock", "metrics": f"127.0.0.1:{port}"}, **more)
    return config, port


def test_metrics_count_what_happened(start, upstream, connect, tmp_path):
    config, port = with_admin(upstream(), tmp_path)
    proxy = start(config)
    client = connect(("127.0.0.1", port))
    assert client.ask("GET", "/other").status == 404
    client.close()
    before = scrape(port)

    def grown():
        now = scrape(port)
        return {name: value - before.get(name, 0) for name, value in now.items() if value != before.get(name, 0)}

    client = connect(proxy)
    for _ in range(6):
        client.ask()
    wait_for(lambda: grown().get('sluice_decisions_total{decision="refuse"}') == 3, "the numbers are there")
    diff = grown()
    assert diff['sluice_decisions_total{decision="allow"}'] == 3
    assert sum(v for n, v in diff.items() if n.startswith("sluice_route_requests_total")) == 6
    assert diff["sluice_connections_accepted_total"] == 1 and diff["sluice_connections_open"] == 1


def test_status_text_and_json(start, upstream, connect, verb, tmp_path):
    config, _ = with_admin(upstream(), tmp_path)
    proxy = start(config)
    client = connect(proxy)
    for _ in range(4):
        client.ask()
    socket = tmp_path / "admin.sock"
    done = verb("status", "-s", socket)
    assert done.returncode == 0, done
    assert done.stdout.startswith("sluice ") and "generation 1" in done.stdout and proxy.config["listen"][0]["address"] in done.stdout
    done = verb("status", "-s", socket, "--json")
    status = json.loads(done.stdout)
    assert status["config"]["generation"] == 1 and status["connections"]["open"] == 1
    assert status["decisions"]["allow"] == 3 and status["decisions"]["refuse"] == 1


def test_reload_verb_is_synchronous_and_says_what_changed(start, upstream, connect, verb, tmp_path):
    config, _ = with_admin(upstream(), tmp_path)
    proxy = start(config)
    socket = tmp_path / "admin.sock"
    changed = json.loads(json.dumps(proxy.config))
    changed["quotas"]["ip"]["limits"]["hour"] = 7
    proxy.write_config(changed)
    done = verb("reload", "-s", socket)
    assert done.returncode == 0, done
    assert re.search(r"hour.*3.*7", done.stdout), done.stdout
    assert connect(proxy).ask()["X-ratelimit"] == "7"
    proxy.file.write_text(proxy.file.read_text().replace('"hour"', '"hours"'))
    done = verb("reload", "-s", socket)
    assert done.returncode == 8 and "/quotas/ip/limits/hours" in done.stderr and done.stdout == ""
    assert connect(proxy).ask()["X-ratelimit"] == "7"
    status = verb("status", "-s", socket).stdout
    assert "STALE" in status
    changed["workers"] = 3
    proxy.write_config(changed)
    done = verb("reload", "-s", socket)
    assert done.returncode == 8 and "restart" in done.stderr and done.stdout == ""
    changed["workers"] = 2
    proxy.write_config(changed)
    done = verb("reload", "-s", socket, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["applied"] is True and done.stdout.endswith("}\n")
    assert "STALE" not in verb("status", "-s", socket).stdout


def test_nonsense_on_the_admin_socket_harms_nobody(start, upstream, connect, tmp_path):
    config, port = with_admin(upstream(), tmp_path)
    proxy = start(config)
    path = str(tmp_path / "admin.sock")
    for data in (b"\x00" * 1000, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100000, b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", b"DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n"):
        for address in (path, ("127.0.0.1", port)):
            client = connect(address)
            try:
                client.send(data)
                client.end_output()
                said = client.expect_gone()
            except OSError:
                continue
            assert b"200 OK" not in said, data[:50]
    # Only the socket changes anything: the metrics port, which web pages can reach, does not.
    client = connect(("127.0.0.1", port))
    client.send(b"POST /v1/reload HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.read().status in (403, 404, 405)
    assert not proxy.events("reload")
    idle = [connect(path) for _ in range(200)]
    assert connect(proxy).ask().status == 200
    for client in idle:
        client.close()
