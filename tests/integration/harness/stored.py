# SPDX-License-Identifier: Apache-2.0
"""What stands in Redis under a subject of a quota (src/store/store_redis_script.h has the layout)."""
import collections
import struct

HEAD, WINDOW = struct.Struct("<BBxxIIIII"), struct.Struct("<IIIII")

# windows: {code: (start_s, used)}
Value = collections.namedtuple("Value", "lineage generation extra expires windows")


def read(raw):
    version, count, _, lineage, generation, extra, expires = HEAD.unpack_from(raw)
    assert version == 2 and len(raw) == HEAD.size + WINDOW.size * count, raw
    rows = [WINDOW.unpack_from(raw, HEAD.size + WINDOW.size * n) for n in range(count)]
    return Value(lineage, generation, extra, expires, {code: (start, base + since - returned) for code, start, base, since, returned in rows})


def values(redis, prefix="sluice"):
    """{key: Value} of all subjects."""
    found = {}
    for key in redis.client.scan_iter(f"{prefix}:q:*", count=1000):
        raw = redis.client.get(key)
        if raw is not None:
            found[key] = read(raw)
    return found


def first_used(raw):
    """Of the first window."""
    return next(iter(read(raw).windows.values()))[1]


def most_used(redis, code=None):
    """The largest first count of any subject, or that of the window named."""
    rows = [list(value.windows.items()) for value in values(redis).values()]
    return max((used for windows in rows for at, (name, (_, used)) in enumerate(windows) if (at == 0 if code is None else name == code)), default=0)
