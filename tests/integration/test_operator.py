# SPDX-License-Identifier: Apache-2.0
"""`sluice show`, `reset` and `grant`: one subject looked at, begun anew and granted more, through the admin socket."""
import base64
import json
import os
import pathlib
import re
import time

import pytest
from harness.configs import forward
from harness.proxy import run_verb
from harness.replies import trio_of
from harness.waiting import wait_for, wait_for_room

USERS = {"identities": {"user": {"from": ["basic_user"]}, "key": {"from": ["header:X-Key"]}},
         "subject_secret": "of the whole group"}
LIMITS = {"minute": 5, "hour": 100}


@pytest.fixture(params=["memory", "redis"])
def store(request):
    if request.param == "memory":
        return {"type": "memory"}
    server = request.getfixturevalue("redis")
    return {"type": "redis", "servers": [server.address], "decision_timeout": "250ms", "fleet_size": 1}


def config_of(world, server, store, name="a", accuracy="exact", quotas=None, **more):
    quotas = quotas or {"user": {"key": ["user"], "limits": LIMITS}, "key": {"key": ["key"], "limits": {"hour": 50}}}
    return forward(server, **{"store": store, "quotas": {quota: {**one, "accuracy": accuracy} for quota, one in quotas.items()},
                              "admin": {"address": f"unix:{world.folder}/{name}.sock"}, **USERS, **more})


def ask(client, user="alice", key="k-1"):
    token = base64.b64encode(f"{user}:x".encode()).decode()
    return client.ask("GET", "/", [("Authorization", f"Basic {token}"), ("X-Key", key)])


def verb(world, *words, name="a", exit_code=0):
    done = run_verb(world.folder, *words, "-s", f"unix:{world.folder}/{name}.sock")
    assert done.returncode == exit_code, done
    return done


def show(world, *words, **more):
    return json.loads(verb(world, "show", *words, "--json", **more).stdout)["subjects"]


def used(row):
    return {w["w"]: w["used"] for w in row["windows"]}


def wait_until_counting(connect, proxy):
    """Whichever worker is asked."""

    def counts():
        lines = [proxy.line_of(ask(connect(proxy), f"probe{n}-{time.time()}", "probe")) for n in range(4)]
        return all(entry["source"] in ("store", "lease") for line in lines for entry in line["quotas"])

    wait_for(counts, "the proxy counts in its store")


def test_show_tells_and_consumes_nothing(start, upstream, connect, world, store):
    proxy = start(config_of(world, upstream(), store))
    wait_until_counting(connect, proxy)
    wait_for_room(60, 10)
    client = connect(proxy)
    assert [ask(client).status for _ in range(3)] == [200] * 3
    for _ in range(2):
        row, = show(world, "alice")
        until_end = 3600 - time.time() % 3600
        assert (row["subject"], row["identity"], row["source"], row["quota"]) == ("alice", "user", "basic_user", "user")
        assert row["store"] == store["type"] and row["tier"] is None and row["grant"] is None and row["generation"] == 0
        minute, hour = row["windows"]
        assert (minute["w"], minute["used"], minute["limit"], minute["remaining"]) == ("minute", 3, 5, 2)
        assert (hour["w"], hour["used"], hour["limit"], hour["remaining"]) == ("hour", 3, 100, 97)
        assert 0 < minute["resets_in_s"] <= 60 and abs(hour["resets_in_s"] - until_end) <= 3
    text = verb(world, "show", "user:alice", "--quota", "user").stdout
    assert text.startswith(f"alice  quota user  (identity user, basic_user)  in {store['type']}\n")
    assert "  minute     3/5  remaining 2  resets in " in text and "  hour       3/100  remaining 97  resets in " in text


def test_a_secret_identity_by_its_22_characters(start, upstream, connect, world, store):
    proxy = start(config_of(world, upstream(), store))
    wait_until_counting(connect, proxy)
    reply = ask(connect(proxy))
    mark = proxy.line_of(reply)["subjects"]["key"]
    assert len(mark) == 22
    row, = show(world, mark)
    assert (row["subject"], row["source"], row["quota"], used(row)) == (mark, "hash", "key", {"hour": 1})
    assert "k-1" not in json.dumps(show(world, mark))
    done = verb(world, "show", "k-1", exit_code=1)
    assert "nothing is counted for such a subject" in done.stderr, "its value is not how it is named"


def test_unknown_subjects_and_quotas(start, upstream, connect, world, store):
    proxy = start(config_of(world, upstream(), store))
    wait_until_counting(connect, proxy)
    for words in (["show", "nobody"], ["reset", "nobody"], ["grant", "nobody", "+5", "--for", "1h"]):
        done = verb(world, *words, exit_code=1)
        assert done.stderr == "sluice: nothing is counted for such a subject\n" and done.stdout == ""
    assert "no quota has this name" in verb(world, "show", "alice", "--quota", "nope", exit_code=2).stderr
    for words in (["grant", "alice", "5", "--for", "1h"], ["grant", "alice", "+5"], ["grant", "alice", "+5", "--for", "1x"],
                  ["grant", "alice", "+2147483648", "--for", "1h"], ["reset"], ["show", "a", "b"]):
        verb(world, *words, exit_code=2)
    assert proxy.events("reset") == [] and proxy.events("grant") == []


def test_reset_begins_all_windows_anew_and_is_in_the_log(start, upstream, connect, world, store):
    proxy = start(config_of(world, upstream(), store))
    wait_until_counting(connect, proxy)
    wait_for_room(60, 10)
    client = connect(proxy)
    assert [ask(client).status for _ in range(7)] == [200] * 5 + [429] * 2
    assert ask(client, "bob").status == 200
    text = verb(world, "reset", "alice").stdout
    assert "  minute     5/5 -> 0/5  remaining 5" in text and "  hour       5/100 -> 0/100  remaining 100" in text
    assert "reset 1 times" in text
    # At once, and for everything.
    assert [trio_of(ask(client)) for _ in range(5)] == [(5, left, "minute") for left in (4, 3, 2, 1, 0)]
    assert ask(client).status == 429
    row, = show(world, "alice")
    assert used(row) == {"minute": 5, "hour": 5} and row["generation"] == 1
    assert used(show(world, "bob")[0]) == {"minute": 1, "hour": 1}, "nobody else is touched"
    event, = proxy.wait_for_event("reset")
    assert (event["subject"], event["identity"], event["quota"], event["by"]) == ("alice", "user", "user", os.getuid())
    assert {w["w"]: w["used"] for w in event["was"]} == {"minute": 5, "hour": 5} and event["generation"] == 1


def test_grant_raises_all_limits_until_it_ends(start, upstream, connect, world, store):
    proxy = start(config_of(world, upstream(), store))
    wait_until_counting(connect, proxy)
    wait_for_room(60, 15)
    client = connect(proxy)
    assert [ask(client).status for _ in range(6)] == [200] * 5 + [429]
    text = verb(world, "grant", "alice", "+3", "--for", "2h").stdout
    assert "  minute     5/5 -> 5/8  remaining 3" in text and "  hour       5/100 -> 5/103  remaining 98" in text
    assert "  granted    +3 for 2h 0m" in text or "  granted    +3 for 1h 59m" in text
    assert [trio_of(ask(client)) for _ in range(3)] == [(8, left, "minute") for left in (2, 1, 0)]
    assert ask(client).status == 429
    assert trio_of(ask(client, "bob")) == (5, 4, "minute")
    event, = proxy.wait_for_event("grant")
    assert (event["subject"], event["extra"], event["for_s"], event["by"]) == ("alice", 3, 7200, os.getuid())
    # A second one replaces it; one of nothing ends it.
    verb(world, "grant", "alice", "+4", "--for", "3s")
    assert trio_of(ask(client)) == (9, 0, "minute")
    wait_for(lambda: show(world, "alice")[0]["grant"] is None, "the grant is over")
    assert trio_of(ask(client)) == (5, 0, "minute")
    verb(world, "grant", "alice", "+9", "--for", "1h")
    verb(world, "grant", "alice", "+0", "--for", "1h")
    assert show(world, "alice")[0]["windows"][0]["limit"] == 5
    assert ask(client).status == 429


@pytest.mark.parametrize("algorithm", ["sliding", "token_bucket"])
def test_other_algorithms(start, upstream, connect, world, store, algorithm):
    quotas = {"user": {"key": ["user"], "limits": {"hour": 4}, "algorithm": algorithm}}
    proxy = start(config_of(world, upstream(), store, quotas=quotas))
    wait_until_counting(connect, proxy)
    wait_for_room(3600, 20)
    client = connect(proxy)
    assert [ask(client).status for _ in range(5)] == [200] * 4 + [429]
    row, = show(world, "alice")
    assert (row["windows"][0]["limit"], row["windows"][0]["remaining"]) == (4, 0)
    verb(world, "reset", "alice")
    assert show(world, "alice")[0]["windows"][0]["remaining"] == 4
    assert [ask(client).status for _ in range(5)] == [200] * 4 + [429]
    verb(world, "grant", "alice", "+2", "--for", "1h")
    assert [ask(client).status for _ in range(3)] == [200] * 2 + [429]


def test_a_name_that_means_several(start, upstream, connect, world, store):
    identities = {"user": {"from": ["basic_user"]}, "path": {"from": ["method"]}}
    quotas = {"user": {"key": ["user"], "limits": {"hour": 50}}, "other": {"key": ["user"], "limits": {"day": 90}},
              "method": {"key": ["path"], "limits": {"hour": 1000}}}
    proxy = start(config_of(world, upstream(), store, identities=identities, quotas=quotas))
    wait_until_counting(connect, proxy)
    client = connect(proxy)
    assert ask(client, "GET").status == 200
    rows = show(world, "GET")
    assert sorted((row["quota"], row["source"]) for row in rows) == [("method", "method"), ("other", "basic_user"), ("user", "basic_user")]
    done = verb(world, "reset", "GET", exit_code=1)
    assert done.stderr.startswith("sluice: the name means several subjects: write IDENTITY:NAME or SOURCE:NAME\n")
    assert "quota other  (identity user, basic_user)" in done.stderr and "quota method  (identity path, method)" in done.stderr
    assert proxy.events("reset") == []
    verb(world, "reset", "user:GET")
    assert {row["quota"]: list(used(row).values()) for row in show(world, "basic_user:GET")} == {"user": [0], "other": [0]}
    assert sorted(event["quota"] for event in proxy.wait_for_event("reset", 2)) == ["other", "user"]
    assert used(show(world, "method:GET")[0])["hour"] > 0
    verb(world, "reset", "GET", "--quota", "method")
    assert used(show(world, "method:GET")[0]) == {"hour": 0}


def test_tiers_and_keys_of_several_identities(start, upstream, connect, world, store):
    quotas = {"user": {"key": ["user"], "limits": "tier", "default_tier": "free", "members": {"pro": ["alice"], "staff": ["carol"]}},
              "both": {"key": ["user", "ip"], "limits": {"hour": 40}}}
    tiers = {"free": {"hour": 3}, "pro": {"hour": 30}, "staff": "unlimited"}
    proxy = start(config_of(world, upstream(), store, quotas=quotas, tiers=tiers))
    wait_until_counting(connect, proxy)
    client = connect(proxy)
    for user in ("alice", "bob"):
        assert ask(client, user).status == 200
    row, = show(world, "alice")
    assert row["tier"] == "pro" and row["windows"][0]["limit"] == 30
    row, = show(world, "bob")
    assert row["tier"] == "free" and row["windows"][0]["limit"] == 3
    row, = show(world, "alice,127.0.0.1")
    assert (row["quota"], row["source"], used(row)) == ("both", "several", {"hour": 1})


def test_reset_reaches_the_other_proxy(start, upstream, connect, world, redis):
    store = {"type": "redis", "servers": [redis.address], "decision_timeout": "250ms", "fleet_size": 2}
    server = upstream()
    first, second = (start(config_of(world, server, store, name=name)) for name in "ab")
    for proxy in (first, second):
        wait_until_counting(connect, proxy)
    wait_for_room(60, 10)
    one, two = connect(first), connect(second)
    assert [ask(one).status for _ in range(6)] == [200] * 5 + [429]
    assert ask(two).status == 429
    verb(world, "reset", "alice", name="a")
    assert ask(one).status == 200
    wait_for(lambda: ask(two).status == 200, "the other proxy admits")
    assert used(show(world, "alice", name="b")[0])["minute"] == used(show(world, "alice", name="a")[0])["minute"]
    for key in redis.client.scan_iter("sluice:*"):
        assert redis.client.ttl(key) > 0


def test_memory_orders_survive_a_killed_child_and_a_restart(start, upstream, connect, world):
    store = {"type": "memory", "state_file": str(world.folder / "state")}
    config = config_of(world, upstream(), store)
    proxy = start(config)
    wait_for_room(60, 20)
    client = connect(proxy)
    assert [ask(client).status for _ in range(6)] == [200] * 5 + [429]
    verb(world, "grant", "alice", "+2", "--for", "1h")
    child = proxy.child
    os.kill(child, 9)
    wait_for(lambda: proxy.child not in (None, child) and len(proxy.events("start")) == 2, "another child serves")
    client = connect(proxy)
    assert trio_of(ask(client)) == (7, 1, "minute")
    proxy.stop()
    again = start(config)
    client = connect(again)
    assert trio_of(ask(client)) == (7, 0, "minute")
    assert ask(client).status == 429


def test_the_store_is_away(start, upstream, connect, world, redis):
    store = {"type": "redis", "servers": [redis.address], "fleet_size": 1, "command_timeout": "200ms", "connect_timeout": "200ms"}
    proxy = start(config_of(world, upstream(), store))
    wait_until_counting(connect, proxy)
    ask(connect(proxy))
    redis.pause()
    done = verb(world, "reset", "alice", exit_code=5)
    assert "the store does not answer" in done.stderr
    redis.resume()
    wait_for(lambda: run_verb(world.folder, "show", "alice", "-s", f"unix:{world.folder}/a.sock").returncode == 0, "it answers again")


def test_not_running(world):
    verb(world, "show", "alice", exit_code=6)


def test_the_examples_of_the_documentation(start, upstream, connect, world, redis):
    """docs/operations.md shows what is printed, but for how long windows last."""
    page = (pathlib.Path(__file__).resolve().parents[2] / "docs/operations.md").read_text()
    examples = re.findall(r"```\n\$ sluice ((?:show|reset|grant) [^\n]*)\n(.*?)```", page, re.S)
    assert [words.split()[0] for words, _ in examples] == ["show", "reset", "grant"]
    proxy = start(config_of(world, upstream(), {"type": "redis", "servers": [redis.address], "fleet_size": 1},
                            quotas={"user": {"key": ["user"], "limits": LIMITS}}))
    wait_until_counting(connect, proxy)
    wait_for_room(60, 15)
    client = connect(proxy)
    assert [ask(client).status for _ in range(5)] == [200] * 5

    def plain(text):
        return re.sub(r"(in|for) \d+[hms]( \d+[ms])?\n", r"\1 TIME\n", text)

    for words, shown in examples:
        assert plain(verb(world, *words.split()).stdout) == plain(shown)
        if words.startswith("reset"):
            assert [ask(client).status for _ in range(5)] == [200] * 5
    event, = proxy.wait_for_event("reset")
    members = re.search(r'\{"event":"reset",.*\}', page)[0]
    assert list(json.loads(members)) == [name for name in event if name in json.loads(members)]


def test_the_examples_of_the_page(start, upstream, connect, world, redis):
    """docs/operations.md, word for word but for times."""
    page = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text()
    examples = dict(re.findall(r"```\n\$ sluice ((?:show|reset|grant) [^\n]*)\n(.*?)```", page, re.DOTALL))
    assert list(examples) == ["show alice", "reset alice", "grant alice +3 --for 2h"]
    store = {"type": "redis", "servers": [redis.address], "decision_timeout": "250ms", "fleet_size": 1}
    proxy = start(config_of(world, upstream(), store))
    wait_until_counting(connect, proxy)
    wait_for_room(60, 15)
    client = connect(proxy)
    times = re.compile(r"(?:\d+h )?(?:\d+m )?\d+s|\d+h \d+m")
    assert [ask(client).status for _ in range(6)] == [200] * 5 + [429]
    for words, text in examples.items():
        assert times.sub("T", verb(world, *words.split()).stdout) == times.sub("T", text)
        if words == "reset alice":
            assert [ask(client).status for _ in range(6)] == [200] * 5 + [429]
    told = json.loads(re.search(r'^\{"event":"reset".*\}$', page, re.MULTILINE)[0])
    event, = proxy.wait_for_event("reset")
    assert list(told) == [key for key in event if key in told] and told.keys() <= event.keys()
    assert {key: event[key] for key in ("subject", "identity", "quota", "generation")} == {
        key: told[key] for key in ("subject", "identity", "quota", "generation")}
