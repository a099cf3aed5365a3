# SPDX-License-Identifier: Apache-2.0
"""The verbs that read logs, as scenarios use them: `verify` and `replay`, their JSON, and how long they took."""
import collections
import json
import time

from harness.proxy import run_verb

import rig

Told = collections.namedtuple("Told", "exit_code json seconds")


def run(proxy, *words):
    """With the configuration of this proxy, which stands in its folder."""
    began = time.monotonic()
    done = run_verb(proxy.folder, words[0], "--json", "-c", str(proxy.file), *map(str, words[1:]), env=rig.SECRETS, timeout=600)
    seconds = time.monotonic() - began
    assert done.stdout, f"{words[0]} ended with {done.returncode}: {done.stderr}"
    return Told(done.returncode, json.loads(done.stdout), seconds)


def verify(proxy, logs):
    return run(proxy, "verify", *logs)


def replay(proxy, policy, logs):
    return run(proxy, "replay", "--policy", policy, *logs)


def text_of_fault(told):
    """What a verdict that is not clean stands on, in short."""
    return {name: told[name] for name in ("excess", "missing", "unreadable", "cut", "killed") if told.get(name)}
