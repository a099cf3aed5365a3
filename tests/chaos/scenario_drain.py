# SPDX-License-Identifier: Apache-2.0
"""TERM with two hundred responses in flight and five hundred idle connections: readiness fails first, every response is finished."""
import contextlib
import pathlib
import resource
import signal
import time

from harness import http
from harness.client import Client, is_refused
from harness.configs import forward
from harness.upstream import Upstream

import rig

BUSY, IDLE = 200, 500
ANSWER_S = 2.0
ANNOUNCE_S = 1
SECOND_TERM_S = 1.0


def raise_descriptors():
    """Clients and server are in this process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))


def late(_):
    time.sleep(ANSWER_S)
    return http.response(body=b"late")


def readiness(folder):
    client = Client(str(pathlib.Path(folder) / "admin.sock"))
    with contextlib.closing(client):
        return client.ask("GET", "/readyz").status


def how_it_ended(client):
    """ "end": as it should; else what came, or "reset"."""
    try:
        client.expect_end()
        return "end"
    except AssertionError as error:
        return str(error)[:80]


class Crowd:
    """A proxy with requests in flight and idle connections, of which each has been served once."""

    def __init__(self, world, name, announce_s=ANNOUNCE_S):
        self.server = world.keep(Upstream(answer=late), Upstream.stop)
        config = forward(self.server, limits={"drain_announce": f"{announce_s}s", "drain_timeout": "30s", "keepalive": "1h"},
                         admin={"address": "unix:admin.sock"})
        config["routes"].insert(0, {"name": "idle", "path": "/idle", "respond": {"text": "here"}})
        self.proxy = world.proxy(config, name)
        self.idle = [Client(self.proxy.address) for _ in range(world.scaled(IDLE))]
        self.busy = [Client(self.proxy.address) for _ in range(world.scaled(BUSY))]
        for client in self.idle:
            assert client.ask("GET", "/idle").status == 200
        for client in self.busy:
            client.send(http.request("GET", "/late"))
        self.server.wait_for_requests(len(self.busy))

    def close(self):
        for client in self.idle + self.busy:
            client.close()


def run_one_term(world, judge):
    crowd = Crowd(world, "one")
    proxy = crowd.proxy
    began = time.monotonic()
    proxy.signal(signal.SIGTERM)
    rig.wait_for(lambda: readiness(world.folder) == 503, "it is not ready")
    unready_s, was_open = time.monotonic() - began, not is_refused(proxy.address)
    judge.check("readiness is 503", f"after {unready_s * 1000:.0f} ms", "while connections are accepted", was_open)
    ends = [how_it_ended(client) for client in crowd.idle]
    judge.equal("idle connections that end cleanly", ends.count("end"), len(crowd.idle))
    for client, end in zip(crowd.idle, ends):
        if end != "end":
            judge.note(f"An idle connection: {end}.")
        client.close()
    replies = [client.read() for client in crowd.busy]
    whole = [reply for reply in replies if (reply.status, reply.body) == (200, b"late")]
    judge.equal("responses in flight that are whole", len(whole), len(crowd.busy))
    judge.equal("responses behind the announcement with Connection: close",
                sum(reply["Connection"] == "close" for reply in replies), len(replies))
    crowd.close()
    judge.equal("exit code", proxy.wait_exit(60), 0)
    judge.tell("from TERM to the end", f"{time.monotonic() - began:.2f} s")
    proxy.is_stopped = True
    reader = rig.LogReader()
    statuses = [line["status"] for line in reader.read(proxy.access_log)]
    judge.judge_log(reader)
    judge.equal("lines of requests in the log", len(statuses), len(crowd.busy) + len(crowd.idle))
    judge.equal("unfinished, in the event stop", [event.get("unfinished", 0) for event in reader.events if event["event"] == "stop"], [0])


def is_unready(world, _):
    return readiness(world.folder) == 503


def is_draining(_, crowd):
    return is_refused(crowd.proxy.address)


# when the second TERM comes: (drain_announce, how that is known)
SECOND_TERMS = {"while the end is announced": (ANNOUNCE_S, is_unready), "during the drain": (0, is_draining)}


def run_two_terms(world, judge):
    for when, (announce_s, is_time) in SECOND_TERMS.items():
        crowd = Crowd(world, f"two-{announce_s}", announce_s)
        crowd.proxy.signal(signal.SIGTERM)
        rig.wait_for(lambda found=is_time, crowd=crowd: found(world, crowd), f"it is {when}")
        was_alive = crowd.proxy.process.poll() is None
        began = time.monotonic()
        crowd.proxy.signal(signal.SIGTERM)
        code = crowd.proxy.wait_exit(60)
        ended_s = time.monotonic() - began
        crowd.proxy.is_stopped = True
        judge.check(f"from a second TERM {when} to the end", f"{ended_s:.2f} s", f"≤ {SECOND_TERM_S:g} s", was_alive and ended_s <= SECOND_TERM_S)
        judge.equal("its exit code", code, 0)
        crowd.close()


def run(world, judge):
    raise_descriptors()
    run_one_term(world, judge)
    run_two_terms(world, judge)
    judge.note(f"{world.scaled(BUSY)} requests whose server answers after {ANSWER_S:g} s, {world.scaled(IDLE)} idle keep-alive connections, "
               f"limits.drain_announce {ANNOUNCE_S} s.")
