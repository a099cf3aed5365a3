# SPDX-License-Identifier: Apache-2.0
"""How many bytes the other end of a TCP connection on this machine has not read yet: the kernel is asked (NETLINK_SOCK_DIAG)."""
import os
import socket
import struct
import threading

_SOCK_DIAG_BY_FAMILY = 20
_ANY = 0xffffffff
_held = threading.local()


def _netlink():
    """One per thread and process."""
    if getattr(_held, "owner", None) != os.getpid():
        _held.owner, _held.sock = os.getpid(), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)
    return _held.sock


def unread_bytes(local, remote):
    """Waiting in the IPv4 socket (local, remote); 0 when there is no such socket."""
    request = struct.pack("<BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, _ANY)
    request += struct.pack(">HH", local[1], remote[1]) + socket.inet_aton(local[0]) + bytes(12)
    request += socket.inet_aton(remote[0]) + bytes(12) + struct.pack("<III", 0, _ANY, _ANY)
    netlink = _netlink()
    netlink.send(struct.pack("<IHHII", 16 + len(request), _SOCK_DIAG_BY_FAMILY, 1, 1, 0) + request)
    answer = netlink.recv(4096)
    if struct.unpack_from("<H", answer, 4)[0] != _SOCK_DIAG_BY_FAMILY:
        return 0
    return struct.unpack_from("<I", answer, 16 + 4 + 48 + 4)[0]


def unread_by_peer(sock):
    """What we sent on this socket and its other end has not read."""
    return unread_bytes(sock.getpeername(), sock.getsockname())
