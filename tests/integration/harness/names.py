# SPDX-License-Identifier: Apache-2.0
"""Names of one's own: a file like /etc/hosts that one process believes, and that may change (tests/names/preload.c)."""
import os
import pathlib
import re
import subprocess

from .proxy import BINARY

PRELOAD = pathlib.Path(BINARY).resolve().parent / "libnames_preload.so"


class Names:
    def __init__(self, folder):
        self.path = folder / "hosts"

    def set(self, **addresses):
        """store="127.0.0.2" makes store.test, with spaces between several; the file is never seen half written."""
        text = "".join(f"{address} {name}.test\n" for name, all_ in addresses.items() for address in all_.split())
        made = self.path.with_suffix(".next")
        made.write_text(text, encoding="ascii")
        os.replace(made, self.path)

    def env(self, program):
        """For the environment of a process.  program: what a sanitizer may be in, which comes first.  Names that begin with "slow" are
        answered after five seconds, and then with an error; those that begin with "late" after a third of one, and well."""
        said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        libraries = re.findall(r"=> (\S*/lib[at]san\.so\S*)", said)
        return {"LD_PRELOAD": ":".join([*libraries, str(PRELOAD)]), "NAMES_FILE": str(self.path)}
