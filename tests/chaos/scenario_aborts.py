# SPDX-License-Identifier: Apache-2.0
"""10,000 transfers are broken off, by clients and by servers, in every place, with an end and with a reset, plain and over TLS: nothing is left of them."""
import collections
import contextlib
import itertools
import random
import socket
import ssl
import struct
import threading
import time

from harness.client import Client
from harness.configs import forward
from harness.ports import take_port
from harness.threaded import Threaded
from harness.tls import Authority, client_context

import rig

PAGE = rig.ROOT / "docs" / "backends.md"
ABORTS, ROUND, WARM_UP = 10_000, 2500, 1500
THREADS = 8
POOL_IDLE_S = 1
GROWTH_MAX_KIB = 1024   # between the end of the warm-up and the end
SMALL, LARGE = 20_000, 3_000_000   # below and above what is passed on by splice
SEED = 20261206
LINGER_RESET = struct.pack("ii", 1, 0)
NAME = "aborts.test"
BLOCK = bytes(65536)


def end_of(sock, is_reset):
    """An end or a reset; what TLS would say before is not said."""
    if is_reset:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
    sock.close()


def send_some(sock, count):
    while count > 0:
        part = BLOCK[:count]
        sock.sendall(part)
        count -= len(part)


class Server(Threaded):
    """GET /HOW/LENGTH/SENT: sends so many of so many bytes, and then HOW says: hold (wait for the other side's end), end, reset.
    POST: reads so many bytes of the body (the last number), and goes on in the same way."""

    def _serve(self, sock):
        try:
            with sock:
                while self._answer(sock):
                    pass
        except (OSError, ValueError):
            pass

    def _answer(self, sock):
        data = b""
        while b"\r\n\r\n" not in data:
            part = sock.recv(65536)
            if not part:
                return False
            data += part
        head, _, rest = data.partition(b"\r\n\r\n")
        method, path = head.split(b" ")[:2]
        how, length, count = path.decode().strip("/").split("/")
        length, count = int(length), int(count)
        if method == b"POST":
            left = count - len(rest)
            while left > 0 and (part := sock.recv(65536)):
                left -= len(part)
        else:
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
            send_some(sock, count)
        if how == "whole":
            return True
        if how == "hold":
            while sock.recv(65536):
                pass
        end_of(sock, how == "reset")
        return False


LAST = "Connection: close\r\n"  # so that a whole answer of the proxy's own ends the connection too


def get(how, length, sent, more=""):
    return f"GET /{how}/{length}/{sent} HTTP/1.1\r\nHost: {NAME}\r\n{more}\r\n".encode()


def post(how, length, taken, more=""):
    return f"POST /{how}/{length}/{taken} HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: {length}\r\n{more}\r\n".encode()


def take(sock, count):
    while count > 0 and (part := sock.recv(min(count, 65536))):
        count -= len(part)


def take_all(sock):
    """Until the proxy ends it, in whatever way."""
    try:
        while sock.recv(65536):
            pass
    except OSError:
        pass


# Each takes a connected socket and leaves it where it is to be broken off; a client's own end follows.
def in_head(sock, _):
    sock.sendall(b"GET / HTTP/1.1\r\nHost: abo")


def in_small_body(sock, _):
    sock.sendall(post("hold", SMALL, SMALL))
    send_some(sock, SMALL // 2)


def in_large_body(sock, chance):
    sock.sendall(post("hold", LARGE, LARGE))
    send_some(sock, chance.randrange(300_000, LARGE - 1))


def in_wait(sock, _):
    sock.sendall(post("hold", 10, 10) + b"0123456789")


def in_small_answer(sock, _):
    sock.sendall(get("hold", SMALL, SMALL // 2))
    take(sock, SMALL // 3)


def in_large_answer(sock, chance):
    sock.sendall(get("hold", LARGE, LARGE - 1))
    take(sock, chance.randrange(300_000, LARGE - 100_000))


def unread(sock, _):
    sock.sendall(get("hold", LARGE, LARGE - 1))


def served_after(sock, _):
    sock.sendall(get("whole", 100, 100))
    take(sock, 150)
    in_head(sock, _)


def server_goes(how, length, sent):
    def step(sock, _):
        sock.sendall(get(how, length, sent, LAST))
        take_all(sock)
    return step


def server_goes_in_body(how, length, taken):
    def step(sock, _):
        sock.sendall(post(how, length, taken, LAST))
        try:
            send_some(sock, length)
        except OSError:
            pass
        take_all(sock)
    return step


CLIENT_GOES = {"within its head": in_head, "within a small body": in_small_body, "within a large body": in_large_body, "before the answer": in_wait,
               "within a small answer": in_small_answer, "within a large answer": in_large_answer, "without reading": unread,
               "in its second request": served_after}
SERVER_GOES = {f"{how}, {name}": step for how in ("end", "reset") for name, step in (
    ("before the answer", server_goes_in_body(how, 10, 10)), ("within a small answer", server_goes(how, SMALL, SMALL // 2)),
    ("within a large answer", server_goes(how, LARGE, LARGE // 2)), ("within a small body", server_goes_in_body(how, SMALL, SMALL // 2)),
    ("within a large body", server_goes_in_body(how, LARGE, LARGE // 2)))}
KINDS = ([(f"client: {how}, {name}", step, how == "reset") for name, step in CLIENT_GOES.items() for how in ("end", "reset")]
         + [(f"server: {name}", step, False) for name, step in SERVER_GOES.items()])


class Breaker(threading.Thread):
    """Breaks off its share of transfers, kind after kind."""

    def __init__(self, number, doors, turns):
        super().__init__(daemon=True)
        self.chance, self.doors, self.turns = random.Random(SEED + number), doors, turns
        self.counts, self.faults = collections.Counter(), []
        self.start()

    def run(self):
        for turn in self.turns:
            name, step, is_reset = KINDS[turn % len(KINDS)]
            address, context = self.doors[turn // len(KINDS) % len(self.doors)]
            try:
                self._break(address, context, step, is_reset)
            except Exception as fault:  # pylint: disable=broad-except
                self.faults.append(f"{name}: {fault!r}")
            self.counts[name, context is not None] += 1

    def _break(self, address, context, step, is_reset):
        sock = socket.create_connection(address, 20)
        try:
            if context is not None:
                sock = context.wrap_socket(sock, server_hostname=NAME)
            step(sock, self.chance)
        finally:
            end_of(sock, is_reset)


def handshakes_broken(doors, count):
    """Clients that leave in the middle of a handshake, with an end and with a reset."""
    address, context = doors[1]
    for n in range(count):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing, server_hostname=NAME)
        try:
            session.do_handshake()
        except ssl.SSLWantReadError:
            pass
        hello = outgoing.read()
        sock = socket.create_connection(address, 20)
        sock.sendall(hello[:len(hello) // 2] if n % 4 < 2 else hello)
        if n % 4 >= 2:
            sock.recv(1)
        end_of(sock, n % 2 == 1)


def break_off(doors, turns):
    """(counts, faults) of so many turns, which several threads share."""
    threads = [Breaker(n, doors, turns[n::THREADS]) for n in range(THREADS)]
    for thread in threads:
        thread.join()
    handshakes_broken(doors, len(turns) // 50)
    return sum((thread.counts for thread in threads), collections.Counter()), list(itertools.chain.from_iterable(thread.faults for thread in threads))


def rest_of(proxy, fresh=None):
    """Waits until nothing is in progress and nothing kept; (descriptors, anonymous memory in KiB)."""
    def is_quiet():
        values = proxy.metrics()
        return not any(values[f"sluice_{name}"] for name in ("exchanges_open", "connections_open", "upstream_idle_connections"))

    rig.wait_for(is_quiet, "nothing is in progress, and no connection to the server kept", 60)
    rig.wait_for(lambda: not proxy.connected_sockets(), "the connection that asked is closed", 60)
    if fresh is not None:
        with contextlib.suppress(AssertionError):  # more than before are judged in the end
            rig.wait_for(lambda: proxy.descriptors() <= fresh[0], "the spare pipes are closed", 20)
    return proxy.descriptors(), proxy.memory_kib("RssAnon")


def run(world, judge):
    server = world.keep(Server(), Server.stop)
    authority = Authority(world.folder / "tls")
    listen = [{"address": f"127.0.0.1:{take_port()}"}, {"address": f"127.0.0.1:{take_port()}", "tls": authority.issue(NAME).config}]
    config = {**forward(server), "listen": listen, "admin": {"metrics": f"127.0.0.1:{take_port()}"}}
    config["upstreams"]["app"]["timeouts"] = {"pool_idle": f"{POOL_IDLE_S}s", "first_byte": "10s"}
    proxy = world.proxy(config)
    doors = [(("127.0.0.1", proxy.ports[0]), None), (("127.0.0.1", proxy.ports[1]), client_context(authority))]
    child, fresh = proxy.child, rest_of(proxy)
    aborts, size, at = world.scaled(ABORTS), world.scaled(ROUND), world.scaled(WARM_UP)
    _, faults = break_off(doors, range(at))
    baseline = rest_of(proxy, fresh)
    curve, counts, began = [baseline], collections.Counter(), time.monotonic()
    while at < aborts + world.scaled(WARM_UP):
        some, more = break_off(doors, range(at, at + size))
        counts, faults, at = counts + some, faults + more, at + size
        curve.append(rest_of(proxy, fresh))
    judge.at_least(f"transfers broken off in {time.monotonic() - began:.0f} s, behind {world.scaled(WARM_UP):,} to warm up", sum(counts.values()), aborts)
    judge.check("kinds; each of them how often, plain and over TLS", f"{len(KINDS)}; {min(counts.values()):,} to {max(counts.values()):,}", f"{2 * len(KINDS)} sorts",
                len(counts) == 2 * len(KINDS))
    judge.check("what did not go as meant", rig.text_of(faults[:3]), "none", not faults)
    judge.equal("the same child serves", proxy.child == child, True)
    judge.equal("descriptors behind the warm-up, then after each part", [count for count, _ in curve], [fresh[0]] * len(curve))
    judge.tell("anonymous memory before everything, behind the warm-up, then after each part", ", ".join(f"{kib:,}" for _, kib in [fresh, *curve]) + " KiB")
    judge.at_most("its growth since the warm-up", curve[-1][1] - baseline[1], GROWTH_MAX_KIB, " KiB")
    values = proxy.metrics()
    judge.check("bytes that went through pipes", f"{values['sluice_body_bytes_spliced_total']:,.0f}", "> 0", values["sluice_body_bytes_spliced_total"] > 0)
    for address, context in doors:
        with Client(address, tls=context, name=NAME) as client:
            judge.equal(f"a request afterwards, {'plain' if context is None else 'over TLS'}", client.ask("GET", "/whole/100/100").status, 200)
    proxy.stop()
    reader = rig.LogReader()
    ends = collections.Counter(line["end"] for line in reader.read(proxy.access_log))
    judge.judge_log(reader)
    judge.tell("how exchanges ended", rig.text_of(dict(ends)))
    judge.equal("of them ended by a timeout: the other side was gone, and nobody had noticed", ends["upstream_timeout"], 0)
    judge.note("Clients: " + ", ".join(CLIENT_GOES) + "; servers: " + ", ".join(name.split(", ", 1)[1] for name in list(SERVER_GOES)[:5])
               + f"; each by an end and by a reset.  Small bodies have {SMALL:,} bytes, large ones {LARGE:,}, which plain connections pass on by splice.  One in fifty more "
               "leaves in the middle of a TLS handshake.")
