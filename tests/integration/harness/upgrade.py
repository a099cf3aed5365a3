# SPDX-License-Identifier: Apache-2.0
"""Upgrades by hand: the two halves of a handshake, and servers that go on as a tunnel."""
import base64
import hashlib

from . import http
from .configs import forward

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # of RFC 6455 section 1.3, like its answer
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

HANDSHAKE = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
             ("Sec-WebSocket-Key", KEY)]


def without(name, fields=None):
    return [field for field in fields or HANDSHAKE if field[0] != name]


def changed(name, value, fields=None):
    return [(n, value if n == name else v) for n, v in fields or HANDSHAKE]


def handshake(fields=None, path="/chat", **kwargs):
    return http.request("GET", path, HANDSHAKE if fields is None else fields, **kwargs)


def accept_of(key):
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def switching(message, fields=None):
    """The bytes of a 101 that answers this request; fields instead of the right ones."""
    if fields is None:
        fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"),
                  ("Sec-WebSocket-Accept", accept_of(message["Sec-WebSocket-Key"] or ""))]
    return http.response(101, "Switching Protocols", fields, length=False)


def upgrading(upstream_server, *protocols, timeouts=None, **kwargs):
    """A configuration whose one route upgrades."""
    config = forward(upstream_server, route={"upgrade": list(protocols or ["websocket"])}, **kwargs)
    if timeouts:
        config["upstreams"]["app"]["timeouts"] = timeouts
    return config


def tunnel(go_on):
    """A serve function: accepts one upgrade, then go_on(link)."""

    def serve(link):
        message = link.read_request()
        if message is None:
            return
        link.send(switching(message))
        go_on(link)

    return serve


def received(link):
    """The next bytes of the proxy, b"" at its end; raises ConnectionResetError."""
    if link.reader.buffer:
        data = bytes(link.reader.buffer)
        link.reader.buffer.clear()
        return data
    return link.sock.recv(65536)


def echo(link):
    """Sends back what comes, and ends when the proxy does."""
    while data := received(link):
        link.send(data)


def opened(connect, proxy, fields=None, **kwargs):
    """A client whose connection is a tunnel, and the 101."""
    client = connect(proxy, **kwargs)
    client.send(handshake(fields))
    reply = client.read()
    assert reply.status == 101, reply
    return client, reply
