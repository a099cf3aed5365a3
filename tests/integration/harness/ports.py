# SPDX-License-Identifier: Apache-2.0
"""TCP ports that no other test process takes: a locked file each, below the kernel's ephemeral range."""
import fcntl
import itertools
import os
import pathlib
import random
import socket

_FOLDER = pathlib.Path(f"/tmp/sluice-test-ports-{os.getuid()}")
_RANGE = range(14000, 32000)
_held = []  # open files; their locks end with this process
_next = itertools.count(random.randrange(len(_RANGE)))


def _is_bindable(port):
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0")):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def take_port():
    """A port that stays ours until this process ends."""
    _FOLDER.mkdir(exist_ok=True)
    for _ in _RANGE:
        port = _RANGE[next(_next) % len(_RANGE)]
        file = open(_FOLDER / str(port), "w", encoding="ascii")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            continue
        if _is_bindable(port):
            _held.append(file)
            return port
        file.close()
    raise RuntimeError("no free port")
