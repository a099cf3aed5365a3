# SPDX-License-Identifier: Apache-2.0
"""A wall clock that stands where a test puts it, for a proxy and for its redis-server."""
import mmap
import pathlib
import re
import struct
import subprocess
import time

from .proxy import BINARY

PRELOAD = pathlib.Path(BINARY).resolve().parent / "libclock_preload.so"
PATCH_S = 1.8  # longer than a proxy stands by a refusal of Redis without asking again


class Clock:
    """Begins at the next full day, in real time at least an hour from now."""

    def __init__(self, folder):
        path = folder / "clock"
        path.write_bytes(bytes(8))
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)
        self.path, self.begin = path, (int(time.time()) // 86400 + 2) * 86400
        self.now = 0.0
        self.set(self.begin)

    def set(self, seconds):
        self.now = seconds
        self._map[:] = struct.pack("<Q", round(seconds * 1_000_000))

    def go(self, seconds):
        self.set(self.now + seconds)

    def env(self, program=None):
        """For the environment of a process: this clock is its clock.  program: what is sanitized, if it is."""
        return environment("CLOCK_FILE", self.path, program)


class Skew:
    """A clock that goes as the real one, so many seconds ahead of it."""

    def __init__(self, folder, name, seconds=0):
        self.path = folder / name
        self.path.write_bytes(bytes(8))
        with open(self.path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)
        self.seconds = 0
        self.set(seconds)

    def set(self, seconds):
        self.seconds = seconds
        self._map[:] = struct.pack("<q", round(seconds * 1_000_000))

    def env(self, program=None):
        return environment("CLOCK_SKEW_FILE", self.path, program)


def environment(name, path, program):
    env, libraries = {name: str(path)}, []
    if program:
        said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        libraries = re.findall(r"=> (\S*/lib[at]san\.so\S*)", said)
    env["LD_PRELOAD"] = ":".join([*libraries, str(PRELOAD)])
    return env
