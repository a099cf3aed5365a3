# SPDX-License-Identifier: Apache-2.0
"""How servers stand, and orders about one: it is drained, taken down and made ready again, whatever else happens meanwhile."""
import json
import os
import signal
import threading

import pytest

from harness import http
from harness.client import Client
from harness.configs import forward
from harness.metrics import scrape
from harness.ports import take_port
from harness.upstream import answering
from harness.waiting import wait_for


class Named:
    """A server that tells who it is.  /slow waits until it may; ill: how checks are answered instead of with 200."""

    def __init__(self, upstream, name, **kwargs):
        self.name, self.ill = name, None
        self.may = threading.Event()
        self.server = upstream(serve=answering(self._answer), **kwargs)
        self.address = self.server.address

    def _answer(self, message):
        if message.target == "/healthz":
            return http.response(status=self.ill or 200)
        if message.target == "/slow":
            assert self.may.wait(20)
        return http.response(body=self.name.encode())

    def asked(self):
        return [message for message in self.server.requests if message.target != "/healthz"]


class Site:
    """A proxy in front of servers, with everything that an operator has."""

    def __init__(self, start, verb, folder, *servers, **upstream):
        self.socket = str(folder / "admin.sock")
        self.metrics = take_port()
        self._verb = verb
        config = forward(*servers, admin={"address": f"unix:{self.socket}", "metrics": f"127.0.0.1:{self.metrics}"})
        config["upstreams"]["app"].update(upstream)
        self.proxy = start(config)

    def order(self, order, server, *words, code=0):
        done = self._verb("upstreams", order, f"app/{getattr(server, 'address', server)}", "-s", self.socket, *words)
        assert done.returncode == code, done
        return done.stdout if code == 0 else done.stderr

    def text(self):
        done = self._verb("upstreams", "app", "-s", self.socket)
        assert done.returncode == 0, done
        return done.stdout

    def see(self, server):
        """What is told of one."""
        done = self._verb("upstreams", "-s", self.socket, "--json")
        assert done.returncode == 0, done
        app, = json.loads(done.stdout)["upstreams"]
        self.app = app
        return next(row for row in app["servers"] if row["server"] == getattr(server, "address", server))

    def wait_for_state(self, server, state):
        return wait_for(lambda: (row := self.see(server))["state"] == state and row, f"{server} is {state}")

    def ask_all(self, count=12):
        """Over connections of their own: both workers are asked.  Who answered."""
        names = set()
        for _ in range(count):
            with Client(self.proxy.address) as client:
                reply = client.ask()
            assert reply.status == 200, reply.body
            names.add(reply.body.decode())
        return names

    def gauges(self, server):
        values = scrape(self.metrics)
        return tuple(values[f'sluice_upstream_server_{name}{{upstream="app",server="{server.address}"}}'] for name in ("usable", "ordered"))


@pytest.fixture
def site(start, verb, tmp_path):
    return lambda *servers, **upstream: Site(start, verb, tmp_path, *servers, **upstream)


def post(path, target, *fields, method="POST"):
    with Client(path) as client:
        client.send("\r\n".join([f"{method} {target} HTTP/1.1", "Host: x", *fields, "", ""]).encode("latin-1"))
        return client.read(method)


def test_a_drained_server_finishes_what_it_has_and_gets_nothing_more(site, upstream, connect):
    one, two = Named(upstream, "one"), Named(upstream, "two")
    here = site(one, two)
    assert here.ask_all() == {"one", "two"}
    client = connect(here.proxy)
    client.send(http.request("GET", "/slow"))
    wait_for(lambda: any(m.target == "/slow" for server in (one, two) for m in server.asked()), "a request is in progress")
    busy, other = (one, two) if any(m.target == "/slow" for m in one.asked()) else (two, one)

    said = here.order("drain", busy)
    assert said.startswith(f"app/{busy.address}: up -> draining, in progress 1; 1 of 2 servers usable\n")
    assert f"an operator has ordered it to drain 0s ago; next: `sluice upstreams ready app/{busy.address}`" in said
    row = here.see(busy)
    assert (row["state"], row["in_progress"], row["used"]) == ("draining", 1, False)
    assert (here.app["usable"], here.app["panic"], here.app["empty"]) == (1, False, False)
    seen = len(busy.asked())
    assert here.ask_all() == {other.name} and len(busy.asked()) == seen
    wait_for(lambda: here.gauges(busy) == (0, 1), "the metrics tell")
    assert here.gauges(other) == (1, 0)
    busy.may.set()
    assert client.read().body.decode() == busy.name
    here.wait_for_state(busy, "drained")

    # It holds: over a reload, and over the end of the serving process.
    here.proxy.config["upstreams"]["app"]["resolve"] = "20s"
    here.proxy.write_config(here.proxy.config)
    here.proxy.signal(signal.SIGHUP)
    here.proxy.wait_for_event("reload")
    assert here.ask_all() == {other.name}
    child = here.proxy.child
    os.kill(child, signal.SIGKILL)
    wait_for(lambda: here.proxy.child not in (None, child) and len(here.proxy.events("start")) == 2, "another one serves")
    assert here.ask_all() == {other.name} and len(busy.asked()) == seen
    assert here.see(busy)["state"] == "drained"

    assert f"app/{busy.address}: draining -> up; 2 of 2 servers usable\n" == here.order("ready", busy)
    assert here.ask_all() == {"one", "two"}
    wait_for(lambda: here.gauges(busy) == (1, 0), "the metrics tell")
    first, last = here.proxy.wait_for_event("admin", 2)
    assert (first["verb"], first["target"], first["before"], first["after"]) == (
        "upstreams:drain", f"app/{busy.address}", {"state": "up"}, {"state": "draining"})
    assert (last["verb"], last["after"], last["by"]) == ("upstreams:ready", {"state": "up"}, os.getuid())
    assert f"upstreams:drain app/{busy.address}: asked by uid {os.getuid()}, pid " in here.proxy.stderr()


def test_down_closes_kept_connections_and_the_last_server_stays(site, upstream, connect):
    only = Named(upstream, "only")
    here = site(only, timeouts={"pool_idle": "60s"})
    client = connect(here.proxy)
    assert client.ask().status == 200
    link = wait_for(lambda: only.server.links and only.server.links[0], "a connection is kept")
    assert here.wait_for_state(only, "up")["idle"] == 1
    for order in ("drain", "down"):
        said = here.order(order, only, code=1)
        assert said == (f"sluice: {only.address} is the last usable server of upstream app: without it requests have nowhere to go.  "
                        "Bring another one back first, or insist with --force (?force=1)\n")
    assert client.ask().status == 200 and not here.proxy.events("upstream_empty")

    assert "up -> drained; 0 of 1 servers usable" in here.order("drain", only, "--force")
    refused = client.ask()
    assert refused.status == 502 and here.proxy.line_of(refused)["end"] == "no_upstream"
    assert not link.has_ended.is_set()
    assert here.proxy.wait_for_event("upstream_empty")[0]["reason"] == "all its servers are ordered away"
    assert "EMPTY: all are ordered away" in here.text()
    assert "draining -> down" in here.order("down", only)
    assert link.has_ended.wait(5)
    wait_for(lambda: here.see(only)["idle"] == 0, "nothing is kept")
    assert client.ask().status == 502 and len(only.asked()) == 2

    here.order("ready", only)
    here.proxy.wait_for_event("upstream_filled")
    assert client.ask().body == b"only"
    events = here.proxy.wait_for_event("admin", 5)
    assert [(event["verb"], event["after"]) for event in events] == [
        ("upstreams:drain", {"state": "up", "refused": True}), ("upstreams:down", {"state": "up", "refused": True}),
        ("upstreams:drain", {"state": "draining", "forced": True}), ("upstreams:down", {"state": "down"}), ("upstreams:ready", {"state": "up"})]


def test_a_connection_that_comes_back_to_a_server_that_is_down_is_closed(site, upstream, connect):
    one, two = Named(upstream, "one"), Named(upstream, "two")
    here = site(one, two, timeouts={"pool_idle": "60s"})
    client = connect(here.proxy)
    client.send(http.request("GET", "/slow"))
    wait_for(lambda: one.asked() or two.asked(), "a request is in progress")
    busy = one if one.asked() else two
    here.order("down", busy)
    link, = busy.server.links
    busy.may.set()
    assert client.read().status == 200 and link.has_ended.wait(5)
    row = wait_for(lambda: (row := here.see(busy))["in_progress"] == 0 and row, "it is over")
    assert (row["state"], row["idle"]) == ("down", 0)


def test_panic_uses_who_is_ill_and_never_who_is_ordered_away(site, upstream):
    one, two, three = (Named(upstream, name) for name in ("one", "two", "three"))
    here = site(one, two, three, health={"check": {"path": "/healthz", "interval": "250ms", "rise": 1, "fall": 1}})
    wait_for(lambda: here.see(two)["check"], "they are checked")
    here.order("down", one)
    one.ill = two.ill = three.ill = 500
    here.proxy.wait_for_event("server_down", 3)
    here.wait_for_state(two, "unhealthy")
    here.wait_for_state(three, "unhealthy")
    assert here.app["panic"] and not here.app["empty"] and here.app["usable"] == 0
    assert here.ask_all() == {"two", "three"} and not one.asked()
    assert [here.see(server)["used"] for server in (one, two, three)] == [False, True, True]
    row = here.see(two)
    assert row["reason"] == "check: status 500"
    assert (row["check"]["good"], row["check"]["status"]) == (False, 500)
    # Ready again means as checks say: ill, but of three; with panic it is used.
    assert "down -> unhealthy" in here.order("ready", one)
    assert here.ask_all(18) == {"one", "two", "three"}
    text = here.text()
    assert text.startswith("upstream app  0 of 3 servers usable  PANIC: ") and " ago: status 500\n" in text
    # The checks went on all the time.
    one.ill = None
    here.wait_for_state(one, "up")


def test_what_is_told_of_a_server_that_is_ejected(site, upstream, connect):
    one, dead = Named(upstream, "one"), f"127.0.0.1:{take_port()}"
    here = site(one, dead, health={"failures": 1, "eject_base": "60s"})
    assert here.ask_all() == {"one"}
    row = here.wait_for_state(dead, "ejected")
    assert row["reason"] == "1 failures in a row: it cannot be connected to" and 0 < row["tried_again_in_s"] <= 60
    assert row["last_error"]["reason"] == "it cannot be connected to" and row["check"] is None
    assert (row["addresses"], row["weight"], row["backup"], row["used"]) == ([dead], 1, False, False)
    text = here.text()
    assert text.startswith("upstream app  1 of 2 servers usable\n") and f"  {dead:<28} ejected    weight 1  in progress 0  idle 0  ok 0  failed " in text
    assert "      1 failures in a row: it cannot be connected to; tried again in " in text and "      last error " in text
    assert "ejected -> drained" in here.order("drain", dead)
    assert "draining -> ejected" in here.order("ready", dead)
    # The one that is left is the last usable one.
    assert "is the last usable server" in here.order("drain", one, code=1)


def test_names_that_are_unknown_and_requests_that_attack_change_nothing(site, upstream, verb):
    one = Named(upstream, "one")
    sock = "unix:/run/a b/%41.sock"
    here = site(one, sock, "[::1]:9", "backend.invalid:9000")
    quoted = one.address.replace(":", "%3A")
    nowhere = "the path is /v1/upstreams/UPSTREAM/SERVER:ORDER"
    rows = [
        (404, f"/v1/upstreams/apq/{one.address}:drain", 'there is no such upstream (did you mean "app"?)'),
        (404, f"/v1/upstreams/app/{one.address}0:drain", f'there is no such server in this upstream (did you mean "{one.address}"?)'),
        (404, "/v1/upstreams/zzzzzzzz/x:drain", "there is no such upstream"),
        (404, f"/v1/upstreams/App/{one.address}:drain", 'did you mean "app"'),
        (404, f"/v1/upstreams/app/{quoted}%00:drain", "there is no such server"),
        (404, f"/v1/upstreams/app/{quoted}%ff%fe:drain", "there is no such server"),
        (404, "/v1/upstreams/%2e%2e/%2e%2e%2fetc%2fpasswd:drain", "there is no such upstream"),
        (404, "/v1/upstreams/../x:drain", "there is no such upstream"),
        (404, f"/v1/upstreams/app/..%2Fapp%2F{quoted}:drain", "there is no such server"),
        (400, f"/v1/upstreams/app/../app/{one.address}:drain", nowhere),
        (400, f"/v1/upstreams/app/{one.address}", nowhere),
        (400, f"/v1/upstreams/app/{one.address}:drian", nowhere),
        (400, f"/v1/upstreams/app/{one.address}:DRAIN", nowhere),
        (400, f"/v1/upstreams/app/{one.address}:drain/", nowhere),
        (400, f"/v1/upstreams/app/{one.address}%3Adrain", nowhere),
        (400, f"/v1/upstreams/app/{quoted}%4:drain", nowhere),
        (400, f"/v1/upstreams/app/{quoted}%zz:drain", nowhere),
        (400, f"/v1/upstreams/app/{'x' * 1100}:drain", nowhere),
        (400, "/v1/upstreams/app/:drain", nowhere),
        (400, f"/v1/upstreams//{one.address}:drain", nowhere),
        (400, "/v1/upstreams/", nowhere),
        (400, f"/v1/upstreams/app:drain/{one.address}", nowhere),
        (400, f"/v1/upstreams/app/{one.address}:down?force=yes", '"force" must be 1'),
        (400, f"/v1/upstreams/app/{one.address}:down?force=1&force=1", '"force" must be 1'),
        (404, f"/v1/Upstreams/app/{one.address}:drain", "nothing at this path"),
        (404, f"/v1//upstreams/app/{one.address}:drain", "nothing at this path"),
    ]
    for status, target, words in rows:
        reply = post(here.socket, target)
        problem = json.loads(reply.body)
        assert (reply.status, problem["status"]) == (status, status) and words in problem["detail"], (target, problem)
        assert reply["Content-Type"] == "application/problem+json"
    good = f"/v1/upstreams/app/{one.address}:drain?force=1"
    for method in ("GET", "PUT", "DELETE"):
        reply = post(here.socket, good, method=method)
        assert (reply.status, reply["Allow"]) == (405, "POST")
    assert post(here.socket, "/v1/upstreams").status == 405
    assert post(here.socket, good, "Content-Length: 3").status == 413
    assert post(here.socket, good, "Origin: http://evil.test").status == 403
    for target, status in (("/v1/upstreams?upstream=apq", 404), ("/v1/upstreams?upstream=a&upstream=b", 400), ("/v1/upstreams?upstream=%4", 400)):
        assert post(here.socket, target, method="GET").status == status
    with Client(("127.0.0.1", here.metrics)) as client:
        client.send(f"POST {good} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert client.read("POST").status == 404
    assert here.see(one)["state"] == "up" and not here.proxy.events("admin")
    for words in (("drain",), ("drain", "app"), ("drain", "/x"), ("drain", "app/"), ("app", "app"), ("app", "--force"), ("down", "a/" + "x" * 600)):
        done = verb("upstreams", *words, "-s", here.socket)
        assert done.returncode == 2 and "`sluice upstreams --help` tells more" in done.stderr, done
    done = verb("upstreams", "apq", "-s", here.socket)
    assert done.returncode == 1 and done.stderr == 'sluice: there is no such upstream (did you mean "app"?)\n'

    # Whatever an address looks like, it can be named.
    for address in (sock, "[::1]:9", "backend.invalid:9000"):
        assert f"app/{address}: " in here.order("drain", address)
        assert here.see(address)["state"] == "drained"
    assert here.see("backend.invalid:9000")["addresses"] == []
    assert here.ask_all() == {"one"}
    here.order("ready", "backend.invalid:9000")
    assert here.see("backend.invalid:9000")["state"] == "unresolved"
