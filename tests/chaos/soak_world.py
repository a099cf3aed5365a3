# SPDX-License-Identifier: Apache-2.0
"""What the soak stands on: the proxy with its configuration, the servers behind it, the Redis that keeps what it has counted, and the log in its parts."""
import os
import signal
import ssl
import time

from harness.configs import forward
from harness.ports import take_port
from harness.tls import Authority, client_context

import event_streams
import rig
import upgraded

LIMIT = 200             # a minute and user: only the hot one, with 100 requests a second, is over it
DAY = 1_000_000_000
EVENTS_PER_S = 10
NAME = "soak.test"
PLAIN, SECURED, SIDE = "plain", "secured", "side"  # listeners: of the load, of those over TLS, of all others


class Place:
    """Owner: the soak.  Everything in it is ended by its world."""

    def __init__(self, world):
        self.world = world
        self.backends = [world.backend(), world.backend()]
        # Written before it is answered, and so it survives a kill (not a power cut, which would need fsync).
        self.redis = world.redis("--appendonly", "yes", "--appendfsync", "no")
        self.events_port, self.chat_port = event_streams.serve(world, EVENTS_PER_S), take_port()
        authority = Authority(world.folder / "tls")
        self.pair, self.tls = authority.issue(NAME), client_context(authority)
        self.ports = {name: take_port() for name in (PLAIN, SECURED, SIDE)}
        self.proxy = world.proxy(self._configuration(), kind=upgraded.Upgraded)
        self.log = Log(self.proxy)

    def _configuration(self):
        listen = [{"name": name, "address": f"127.0.0.1:{port}"} for name, port in self.ports.items()]
        listen[1]["tls"] = self.pair.config
        config = forward(*self.backends, listen=listen, quotas={"user": {"key": ["user"], "limits": {"minute": LIMIT, "day": DAY}}}, **rig.USERS,
                         store={"type": "redis", "servers": [self.redis.address], "fleet_size": 1}, limits={"drain_timeout": "1m"},
                         admin={"address": "unix:admin.sock", "metrics": f"127.0.0.1:{take_port()}"})
        config["upstreams"]["chat"] = {"servers": [f"127.0.0.1:{self.chat_port}"]}
        config["upstreams"]["events"] = {"servers": [f"127.0.0.1:{self.events_port}"]}
        config["routes"][:0] = [{"name": "chat", "path": "/chat", "upstream": "chat", "upgrade": ["websocket"]},
                                {"name": "events", "path": "/events", "upstream": "events"}]
        return config

    def uri(self, secured):
        return f"wss://127.0.0.1:{self.ports[SECURED]}/chat" if secured else f"ws://127.0.0.1:{self.ports[SIDE]}/chat"

    def context(self, secured) -> ssl.SSLContext:
        return self.tls if secured else None

    def used_today(self):
        """By all users, as Redis has it."""
        return sum(windows[86400][1] for windows in rig.stored_windows(self.redis).values() if 86400 in windows)


class Log:
    """The parts of the rotated access log, the oldest first.  They are kept: `verify` reads them all."""

    def __init__(self, proxy):
        self.proxy, self.parts = proxy, []

    def rotate(self, by_signal):
        part = self.proxy.folder / f"{self.proxy.access_log.name}.{len(self.parts)}"
        os.rename(self.proxy.access_log, part)
        self.parts.append(part)
        if by_signal:
            self.proxy.signal(signal.SIGUSR1)
        else:
            done = self.proxy.verb("log", "reopen")
            assert done.returncode == 0, done.stdout + done.stderr
        rig.wait_for(self.proxy.access_log.exists, "the log file is there again")

    @property
    def files(self):
        return [*self.parts, self.proxy.access_log]


class Sizes:
    """What each serving process held over time; programs follow each other."""

    def __init__(self, proxy):
        self.proxy, self.began = proxy, time.monotonic()
        self.of = {}  # pid: [(seconds, KiB, descriptors)]
        self._cpu = {}

    def sample(self):
        child = self.proxy.child
        self.of.setdefault(child, []).append((time.monotonic() - self.began, self.proxy.memory_kib(pid=child), self.proxy.descriptors(child)))
        self._cpu.setdefault(child, []).append(self.proxy.cpu_s())

    @property
    def cpu_s(self):
        """Of all of them, but for what one needed to begin, and for its last seconds."""
        return sum(values[-1] - values[0] for values in self._cpu.values())
