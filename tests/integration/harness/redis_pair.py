# SPDX-License-Identifier: Apache-2.0
"""A master and its replica, and what tests of both ask of a proxy that counts there."""
from . import stored
from .redis_server import RedisServer
from .waiting import wait_for

USERS = {"identities": {"user": {"from": ["header:X-User"]}}, "subject_secret": "of the whole group"}
LIMIT = 60


def make_pair(world):
    made = []
    for name in ("master", "replica"):
        (world.folder / name).mkdir()
        options = ["--replicaof", f"127.0.0.1 {made[0].port}"] if made else ["--repl-diskless-sync-delay", "0"]
        made.append(RedisServer(world.folder / name, *options))
        world.redises.append(made[-1])
    made[0].client.set("begin", 1)
    wait_for(lambda: made[0].client.wait(1, 1000) == 1, "the replica follows")
    return made


def ask(client, user="alice"):
    return client.ask("GET", "/", [("X-User", user)]).status


def wait_until_counting(connect, proxy, user="probe"):
    def counts():
        client = connect(proxy)
        status = ask(client, user)
        client.close()
        return status in (200, 429)

    wait_for(counts, "the proxy counts in Redis", 30)


def used_in(redis):
    """The largest total of a subject."""
    return stored.most_used(redis)
