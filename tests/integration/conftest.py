# SPDX-License-Identifier: Apache-2.0
"""Fixtures: each gives a maker, and puts away (and judges) at the end what it made."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from harness.client import Client  # noqa: E402
from harness.configs import with_probe  # noqa: E402
from harness.proxy import BINARY, Sluice, run_verb, wait_until_counting  # noqa: E402
from harness.redis_server import RedisServer  # noqa: E402
from harness.tls import Everywhere  # noqa: E402
from harness.upstream import Upstream  # noqa: E402
from harness.waiting import wait_for  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than ten seconds")
    if not os.access(BINARY, os.X_OK):
        pytest.exit(f"there is no program {BINARY}: build it or set SLUICE_BIN", returncode=2)


class World:
    """Everything one test made, put away in the right order."""

    def __init__(self, folder):
        self.folder = folder
        self.clients, self.upstreams, self.proxies, self.redises = [], [], [], []
        self.tls = None  # a harness.tls.Everywhere: every connection is secured
        self.redis_store = None  # what proxies with quotas count in, unless they say

    def end(self):
        for client in self.clients:
            client.close()
        for upstream in self.upstreams:
            upstream.stop()
        faults = [fault for upstream in self.upstreams for fault in upstream.faults]
        redis_ports = {redis.port for redis in self.redises}
        try:
            for proxy in self.proxies:
                if not proxy.is_stopped and proxy.process.poll() is None:
                    # Clients and servers are gone: a connection that stays is a leak.
                    wait_for(lambda p=proxy: not p.connected_sockets(redis_ports), "no connection is left open")
                proxy.stop()
        finally:
            for proxy in self.proxies:
                proxy.kill()
            for redis in self.redises:
                redis.stop()
        assert not faults, "in an upstream:\n" + "\n".join(faults)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.end()


@pytest.fixture
def start(world):
    """start(config, ...): a running Sluice."""

    def make(config, **kwargs):
        kwargs.setdefault("name", f"sluice{len(world.proxies)}" if world.proxies else "sluice")
        if world.tls is not None:
            config = world.tls.secure(config)
        is_probed = world.redis_store is not None and "quotas" in config and "store" not in config
        if is_probed:
            config = with_probe({**config, "store": {**world.redis_store, "prefix": f"p{len(world.proxies)}"}})
        proxy = Sluice(world.folder, config, wait=False, **{k: v for k, v in kwargs.items() if k != "wait"})
        world.proxies.append(proxy)
        if kwargs.get("wait", True):
            proxy.wait_until_serving()
        if is_probed:
            wait_until_counting(proxy)
        return proxy

    return make


@pytest.fixture
def over_tls(world):
    """Clients and servers speak TLS, unless the test says otherwise.  For pytest.mark.usefixtures."""
    world.tls = Everywhere(world.folder / "tls")


@pytest.fixture(params=["memory", "redis"])
def each_store(request, world):
    """The test runs once over each store: the same cases, the same answers.  For pytest.mark.usefixtures."""
    if request.param == "redis":
        server = RedisServer(world.folder)
        world.redises.append(server)
        world.redis_store = {"type": "redis", "servers": [server.address], "decision_timeout": "250ms", "fleet_size": 1}


@pytest.fixture
def upstream(world):
    """upstream(serve=..., answer=...): a running backend."""

    def make(*args, **kwargs):
        if world.tls is not None:
            kwargs.setdefault("tls", world.tls.server)
        server = Upstream(*args, **kwargs)
        world.upstreams.append(server)
        return server

    return make


@pytest.fixture
def connect(world):
    """connect(proxy or address): a client connection."""

    def make(to, **kwargs):
        if world.tls is not None:
            kwargs = {"tls": world.tls.client, "name": "test.local", **kwargs}
        client = Client(getattr(to, "address", to), **kwargs)
        world.clients.append(client)
        return client

    return make


@pytest.fixture
def redis(world):
    server = RedisServer(world.folder)
    world.redises.append(server)
    return server


@pytest.fixture
def verb(world):
    """verb("check", "-c", file): `sluice check -c file`, run to its end; no sanitizer report."""

    def run(*words, **kwargs):
        done = run_verb(world.folder, *map(str, words), **kwargs)
        for report in world.folder.glob("sanitizer.*"):
            raise AssertionError(report.read_text(errors="replace")[:6000])
        return done

    return run
