# SPDX-License-Identifier: Apache-2.0
""""durable": what is granted is spent only when replicas have it, so a master that is lost takes no grant along."""
import json

import pytest
from harness.configs import forward
from harness.metrics import scrape
from harness.ports import take_port
from harness.proxy import run_verb
from harness.redis_pair import LIMIT, USERS, ask, make_pair, used_in, wait_until_counting
from harness.waiting import wait_for


@pytest.fixture
def pair(world):
    return make_pair(world)


def config_of(server, servers, accuracy="exact", limit=LIMIT, **more):
    store = {"type": "redis", "servers": [redis.address for redis in servers], "decision_timeout": "2s", "command_timeout": "5s",
             "fleet_size": 1, "on_failure": "deny", **({"durable_timeout": "1s"} if more.get("durable") else {}), **more}
    return forward(server, store=store, workers=1, quotas={"user": {"key": ["user"], "limits": {"day": limit}, "accuracy": accuracy}}, **USERS)


def cut(replica):
    """What the master gets from here on is known to nobody else."""
    replica.client.replicaof("NO", "ONE")


def test_what_replicas_have_is_spent(start, upstream, connect, pair):
    master, replica = pair
    page = take_port()
    proxy = start({**config_of(upstream(), [master], durable=True), "admin": {"metrics": f"127.0.0.1:{page}"}})
    wait_until_counting(connect, proxy)
    client = connect(proxy)
    assert [ask(client) for _ in range(LIMIT + 1)] == [200] * LIMIT + [429]
    assert used_in(master) == used_in(replica) == LIMIT
    seen = scrape(page)
    assert seen['sluice_store_durable_total{result="acknowledged"}'] == LIMIT + 1  # and the probe's
    assert seen['sluice_store_durable_total{result="short"}'] == 0


@pytest.mark.parametrize("accuracy", ["exact", "leased"])
def test_what_they_have_not_is_not(start, upstream, connect, pair, accuracy):
    master, replica = pair
    proxy = start(config_of(upstream(), [master], accuracy, durable=True, durable_timeout="20ms"))
    wait_until_counting(connect, proxy)
    client = connect(proxy)
    for _ in range(5):
        wait_for(lambda: ask(client) == 200, "a replica has it in time")
    replica.pause()
    statuses = [ask(client, "bob") for _ in range(8)]
    assert statuses == [503] * 8
    assert "a grant was acknowledged by 0 replicas within 20 ms and 1 are wanted" in proxy.stderr()
    assert used_in(master) >= 8, "what was granted stays charged"
    replica.resume()
    wait_until_counting(connect, proxy, "bob")


def test_a_master_without_replicas_is_as_good_as_away(start, upstream, connect, redis):
    proxy = start(config_of(upstream(), [redis], durable=True, durable_timeout="5ms"))
    client = connect(proxy)
    assert {ask(client, f"user{i}") for i in range(40)} == {503}
    wait_for(lambda: "is away: too few of its replicas acknowledge what is granted" in proxy.stderr(), "the log says so")


def test_many_at_once_share_a_wait(start, upstream, connect, pair):
    """Two hundred requests in one turn need few WAITs, each long when the replica takes its time."""
    master, _ = pair
    proxy = start(config_of(upstream(), [master], durable=True, limit=100000))
    wait_until_counting(connect, proxy)
    before = master.client.info("commandstats")["cmdstat_wait"]["calls"]
    clients = [connect(proxy) for _ in range(50)]
    for client in clients:
        client.send(b"".join(b"GET / HTTP/1.1\r\nHost: a\r\nX-User: u%d\r\n\r\n" % i for i in range(4)))
    for client in clients:
        assert [client.read().status for _ in range(4)] == [200] * 4
    assert master.client.info("commandstats")["cmdstat_wait"]["calls"] - before <= 200
    assert used_in(master) >= 50


def test_without_the_right_to_wait(start, upstream, connect, pair):
    master, _ = pair
    master.client.execute_command("ACL", "SETUSER", "narrow", "on", ">pw", "~sluice:*", "&sluice:*", "+@all", "-wait")
    proxy = start(config_of(upstream(), [master], durable=True, username="narrow", password="pw"))
    wait_for(lambda: "NOPERM" in proxy.stderr() and "'wait'" in proxy.stderr() and "`sluice doctor` names what it lacks" in proxy.stderr(),
             "the log names the right")
    assert ask(connect(proxy)) == 503


@pytest.mark.parametrize("durable", [False, True])
def test_a_failover_that_loses_grants_and_who_knew_of_them(start, upstream, connect, pair, durable):
    """The replica misses what came last, and the only proxy that has seen it dies with the master: the worst case."""
    master, replica = pair
    backend = upstream()
    config = config_of(backend, pair, durable=durable)
    first = start(config)
    wait_until_counting(connect, first)
    client = connect(first)
    admitted = sum(ask(client) == 200 for _ in range(30))
    assert admitted == 30
    wait_for(lambda: used_in(replica) == 30, "the replica has them")
    cut(replica)
    lost = [ask(client) for _ in range(20)]
    assert lost == ([503] * 20 if durable else [200] * 20)
    first.kill()
    first.is_stopped = True
    master.kill()
    # What took over has no replica yet.
    second = start(config_of(backend, pair))
    wait_until_counting(connect, second)
    client = connect(second)
    after = [ask(client) for _ in range(LIMIT + 10)]
    total = 30 + lost.count(200) + after.count(200)
    assert after.count(503) == 0
    assert total == (LIMIT if durable else LIMIT + 20)


# ---- doctor, and the printed user ----


def verb_of(world, exit_code, *words):
    done = run_verb(world.folder, *words, env={"USER_PASSWORD": "pw"})
    assert done.returncode == exit_code, done
    return done.stdout


def checks_of(world, exit_code):
    return [(row["level"], row["check"], row["text"]) for row in json.loads(verb_of(world, exit_code, "doctor", "-c", "c.json", "--json"))["checks"]]


def test_doctor_and_the_printed_user(start, upstream, connect, world, pair):
    master, replica = pair
    config = config_of(upstream(), [master], durable=True, username="proxy", password={"env": "USER_PASSWORD"})
    (world.folder / "c.json").write_text(json.dumps({"listen": [{"address": "127.0.0.1:1"}], **config}))
    words = [">pw" if word == ">PASSWORD" else word for word in verb_of(world, 0, "check", "-c", "c.json", "--acl").strip().split(" ")]
    assert "+wait" in words
    master.client.execute_command(*words)
    checks = checks_of(world, 0)
    assert ("ok", "durable", "1 replicas follow it, 1 must acknowledge a grant") in checks and ("ok", "rights", "all 26 that are needed") in checks
    proxy = start(config, env={"USER_PASSWORD": "pw"})
    wait_until_counting(connect, proxy)
    assert ask(connect(proxy)) == 200 and master.client.execute_command("ACL", "LOG") == []
    master.client.execute_command(*[word for word in words if word != "+wait"])
    errors = [text for level, _, text in checks_of(world, 1) if level == "error"]
    assert errors == ["the user lacks +wait, for durable grants (`sluice check --acl` prints all that it needs)"]
    master.client.execute_command(*words)
    cut(replica)
    wait_for(lambda: master.client.info("replication")["connected_slaves"] == 0, "nobody follows")
    errors = [text for level, _, text in checks_of(world, 1) if level == "error"]
    assert errors == ["0 replicas follow it, 1 must acknowledge a grant: nothing will be granted"]
    config = config_of(upstream(), [master], username="proxy", password={"env": "USER_PASSWORD"})
    (world.folder / "c.json").write_text(json.dumps({"listen": [{"address": "127.0.0.1:1"}], **config}))
    assert "+wait" not in verb_of(world, 0, "check", "-c", "c.json", "--acl").split(" ")
    assert not [check for _, check, _ in checks_of(world, 0) if check == "durable"]


# ---- an operator's orders ----


def orders_of(world, *words):
    """What a verb says as JSON, and for people."""
    told = [run_verb(world.folder, *words, *more, "-s", f"unix:{world.folder}/admin.sock") for more in (["--json"], [])]
    assert [done.returncode for done in told] == [0, 0], told
    (row,) = json.loads(told[0].stdout)["subjects"]
    return row, told[1].stdout


@pytest.mark.parametrize("words", [("reset", "alice"), ("grant", "alice", "+5", "--for", "1h")], ids=["reset", "grant"])
def test_an_order_waits_for_replicas_and_says_when_they_have_it_not(start, upstream, connect, world, pair, words):
    master, replica = pair
    identities = {"user": {"from": ["basic_user"]}}
    proxy = start({**config_of(upstream(), [master], durable=True, durable_timeout="200ms"), "identities": identities,
                   "admin": {"address": f"unix:{world.folder}/admin.sock"}})
    client = connect(proxy)
    alice = [("Authorization", "Basic YWxpY2U6eA==")]
    wait_for(lambda: client.ask("GET", "/", alice).status == 200, "alice is counted")
    waits = master.client.info("commandstats")["cmdstat_wait"]["calls"]
    row, text = orders_of(world, *words)
    assert row["durable"] is True and "replicas" not in text
    assert master.client.info("commandstats")["cmdstat_wait"]["calls"] >= waits + 2
    assert "durable" not in orders_of(world, "show", "alice")[0], "nothing was done"
    replica.pause()
    row, text = orders_of(world, *words)
    assert row["durable"] is False and "  too few replicas have acknowledged it: a failover may undo it\n" in text
    after, _ = orders_of(world, "show", "alice")
    assert after["generation"] == row["generation"] + (1 if words[0] == "reset" else 0), "it was done all the same"
    replica.resume()
    assert [line["durable"] for line in proxy.wait_for_event(words[0], 4)] == [True, True, False, False]
