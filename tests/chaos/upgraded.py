# SPDX-License-Identifier: Apache-2.0
"""A proxy that programs take over one after the other."""
import json
import os
import pathlib
import signal
import subprocess

from harness.processes import is_alive
from harness.proxy import BINARY, environment

import rig


def group_of(group):
    """The living processes of a process group."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(words[2]) == group and words[0] not in "ZX":
            found.append(int(folder.name))
    return found


class Upgraded(rig.Proxy):
    """pid is the parent in charge; those before it end by themselves."""

    def __init__(self, *args, **kwargs):
        self._successor = None
        super().__init__(*args, **kwargs)

    @property
    def pid(self):
        return self._successor or self.process.pid

    def write_config(self, config):
        """Whole at every moment: verbs read it meanwhile."""
        fresh = self.file.with_suffix(".next")
        fresh.write_text(json.dumps(config, indent=2))
        os.replace(fresh, self.file)

    def verb(self, *words, timeout=80):
        """A verb about this proxy, to its end."""
        return subprocess.run([BINARY, words[0], "-c", str(self.file), *words[1:]], cwd=self.folder, env=environment(self.folder, rig.SECRETS),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False)

    def upgrade(self):
        """Another program serves when this returns; gives the parent that was in charge before, which may still have something to finish."""
        before, done = self.pid, self.verb("upgrade", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        self.adopt(json.loads(done.stdout))
        return before

    def adopt(self, answer):
        """answer: what `sluice upgrade --json` has said."""
        self._successor = answer["pid"]

    def stop(self):
        """The exit code of a successor is not ours to hear: its event `stop` tells."""
        if self._successor is None or self.is_stopped:
            super().stop()
            return
        self.is_stopped = True
        try:
            self.signal(signal.SIGTERM)
            rig.wait_for(lambda: not is_alive(self.pid), "the program in charge ends", 90)
        finally:
            self.kill()
        self.assert_no_report()
        assert self.process.returncode == 0, f"exit code {self.process.returncode} of the first program"

    def kill(self):
        """All of them are in the process group of the first."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
