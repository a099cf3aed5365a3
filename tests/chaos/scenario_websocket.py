# SPDX-License-Identifier: Apache-2.0
"""WebSocket with a client and a server that others use (python3-websockets): 10,000 messages, close codes of both sides, and a proxy that stops, plain and over TLS."""
import asyncio
import collections
import contextlib
import hashlib
import signal

import websockets
from harness.client import is_refused
from harness.ports import take_port
from harness.tls import Authority, client_context
from harness.upgrade import upgrading

import rig

PAGE = rig.ROOT / "docs" / "backends.md"
MESSAGES, CLIENTS = 10_000, 10
NAME = "chat.test"
CODES = (1000, 1001, 3000, 4321, 4999)
PATIENCE_S = 20


def message_of(client, n):
    """Text and bytes in turn, up to 66 KiB: frames of each of the three ways to write a length."""
    size = (n % 120, 126 + n % 5000, 65536 + n % 3000)[0 if n % 50 else 2 if n % 100 == 0 else 1]
    seed = hashlib.sha256(f"{client} {n}".encode()).digest()
    data = (seed * (size // len(seed) + 1))[:size]
    return data.hex() if n % 2 else data


async def serve(connection):
    """Gives back what it gets; at a word it closes with the code that is asked for."""
    with contextlib.suppress(websockets.ConnectionClosedError):  # so this library calls every code but 1000 and 1001
        async for message in connection:
            if isinstance(message, str) and message.startswith("close "):
                await connection.close(int(message[6:]), "as you wish")
                return
            await connection.send(message)


async def talk(connect, client, count):
    """How many came back as they were sent."""
    good = 0
    async with connect() as connection:
        for n in range(count):
            sent = message_of(client, n)
            await connection.send(sent)
            good += await connection.recv() == sent
    return good


async def close_codes(connect):
    """{(who closes, code): what the client sees at the end}"""
    seen = {}
    for code in CODES:
        async with connect() as connection:
            await connection.send(f"close {code}")
            await asyncio.wait_for(connection.wait_closed(), PATIENCE_S)
            seen["server", code] = (connection.close_code, connection.close_reason)
        async with connect() as connection:
            await connection.close(code, "I leave")
            seen["client", code] = (connection.close_code, connection.close_reason)
    return seen


async def drain(connect, proxy):
    """After TERM an open connection goes on; nobody else gets in; its end is the proxy's."""
    async with connect() as connection:
        await connection.send("before")
        before = await connection.recv()
        proxy.signal(signal.SIGTERM)
        await asyncio.to_thread(rig.wait_for, lambda: is_refused(proxy.address), "nobody else gets in", PATIENCE_S)
        for n in range(100):
            await connection.send(f"while it stops {n}")
            if await connection.recv() != f"while it stops {n}":
                return "another message came back"
        is_up = proxy.process.poll() is None
        await connection.close(1000, "done")
        return (before, is_up, connection.close_code)


async def run_all(world, judge, kind, proxy, uri, context, port):
    def connect():
        return websockets.connect(uri, ssl=context, server_hostname=NAME if context else None, max_size=None, compression=None)

    count = world.scaled(MESSAGES) // CLIENTS
    async with websockets.serve(serve, "127.0.0.1", port, max_size=None, compression=None) as server:
        good = await asyncio.gather(*(talk(connect, client, count) for client in range(CLIENTS)))
        judge.equal(f"{kind}: messages that came back as they were sent, of {CLIENTS} clients", sum(good), count * CLIENTS)
        seen = await close_codes(connect)
        wrong = {key: value for key, value in seen.items() if value != (key[1], "as you wish" if key[0] == "server" else "I leave")}
        judge.check(f"{kind}: codes {', '.join(map(str, CODES))}, closed by the server and by the client", f"{len(seen)}, wrong: {wrong or 'none'}", "all arrive", not wrong)
        rig.wait_for(lambda: proxy.metrics()["sluice_tunnels_open"] == 0, "no tunnel is open")
        judge.equal(f"{kind}: tunnels that there were", int(proxy.metrics()["sluice_tunnels_total"]), CLIENTS + len(seen))
        said = await drain(connect, proxy)
        judge.check(f"{kind}: after TERM 100 more messages, then an end with 1000", rig.text_of(list(map(str, said))), "before, True, 1000", said == ("before", True, 1000))
        proxy.stop()
        server.close()
        await server.wait_closed()


def run(world, judge):
    authority = Authority(world.folder / "tls")
    pair = authority.issue(NAME)
    for kind in ("plain", "TLS"):
        port = take_port()
        config = upgrading(f"127.0.0.1:{port}", admin={"metrics": f"127.0.0.1:{take_port()}"}, limits={"drain_timeout": "1m"})
        listener = {"address": f"127.0.0.1:{take_port()}"}
        config["listen"] = [listener if kind == "plain" else {**listener, "tls": pair.config}]
        proxy = world.proxy(config, kind)
        context = None if kind == "plain" else client_context(authority)
        uri = f"{'ws' if kind == 'plain' else 'wss'}://127.0.0.1:{proxy.ports[0]}/chat"
        asyncio.run(run_all(world, judge, kind, proxy, uri, context, port))
        reader = rig.LogReader()
        ends = collections.Counter(line["end"] for line in reader.read(proxy.access_log))
        judge.judge_log(reader)
        judge.check(f"{kind}: how exchanges ended", rig.text_of(dict(ends)), "only ok", set(ends) == {"ok"})
    judge.note("Half-closed connections cannot be had from this library: tests/integration/test_tunnel.py has them, with bytes, resets and ends of both sides, plain and over TLS.")
