# SPDX-License-Identifier: Apache-2.0
"""A backend's side of the PROXY protocol: reads the header before everything else, exactly, and remembers it."""
import re
import socket
import struct

from . import http

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def _exactly(sock, count):
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise http.Ended(f"ended after {data!r} of a PROXY header")
        data += more
    return data


def _v1(sock, begin):
    while not begin.endswith(b"\r\n"):
        begin += _exactly(sock, 1)
        assert len(begin) <= 107, begin
    if begin == b"PROXY UNKNOWN\r\n":
        return None
    match = re.fullmatch(rb"PROXY (TCP4|TCP6) ([0-9a-f:.]+) ([0-9a-f:.]+) (\d+) (\d+)\r\n", begin)
    assert match, begin
    family = socket.AF_INET if match[1] == b"TCP4" else socket.AF_INET6
    for address in match[2], match[3]:
        socket.inet_pton(family, address.decode())
    return match[2].decode(), int(match[4]), match[3].decode(), int(match[5])


def _v2(sock, begin):
    assert begin == SIGNATURE, begin
    command, family, length = struct.unpack(">BBH", _exactly(sock, 4))
    rest = _exactly(sock, length)
    if command == 0x20:
        assert (family, rest) == (0, b"")
        return None
    assert command == 0x21 and (family, length) in ((0x11, 12), (0x21, 36)), (command, family, length)
    kind, size = (socket.AF_INET, 4) if family == 0x11 else (socket.AF_INET6, 16)
    source, target = socket.inet_ntop(kind, rest[:size]), socket.inet_ntop(kind, rest[size:2 * size])
    ports = struct.unpack(">HH", rest[2 * size:])
    return source, ports[0], target, ports[1]


def read_header(sock):
    """(version, (source, port, destination, port) or None when it names nobody); None: nothing came."""
    first = sock.recv(1)
    if not first:
        return None
    if first == b"P":
        return 1, _v1(sock, first)
    return 2, _v2(sock, first + _exactly(sock, len(SIGNATURE) - 1))


def told(serve, headers, context=None):
    """A serve function: the header, which goes to the list; TLS with a context; then what serve does.  The link has it as .told."""

    def begin(link):
        header = read_header(link.sock)
        if header is None:
            return
        headers.append(header)
        link.told = header[1]
        if context is not None:
            link.sock = context.wrap_socket(link.sock, server_side=True, suppress_ragged_eofs=False)
        serve(link)

    return begin
