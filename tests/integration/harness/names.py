# SPDX-License-Identifier: Apache-2.0
"""Names of one's own: a file like /etc/hosts that one process believes, and that may change (nss_wrapper)."""
import os
import re
import subprocess


class Names:
    def __init__(self, folder):
        self.path = folder / "hosts"

    def set(self, **addresses):
        """store="127.0.0.2" makes store.test; the file is never seen half written."""
        text = "".join(f"{address} {name}.test\n" for name, address in addresses.items())
        made = self.path.with_suffix(".next")
        made.write_text(text, encoding="ascii")
        os.replace(made, self.path)

    def env(self, program):
        """For the environment of a process.  program: what a sanitizer may be in, which comes first."""
        said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        libraries = re.findall(r"=> (\S*/lib[at]san\.so\S*)", said)
        return {"LD_PRELOAD": ":".join([*libraries, "libnss_wrapper.so"]), "NSS_WRAPPER_HOSTS": str(self.path)}
