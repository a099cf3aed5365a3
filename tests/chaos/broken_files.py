# SPDX-License-Identifier: Apache-2.0
"""Files that no service takes over, by kind.  Takes the good configuration and a number, which varies them; gives what stands in the file: bytes, or None
for no file at all.  Each that is whole raises a limit: if anything of it were taken over, answers would show it."""
import copy
import json

DEEP, LARGE_BYTES = 3000, 16 << 20


def with_text(change):
    """By what is done to the text; each of its characters is a byte."""
    return lambda config, n: change(json.dumps(raised(config, n), indent=2), n).encode("latin-1")


def with_config(change):
    """By what is done to the configuration."""
    def make(config, n):
        config = raised(config, n)
        change(config, n)
        return json.dumps(config, indent=2).encode()

    return make


def raised(config, n):
    config = copy.deepcopy(config)
    config["quotas"]["user"]["limits"]["day"] += n + 1
    return config


def setting(value, *path):
    def change(config, _):
        for step in path[:-1]:
            config = config[step]
        config[path[-1]] = value

    return with_config(change)


def listening(*ports):
    def change(config, _):
        config["listen"] += [{"address": f"127.0.0.1:{port}"} for port in ports]

    return with_config(change)


# `sluice check` sees them too, with exit code 3.
FAULTS = {
    "no file": lambda config, n: None,
    "an empty one": lambda config, n: b"",
    "cut off": with_text(lambda text, n: text[:len(text) * (n + 1) // 5]),
    "more behind the end": with_text(lambda text, n: text + "}" * (n + 1)),
    "bytes that are no UTF-8": with_text(lambda text, n: text.replace('"all"', f'"al{chr(0x80 + n)}"', 1)),
    "too deep": with_text(lambda text, n: text.replace('"/"', "[" * (DEEP + n) + "]" * (DEEP + n), 1)),
    "too large": with_text(lambda text, n: text + " " * (LARGE_BYTES + n)),
    "an unknown key": with_text(lambda text, n: text.replace('"limits"', f'"limits{n}"', 1)),
    "a key twice": with_text(lambda text, n: text.replace('"workers"', '"workers": 1, "workers"', 1)),
    "a wrong type": setting("many", "quotas", "user", "limits", "day"),
    "a number out of range": setting(100_000, "workers"),
    "a server that is not named": setting("ap", "routes", 0, "upstream"),
    "a quota that is not named": setting(["user", "users"], "routes", 0, "quotas"),
}


def refused(free_port, taken_port):
    """Those, and what only a running service cannot take over.  Somebody has the taken port; the free one must be closed again."""
    return {**FAULTS,
            "a certificate that is not there": with_config(lambda config, n: config["listen"].append(
                {"address": f"127.0.0.1:{free_port}", "tls": {"certificate": f"none{n}.crt", "key": f"none{n}.key"}})),
            "a secret that is not there": setting({"env": "CHAOS_NONE"}, "subject_secret"),
            "a listener that another has": listening(free_port, taken_port),
            "another number of workers": setting(3, "workers")}
