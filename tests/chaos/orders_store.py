# SPDX-License-Identifier: Apache-2.0
"""What Redis holds of each subject while orders are given and looks are taken: who has not asked meanwhile keeps it byte by byte."""
import collections
import json
import socket

from harness import stored

READS = 10_000
CHUNK = 500

# generation and extra: what orders leave in a key.
Stored = collections.namedtuple("Stored", "raw generation extra windows ends_ms")


def take(redis):
    """{key: Stored} of all subjects."""
    keys, found = sorted(redis.client.scan_iter("sluice:q:*", count=1000)), {}
    for at in range(0, len(keys), CHUNK):
        part = keys[at:at + CHUNK]
        pipe = redis.client.pipeline(transaction=False)
        for key in part:
            pipe.execute_command("PEXPIRETIME", key)
        for key, raw, ends_ms in zip(part, redis.client.mget(part), pipe.execute(), strict=True):
            if raw is not None:
                found[key] = stored_as(raw, ends_ms)
    return found


def stored_as(raw, ends_ms):
    value = stored.read(raw)
    return Stored(raw, value.generation, value.extra, value.windows, ends_ms)


def ordered(before, after):
    """Keys that an order was about."""
    return {key for key, value in after.items() if key in before and (value.generation, value.extra) != (before[key].generation, before[key].extra)}


def changed(before, after, keys):
    """Of these the ones that are otherwise in any byte, or end at another time."""
    return sum(before[key] != after.get(key) for key in keys)


def told(path, message):
    """All that the admin socket says to one request."""
    with socket.socket(socket.AF_UNIX) as admin:
        admin.settimeout(20)
        admin.connect(path)
        admin.sendall(message)
        answer = b""
        while data := admin.recv(65536):
            answer += data
        return answer


def look(sockets, names):
    """Shows known subjects, and explains requests of theirs and of subjects that nobody knows, half and half; over all proxies.  Gives statuses."""
    statuses = collections.Counter()
    for n in range(READS):
        user = f"quiet-{n % len(names)}" if n % 4 == 1 else f"never-{n}"
        body = json.dumps({"method": "GET", "url": "/", "headers": [f"X-User: {user}"]}).encode() if n % 2 else b""
        target = "POST /v1/explain" if n % 2 else f"GET /v1/subject?name={names[n % len(names)]}"
        head = f"{target} HTTP/1.1\r\nHost: sluice\r\nContent-Length: {len(body)}\r\n\r\n"
        answer = told(sockets[n % len(sockets)], head.encode() + body)
        is_good = answer.startswith(b"HTTP/1.1 200 ") and (b'"verdict":' if n % 2 else b'"windows":') in answer
        statuses["told" if is_good else answer[:40].decode()] += 1
    return statuses
