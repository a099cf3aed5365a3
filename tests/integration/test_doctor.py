# SPDX-License-Identifier: Apache-2.0
"""`sluice check --acl` and `sluice doctor`: the user that Redis must have, and whether the store will do."""
import base64
import json
import pathlib
import re
import time

from harness.clocks import Clock
from harness.configs import forward
from harness.ports import take_port
from harness.proxy import run_verb
from harness.redis_fleet import ClusterFleet, SentinelFleet
from harness.redis_server import RedisServer
from harness.waiting import wait_for

PASSWORD = "s3same"
ENV = {"USER_PASSWORD": PASSWORD}


def write(folder, server, **store):
    config = forward(server, subject_secret="of the whole group", identities={"user": {"from": ["basic_user"]}},
                     tiers={"free": {"hour": 5}, "pro": {"hour": 50}},
                     quotas={"user": {"key": ["user"], "limits": "tier", "default_tier": "free", "members": "redis"},
                             "slots": {"key": ["user"], "in_flight": 9, "limits": {"hour": 90}}},
                     admin={"address": f"unix:{folder}/a.sock"},
                     store={"type": "redis", "username": "proxy", "password": {"env": "USER_PASSWORD"}, "prefix": "edge",
                            "fleet_size": 1, **store})
    (folder / "doctor.json").write_text(json.dumps({"listen": [{"address": f"127.0.0.1:{take_port()}"}], **config}))
    return config


def doctor(folder, exit_code, *words):
    done = run_verb(folder, "doctor", "-c", "doctor.json", "--json", *words, env=ENV)
    assert done.returncode == exit_code, done
    report = json.loads(done.stdout)
    assert report["errors"] == sum(check["level"] == "error" for check in report["checks"])
    assert report["warnings"] == sum(check["level"] == "warning" for check in report["checks"])
    return {check["check"]: check for check in report["checks"] if check["level"] != "error"}, \
        [check for check in report["checks"] if check["level"] == "error"]


def acl_words(folder):
    done = run_verb(folder, "check", "-c", "doctor.json", "--acl", env=ENV)
    assert done.returncode == 0, done
    words = done.stdout.strip().split(" ")
    assert words[:6] == ["ACL", "SETUSER", "proxy", "reset", "on", ">PASSWORD"] and PASSWORD not in done.stdout
    return [f">{PASSWORD}" if word == ">PASSWORD" else word for word in words]


def test_the_printed_user_can_do_everything(start, upstream, connect, world, redis):
    config = write(world.folder, upstream(), servers=[redis.address])
    redis.client.execute_command(*acl_words(world.folder))
    redis.client.hset("edge:members:user", "bob", "pro")
    proxy = start(config, env=ENV)

    def ask(user):
        token = base64.b64encode(f"{user}:x".encode()).decode()
        return proxy.line_of(connect(proxy).ask("GET", "/", [("Authorization", f"Basic {token}")]))

    wait_for(lambda: all(e["source"] == "store" for n in range(3) for e in ask(f"probe{n}{time.time()}")["quotas"] if "source" in e),
             "the proxy counts in Redis")
    assert ask("alice")["quotas"][0]["limit"] == 5 and ask("bob")["quotas"][0]["limit"] == 50
    socket = f"unix:{world.folder}/a.sock"
    assert json.loads(run_verb(world.folder, "show", "bob", "--quota", "user", "-s", socket, "--json").stdout)["subjects"][0]["tier"] == "pro"
    for words in (["reset", "alice"], ["grant", "alice", "+2", "--for", "1h"]):
        assert run_verb(world.folder, *words, "-s", socket).returncode == 0
    redis.client.script_flush()
    assert ask("alice")["quotas"][0]["limit"] == 7
    log = redis.client.execute_command("ACL", "LOG")
    assert log == [], "nothing that it tried was refused"
    fine, errors = doctor(world.folder, 0)
    assert errors == [] and fine["secret"]["text"] == "the same as the other proxies'"
    assert fine["rights"]["text"].startswith("all ")


def test_each_missing_right_is_named(upstream, world, redis):
    write(world.folder, upstream(), servers=[redis.address])
    words = acl_words(world.folder)
    rules = [word for word in words[6:] if word[0] in "+~&"]
    assert len(rules) > 20
    for rule in rules:
        redis.client.execute_command(*[word for word in words if word != rule])
        _, errors = doctor(world.folder, 1)
        named = {error["text"].split(",")[0].removeprefix("the user lacks ") for error in errors if error["check"] == "rights"}
        # Some commands are tried with a key or a channel that is missing then.
        assert named == {rule}, rule
    redis.client.execute_command(*words)
    doctor(world.folder, 0)


def test_what_is_said_of_a_good_store(upstream, world, redis):
    write(world.folder, upstream(), servers=[redis.address])
    redis.client.execute_command(*acl_words(world.folder))
    fine, _ = doctor(world.folder, 0)
    assert list(fine) == ["connection", "version", "role", "memory", "persistence", "clock", "latency", "secret", "rights"]
    assert fine["version"]["text"] == redis.client.info()["redis_version"]
    assert fine["memory"]["text"].endswith(", noeviction") and fine["role"]["text"] == "master"
    assert fine["latency"]["text"].startswith("PING median ")
    done = run_verb(world.folder, "check", "-c", "doctor.json", "--live", env=ENV)
    assert done.returncode == 0 and done.stdout.splitlines()[0] == f"ok       connection   {redis.address}: let in"
    assert PASSWORD not in done.stdout + done.stderr


def test_what_is_wrong_is_said(upstream, world, redis):
    write(world.folder, upstream(), servers=[redis.address])
    redis.client.execute_command(*acl_words(world.folder))
    redis.client.config_set("maxmemory-policy", "allkeys-lru")
    redis.client.set("edge:{fleet}:secret", "of somebody else", ex=60)
    _, errors = doctor(world.folder, 1)
    assert [error["check"] for error in errors] == ["memory", "secret"]
    assert "maxmemory-policy is allkeys-lru" in errors[0]["text"]
    redis.client.config_set("maxmemory-policy", "noeviction")
    redis.client.delete("edge:{fleet}:secret")
    redis.client.replicaof("127.0.0.1", 1)
    _, errors = doctor(world.folder, 1)
    assert [error["check"] for error in errors] == ["role"] and 'its role is "slave"' in errors[0]["text"]


def test_out_of_reach(upstream, world, redis):
    write(world.folder, upstream(), servers=[redis.address])
    _, errors = doctor(world.folder, 5)
    assert "WRONGPASS" in errors[0]["text"] or "invalid username-password" in errors[0]["text"]
    write(world.folder, upstream(), servers=[f"127.0.0.1:{take_port()}"])
    _, errors = doctor(world.folder, 5)
    assert "Connection refused" in errors[0]["text"]
    write(world.folder, upstream(), servers=["no-such-host.invalid:6379"])
    _, errors = doctor(world.folder, 5)
    assert "cannot be resolved" in errors[0]["text"]
    redis.pause()
    write(world.folder, upstream(), servers=[redis.address])
    _, errors = doctor(world.folder, 5)
    assert errors[0]["check"] == "connection"


def test_a_store_in_memory(upstream, world):
    def run(exit_code, **store):
        config = {"listen": [{"address": "127.0.0.1:1"}], **forward(upstream(), store={"type": "memory", **store})}
        (world.folder / "doctor.json").write_text(json.dumps(config))
        return doctor(world.folder, exit_code)

    fine, _ = run(0)
    assert fine["state"]["level"] == "warning" and "all counters begin anew" in fine["state"]["text"]
    path = world.folder / "state"
    fine, _ = run(0, state_file=str(path))
    assert fine["state"]["text"] == f"{path}: not written yet"
    path.write_bytes(b"x" * 64)
    fine, _ = run(0, state_file=str(path))
    assert fine["state"]["text"].startswith(f"{path}: 64 bytes, saved ")
    done = run_verb(world.folder, "check", "-c", "doctor.json", "--acl")
    assert done.returncode == 1 and done.stdout == ""


def test_a_clock_that_differs(upstream, world):
    clock = Clock(world.folder)
    clock.set(time.time() + 30)
    server = RedisServer(world.folder, env=clock.env())
    world.redises.append(server)
    write(world.folder, upstream(), servers=[server.address])
    server.client.execute_command(*acl_words(world.folder))
    fine, _ = doctor(world.folder, 0)
    assert fine["clock"]["level"] == "warning"
    assert 15 < float(fine["clock"]["text"].split(" ")[0]) < 31


def test_a_start_warns_of_eviction_with_the_printed_rights_alone(start, upstream, world, redis):
    redis.client.config_set("maxmemory-policy", "allkeys-lru")
    config = write(world.folder, upstream(), servers=[redis.address])
    redis.client.execute_command(*acl_words(world.folder))
    proxy = start(config, env=ENV)
    wait_for(lambda: "allkeys-lru" in proxy.stderr(), "the policy is warned of")


# ---- several servers ----


def make_user(nodes, words):
    for node in nodes:
        node.client.execute_command(*words)


def all_checks(folder, exit_code):
    done = run_verb(folder, "doctor", "-c", "doctor.json", "--json", env=ENV)
    assert done.returncode == exit_code, done
    return [(check["level"], check["check"], check["text"]) for check in json.loads(done.stdout)["checks"]]


def test_a_master_and_a_replica_and_one_away(upstream, world, redis):
    (world.folder / "other").mkdir()
    other = RedisServer(world.folder / "other")
    world.redises.append(other)
    away = f"127.0.0.1:{take_port()}"
    write(world.folder, upstream(), servers=[away, redis.address, other.address])
    make_user([redis, other], acl_words(world.folder))
    checks = all_checks(world.folder, 1)
    assert ("error", "servers", "2 are masters: proxies that use different ones do not share their counts; make all but one its replicas") in checks
    other.client.replicaof("127.0.0.1", redis.port)
    checks = all_checks(world.folder, 0)
    assert ("warning", "connection", f"{away}: Connection refused") in checks
    assert ("ok", "role", f"{redis.address}: master") in checks
    assert ("ok", "role", f"{other.address}: replica: it counts once it is made the master") in checks
    assert sum(check == "rights" for _, check, _ in checks) == 2 and sum(check == "secret" for _, check, _ in checks) == 1
    other.client.execute_command(*acl_words(world.folder), "-subscribe", "-set")
    errors = [text for level, _, text in all_checks(world.folder, 1) if level == "error"]
    assert [text.split(",")[0] for text in errors] == [f"{other.address}: the user lacks +set", f"{other.address}: the user lacks +subscribe"]


def test_sentinels(upstream, world):
    fleet = SentinelFleet(world.folder)
    world.redises.extend(fleet.sentinels + fleet.servers)
    away = f"127.0.0.1:{take_port()}"
    write(world.folder, upstream(), topology="sentinel", master=fleet.NAME, servers=[away, *fleet.addresses],
          sentinel_username="watcher", sentinel_password={"env": "USER_PASSWORD"})
    done = run_verb(world.folder, "check", "-c", "doctor.json", "--acl", env=ENV)
    lines = [[f">{PASSWORD}" if word == ">PASSWORD" else word for word in line.split(" ")] for line in done.stdout.splitlines()]
    assert [line[2] for line in lines] == ["proxy", "watcher"]
    make_user(fleet.servers, lines[0])
    make_user(fleet.sentinels, lines[1])
    checks = all_checks(world.folder, 0)
    master = fleet.master().address
    assert checks[0] == ("warning", "connection", f"{away}: Connection refused")
    assert [text for _, check, text in checks if check == "sentinel"] == [f"{address}: it names {master}" for address in fleet.addresses]
    assert ("ok", "role", f"{master}: master") in checks and ("ok", "rights", f"{master}: all 25 that are needed") in checks
    fleet.sentinels[0].client.execute_command(*lines[1], "-sentinel|get-master-addr-by-name")
    errors = [text for level, _, text in all_checks(world.folder, 1) if level == "error"]
    assert len(errors) == 1 and errors[0].startswith(f"{fleet.addresses[0]}: the user lacks +sentinel|get-master-addr-by-name")
    write(world.folder, upstream(), topology="sentinel", master="nobody", servers=fleet.addresses[1:],
          sentinel_username="watcher", sentinel_password={"env": "USER_PASSWORD"})
    errors = [text for level, _, text in all_checks(world.folder, 5) if level == "error"]
    assert errors == [f'{address}: it knows no master "nobody"' for address in fleet.addresses[1:]] + ["none of 2 names the master"]


def test_a_cluster(upstream, world):
    fleet = ClusterFleet(world.folder)
    world.redises.extend(fleet.nodes)
    write(world.folder, upstream(), topology="cluster", servers=[node.address for node in fleet.nodes[:2]])
    words = acl_words(world.folder)
    assert "+cluster|slots" in words and "+asking" in words
    make_user(fleet.nodes, words)
    masters = {node.address for node in fleet.masters()}
    checks = all_checks(world.folder, 0)
    assert ("ok", "cluster", "16384 of 16384 slots on 3 masters") in checks
    assert {text for _, check, text in checks if check == "rights"} == {f"{master}: all 27 that are needed" for master in masters}
    assert sum(check == "secret" for _, check, _ in checks) == 1, "the node that has it tells"
    last = sorted(fleet.masters(), key=lambda node: node.port)[-1]
    last.client.execute_command(*[word for word in words if word != "+asking"])
    errors = [text for level, _, text in all_checks(world.folder, 1) if level == "error"]
    assert [text.split(",")[0] for text in errors] == [f"{last.address}: the user lacks +asking"]
    write(world.folder, upstream(), topology="cluster", servers=[f"127.0.0.1:{take_port()}"])
    assert all_checks(world.folder, 5)[-1] == ("error", "cluster", "none of 1 servers tells where its slots are")


SOURCES = pathlib.Path(__file__).resolve().parents[2] / "src"


def test_every_command_in_the_sources_has_a_row():
    """What is written by hand, by format and in Lua.  A unit test looks at what the handshake really sends."""
    rules = set(re.findall(r'^RIGHT\("\+([^"]+)"', (SOURCES / "store" / "store_redis_rights.def").read_text(), re.MULTILINE))
    found = set()
    for path in SOURCES.rglob("*.[ch]"):
        text = path.read_text()
        found |= set(re.findall(r"redis\.p?call\('([A-Z]+)'", text))
        found |= {"|".join(words).rstrip("|") for words in re.findall(
            r'\*\d+\\r\\n\$\d+\\r\\n([A-Z]+)\\r\\n(?:\$\d+\\r\\n([A-Za-z-]+))?', text)}
        found |= set(re.findall(r'\$\d+\\r\\n(EVAL(?:SHA)?)\\r', text))
        found |= set(re.findall(r'\[STORE_REDIS_[A-Z]+\] = \{\{"([A-Z]+)"', text))
    assert len(found) > 14 and {"EVAL", "EVALSHA", "ASKING", "SUBSCRIBE", "PUBLISH", "CLUSTER|SLOTS", "HGET"} <= found
    assert {name.lower() for name in found} <= rules, {name.lower() for name in found} - rules
