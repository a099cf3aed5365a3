# SPDX-License-Identifier: Apache-2.0
"""Orders to the running service: its end by `sluice drain`, another configuration by `sluice reload`, what that would change by
`sluice diff`, and whether the file on disk is what runs."""
import copy
import json
import os
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

from harness import http
from harness.client import is_refused
from harness.configs import forward, respond
from harness.dashboard import get
from harness.metrics import scrape
from harness.ports import take_port
from harness.waiting import wait_for


def admin(folder):
    return {"address": f"unix:{folder}/admin.sock"}


class Asked:
    """A verb that runs beside the test."""

    def __init__(self, verb, *words):
        self._pool = ThreadPoolExecutor(1)
        self._future = self._pool.submit(verb, *words)

    @property
    def is_waiting(self):
        return not self._future.done()

    def end(self):
        done = self._future.result(60)
        self._pool.shutdown()
        return done


def held(upstream):
    """A server that answers when it is told, and the word."""
    go_on = threading.Event()

    def answer(_):
        go_on.wait(60)
        return http.response(body=b"late")

    return upstream(answer=answer), go_on


def stuck(upstream):
    def serve(link):
        link.read_request()
        link.wait_for_end()

    return upstream(serve)


# -- drain

def test_drain_is_announced_finishes_everything_and_waits_for_the_end(start, upstream, connect, verb, tmp_path):
    """Readiness fails first, idle connections end, 20 responses in flight are finished and say Connection: close."""
    server, go_on = held(upstream)
    proxy = start(forward(server, admin=admin(tmp_path), limits={"drain_announce": "700ms", "drain_timeout": "1h"}))
    socket = tmp_path / "admin.sock"
    busy, idle = [connect(proxy) for _ in range(20)], [connect(proxy) for _ in range(50)]
    for client in busy:
        client.send(http.request())
    server.wait_for_requests(20)
    asked = Asked(verb, "drain", "-s", socket)
    wait_for(lambda: connect(str(socket)).ask(target="/readyz").status == 503, "it is not ready")
    assert not is_refused(proxy.address)
    for client in idle:
        client.expect_gone()
    wait_for(lambda: is_refused(proxy.address), "nobody is accepted any more")
    assert asked.is_waiting and proxy.process.poll() is None
    go_on.set()
    for client in busy:
        reply = client.read()
        assert (reply.status, reply.body, reply["Connection"]) == (200, b"late", "close")
        client.close()
    done = asked.end()
    assert (done.returncode, done.stdout, done.stderr) == (0, "drained: every request was finished, and the service has ended\n", "")
    assert proxy.wait_exit(5) == 0
    assert not socket.exists()
    order = proxy.events("admin")[0]
    assert order["verb"] == "drain" and "before" not in order and "after" not in order
    done = verb("drain", "-s", socket)
    assert done.returncode == 6 and "no instance" in done.stderr


def test_drain_ends_at_the_deadline_that_was_asked_for(start, upstream, connect, verb, tmp_path):
    server = stuck(upstream)
    proxy = start(forward(server, admin=admin(tmp_path), limits={"drain_timeout": "1h"}))
    proxy.expected_exit = 9
    client = connect(proxy)
    client.send(http.request())
    server.wait_for_requests(1)
    done = verb("drain", "-s", tmp_path / "admin.sock", "--deadline", "200ms", "--json")
    assert done.returncode == 9
    said = json.loads(done.stdout)
    assert (said["status"], said["unfinished"]) == (504, 1)
    assert said["detail"] == "the deadline passed: 1 connections with unfinished requests were ended"
    assert client.read().status == 503
    assert proxy.wait_exit(5) == 9
    assert proxy.events("admin")[0]["after"] == {"deadline_ms": 200}
    assert "the deadline of the drain is over" in proxy.stderr()


def test_a_drain_that_is_under_way_can_be_joined_and_shortened(start, upstream, connect, verb, tmp_path):
    server = stuck(upstream)
    proxy = start(forward(server, admin=admin(tmp_path), limits={"drain_timeout": "1h"}))
    proxy.expected_exit = 9
    client = connect(proxy)
    client.send(http.request())
    server.wait_for_requests(1)
    asked = Asked(verb, "drain", "-s", tmp_path / "admin.sock")
    wait_for(lambda: is_refused(proxy.address), "draining has begun")
    assert verb("reload", "-s", tmp_path / "admin.sock").returncode == 8
    for words in (("--deadline", "soon"), ("--deadline", "25h")):
        assert verb("drain", "-s", tmp_path / "admin.sock", *words).returncode == 2
    assert asked.is_waiting
    done = verb("drain", "-s", tmp_path / "admin.sock", "--deadline", "0s")
    first = asked.end()
    assert (done.returncode, first.returncode) == (9, 9)
    assert done.stderr == first.stderr == "sluice: the deadline passed: 1 connections with unfinished requests were ended\n"


def test_a_drain_that_a_signal_cuts_short_has_not_finished(start, upstream, connect, verb, tmp_path):
    server = stuck(upstream)
    proxy = start(forward(server, admin=admin(tmp_path), limits={"drain_timeout": "1h"}))
    connect(proxy).send(http.request())
    server.wait_for_requests(1)
    asked = Asked(verb, "drain", "-s", tmp_path / "admin.sock")
    wait_for(lambda: is_refused(proxy.address), "draining has begun")
    proxy.signal(signal.SIGTERM)
    done = asked.end()
    assert (done.returncode, done.stderr) == (9, "sluice: a second order to stop has ended it at once\n")
    assert proxy.wait_exit(5) == 0


def test_nobody_drains_by_reading(start, connect, tmp_path):
    proxy = start(respond(admin=admin(tmp_path)))
    socket = str(tmp_path / "admin.sock")
    assert connect(socket).ask(target="/v1/drain").status == 405
    for query in ("?deadline=1", "?deadline=25h", "?deadline=1s&deadline=1s"):
        assert connect(socket).ask("POST", f"/v1/drain{query}", [("Content-Length", "0")]).status == 400
    assert connect(proxy).ask().status == 200


# -- reload and diff

def limited(server, folder, **more):
    quotas = {"ip": {"key": ["ip"], "limits": {"hour": 1000, "day": 5000}}, "route": {"key": ["route"], "limits": {"hour": 9000}}}
    return forward(server, quotas=quotas, admin=admin(folder), **more)


def changed(proxy):
    """Who calls gets more by the hour and less by the day; a listener, a route and a server come, a level changes."""
    config = copy.deepcopy(proxy.config)
    config["quotas"]["ip"]["limits"] = {"hour": 2000, "day": 4000}
    config["listen"].append({"address": f"127.0.0.1:{take_port()}"})
    config["routes"].insert(0, {"name": "ping", "path": "/ping", "respond": {"text": "pong"}})
    config["upstreams"]["app"]["servers"].append("127.0.0.1:9")
    config["log"]["level"] = "warn"
    address = config["listen"][1]["address"]
    lines = ["quota ip gives more: limits hour 1000 -> 2000", "quota ip gives less: limits day 5000 -> 4000", "route ping is added",
             f"listener {address} is opened", "upstream app: server 127.0.0.1:9 is added", "log: level info -> warn"]
    difference = [
        {"effect": "more", "item": "quota ip", "key": "limits hour", "was": 1000, "is": 2000},
        {"effect": "less", "item": "quota ip", "key": "limits day", "was": 5000, "is": 4000},
        {"effect": "added", "item": "route ping"},
        {"effect": "opened", "item": f"listener {address}"},
        {"effect": "added", "item": "upstream app", "key": "server 127.0.0.1:9"},
        {"effect": "changed", "item": "log", "key": "level", "was": "info", "is": "warn"},
    ]
    return config, "\n".join(lines) + "\n", difference


def test_diff_says_what_a_reload_then_says_too(start, upstream, connect, verb, tmp_path):
    proxy = start(limited(upstream(), tmp_path))
    socket = tmp_path / "admin.sock"
    done = verb("diff", "-s", socket)
    assert (done.returncode, done.stdout) == (0, f"{proxy.file} says what runs (generation 1)\n")
    config, text, difference = changed(proxy)
    proxy.write_config(config)
    done = verb("diff", "-s", socket)
    assert (done.returncode, done.stdout) == (1, f"{proxy.file} would change generation 1:\n{text}")
    done = verb("diff", "-s", socket, "--json")
    said = json.loads(done.stdout)
    assert (done.returncode, said["same"], said["generation"], said["left_off"]) == (1, False, 1, 0)
    assert (said["changes"], said["difference"]) == (text, difference) and "refused" not in said
    # It was only asked: nothing is changed, counted or logged as a change.
    assert not proxy.events("reload") and not proxy.events("admin") and is_refused(("127.0.0.1", int(config["listen"][1]["address"].split(":")[1])))
    assert connect(proxy).ask(target="/ping").status == 200 and connect(proxy).ask()["X-ratelimit"] in ("1000", "5000")
    done = verb("reload", "-s", socket)
    assert (done.returncode, done.stdout) == (0, "reloaded: generation 2 is in force\n" + text)
    assert connect(proxy).ask(target="/ping").body == b"pong"
    proxy.write_config(proxy.config)
    said = json.loads(verb("reload", "-s", socket, "--json").stdout)
    assert (said["applied"], said["generation"]) == (True, 3)
    swapped = {"added": "removed", "opened": "closed", "more": "less", "less": "more", "changed": "changed"}
    assert sorted((swapped[row["effect"]], row["item"]) for row in difference) == sorted((row["effect"], row["item"]) for row in said["difference"])
    assert verb("diff", "-s", socket).returncode == 0


def test_diff_of_another_file(start, upstream, verb, tmp_path):
    """It is sent: the service does not read files that somebody names.  Secrets are looked for where those of the service are."""
    (tmp_path / "key").write_text("s" * 32)
    (tmp_path / "elsewhere").mkdir()
    proxy = start(limited(upstream(), tmp_path, subject_secret={"file": "key"}))
    socket, other = tmp_path / "admin.sock", tmp_path / "elsewhere" / "new.json"
    other.write_text(proxy.file.read_text() + "// the same\n")
    assert verb("diff", "-s", socket, other).returncode == 0
    config, text, difference = changed(proxy)
    config["tiers"] = {f"t{n}": {"minute": n + 1} for n in range(60)}
    other.write_text(json.dumps(config) + " " * 3_000_000)  # more than any buffer of a socket takes
    done = verb("diff", "-s", socket, other)
    assert done.returncode == 1 and done.stdout.startswith(f"{other} would change generation 1:\n") and "tier t7 is added" in done.stdout
    other.write_text(json.dumps({**config, "workers": 3, "subject_secret": "t" * 32}))
    done = verb("diff", "-s", socket, other)
    assert done.returncode == 1 and "subject_secret is changed" in done.stdout
    assert done.stdout.splitlines()[-1] == (
        "a reload would be refused: workers, subject_secret cannot change in a running process: `sluice upgrade` or a restart takes it over")
    assert "ssss" not in done.stdout and "tttt" not in done.stdout
    other.write_text(proxy.file.read_text().replace('"hour"', '"hours"', 1))
    done = verb("diff", "-s", socket, other)
    assert done.returncode == 3 and f"{other}:" in done.stderr and "/quotas/ip/limits/hours" in done.stderr
    for content, words in (("", "empty"), ("x" * 4_200_000, "4 MiB")):
        other.write_text(content)
        done = verb("diff", "-s", socket, other)
        assert done.returncode == 3, (content[:9], done)
        assert words in done.stderr or not content
    assert verb("diff", "-s", socket, tmp_path / "none.json").returncode == 3
    assert verb("diff", "-s", tmp_path / "none.sock", other).returncode == 6
    proxy.file.unlink()
    done = verb("diff", "-s", socket)
    assert done.returncode == 3 and "cannot be read" in done.stderr
    proxy.write_config(proxy.config)


def test_bodies_are_bounded(start, connect, tmp_path):
    """More of them at once than are taken, one that never comes, and one in chunks: the door stays open."""
    proxy = start(respond(admin=admin(tmp_path)))
    socket = str(tmp_path / "admin.sock")
    head = b"POST /v1/config:diff HTTP/1.1\r\nHost: s\r\nContent-Length: 4000000\r\n\r\n"
    held = [connect(socket) for _ in range(4)]
    for client in held:
        client.send(head + b"{" * 1000)

    def is_refused_too():
        with connect(socket) as client:
            client.send(head)
            client.sock.settimeout(0.5)
            try:
                return client.read("POST").status == 503
            except OSError:
                return False  # it was faster than one of the four

    wait_for(is_refused_too, "a fifth is refused")
    client = connect(socket)
    assert client.ask("POST", "/v1/config:diff", [("Transfer-Encoding", "chunked")]).status == 413
    assert connect(socket).ask("POST", "/v1/reload", body=b"{}").status == 413
    for client in held:
        client.close()
    wait_for(lambda: connect(socket).ask("POST", "/v1/config:diff", body=b"{").status == 422, "there is room again")
    assert connect(proxy).ask().status == 200


def test_no_secret_stands_in_a_difference(start, upstream, verb, tmp_path):
    """Neither it nor what it could be tried against, and no file is read for a comparison that the service would not read."""
    config = limited(upstream(), tmp_path)
    key = {"algorithm": "HS256", "key": "first-secret-of-thirty-two-bytes"}
    config["identities"] = {"who": {"from": ["jwt:sub"], "keys": [key]}, "user": {"from": ["basic_user"]}}
    config["routes"][0]["request_headers"] = {"set": {"X-Backend": "Bearer first-token"}}
    config["quotas"]["caller"] = {"key": ["user"], "limits": {"hour": 9}, "exempt": {"subjects": ["alice"]}}
    config["routes"][0]["quotas"] = ["ip", "caller"]
    proxy = start(config)
    socket = tmp_path / "admin.sock"
    config = copy.deepcopy(proxy.config)
    config["identities"]["who"]["keys"] = [{**key, "key": "second-secret-of-thirty-two-byte"}]
    config["routes"][0]["request_headers"]["set"]["X-Backend"] = "Bearer second-token"
    config["quotas"]["caller"]["exempt"]["subjects"] += ["bob"]
    proxy.write_config(config)
    told = [verb("diff", "-s", socket), verb("diff", "-s", socket, "--json"), verb("reload", "-s", socket)]
    assert [done.returncode for done in told] == [1, 1, 0], told
    log = json.dumps(proxy.wait_for_event("reload", 1))
    for text in [done.stdout for done in told] + [log]:
        assert "key is changed" in text and "X-Backend is changed" in text and "1 added, 0 removed" in text, text
        assert not any(word in text for word in ("secret-of", "token", "alice", "bob")) and not re.search("[0-9a-f]{32}", text), text
    for name in ("%ff", "%0a", "%1b[31m"):
        assert get(str(socket), "/v1/config:diff?name=" + name, [("Host", "sluice")], "POST").status == 400
    (tmp_path / "hidden").write_text("s" * 32)
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**config, "subject_secret": {"file": str(tmp_path / "hidden")}}))
    done = verb("diff", "-s", socket, other)
    assert done.returncode == 3 and "only files that the running configuration names" in done.stderr
    config["store"] = {"type": "redis", "servers": ["redis://user:password@127.0.0.1:6379"]}
    proxy.write_config(config)
    done = verb("reload", "-s", socket)
    assert done.returncode == 8 and "an address is host:port alone" in done.stdout + done.stderr
    refused = proxy.wait_for_event("reload_refused", 1)
    assert "user:password" not in done.stdout + done.stderr + json.dumps(refused) + proxy.stderr()


def test_keys_that_only_another_process_takes_over(start, upstream, verb, tmp_path):
    """The refusal names each key and what helps; how often counters are saved needs no other process."""
    proxy = start(limited(upstream(), tmp_path, store={"type": "memory", "state_file": str(tmp_path / "state"), "subjects": 1000, "state_interval": "1h"}))
    socket = tmp_path / "admin.sock"
    config = copy.deepcopy(proxy.config)
    config["workers"] = 3
    config["store"].update(subjects=2000, state_interval="100ms")
    proxy.write_config(config)
    done = verb("reload", "-s", socket)
    assert done.returncode == 8
    assert done.stderr + done.stdout == (
        "workers cannot change in a running process: `sluice upgrade` or a restart takes it over; "
        "store.subjects cannot change in a running process: only a restart takes it over\n"
        "the reload was refused; the old configuration stays in force\n")
    config["workers"] = 2
    config["store"]["subjects"] = 1000
    proxy.write_config(config)
    done = verb("reload", "-s", socket)
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, ["store: state_interval 1h -> 100ms"])
    before = (tmp_path / "state").stat().st_mtime_ns
    wait_for(lambda: (tmp_path / "state").stat().st_mtime_ns != before, "counters are saved sooner")


# -- is the file on disk what runs?

def test_broken_files_make_it_stale_until_a_good_one_is_read(start, upstream, connect, verb, tmp_path):
    """Fifty reloads of broken files: each is refused, the old one serves on; the unchanged good file, read again, makes it well."""
    port = take_port()
    proxy = start(limited(upstream(), tmp_path) | {"admin": {**admin(tmp_path), "metrics": f"127.0.0.1:{port}"}})
    socket, good = tmp_path / "admin.sock", proxy.file.read_text()
    client = connect(proxy)

    def value(name):
        return scrape(port)[f"sluice_{name}"]

    began = value("config_last_reload_timestamp_seconds")
    assert (value("config_last_reload_success"), value("config_stale"), value("generations_alive")) == (1, 0, 1)
    assert "STALE" not in verb("status", "-s", socket).stdout
    breaks = [good.replace('"hour"', f'"hour{n}"', 1) for n in range(20)] + [good[:n * 10] for n in range(20)] + [good + "}" * (n + 1) for n in range(10)]
    for text in breaks:
        proxy.file.write_text(text)
        reply = connect(str(socket)).ask("POST", "/v1/reload", [("Content-Length", "0")])
        assert reply.status == 409
    assert verb("reload", "-s", socket).returncode == 8
    assert (value("config_last_reload_success"), value("config_stale"), value('reloads_total{result="refused"}')) == (0, 1, 51)
    assert value("config_last_reload_timestamp_seconds") >= began and client.ask().status == 200
    said = verb("status", "-s", socket).stdout
    assert "generation 1  STALE: the file on disk differs (run `sluice diff`); the reload at " in said and "was refused (run `sluice check`)" in said
    # A serving process that takes the place of another knows as much.
    child = proxy.child
    os.kill(child, signal.SIGKILL)
    wait_for(lambda: proxy.child not in (None, child) and len(proxy.events("start")) == 2, "another child serves")
    wait_for(lambda: not is_refused(("127.0.0.1", port)), "the page is there")
    assert (value("config_last_reload_success"), value("config_stale")) == (0, 1)
    proxy.file.write_text(good)
    assert verb("reload", "-s", socket).stdout == "reloaded: generation 2 is in force\nnothing changed\n"
    assert (value("config_last_reload_success"), value("config_stale"), value("config_generation")) == (1, 0, 2)
    assert "STALE" not in verb("status", "-s", socket).stdout
    wait_for(lambda: value("generations_alive") == 1, "nobody uses the first one any more")


def test_a_file_that_was_only_edited_is_stale(start, connect, verb, tmp_path):
    """Nobody has said reload: the service looks by itself."""
    port = take_port()
    proxy = start(respond(admin={**admin(tmp_path), "metrics": f"127.0.0.1:{port}"}))
    good = proxy.file.read_text()
    proxy.file.write_text(good + "\n")
    wait_for(lambda: scrape(port)["sluice_config_stale"] == 1, "it is stale")
    status = json.loads(connect(str(tmp_path / "admin.sock")).ask(target="/v1/status").body)
    assert status["config"]["stale"] is True and status["config"]["last_reload"]["result"] == "none"
    proxy.file.write_text(good)
    wait_for(lambda: scrape(port)["sluice_config_stale"] == 0, "it is not")


def test_generations_are_counted_while_requests_use_them(start, upstream, connect, verb, tmp_path):
    server, go_on = held(upstream)
    port = take_port()
    proxy = start(forward(server, admin={**admin(tmp_path), "metrics": f"127.0.0.1:{port}"}))
    client = connect(proxy)
    client.send(http.request())
    server.wait_for_requests(1)
    for _ in range(3):
        assert verb("reload", "-s", tmp_path / "admin.sock").returncode == 0
    wait_for(lambda: scrape(port)["sluice_generations_alive"] == 2, "the first one, which serves the request, and the fourth")
    go_on.set()
    assert client.read().status == 200
    wait_for(lambda: scrape(port)["sluice_generations_alive"] == 1, "the fourth alone")
