# SPDX-License-Identifier: Apache-2.0
"""Ways to a Redis server: names whose addresses change, Unix sockets, ACL users with a password from a file."""
from harness.configs import forward
from harness.counting import USERS, ask, wait_until_counting
from harness.names import Names
from harness.proxy import BINARY
from harness.redis_server import RedisServer
from harness.waiting import wait_for

RIGHTS = ["~sluice:*", "&sluice:recall", "+evalsha", "+eval", "+script|load", "+get", "+set", "+hget", "+expire", "+pexpire", "+time", "+zadd",
          "+zcount", "+zremrangebyscore", "+info", "+role", "+ping", "+select", "+client|setname", "+publish", "+subscribe"]


def config_of(server, servers, **more):
    store = {"type": "redis", "servers": servers, "decision_timeout": "250ms", "fleet_size": 1, "on_failure": "deny", **more}
    return forward(server, store=store, quotas={"user": {"key": ["user"], "limits": {"day": 100000}}}, **USERS)


def keys_of(redis):
    return [key for key in redis.client.scan_iter("sluice:q:*")]


def test_a_unix_socket(start, upstream, connect, redis):
    proxy = start(config_of(upstream(), [f"unix:{redis.socket_path}"]))
    wait_until_counting(connect, proxy)
    assert keys_of(redis)
    rows = [row for row in redis.client.client_list() if row["name"].startswith("sluice:")]
    assert rows and all(row["addr"].startswith(redis.socket_path) for row in rows)
    # It is made again when the server is.
    redis.kill()
    redis.start()
    wait_until_counting(connect, proxy)
    wait_for(lambda: redis.client.pubsub_numsub("sluice:recall")[0][1] == 1, "recalls are heard again")


def test_an_acl_user_with_a_password_from_a_file(start, upstream, connect, world, redis):
    redis.client.execute_command("ACL", "SETUSER", "counter", "reset", "on", ">in a file", *RIGHTS)
    (world.folder / "redis.password").write_text("in a file\n", encoding="ascii")
    proxy = start(config_of(upstream(), [redis.address], username="counter", password={"file": "redis.password"}))
    wait_until_counting(connect, proxy)
    assert {row["user"] for row in redis.client.client_list() if row["name"].startswith("sluice:")} == {"counter"}
    assert "in a file" not in proxy.stderr()
    # With the rights that the documentation names only what need not be known is refused: maxmemory-policy.
    refused = [dict(zip(row[::2], row[1::2])) for row in redis.client.execute_command("ACL", "LOG")]
    assert {row[b"object"] for row in refused} <= {b"config|get"}


def test_a_wrong_password(start, upstream, connect, redis):
    redis.client.execute_command("ACL", "SETUSER", "counter", "reset", "on", ">right", *RIGHTS)
    proxy = start(config_of(upstream(), [redis.address], username="counter", password="wrong"))
    wait_for(lambda: 'check "username" and "password"' in proxy.stderr(), "the log says what to do")
    assert ask(connect(proxy)).status == 503


def test_a_name_that_moves(start, upstream, connect, world):
    """Its address is another one when the server is lost: it is looked up again soon, off the loop."""
    names = Names(world.folder)
    old, new = (RedisServer(_folder(world, name), "--bind", "127.0.0.1", "127.0.0.2") for name in ("old", "new"))
    world.redises.extend([old, new])
    names.set(store="127.0.0.2")
    proxy = start(config_of(upstream(), [f"store.test:{old.port}"], connect_timeout="300ms"), env=names.env(BINARY))
    wait_until_counting(connect, proxy)
    old.kill()
    new.kill()
    # The other server has the same port, at another address.
    new.port, new.options = old.port, ("--bind", "127.0.0.3")
    new.start()
    names.set(store="127.0.0.3")
    # What is leased is spent first; a subject that nobody has seen needs the server.
    client = connect(proxy)
    users = iter(range(100000))
    wait_for(lambda: ask(client, f"user{next(users)}").status == 200, "the proxy counts there")
    assert keys_of(new)


def _folder(world, name):
    made = world.folder / name
    made.mkdir()
    return made
