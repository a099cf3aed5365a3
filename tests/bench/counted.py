# SPDX-License-Identifier: Apache-2.0
"""Figures that depend on nothing but the programs and the job: counted once, and kept where the bench puts its files.
Takes: a proxy in a scenario, and how to count.  Never keeps anything that a clock or the rest of the machine has a part in."""
import hashlib
import json
import pathlib
import re
import shutil
import subprocess

import peers


def libraries(program):
    """The shared objects that a program needs, its loader among them."""
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return re.findall(r"(/\S+) \(0x", told)


def once(place, name, scenario, kind, sources, count):
    """What count(peer) gives, or gave for the same programs with the same libraries, the same scenario and the same `sources` (files
    that say how it is counted)."""
    peer = place.make_peer(name, scenario)
    table = place.folder / f"{kind}.json"
    known = json.loads(table.read_text()) if table.exists() else {}
    program = shutil.which(str(peer.command()[0]))
    parts = (place.build / "bench_upstream", place.build / "bench_load", program, *libraries(program), *sources, peers.__file__)
    key = hashlib.sha256(b"".join(pathlib.Path(part).read_bytes() for part in parts) + repr((name, scenario)).encode()).hexdigest()
    if key not in known:
        known[key] = count(peer)
        table.write_text(json.dumps(known, indent=1))
    return known[key]
