# SPDX-License-Identifier: Apache-2.0
"""The scenarios of scripts/bench as a table: what is asked, what each proxy has to do, what the answer is."""
import dataclasses

HIGH = 2_000_000_000  # never reached in a burst, but counted: the price of limiting, not of refusing
PATH = "/v1/projects/42/images?limit=10&marker=abc"
USER_MARK = "@" * 12  # the load generator puts a user's number there,
NUMBER_MARK = "$" * 12  # and here the request's
HEADERS = {
    "User-Agent": "bench/1.0 (load generator)",
    "Accept": "application/json, text/plain, */*",
    "Accept-Encoding": "gzip, deflate, br",
    "Accept-Language": "en-US,en;q=0.9",
    "X-Api-Key": f"key-{USER_MARK}cdef0123456789",
    "X-Project-Id": "0123456789abcdef0123456789abcdef",
    "Cookie": "session=8f14e45fceea167a5a36dedd4bea2543",
}
OBJECT = "/v1/projects/42/images/{}?limit=10&marker=abc"
SOURCES = {"user": "X-Api-Key", "token": "X-Auth-Token", "ip": None}  # by which header callers are told apart
PERIODS_S = {"minute": 60, "hour": 3600, "day": 86400}
MIB = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Quota:
    """Requests of one caller in each of the windows."""
    source: str = "user"
    windows: tuple = ("minute",)
    limit: int = HIGH


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    job: str  # for docs/performance.md
    peers: tuple = ("sluice", "nginx", "haproxy")
    status: int = 200
    quotas: tuple = ()
    store: str = "memory"
    is_leased: bool = False  # else each request asks Redis
    has_log: bool = False
    workers: int = 1
    subjects: int = 100_000  # for which tables have room
    users: int = 1
    zipf: float = 0.0
    connections: int = 64
    answer_bytes: int = 128
    body_bytes: int = 0
    is_churning: bool = False
    share: float = 1  # of its processor that a proxy gets when throughput is compared: where the load would be what limits
    per_mib: bool = False
    max_connections: int = 4096  # what a proxy reserves for more would be no fair price
    headers: tuple = ()
    path: str = PATH
    tls: str = ""  # towards clients: "full" or "resumed" handshakes

    def request(self):
        """The bytes of its request, without the body."""
        lines = [f"{'POST' if self.body_bytes else 'GET'} {self.path} HTTP/1.1", "Host: bench"]
        lines += [f"{name}: {value}" for name, value in (*HEADERS.items(), *self.headers)]
        if self.body_bytes:
            lines += ["Content-Type: application/octet-stream", f"Content-Length: {self.body_bytes}"]
        if self.is_churning:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    @staticmethod
    def unmarked(text):
        """As somebody else than the load generator would write it."""
        for mark in (USER_MARK, NUMBER_MARK):
            text = text.replace(mark, "0" * len(mark))
        return text

    def is_handshakes(self):
        return bool(self.tls) and self.is_churning

    def is_close(self):
        """What is compared differs less than one round does from the next."""
        return self.is_handshakes() or self.is_leased

    def unit(self):
        return "MiB" if self.per_mib else "handshake" if self.is_handshakes() else "req"


LOCAL = {"quotas": (Quota(),), "has_log": True}
REFUSE = {"quotas": (Quota(windows=("day",), limit=1),), "has_log": True, "status": 429}
SCENARIOS = {scenario.name: scenario for scenario in (
    Scenario("plain", "forward, no limit, no log", peers=("sluice", "nginx", "haproxy", "relay"), share=0.4),
    Scenario("local", "forward, one limit per user counted in the proxy (never reached), a JSON line per request in the access log",
             peers=("sluice", "forward", "nginx", "haproxy"), **LOCAL),
    Scenario("redis", "the same, counted in one Redis, which is asked for every request", peers=("sluice", "lua"), store="redis", **LOCAL),
    Scenario("leased", "the same with leases", peers=("sluice", "memory", "lua"), store="redis",
             is_leased=True, quotas=(Quota(limit=6_000_000),), has_log=True),
    Scenario("refuse", "the same as local with the limit passed, no request like the one before: every answer is a 429",
             path=OBJECT.format(NUMBER_MARK), **REFUSE),
    Scenario("alike", "the same as refuse, all requests byte for byte the same", path=OBJECT.format("0" * len(NUMBER_MARK)), **REFUSE),
    Scenario("many", "the same as local for a million users, of whom the k-th asks a k-th as often as the first", users=1_000_000,
             zipf=1.0, subjects=1_100_000, **LOCAL),
    Scenario("three", "the same as local with limits a minute, an hour and a day, for the user and for the address", has_log=True,
             quotas=(Quota("user", ("minute", "hour", "day")), Quota("ip", ("minute", "hour", "day")))),
    Scenario("token", "the same as local, the user told by a header of 4 KiB", has_log=True, quotas=(Quota("token"),),
             share=0.4, headers=(("X-Auth-Token", "t" * (4096 - len(USER_MARK)) + USER_MARK),)),
    Scenario("large", "forward responses of 1 MiB; no limit, no log", peers=("sluice", "nginx", "haproxy", "splice"), connections=16,
             answer_bytes=MIB, per_mib=True),
    Scenario("upload", "forward requests with a body of 1 MiB; no limit, no log", connections=16, body_bytes=MIB, per_mib=True),
    Scenario("churn", "the same as plain, a client connection for each request", is_churning=True, share=0.4),
    Scenario("secure", "the same as local over TLS 1.3, on connections that live", tls="full", **LOCAL),
    Scenario("handshake", "the same as local with a whole handshake of TLS 1.3 for each request, and the connection closed behind it",
             tls="full", is_churning=True, connections=8, **LOCAL),
    Scenario("resume", "the same as handshake, each client resuming the session of its last connection by a ticket",
             tls="resumed", is_churning=True, connections=8, **LOCAL),
    Scenario("two", "the same as local with two workers on both processors (which they share with load and backend)",
             peers=("sluice", "sluice1", "nginx", "haproxy"), workers=2, **LOCAL),
    Scenario("idle", "hold 8,000 keep-alive connections that have each had one answer; nothing else", max_connections=9000),
)}
