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


@pytest.mark.parametrize("error", [b"-MOVED 5 127.0.0.1:1\r\n", b"-MOVED x\r\n", b"-ASK 99999 a:1\r\n", b"-MOVED\r\n", b"-MOVED 5 127.0.0.1:0\r\n",
                                   b"-MOVED 5 h\xc3\xb6st:1\r\n", b"-MOVED 5 a\x00b:1\r\n", b"-ASK 5 %s:1\r\n" % (b"a" * 300), b"-CROSSSLOT Keys\r\n"])
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


FAULTS = {
    "clusterdown": (b"-CLUSTERDOWN Hash slot not served\r\n", "see CLUSTER INFO there"),
    "tryagain": (b"-TRYAGAIN Multiple keys\r\n", "this slot moves to another node: wait"),
    "readonly": (b"-READONLY You can't write against a read only replica.\r\n", "it is a replica"),
    "masterdown": (b"-MASTERDOWN Link with MASTER is down\r\n", "it is a replica without its master"),
    "loading": (b"-LOADING Redis is loading the dataset in memory\r\n", "it is reading its data: wait"),
    "oom": (b"-OOM command not allowed\r\n", "raise its maxmemory"),
    "misconf": (b"-MISCONF Redis is configured to save RDB snapshots\r\n", "it cannot save to disk"),
    "busy": (b"-BUSY Redis is busy running a script\r\n", "SCRIPT KILL"),
    "noperm": (b"-NOPERM this user has no permissions\r\n", "make the user as `sluice check --acl` prints it"),
    "noreplicas": (b"-NOREPLICAS Not enough good replicas to write.\r\n", "too few replicas"),
    "auth": (b"-NOAUTH Authentication required.\r\n", 'set "password"'),
    "value": (b"-SLUICELAYOUT sluice:q:{x}\r\n", "update this proxy, or delete the key"),
    "other": (b"-ERR who knows\r\n", "see the text"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_what_a_node_will_not_do_is_counted_by_its_kind_with_advice(start, upstream, connect, front, kind):
    error, advice = FAULTS[kind]
    node = Node()
    server = front(node)
    node.reply = slots((*ALL, None, server.port))
    proxy, port = begin(start, upstream, server)
    wait_for_all(connect, proxy)
    name = f'sluice_store_faults_total{{kind="{kind}"}}'
    assert scrape(port)[name] == 0
    node.on_script = lambda words: error if b":q:" in words[3] else None
    assert set(statuses(connect, proxy)) == {503}
    wait_for(lambda: scrape(port)[name] > 0, "it is counted")
    assert scrape(port)["sluice_store_errors_total"] == scrape(port)[name], "and nothing else is"
    text = error[1:-2].decode()
    wait_for(lambda: f"{text} (" in proxy.stderr(), "the log says so")
    assert advice in proxy.stderr()
    node.on_script = None
    wait_for_all(connect, proxy)


def test_what_the_handshake_is_told_is_counted_too(start, upstream, connect, front):
    node = Node()
    loading = {"on": True}
    server = front(lambda words: b"-LOADING Redis is loading\r\n" if loading["on"] and words[0] == b"INFO" else node(words))
    node.reply = slots((*ALL, None, server.port))
    proxy, port = begin(start, upstream, server)
    wait_for(lambda: scrape(port)['sluice_store_faults_total{kind="loading"}'] > 1, "it is counted")
    wait_for(lambda: "it is reading its data: wait" in proxy.stderr(), "the log says what to do")
    loading["on"] = False
    wait_for_all(connect, proxy)


def test_a_slot_that_a_node_does_not_serve_fails_no_other(start, upstream, connect, front):
    node, seen = Node(), []
    server = front(node)
    node.reply = slots((*ALL, None, server.port))
    proxy, port = begin(start, upstream, server)
    wait_for_all(connect, proxy)
    node.on_script = lambda words: seen.append(words[3]) if b":q:" in words[3] else None
    client = connect(proxy)
    assert client.ask("GET", "/", [("X-User", USERS[0])]).status == 200
    (key,) = seen
    node.on_script = lambda words: b"-CLUSTERDOWN Hash slot not served\r\n" if words[3] == key else None
    for _ in range(5):
        assert statuses(connect, proxy) == [503] + [200] * (len(USERS) - 1)
    assert scrape(port)["sluice_store_lost_total"] == 0
    node.on_script = None
    wait_for_all(connect, proxy)


def test_a_part_of_the_map_is_believed_while_another_is_missing(start, upstream, connect, front):
    """One half has no address for a while; the other half's node dies, and another takes its slots over."""
    one, other, heir = Node(), Node(), Node()
    fronts = [front(node) for node in (one, other, heir)]
    whole = slots((0, 8191, "127.0.0.1", fronts[0].port), (8192, 16383, "127.0.0.1", fronts[1].port))
    one.reply = other.reply = heir.reply = whole
    proxy, _ = begin(start, upstream, fronts[0])
    wait_for_all(connect, proxy)
    one.reply = heir.reply = slots((0, 8191, "?", fronts[0].port), (8192, 16383, "127.0.0.1", fronts[2].port))
    fronts[1].stop()
    wait_for_all(connect, proxy)
    (event,) = wait_for(lambda: proxy.events("failover"), "it is told")
    assert event["from"] == fronts[1].address and event["to"] == fronts[2].address


def test_a_node_that_names_hundreds_of_others_ends_nothing(start, upstream, connect, front):
    node, asked = Node(), []
    server = front(node)
    node.reply = slots((*ALL, None, server.port))
    proxy, _ = begin(start, upstream, server)
    wait_for_all(connect, proxy)

    def elsewhere(words):
        if b":q:" not in words[3]:
            return None
        asked.append(None)
        return b"-MOVED %d 127.0.0.1:%d\r\n" % (len(asked) % 16384, 1 + len(asked) % 1000)

    node.on_script = elsewhere
    while len(asked) < 300:
        assert set(statuses(connect, proxy)) <= {200, 503}
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
    "one range again and again": slots(*[(*ALL, "127.0.0.1", 1)] * 60000),
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
