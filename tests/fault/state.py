# SPDX-License-Identifier: Apache-2.0
"""The orders to tests/fault/preload.c and what it tells: one file that it and we map."""
import mmap
import struct
import subprocess

CLASSES = ("alloc", "net", "io")
IN_CHILD, IN_PARENT = 0, 1
_RECORDS, _TEXT = 16, 2048
_NAMES = ("is_armed", "where", "class_mask", "nth", "rate_ppm", "seed", "stops", "exits", "calls", *CLASSES, "fired")
_BYTES = 8 * len(_NAMES) + _RECORDS * _TEXT


class FaultState:
    """Owner: one point of the loop.  The fields of struct fault_state are attributes."""

    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(_BYTES))
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), _BYTES)

    def __getattr__(self, name):
        if name not in _NAMES:
            raise AttributeError(name)
        return struct.unpack_from("=Q", self._map, 8 * _NAMES.index(name))[0]

    def set(self, **values):
        for name, value in values.items():
            struct.pack_into("=Q", self._map, 8 * _NAMES.index(name), value)

    def records(self):
        """The calls that failed: (what, [frames])."""
        found = []
        for i in range(min(self.fired, _RECORDS)):
            at = 8 * len(_NAMES) + i * _TEXT
            text = self._map[at:at + _TEXT].split(b"\0", 1)[0].decode("ascii", "replace")
            found.append((text.split("\n", 1)[0], text.split("\n")[1:]))
        return found

    def close(self):
        self._map.close()


def mask(name):
    """The class_mask of "alloc", "net", "io" or "all"."""
    return 7 if name == "all" else 1 << CLASSES.index(name)


def describe(record, binary):
    """One failed call with the functions of ours that led to it, innermost first."""
    what, frames = record
    own = binary.rsplit("/", 1)[-1]
    offsets = ["0x%x" % (int(frame.rsplit("+", 1)[1], 16) - 1) for frame in frames if frame.startswith(own + "+")]
    libraries = [frame.split("+")[0] for frame in frames[:1] if not frame.startswith(own + "+")]
    if not offsets:
        return f"{what} in {' '.join(frames[:4])}"
    done = subprocess.run(["addr2line", "-f", "-s", "-e", binary, *offsets], capture_output=True, text=True, check=False)
    names = done.stdout.split("\n")[0::2][:7]
    return f"{what} in {' < '.join(libraries + [name for name in names if name])}"
