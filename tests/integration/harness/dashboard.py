# SPDX-License-Identifier: Apache-2.0
"""`sluice dashboard`, running, and traffic whose numbers a page can be held to."""
import base64
import json
import signal
import subprocess
import urllib.parse

from .client import Client
from .configs import forward
from .ports import take_port
from .proxy import BINARY, environment
from .waiting import PATIENCE_S

PASSWORD = "correct-horse"


def get(address, target, fields, method="GET"):
    with Client(address) as client:
        client.send((f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n").encode())
        return client.read(method)


def live_of(socket):
    """What the page asks for."""
    reply = get(str(socket), "/v1/live", [("Host", "sluice")])
    assert reply.status == 200, reply
    return json.loads(reply.body)


def policy(server, folder):
    """Users have five requests a day; one route leads to a server that is not there."""
    config = forward(server, quotas={"per-user": {"key": ["user"], "limits": {"day": 5}}, "per-address": {"key": ["ip"], "limits": {"day": 100000}}},
                     route={"name": "search"}, identities={"user": {"from": ["basic_user"]}}, subject_secret="only for this test",
                     admin={"address": f"unix:{folder}/admin.sock"})
    config["upstreams"]["gone"] = {"servers": [f"127.0.0.1:{take_port()}"]}
    config["routes"].insert(0, {"name": "lost", "prefix": "/lost", "upstream": "gone"})
    return config


def ask_as(proxy, user, times, target="/"):
    """One connection: one worker counts them."""
    basic = base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()
    with Client(proxy.address) as client:
        return [client.ask("GET", target, fields=[("Authorization", f"Basic {basic}")]).status for _ in range(times)]


def make_traffic(proxy):
    """18 requests and a malformed one: 8 admitted, 7 refused, 2 that no server answers, 1 without a user."""
    assert ask_as(proxy, "alice", 12) == [200] * 5 + [429] * 7
    assert ask_as(proxy, "bob", 3) == [200] * 3
    assert ask_as(proxy, "bob", 2, "/lost") == [502] * 2
    with Client(proxy.address) as client:
        client.send(b"GET /a%00b HTTP/1.1\r\nHost: h\r\n\r\n")
        assert client.read().status == 400


class Dashboard:
    """The verb; url is what it printed."""

    def __init__(self, folder, *words):
        self.process = subprocess.Popen([BINARY, "dashboard", *map(str, words)], cwd=folder, env=environment(folder), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        parts = urllib.parse.urlsplit(self.url)
        self.host, self.path = parts.netloc, parts.path
        self.address = ("127.0.0.1", parts.port)

    def get(self, target, *fields, method="GET"):
        return get(self.address, target, fields, method)

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out, err
