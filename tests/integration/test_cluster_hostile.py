# SPDX-License-Identifier: Apache-2.0
"""What nodes of a cluster say when they are new, sick or lying: nobody waits for it, and nothing breaks."""
import pytest
from harness.configs import forward
from harness.metrics import scrape
from harness.ports import take_port
from harness.redis_front import RedisFront, slots
from harness.waiting import wait_for

ALL = (0, 16383)
USERS = [f"user{i}" for i in range(20)]


@pytest.fixture
def front(world, redis):
    """front(answer): a node."""

    def make(answer):
        made = RedisFront(redis, answer)
        world.redises.append(made)
        return made

    return make


def begin(start, upstream, node):
    port = take_port()
    store = {"type": "redis", "topology": "cluster", "servers": [node.address], "decision_timeout": "250ms", "fleet_size": 1, "on_failure": "deny"}
    quotas = {"user": {"key": ["user"], "limits": {"day": 100000}, "accuracy": "exact"}}
    proxy = start(forward(upstream(), store=store, quotas=quotas, identities={"user": {"from": ["header:X-User"]}},
                          subject_secret="of the whole group", admin={"metrics": f"127.0.0.1:{port}"}))
    return proxy, port


def statuses(connect, proxy):
    client = connect(proxy)
    found = [client.ask("GET", "/", [("X-User", user)]).status for user in USERS]
    client.close()
    return found


def wait_for_all(connect, proxy, status=200):
    wait_for(lambda: set(statuses(connect, proxy)) == {status}, f"all are answered {status}")


class Node:
    """What it says of slots can be changed; evals may be answered too."""

    def __init__(self, reply=None):
        self.reply, self.on_script = reply, None

    def __call__(self, words):
        if words[0] == b"CLUSTER":
            return self.reply
        if words[0] in (b"EVALSHA", b"EVAL") and self.on_script is not None:
            return self.on_script(words)
        return b"+OK\r\n" if words[0] == b"ASKING" else None


@pytest.mark.parametrize("host", [None, "", "127.0.0.1", "localhost"])
def test_a_node_without_a_name_is_the_one_that_was_asked(start, upstream, connect, front, host):
    node = Node()
    server = front(node)
    node.reply = slots((*ALL, host, server.port))
    proxy, _ = begin(start, upstream, server)
    wait_for_all(connect, proxy)


def test_slots_that_nobody_has_fail_alone_until_somebody_has_them(start, upstream, connect, front):
    node = Node()
    server = front(node)
    node.reply = slots((0, 8191, None, server.port), (8192, 16383, "?", server.port))
    proxy, _ = begin(start, upstream, server)
    wait_for(lambda: set(statuses(connect, proxy)) == {200, 503}, "half of the slots are served")
    node.reply = slots((*ALL, None, server.port))
    wait_for_all(connect, proxy)
    # A map with holes does not take the place of one without.
    node.reply = slots((0, 100, None, server.port))
    node.on_script = lambda words: b"-MOVED 5 127.0.0.1:%d\r\n" % server.port
    statuses(connect, proxy)
    node.on_script = None
    wait_for_all(connect, proxy)


def test_redirects_in_a_circle_end(start, upstream, connect, front):
    node = Node()
    server = front(node)
    node.reply = slots((*ALL, None, server.port))
    proxy, port = begin(start, upstream, server)
    wait_for_all(connect, proxy)
    for error in (b"-MOVED 5 127.0.0.1:%d\r\n" % server.port, b"-ASK 5 :%d\r\n" % server.port):
        before = scrape(port)['sluice_store_redirects_total{kind="lost"}']
        node.on_script = lambda words, said=error: said if b":q:" in words[3] else None
        assert set(statuses(connect, proxy)) == {503}
        wait_for(lambda b=before: scrape(port)['sluice_store_redirects_total{kind="lost"}'] == b + len(USERS), "each ended once")
        node.on_script = None
        wait_for_all(connect, proxy)


@pytest.mark.parametrize("error", [b"-MOVED 5 127.0.0.1:1\r\n", b"-MOVED x\r\n", b"-ASK 99999 a:1\r\n", b"-MOVED\r\n", b"-TRYAGAIN later\r\n",
                                   b"-CLUSTERDOWN Hash slot not served\r\n", b"-CROSSSLOT Keys\r\n"])
def test_what_leads_nowhere_fails_and_heals(start, upstream, connect, front, error):
    node = Node()
    server = front(node)
    node.reply = slots((*ALL, None, server.port))
    proxy, _ = begin(start, upstream, server)
    wait_for_all(connect, proxy)
    node.on_script = lambda words: error if b":q:" in words[3] else None
    assert set(statuses(connect, proxy)) == {503}
    node.on_script = None
    wait_for_all(connect, proxy)


BAD_MAPS = {
    "no cluster": b"-ERR This instance has cluster support disabled\r\n",
    "empty": b"*0\r\n",
    "a number": b":5\r\n",
    "a range that is none": b"*1\r\n:1\r\n",
    "a range without nodes": b"*1\r\n*2\r\n:0\r\n:16383\r\n",
    "OK": b"+OK\r\n",
    "slots too high": slots((0, 99999, None, 1)),
    "giant": slots(*[(i % 300, i % 300, "127.0.0.1", 1 + i % 300) for i in range(15000)]),
    "huge": b"*2147483647\r\n",
    "deep": b"*1\r\n" * 9,
    "RESP3": b"%1\r\n",
}


@pytest.mark.parametrize("name", BAD_MAPS)
def test_a_bad_map_is_asked_for_again(start, upstream, connect, front, name):
    node = Node(BAD_MAPS[name])
    server = front(node)
    proxy, _ = begin(start, upstream, server)
    assert set(statuses(connect, proxy)) == {503}
    node.reply = slots((*ALL, None, server.port))
    wait_for_all(connect, proxy)
