# SPDX-License-Identifier: Apache-2.0
"""Servers that are ill are left alone and come back; extra tries are few; names are followed."""
import json
import random
import signal
import threading
import time

import pytest
from harness import http
from harness.configs import forward
from harness.metrics import scrape
from harness.names import Names
from harness.ports import take_port
from harness.proxy import BINARY
from harness.tls import Authority, server_context
from harness.upstream import answering
from harness.waiting import wait_for


class Patient:
    """A server that tells who it is; ill: how checks are answered instead of with 200."""

    def __init__(self, upstream, name, **kwargs):
        self.name, self.ill = name, None
        self.checks = 0
        self.server = upstream(answer=self._answer, **kwargs)
        self.address = self.server.address

    def _answer(self, message):
        if message.target != "/healthz":
            return http.response(body=self.name.encode())
        self.checks += 1
        return http.response(status=self.ill or 200, body=b"" if message.method == "HEAD" else b"-")


def config_of(*servers, health=None, **upstream):
    config = forward(*servers, admin={"metrics": f"127.0.0.1:{take_port()}"})
    config["upstreams"]["app"].update({"health": health or {}, **upstream})
    return config


def checked(**more):
    return {"check": {"path": "/healthz", "interval": "250ms", "timeout": "1s", **more}}


def metrics_of(proxy):
    return scrape(int(proxy.config["admin"]["metrics"].rsplit(":", 1)[1]))


def who_answers(client, count):
    """As many requests, all answered with 200: who did."""
    replies = [client.ask("GET", f"/{n}") for n in range(count)]
    assert {reply.status for reply in replies} == {200}
    return {reply.body.decode() for reply in replies}


# ---- checks


def test_a_failing_check_takes_a_server_out_and_good_ones_bring_it_back(start, upstream, connect):
    one, two = Patient(upstream, "one"), Patient(upstream, "two")
    proxy = start(config_of(one, two, health=checked(rise=2, fall=3)))
    client = connect(proxy)
    wait_for(lambda: one.checks and two.checks, "both are checked")
    assert who_answers(client, 4) == {"one", "two"}
    two.ill = 503
    down = proxy.wait_for_event("server_down")[0]
    assert (down["upstream"], down["server"], down["reason"]) == ("app", two.address, "check: status 503")
    assert (down["usable"], down["servers"]) == (1, 2)
    assert who_answers(client, 10) == {"one"}
    usable = 'sluice_upstream_server_usable{upstream="app",server="%s"}'
    values = metrics_of(proxy)
    assert (values[usable % one.address], values[usable % two.address]) == (1, 0)
    both = ('sluice_upstream_servers_usable{upstream="app"}', 'sluice_upstream_servers{upstream="app"}')
    assert [values[name] for name in both] == [1, 2]
    two.ill = None
    up = proxy.wait_for_event("server_up")[0]
    assert (up["server"], up["reason"]) == (two.address, "checks are good")
    assert who_answers(client, 10) == {"one", "two"}
    values = metrics_of(proxy)
    assert values[usable % two.address] == 1 and [values[name] for name in both] == [2, 2]
    assert values['sluice_upstream_checks_total{result="good"}'] > 0
    assert values['sluice_upstream_checks_total{result="bad"}'] == 3
    # A check is no request.
    assert {line["path"] for line in proxy.requests()} == {f"/{n}" for n in range(10)}


def test_a_server_is_used_before_its_first_check_and_the_first_bad_one_takes_it_out(start, upstream, connect):
    is_held = threading.Event()

    def serve(link):
        message = link.read_request()
        if message is not None and message.target == "/healthz":
            is_held.wait(20)
            link.send(http.response(status=500))
        elif message is not None:
            link.send(http.response(body=b"two"))

    one, two = Patient(upstream, "one"), upstream(serve)
    proxy = start(config_of(one, two, health=checked(fall=3, timeout="20s")))
    wait_for(lambda: [r for r in two.requests if r.target == "/healthz"], "its check has begun")
    client = connect(proxy)
    assert who_answers(client, 6) == {"one", "two"}
    is_held.set()
    assert proxy.wait_for_event("server_down")[0]["reason"] == "check: status 500"
    assert who_answers(client, 6) == {"one"}


def test_one_check_a_server_and_process(start, upstream):
    """Two workers, and never two checks at once."""
    now, most = [], []

    def serve(link):
        if link.read_request() is not None:
            now.append(link)
            most.append(len(now))
            time.sleep(0.3)  # longer than the interval
            now.remove(link)
            link.send(http.response(body=b"-"))

    server = upstream(serve)
    start({**config_of(server, health=checked()), "workers": 2})
    server.wait_for_requests(5)
    assert set(most) == {1}


def test_what_a_check_sends(start, upstream):
    server = upstream(answer=lambda message: http.response(status=204, length=False))
    check = {"path": "/healthz?deep=1", "host": "app.test", "method": "HEAD", "interval": "250ms", "expect": ["204"]}
    proxy = start(config_of(server, health={"check": check}))
    message = server.wait_for_requests(1)[0]
    assert message.raw_head == (b"HEAD /healthz?deep=1 HTTP/1.1\r\nHost: app.test\r\nUser-Agent: sluice-check\r\n"
                                b"Connection: close\r\n\r\n")
    wait_for(lambda: metrics_of(proxy)['sluice_upstream_checks_total{result="good"}'] >= 2, "204 is good")
    assert not proxy.events("server_down")


@pytest.mark.parametrize("case,reason", [
    ("refused", "check: Connection refused"), ("silent", "check: no answer in time"), ("gone", "check: the connection ends without an answer"),
    ("nonsense", "check: what it says is no HTTP"), ("redirect", "check: status 301")])
def test_why_a_check_is_bad(start, upstream, case, reason):
    said = {"gone": b"", "nonsense": b"220 mail.test ESMTP\r\n", "redirect": b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n"}

    def serve(link):
        link.read_request()
        if case == "silent":
            link.wait_for_end()
        else:
            link.send(said[case])

    server = f"127.0.0.1:{take_port()}" if case == "refused" else upstream(serve)
    proxy = start(config_of(server, upstream(), health=checked(timeout="250ms", expect=["2xx"])))
    downs = proxy.wait_for_event("server_down")
    assert reason in [line["reason"] for line in downs if line["server"] == getattr(server, "address", server)]


def test_checks_over_tls(start, upstream, tmp_path):
    authority = Authority(tmp_path / "tls")
    good = Patient(upstream, "good", tls=server_context(authority.issue("127.0.0.1")))
    bad = Patient(upstream, "bad", tls=server_context(Authority(tmp_path / "other").issue("127.0.0.1")))
    proxy = start(config_of(good, bad, health=checked(), tls={"ca": authority.file}))
    down = proxy.wait_for_event("server_down")[0]
    assert (down["server"], down["reason"]) == (bad.address, "check: untrusted")
    wait_for(lambda: good.checks >= 2, "the other one is checked")
    assert len(proxy.events("server_down")) == 1


def test_a_reload_takes_checks_away(start, upstream, connect):
    one, two = Patient(upstream, "one"), Patient(upstream, "two")
    two.ill = 500
    proxy = start(config_of(one, two, health=checked()))
    proxy.wait_for_event("server_down")
    proxy.config["upstreams"]["app"]["health"] = {}
    proxy.write_config(proxy.config)
    proxy.signal(1)
    proxy.wait_for_event("reload")
    proxy.wait_for_event("server_up")
    assert who_answers(connect(proxy), 6) == {"one", "two"}


@pytest.mark.parametrize("health,message", [
    ({"check": "healthz"}, '/upstreams/app/health/check: "healthz": must begin with "/"'),
    ({"check": {"path": "/a b"}}, '/upstreams/app/health/check/path: "/a b": must be a path as it is sent'),
    ({"check": {"interval": "2s"}}, "\"path\" is missing"),
    ({"check": {"path": "/", "host": "a b"}}, '/upstreams/app/health/check/host: "a b": must be a host'),
    ({"check": {"path": "/", "expect": ["2xx", "2xx"]}}, "listed twice"),
    ({"eject_on": ["error"]}, "must be a class of statuses"), ({"intervall": "2s"}, "unknown key"), ({"eject_percent": 101}, "eject_percent")])
def test_what_is_refused(verb, tmp_path, health, message):
    config = forward("127.0.0.1:9", listen=[{"address": "127.0.0.1:1"}])
    config["upstreams"]["app"]["health"] = health
    (tmp_path / "bad.json").write_text(json.dumps(config))
    done = verb("check", "-c", tmp_path / "bad.json")
    assert done.returncode == 3 and message in done.stderr, done.stderr


# ---- ejection


def breaking(is_broken):
    """Connections end without an answer while that is set."""

    def serve(link):
        while link.read_request() is not None and not is_broken.is_set():
            link.send(http.response(body=b"two"))

    return serve


def test_failures_in_a_row_eject_a_server_for_longer_each_time(start, upstream, connect):
    is_broken = threading.Event()
    is_broken.set()
    one, two = Patient(upstream, "one"), upstream(breaking(is_broken))
    proxy = start(config_of(one, two, health={"failures": 5, "eject_base": "1s", "eject_max": "1h"}, timeouts={"pool_idle": "1ms"}))

    def ask(count):
        replies = []
        for n in range(count):
            with connect(proxy) as client:
                replies.append(client.ask("GET", f"/{n}").status)
        return replies

    assert ask(12).count(502) == 5
    down = proxy.wait_for_event("server_down")[0]
    assert (down["server"], down["reason"]) == (two.address, "5 failures in a row: connections end without an answer")
    assert 0 < down["for_ms"] <= 1000
    assert proxy.wait_for_event("server_up")[0]["reason"] == "its time of ejection is over"
    # It must answer first: one more failure is enough.
    assert ask(6).count(502) == 1
    again = proxy.wait_for_event("server_down", 2)[1]
    assert 1000 < again["for_ms"] <= 2000
    is_broken.clear()
    proxy.wait_for_event("server_up", 2)
    assert ask(6) == [200] * 6
    assert metrics_of(proxy)["sluice_upstream_ejections_total"] == 2


def test_answers_that_count_as_failures(start, upstream, connect):
    one = Patient(upstream, "one")
    two = upstream(answer=lambda message: http.response(status=503, body=b"two"))
    proxy = start(config_of(one, two, health={"failures": 3, "eject_on": ["5xx"], "eject_base": "1h", "eject_max": "1h"}))
    client = connect(proxy)
    assert [client.ask("GET", "/").status for _ in range(6)].count(503) == 3
    assert proxy.wait_for_event("server_down")[0]["reason"] == "3 failures in a row: it answers with errors"
    assert [client.ask("GET", "/").status for _ in range(12)] == [200] * 12


def test_at_most_half_of_the_servers_are_ejected(start, upstream, connect):
    servers = [upstream(answer=lambda message: http.response(status=500, body=b"-")) for _ in range(3)]
    proxy = start(config_of(*servers, health={"failures": 2, "eject_on": ["500"], "eject_base": "1h", "eject_max": "1h"}))
    client = connect(proxy)
    for _ in range(60):
        assert client.ask("GET", "/").status == 500
    proxy.wait_for_event("server_down")
    values = metrics_of(proxy)
    assert values["sluice_upstream_ejections_total"] == 1
    wait_for(lambda: metrics_of(proxy)["sluice_upstream_ejections_capped_total"] > 0, "the cap is counted")
    assert len(proxy.events("server_down")) == 1


def test_a_single_server_is_never_ejected(start, upstream, connect):
    server = upstream(answer=lambda message: http.response(status=500, body=b"-"))
    proxy = start(config_of(server, health={"failures": 1, "eject_on": ["500"], "eject_percent": 100}))
    client = connect(proxy)
    assert [client.ask("GET", "/").status for _ in range(20)] == [500] * 20
    assert not proxy.events("server_down")


def test_panic_uses_all_servers(start, upstream, connect, tmp_path, verb):
    patients = [Patient(upstream, name) for name in ("one", "two", "three")]
    config = config_of(*patients, health=checked())
    config["admin"]["address"] = f"unix:{tmp_path}/admin.sock"
    proxy = start(config)
    client = connect(proxy)
    patients[0].ill = 500
    proxy.wait_for_event("server_down")
    assert who_answers(client, 9) == {"two", "three"}
    patients[1].ill = 500
    panic = proxy.wait_for_event("upstream_panic")[0]
    assert (panic["upstream"], panic["reason"]) == ("app", "1 of 3 servers are usable")
    assert who_answers(client, 9) == {"one", "two", "three"}
    assert metrics_of(proxy)["sluice_upstream_panics"] == 1
    status = json.loads(verb("status", "-s", tmp_path / "admin.sock", "--json").stdout)["upstreams"][0]
    assert status["panic"] is True
    assert [server["state"] for server in status["servers"]] == ["unhealthy", "unhealthy", "up"]
    assert status["servers"][0]["reason"] == "check: status 500"
    told = verb("status", "-s", tmp_path / "admin.sock").stdout.splitlines()
    at = told.index("upstream app  PANIC: so few servers are well that all are used")
    assert [line.partition("  LEFT ALONE: ")[2] for line in told[at + 1:at + 4]] == ["check: status 500", "check: status 500", ""]
    patients[1].ill = None
    proxy.wait_for_event("upstream_calm")
    assert who_answers(client, 9) == {"two", "three"}


def test_a_backup_that_is_well_serves_rather_than_servers_in_panic(start, upstream, connect):
    patients = [Patient(upstream, name) for name in ("one", "two", "three")]
    config = config_of(*patients, health=checked())
    rows = config["upstreams"]["app"]["servers"]
    config["upstreams"]["app"]["servers"] = [*rows[:2], {"address": rows[2] if isinstance(rows[2], str) else rows[2]["address"], "backup": True}]
    proxy = start(config)
    client = connect(proxy)
    assert who_answers(client, 6) == {"one", "two"}
    patients[0].ill = patients[1].ill = 500
    proxy.wait_for_event("upstream_panic")
    assert who_answers(client, 9) == {"three"}
    patients[0].ill = None
    proxy.wait_for_event("upstream_calm")
    assert who_answers(client, 9) == {"one"}


def test_without_panic_the_last_one_serves_alone(start, upstream, connect):
    patients = [Patient(upstream, name) for name in ("one", "two", "three")]
    proxy = start(config_of(*patients, health={**checked(), "panic_percent": 0}))
    patients[0].ill = patients[1].ill = 500
    proxy.wait_for_event("server_down", 2)
    assert who_answers(connect(proxy), 9) == {"three"}
    patients[2].ill = 500
    proxy.wait_for_event("server_down", 3)
    assert who_answers(connect(proxy), 3) <= {"one", "two", "three"}  # none is left: all are tried


# ---- extra tries


def test_all_servers_dead_extra_tries_stay_within_the_budget(start, connect):
    proxy = start(config_of(*(f"127.0.0.1:{take_port()}" for _ in range(3))))
    client = connect(proxy)
    count = 500
    for n in range(count):
        reply = client.ask("GET", f"/{n}")
        assert reply.status == 502
    tries = sum(line["tries"] for line in proxy.requests(count))
    values = metrics_of(proxy)
    assert tries - count == values["sluice_upstream_extra_tries_total"] <= 0.2 * count + 3
    assert values["sluice_upstream_extra_tries_refused_total"] > 0


def test_no_budget_no_extra_try(start, upstream, connect):
    dead = f"127.0.0.1:{take_port()}"
    proxy = start({**config_of(dead, upstream(), retries={"percent": 0, "minimum": 0}), "workers": 1})
    client = connect(proxy)
    replies = [client.ask("GET", "/").status for _ in range(2)]
    assert sorted(replies) == [200, 502]
    assert {line["tries"] for line in proxy.requests(2)} == {1}


def test_a_try_that_is_being_answered_holds_no_place(start, upstream, connect):
    """Six streams that last, each behind a kept connection that had died: more than the minimum."""

    def serve(link):
        message = link.read_request()
        if message is not None and message.target == "/warm":
            link.send(http.response(body=b"warm"))
            link.sock.recv(1)
        elif message is not None:
            link.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
            link.wait_for_end()

    proxy = start({**config_of(upstream(serve)), "workers": 1})
    for _ in range(6):
        client = connect(proxy)
        assert client.ask("GET", "/warm").status == 200
        client.send(http.request("GET", "/stream"))
        assert client.sock.recv(12) == b"HTTP/1.1 200"
    values = metrics_of(proxy)
    assert (values["sluice_upstream_extra_tries_total"], values["sluice_upstream_extra_tries_refused_total"]) == (6, 0)


class Load:
    """Threads that ask one after the other; failed: what was no 200."""

    def __init__(self, connect, proxy, threads):
        self.connect, self.proxy = connect, proxy
        self.count, self.failed, self.bodies = 0, [], set()
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        client = self.connect(self.proxy)
        while not self._is_over.is_set():
            try:
                reply = client.ask("GET", "/")
                self.bodies.add(reply.body)
                if reply.status != 200:
                    self.failed.append((reply.status, reply.body))
            except (http.Ended, OSError) as error:
                self.failed.append(error)
                client = self.connect(self.proxy)
            self.count += 1

    def wait_for_more(self, count):
        """That many from now on."""
        goal = self.count + count
        wait_for(lambda: self.count >= goal, f"{count} requests more")

    def stop(self):
        self._is_over.set()
        for thread in self._threads:
            thread.join()


def test_one_of_three_servers_is_killed_under_load_and_rejoins(start, upstream, connect, world):
    patients = [Patient(upstream, name) for name in ("one", "two", "three")]
    proxy = start(config_of(*patients, health=checked()))
    load = Load(connect, proxy, 8)
    try:
        load.wait_for_more(300)
        patients[2].server.stop()
        proxy.wait_for_event("server_down")
        assert len(load.failed) <= 5, load.failed
        before = len(load.failed)
        load.wait_for_more(500)
        assert len(load.failed) == before, load.failed
        back = Patient(upstream, "three again", port=patients[2].server.port)
        proxy.wait_for_event("server_up")
        load.bodies.clear()
        load.wait_for_more(100)
        assert b"three again" in load.bodies and back.checks
        assert len(load.failed) == before, load.failed
    finally:
        load.stop()


def test_servers_that_close_idle_connections_at_random(start, upstream, connect):
    """No 502 on GET, no POST delivered twice."""
    chance = random.Random(40)

    def serve(link):
        while True:
            message = link.read_request()
            if message is None:
                return
            link.send(http.response(body=b"ok"))
            link.sock.settimeout(chance.uniform(0, 0.05))
            try:
                if not link.sock.recv(1, 2):  # MSG_PEEK
                    return
            except TimeoutError:
                return
            link.sock.settimeout(20)

    servers = [upstream(serve) for _ in range(2)]
    proxy = start(config_of(*servers))
    statuses, posts = [], []

    def run(number):
        mine = random.Random(number)
        client = connect(proxy)
        for n in range(150):
            is_post = n % 6 == 0
            if mine.random() < 0.3:
                time.sleep(mine.uniform(0, 0.06))
            reply = client.ask("POST", f"/{number}-{n}", body=b"x") if is_post else client.ask("GET", f"/g{number}-{n}")
            (posts if is_post else statuses).append(reply.status)
            if reply.status != 200:
                client = connect(proxy)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(statuses) == 8 * 125 and set(statuses) == {200}
    assert set(posts) <= {200, 502}
    delivered = [r.target for server in servers for r in server.requests if r.method == "POST"]
    assert len(delivered) == len(set(delivered)), "a POST was delivered twice"


# ---- names


def at(upstream, host, name, port):
    return upstream(serve=answering(lambda message: http.response(body=name.encode())), host=host, port=port)


def test_no_request_comes_before_the_name_of_its_server(start, upstream, connect, world):
    """Neither behind a start nor behind a reload, however late the resolver is; one that does not answer holds up neither."""
    names, port = Names(world.folder), take_port()
    at(upstream, "127.0.0.2", "one", port)
    at(upstream, "127.0.0.3", "two", port)
    names.set(late1="127.0.0.2", late2="127.0.0.3")
    config = config_of(f"late1.test:{port}", resolve="1h")
    for name in ("slow", "fresh"):
        config["upstreams"][name] = {"servers": [f"{name}.test:{port}"], "resolve": "1h"}
        config["routes"].insert(0, {"path": f"/{name}", "upstream": name})
    proxy = start(config, env=names.env(BINARY))
    assert {answer for _ in range(12) for answer in who_answers(connect(proxy), 1)} == {"one"}
    assert connect(proxy).ask("GET", "/fresh").status == 502
    # Another server, one that was not known, and one that is silent.
    names.set(late2="127.0.0.3", fresh="127.0.0.2")
    proxy.config["upstreams"]["app"]["servers"] = [f"late2.test:{port}"]
    proxy.config["upstreams"]["slow"]["servers"] = [f"slow2.test:{port}"]
    proxy.write_config(proxy.config)
    proxy.signal(signal.SIGHUP)
    proxy.wait_for_event("reload", 1)
    assert {answer for _ in range(12) for answer in who_answers(connect(proxy), 1)} == {"two"}
    # That the answers of slow ones were waited for, five seconds, would read otherwise.
    assert [connect(proxy).ask("GET", "/fresh").status for _ in range(12)] == [200] * 12
    for name in ("slow", "slow2"):
        assert f"cannot resolve {name}.test: no answer in time (no address known yet)" in proxy.stderr()


def test_a_name_that_moves_is_followed(start, upstream, connect, world):
    """Also by connections that are kept; while the name is not known the last address is used."""
    names, port = Names(world.folder), take_port()
    old, new = at(upstream, "127.0.0.2", "old", port), at(upstream, "127.0.0.3", "new", port)
    names.set(app="127.0.0.2")
    proxy = start(config_of(f"app.test:{port}", resolve="1s"), env=names.env(BINARY))
    client = connect(proxy)
    assert who_answers(client, 3) == {"old"}
    names.set(other="127.0.0.9")
    wait_for(lambda: "the last good addresses are kept" in proxy.stderr(), "the name is gone")
    assert who_answers(client, 3) == {"old"}
    names.set(app="127.0.0.3")
    wait_for(lambda: who_answers(client, 1) == {"new"}, "the name is followed")
    # Both workers: new connections of clients meet either.
    wait_for(lambda: who_answers(connect(proxy), 1) == {"new"} and not old.links, "no connection is left")
    wait_for(lambda: metrics_of(proxy)["sluice_upstream_names_changed_total"] == 2, "both workers have seen it")
    assert new.requests


def test_a_reload_that_asks_more_often_does_so_at_once(start, upstream, connect, world):
    """Nobody waits for the end of an hour that has begun; the old server is well, so that no failure hurries either."""
    names, port = Names(world.folder), take_port()
    at(upstream, "127.0.0.2", "old", port)
    at(upstream, "127.0.0.3", "new", port)
    names.set(app="127.0.0.2")
    proxy = start(config_of(f"app.test:{port}", resolve="1h"), env=names.env(BINARY))
    assert who_answers(connect(proxy), 1) == {"old"}
    proxy.config["upstreams"]["app"]["resolve"] = "250ms"
    proxy.write_config(proxy.config)
    proxy.signal(signal.SIGHUP)
    proxy.wait_for_event("reload")
    names.set(app="127.0.0.3")
    wait_for(lambda: who_answers(connect(proxy), 1) == {"new"}, "the name is followed")
    wait_for(lambda: metrics_of(proxy)["sluice_upstream_names_changed_total"] == 2, "both workers have seen it")


def test_all_addresses_of_a_name_are_used_and_a_dead_one_costs_nothing(start, upstream, connect, world):
    names, port = Names(world.folder), take_port()
    one, two = at(upstream, "127.0.0.2", "one", port), at(upstream, "127.0.0.3", "two", port)
    names.set(app="127.0.0.2 127.0.0.3")
    proxy = start({**config_of(f"app.test:{port}", timeouts={"pool_idle": "1ms"}, pool_max=0), "workers": 1}, env=names.env(BINARY))
    client = connect(proxy)
    assert who_answers(client, 6) == {"one", "two"}
    two.stop()
    assert who_answers(client, 20) == {"one"}
    assert one.requests


def test_a_resolver_that_is_slow_delays_nobody(start, upstream, connect, world):
    """Three names are answered after five seconds each, with an error; another one moves meanwhile."""
    names, port = Names(world.folder), take_port()
    at(upstream, "127.0.0.2", "old", port)
    at(upstream, "127.0.0.3", "new", port)
    names.set(app="127.0.0.2")
    config = config_of(f"app.test:{port}", resolve="250ms")
    for n in range(3):
        config["upstreams"][f"slow{n}"] = {"servers": [f"slow{n}.test:{port}"], "resolve": "250ms"}
        config["routes"].insert(0, {"path": f"/slow{n}", "upstream": f"slow{n}"})
    proxy = start({**config, "workers": 1}, env=names.env(BINARY))
    client = connect(proxy)
    assert who_answers(client, 5) == {"old"}
    assert client.ask("GET", "/slow1").status == 502
    names.set(app="127.0.0.3")
    wait_for(lambda: who_answers(client, 1) == {"new"}, "the name is followed", seconds=4)  # less than the five of the slow ones
