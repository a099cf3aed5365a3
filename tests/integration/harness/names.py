# SPDX-License-Identifier: Apache-2.0
"""Names of one's own: a file like /etc/hosts that one process believes, and that may change (nss_wrapper)."""
import os
import re
import subprocess
import time


class Names:
    def __init__(self, folder):
        self.path = folder / "hosts"
        self._second = 0  # of the last change

    def set(self, **addresses):
        """store="127.0.0.2" makes store.test, with spaces between several; the file is never seen half written."""
        text = "".join(f"{address} {name}.test\n" for name, all_ in addresses.items() for address in all_.split())
        made = self.path.with_suffix(".next")
        made.write_text(text, encoding="ascii")
        # nss_wrapper looks at whole seconds: two changes within one would be one.
        self._second = max(self._second + 1, int(time.time()))
        os.utime(made, (self._second, self._second))
        os.replace(made, self.path)

    def env(self, program, slow=False):
        """For the environment of a process.  program: what a sanitizer may be in, which comes first.  slow: names that
        begin with "slow" are answered after five seconds, and then with an error."""
        said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        libraries = re.findall(r"=> (\S*/lib[at]san\.so\S*)", said)
        if slow:
            libraries.append(self._build_slow())
        return {"LD_PRELOAD": ":".join([*libraries, "libnss_wrapper.so"]), "NSS_WRAPPER_HOSTS": str(self.path)}

    def _build_slow(self):
        source, library = self.path.with_name("slow.c"), self.path.with_name("slow.so")
        source.write_text(_SLOW, encoding="ascii")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        return str(library)


_SLOW = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
    if (node == NULL || strncmp(node, "slow", 4) != 0)
        return next(node, service, hints, list);
    sleep(5);
    return EAI_AGAIN;
}
"""
