# SPDX-License-Identifier: Apache-2.0
"""Orders about one subject in a fleet: every proxy obeys as soon as it has heard, and nobody else notices."""
import base64
import collections
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading

import pytest
from harness import stored
from harness.configs import forward
from harness.metrics import scrape
from harness.ports import take_port
from harness.proxy import BINARY, run_verb
from harness.redis_fleet import ClusterFleet, SentinelFleet
from harness.redis_server import RedisServer
from harness.waiting import wait_for, wait_for_room

SUBJECTS = 10000
HOUR, DAY = 60, 400


def config_of(world, server, store, name, **more):
    quotas = {"leased": {"key": ["user"], "limits": {"hour": HOUR, "day": DAY}},
              "exact": {"key": ["user"], "limits": {"day": 100000}, "accuracy": "exact"}}
    store = {"type": "redis", "decision_timeout": "2s", "command_timeout": "4s", "fleet_size": 3, "on_failure": "deny", **store}
    return forward(server, **{"store": store, "quotas": quotas, "subject_secret": "of the whole group", "workers": 2,
                              "identities": {"user": {"from": ["basic_user"]}},
                              "admin": {"address": f"unix:{world.folder}/{name}.sock", "metrics": f"127.0.0.1:{take_port()}"}, **more})


def ask(client, user):
    token = base64.b64encode(f"{user}:x".encode()).decode()
    return client.ask("GET", "/", [("Authorization", f"Basic {token}")])


def verb(world, *words, name="a", exit_code=0):
    done = run_verb(world.folder, *words, "-s", f"unix:{world.folder}/{name}.sock")
    assert done.returncode == exit_code, done
    return done


def orders_heard(proxy):
    return scrape(int(proxy.config["admin"]["metrics"].rsplit(":", 1)[1]))["sluice_lease_orders_total"]


def wait_until_counting(connect, proxies):
    def counts(proxy):
        client = connect(proxy)
        reply = ask(client, "probe")
        client.close()
        return reply.status in (200, 429) and {e["source"] for e in proxy.line_of(reply)["quotas"]} <= {"store", "lease"}

    for proxy in proxies:
        wait_for(lambda p=proxy: all(counts(p) for _ in range(8)), "every worker counts in Redis")


def exhaust(connect, proxies, user):
    """Until each of several connections to each proxy is refused, again and again."""
    clients = [connect(proxy) for proxy in proxies for _ in range(4)]
    wait_for(lambda: all(ask(client, user).status == 429 for _ in range(3) for client in clients), f"{user} is refused everywhere")
    for client in clients:
        client.close()


def values(clients):
    """What Redis holds: {key: (lineage, generation, extra, expires, counts by period)}."""
    found = {}
    for client in clients:
        keys = list(client.scan_iter("sluice:q:*", count=5000))
        for at in range(0, len(keys), 2000):
            for key, value in zip(keys[at:at + 2000], client.mget(keys[at:at + 2000])):
                *head, windows = stored.read(value)
                found[key] = (*head, {code: used for code, (_, used) in windows.items()})
    return found


class Load:
    """Other subjects ask all the time."""

    def __init__(self, connect, proxies, users):
        self.stop, self.statuses = threading.Event(), collections.Counter()
        self.threads = [threading.Thread(target=self._run, args=(connect(proxy), users[i::len(proxies)]))
                        for i, proxy in enumerate(proxies)]
        for thread in self.threads:
            thread.start()

    def _run(self, client, users):
        at, statuses = 0, collections.Counter()
        while not self.stop.wait(0.001):
            statuses[ask(client, users[at % len(users)]).status] += 1
            at += 1
        self.statuses.update(statuses)

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def fill(connect, proxies, users):
    def run(proxy, part):
        client = connect(proxy)
        statuses = collections.Counter(ask(client, user).status for user in part)
        client.close()
        return statuses

    with concurrent.futures.ThreadPoolExecutor() as pool:
        done = list(pool.map(run, proxies, [users[i::len(proxies)] for i in range(len(proxies))]))
    assert sum(done, collections.Counter()) == {200: len(users)}


def test_one_of_ten_thousand_on_three_proxies_under_load(start, upstream, connect, world, redis):
    server = upstream()
    proxies = [start(config_of(world, server, {"servers": [redis.address]}, name)) for name in "abc"]
    wait_until_counting(connect, proxies)
    wait_for(lambda: redis.client.pubsub_numsub("sluice:recall")[0][1] == 3, "all listen")
    wait_for_room(3600, 120)
    users = [f"user{n}" for n in range(SUBJECTS - 1)]
    fill(connect, proxies, users)
    load = Load(connect, proxies, users[:300])
    try:
        exhaust(connect, proxies, "alice")
        idle = connect(proxies[0])
        row, other = sorted(json.loads(verb(world, "show", "alice", "--json").stdout)["subjects"], key=lambda one: one["quota"], reverse=True)
        assert (row["quota"], row["held"], row["windows"][0]["used"]) == ("leased", 0, HOUR)
        assert (other["quota"], other["held"], other["windows"][0]["used"]) == ("exact", 0, HOUR)
        before = values([redis.client])
        for round_number, (order, quotas) in enumerate(((["reset", "alice"], 2), (["grant", "alice", "+100", "--for", "1h"], 2)), 1):
            name = "abc"[round_number]  # not the one that is asked about
            heard = [orders_heard(proxy) for proxy in proxies]
            verb(world, *order, name=name)
            wait_for(lambda h=heard, q=quotas: all(orders_heard(proxy) >= h[i] + q for i, proxy in enumerate(proxies)), "all have heard")
            # Each connection's first request, on whichever worker it is.
            clients = [connect(proxy) for proxy in proxies for _ in range(6)]
            assert [ask(client, "alice").status for client in clients] == [200] * len(clients)
            for client in clients:
                client.close()
            if order[0] == "reset":
                exhaust(connect, proxies, "alice")
    finally:
        load.end()
    assert set(load.statuses) <= {200, 429} and load.statuses[200] > 0
    after = values([redis.client])
    changed = {key for key in before if before[key][:4] != after[key][:4]}
    touched = {key for key, value in after.items() if value[1:3] != (0, 0)}
    assert changed == touched and len(touched) == 2 and len(after) >= 2 * SUBJECTS
    assert all(after[key][1:3] == (1, 100) for key in touched)
    # Who asked for nothing meanwhile has the very same exact count.
    exact = [key for key in before if list(before[key][4]) == [86400] and key not in touched]
    assert len([key for key in exact if before[key] == after[key]]) >= SUBJECTS - 1 - 300
    assert all(after[key][4][86400] >= before[key][4][86400] for key in exact)
    # All windows begin anew, and nobody has more than the limit of it.
    counts = [after[key][4] for key in touched if len(after[key][4]) == 2][0]
    assert counts[3600] == counts[86400] <= HOUR + 100
    for index, event in ((1, "reset"), (2, "grant")):
        lines = proxies[index].wait_for_event(event, 2)
        assert {(line["subject"], line["by"]) for line in lines} == {("alice", os.getuid())}
        assert sorted(line["quota"] for line in lines) == ["exact", "leased"]
        assert next(line for line in lines if line["quota"] == "leased")["was"][0]["used"] == HOUR
    assert proxies[0].events("reset") == [] and ask(idle, "bob").status == 200


def test_what_is_held_ends_with_the_reset(start, upstream, connect, world, redis):
    """A proxy that holds a lease spends nothing of it behind a reset: it is not in the count any more."""
    server = upstream()
    store = {"servers": [redis.address], "fleet_size": 2}
    quotas = {"leased": {"key": ["user"], "limits": {"hour": 1000}}}
    holder, other = (start(config_of(world, server, store, name, quotas=quotas, workers=1)) for name in "ab")
    wait_until_counting(connect, [holder, other])
    wait_for(lambda: redis.client.pubsub_numsub("sluice:recall")[0][1] == 2, "both listen")
    wait_for_room(3600, 30)
    client = connect(holder)
    assert [ask(client, "alice").status for _ in range(5)] == [200] * 5
    row, = json.loads(verb(world, "show", "alice", "--json").stdout)["subjects"]
    assert row["held"] == row["windows"][0]["used"] - 5 > 0
    assert f"  held here  {row['held']} of what is used: leased, not spent\n" in verb(world, "show", "alice").stdout
    assert json.loads(verb(world, "show", "alice", "--json", name="b").stdout)["subjects"][0]["held"] == 0
    heard = orders_heard(holder)
    verb(world, "reset", "alice", name="b")
    wait_for(lambda: orders_heard(holder) > heard, "it has heard")
    wait_for(lambda: json.loads(verb(world, "show", "alice", "--json").stdout)["subjects"][0]["held"] == 0, "nothing is held")
    row, = json.loads(verb(world, "show", "alice", "--json").stdout)["subjects"]
    assert (row["windows"][0]["used"], row["windows"][0]["remaining"], row["generation"]) == (0, 1000, 1)
    # Exactly the limit passes, over both.
    clients = [connect(holder), connect(other)]
    admitted = 0

    def is_over():
        nonlocal admitted
        statuses = [ask(one, "alice").status for one in clients for _ in range(20)]
        admitted += statuses.count(200)
        return 200 not in statuses

    wait_for(lambda: is_over() and admitted == 1000, "the whole limit is admitted, and no more")


def test_two_operators_at_once(start, upstream, connect, world, redis):
    server = upstream()
    proxies = [start(config_of(world, server, {"servers": [redis.address]}, name)) for name in "ab"]
    wait_until_counting(connect, proxies)
    wait_for_room(3600, 30)
    assert ask(connect(proxies[0]), "alice").status == 200
    words = [(["reset", "alice"], name) for name in "ab" * 4] + [(["grant", "alice", f"+{n}", "--for", "1h"], "ab"[n % 2]) for n in range(1, 9)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: verb(world, *one[0], name=one[1]), words))
    for row in json.loads(verb(world, "show", "alice", "--json").stdout)["subjects"]:
        assert row["generation"] == 8, "each reset was done once"
        assert row["grant"]["extra"] in range(1, 9), "one of the grants is in force"
    assert sum(len(proxy.wait_for_event("reset", 8)) for proxy in proxies) == 16
    generations = sorted(line["generation"] for proxy in proxies for line in proxy.events("reset") if line["quota"] == "leased")
    assert generations == list(range(1, 9)), "each line tells what its own reset has made"


def test_what_others_say_on_the_channel_resets_nothing(start, upstream, connect, world, redis):
    proxy = start(config_of(world, upstream(), {"servers": [redis.address], "fleet_size": 1}, "a"))
    wait_until_counting(connect, [proxy])
    wait_for(lambda: redis.client.pubsub_numsub("sluice:recall")[0][1] == 1, "it listens")
    wait_for_room(3600, 30)
    exhaust(connect, [proxy], "alice")
    client = connect(proxy)
    for key in values([redis.client]):
        text = key.split(b"{")[1][:22]
        for said in (b"!operator 4294967295", b"!operator 4294967296", b"!operator -1", b"!operator ", b"!operator", b"!operator 1 2",
                     b"!operator 00000000000000000000000000000000001", b" operator 5", b"!"):
            redis.client.publish("sluice:recall", text + said)
    redis.client.publish("sluice:recall", b"\x00" * 22 + b"!operator 1")
    redis.client.publish("sluice:recall", b"!operator 1")
    wait_for(lambda: orders_heard(proxy) >= 2, "it was heard")
    assert [ask(client, "alice").status for _ in range(20)] == [429] * 20
    assert {value[1] for value in values([redis.client]).values()} == {0}
    verb(world, "reset", "alice")
    wait_for(lambda: ask(client, "alice").status == 200, "the real one is heard")


def test_odd_names(start, upstream, connect, world, redis):
    proxy = start(config_of(world, upstream(), {"servers": [redis.address], "fleet_size": 1}, "a"))
    wait_until_counting(connect, [proxy])
    wait_for_room(3600, 30)
    client = connect(proxy)
    names = ["a b", "a&name=b", "100%", "+5", "{", "exact", "\u00fc \u00f1 \u20ac", "'; DROP", "\\n", "-", "?", "#", "a" * 200]
    for name in names:
        assert ask(client, name).status == 200, name
    for name in names:
        done = run_verb(world.folder, "reset", "-s", f"unix:{world.folder}/a.sock", "--", f"user:{name}")
        assert done.returncode == 0, (name, done)
        rows = json.loads(run_verb(world.folder, "show", "--json", "-s", f"unix:{world.folder}/a.sock", "--", f"user:{name}").stdout)["subjects"]
        assert {(row["subject"], row["generation"], row["windows"][0]["used"]) for row in rows} == {(name, 1, 0)}
    lines = proxy.wait_for_event("reset", 2 * len(names))
    assert {line["subject"] for line in lines} == set(names), "one line each, whatever is in the name"
    raw = os.fsencode(world.folder / "a.sock").decode()
    for name in (b"\xff\xfe", b"a\xc3", b"a\nb"):
        done = run_verb(world.folder, "reset", "-s", f"unix:{raw}", os.fsdecode(name))
        assert done.returncode in (1, 2), (name, done)
    verb(world, "reset", "a" * 600, exit_code=2)
    verb(world, "reset", "", exit_code=2)
    assert len(proxy.events("reset")) == 2 * len(names)


def test_redis_is_gone_then_back(start, upstream, connect, world, redis):
    """A clear error; and what was not done then is not done later either."""
    proxy = start(config_of(world, upstream(), {"servers": [redis.address], "fleet_size": 1, "command_timeout": "300ms",
                                                 "decision_timeout": "200ms", "connect_timeout": "300ms"}, "a"))
    wait_until_counting(connect, [proxy])
    wait_for_room(3600, 30)
    assert ask(connect(proxy), "alice").status == 200
    redis.kill()
    for words in (["reset", "alice"], ["grant", "alice", "+1", "--for", "1h"], ["show", "alice"]):
        done = verb(world, *words, exit_code=5)
        assert done.stdout == "" and done.stderr.startswith("sluice: the store does not answer"), done
    redis.start()
    wait_until_counting(connect, [proxy])
    client = connect(proxy)
    assert ask(client, "alice").status == 200
    wait_for(lambda: run_verb(world.folder, "show", "alice", "-s", f"unix:{world.folder}/a.sock").returncode == 0, "it answers again")
    for row in json.loads(verb(world, "show", "alice", "--json").stdout)["subjects"]:
        assert row["generation"] == 0 and row["grant"] is None
    assert proxy.events("reset") == [] and proxy.events("grant") == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_an_admin_socket_of_somebody_else(start, upstream, connect, world, redis):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        os.chmod(folder, 0o755)
        shutil.copy(BINARY, folder / "sluice")
        config = config_of(world, upstream(), {"servers": [redis.address], "fleet_size": 1}, "a")
        config["admin"]["address"] = f"unix:{folder}/a.sock"
        proxy = start(config)
        wait_until_counting(connect, [proxy])
        assert ask(connect(proxy), "alice").status == 200
        assert os.stat(folder / "a.sock").st_mode & 0o007 == 0, "others may not even connect"
        for words in (["reset", "alice"], ["grant", "alice", "+5", "--for", "1h"], ["show", "alice"]):
            done = subprocess.run([folder / "sluice", *words, "-s", config["admin"]["address"]], cwd=folder, user=65534, group=65534,
                                  extra_groups=[], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False)
            assert done.returncode == 7 and "ermission" in done.stderr and done.stdout == "", done
        assert proxy.events("reset") == [] and proxy.events("grant") == []
        rows = json.loads(run_verb(world.folder, "show", "alice", "--json", "-s", config["admin"]["address"]).stdout)["subjects"]
        assert [(row["generation"], row["grant"]) for row in rows] == [(0, None)] * 2


def wherever(kind, world):
    fleet = (ClusterFleet if kind == "cluster" else SentinelFleet)(world.folder)
    if kind == "cluster":
        world.redises.extend(fleet.nodes)
        return fleet, {"topology": "cluster", "servers": [node.address for node in fleet.nodes[:2]]}
    world.redises.extend(fleet.sentinels + fleet.servers)
    return fleet, {"topology": "sentinel", "master": fleet.NAME, "servers": fleet.addresses}


@pytest.mark.parametrize("kind", ["cluster", "sentinel"])
def test_orders_wherever_redis_is(start, upstream, connect, world, kind):
    """The subject's quotas are on several nodes of the cluster; each is reset where it is, and every proxy hears of it."""
    fleet, store = wherever(kind, world)
    server = upstream()
    quotas = {f"q{n}": {"key": ["user"], "limits": {"hour": 20 + n, "day": 300}} for n in range(4)}
    proxies = [start(config_of(world, server, {**store, "fleet_size": 2}, name, quotas=quotas)) for name in "ab"]
    wait_until_counting(connect, proxies)
    wait_for_room(3600, 90)

    def listeners():
        nodes = fleet.running() if kind == "cluster" else fleet.servers
        return sum(node.client.pubsub_numsub("sluice:recall")[0][1] for node in nodes)

    wait_for(lambda: listeners() == 2, "both listen")
    for user in ("alice", "bob"):
        exhaust(connect, proxies, user)
    rows = json.loads(verb(world, "show", "alice", "--json").stdout)["subjects"]
    assert [(row["quota"], row["windows"][0]["limit"]) for row in rows] == [(f"q{n}", 20 + n) for n in range(4)]
    heard = [orders_heard(proxy) for proxy in proxies]
    verb(world, "reset", "alice", name="b")
    wait_for(lambda: all(orders_heard(proxy) >= heard[i] + 4 for i, proxy in enumerate(proxies)), "both have heard of all four")
    assert [ask(connect(proxy), "alice").status for proxy in proxies for _ in range(4)] == [200] * 8
    assert [row["generation"] for row in json.loads(verb(world, "show", "alice", "--json").stdout)["subjects"]] == [1] * 4
    assert [row["generation"] for row in json.loads(verb(world, "show", "bob", "--json").stdout)["subjects"]] == [0] * 4
    if kind == "cluster":
        owners = collections.Counter(node.port for key, node in fleet.keys("sluice:q:*").items()
                                     if stored.read(node.client.get(key)).generation == 1)
        assert sum(owners.values()) == 4


@pytest.mark.parametrize("who", ["the one that did it", "the other one", "one that came later"])
def test_a_reset_that_the_next_master_lost_is_done_there_too(start, upstream, connect, world, who):
    """The replica has the old count and misses the reset."""
    for name in ("master", "replica"):
        (world.folder / name).mkdir()
        options = ["--replicaof", f"127.0.0.1 {world.redises[0].port}"] if world.redises else ["--repl-diskless-sync-delay", "0"]
        world.redises.append(RedisServer(world.folder / name, *options))
    master, replica = world.redises
    wait_for(lambda: replica.client.info("replication")["master_link_status"] == "up", "the replica follows")
    quotas = {"exact": {"key": ["user"], "limits": {"day": HOUR}, "accuracy": "exact"}}
    server = upstream()
    store = {"servers": [master.address, replica.address], "fleet_size": 2, "connect_timeout": "300ms"}
    proxies = [start(config_of(world, server, store, name, quotas=quotas, workers=1)) for name in "ab"]
    wait_until_counting(connect, proxies)
    wait_for(lambda: master.client.pubsub_numsub("sluice:recall")[0][1] == 2, "both listen")
    wait_for_room(86400, 90)
    exhaust(connect, proxies, "alice")
    wait_for(lambda: max(value[4][86400] for value in values([replica.client]).values()) == HOUR, "the replica has it")
    replica.client.replicaof("NO", "ONE")
    heard = [orders_heard(proxy) for proxy in proxies]
    verb(world, "reset", "alice", name="a")
    wait_for(lambda: all(orders_heard(proxy) > heard[i] for i, proxy in enumerate(proxies)), "both have heard")
    assert {value[1] for value in values([replica.client]).values()} == {0}, "it was lost"
    master.kill()
    if who == "one that came later":
        wait_for(lambda: 1 in {value[1] for value in values([replica.client]).values()}, "it is told though nobody asks for alice")
        proxies.append(start(config_of(world, server, store, "c", quotas=quotas, workers=1)))
    client = connect(proxies[{"the one that did it": 0, "the other one": 1}.get(who, -1)])
    wait_for(lambda: ask(client, "probe").status == 200, "the next one counts")
    statuses = [ask(client, "alice").status for _ in range(HOUR + 5)]
    assert statuses == [200] * HOUR + [429] * 5, "anew, and once"
    (row,) = json.loads(verb(world, "show", "alice", "--json", name="b").stdout)["subjects"]
    assert row["generation"] == 1 and row["windows"][0]["used"] == HOUR
