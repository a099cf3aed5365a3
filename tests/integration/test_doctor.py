# SPDX-License-Identifier: Apache-2.0
"""`sluice check --acl` and `sluice doctor`: the user that Redis must have, and whether the store will do."""
import base64
import json
import time

from harness.clocks import Clock
from harness.configs import forward
from harness.ports import take_port
from harness.proxy import run_verb
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
