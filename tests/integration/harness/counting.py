# SPDX-License-Identifier: Apache-2.0
"""Callers who are named by a header, the stores that count them, and waiting until a proxy counts there."""
from .waiting import wait_for

USERS = {"identities": {"user": {"from": ["header:X-User"]}}, "subject_secret": "of the whole group"}


def ask(client, user="alice"):
    return client.ask("GET", "/", [("X-User", user)])


def store_of(kind, redis):
    """A proxy's store: "memory", or "redis" for one proxy alone."""
    if kind == "memory":
        return {"type": "memory"}
    return {"type": "redis", "servers": [redis.address], "decision_timeout": "150ms", "fleet_size": 1}


def wait_until_counting(connect, proxy, connections=1):
    """So many connections in a row are decided with the store: with enough of them, whichever worker is asked."""
    def counts():
        for _ in range(connections):
            client = connect(proxy)
            line = proxy.line_of(ask(client, "probe"))
            client.close()
            sources = {entry.get("source") for entry in line["quotas"]}
            if not sources or not sources <= {"store", "lease"}:
                return False
        return True

    wait_for(counts, "the proxy counts in its store")
