# SPDX-License-Identifier: Apache-2.0
"""Requests of hostile bytes, and the bytes that a line of the access log tells of them."""
import json
import re

# As docs/logs.md says it.
ESCAPE = re.compile(rb"\\(?:u00([89a-f][0-9a-f])|.)", re.DOTALL)


def recover(line):
    """A line as a dictionary whose strings are bytes: those that came in."""
    if line.endswith(b',"bytes":true}\n'):
        line = ESCAPE.sub(lambda found: bytes([int(found[1], 16)]) if found[1] else found[0], line)
    record = json.loads(line.decode("utf-8", "surrogateescape"))
    return {name: value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value for name, value in record.items()}


def some_bytes(rng, most):
    """Any but a line feed, which would end a line of the head; quotes, escapes and halves of characters more often than others."""
    favourites = [b'"', b"\\", b"\\u0041", b"\x00", b"\r", b"\x7f", b"\xff", b"\xc3", b"\xe2\x80\xae", "é".encode(), b"\xc2\x85", b"%00", b"%ff", b"/../", b"<b>", b"\xed\xa0\x80",
                  b"\xf4\x90\x80\x80", b"\t", b" "]
    parts = [rng.choice(favourites) if rng.random() < 0.3 else bytes([rng.randrange(256)]) for _ in range(rng.randrange(most))]
    text = b"".join(parts).replace(b"\n", b"")
    # Half of them as a head may have them, so that they come as far as the line.
    return text if rng.random() < 0.5 else bytes(byte for byte in text if byte > 32 and byte != 127).replace(b"%", b"")


def hostile_request(rng):
    """Target, host and header: in one of them at least any bytes.  Gives the request's bytes."""
    long = 9000 if rng.random() < 0.02 else 40
    path, query, host, agent, name, value = b"/a", b"b=c", b"test.local", b"x", b"X-Name", b"y"
    spots = rng.sample(range(6), rng.randrange(1, 3))
    if 0 in spots:
        path = b"/" + some_bytes(rng, long)
    if 1 in spots:
        query = some_bytes(rng, long)
    if 2 in spots:
        host = some_bytes(rng, 40)
    if 3 in spots:
        agent = some_bytes(rng, long)
    if 4 in spots:
        name = some_bytes(rng, 20)
    if 5 in spots:
        value = some_bytes(rng, long)
    fields = b"Host: " + host + b"\r\nUser-Agent: " + agent + b"\r\n" + name + b": " + value + b"\r\nX-Request-Id: " + value + b"\r\nConnection: close\r\n"
    return b"GET " + path + b"?" + query + b" HTTP/1.1\r\n" + fields + b"\r\n"
