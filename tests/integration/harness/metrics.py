# SPDX-License-Identifier: Apache-2.0
"""Reads a metrics page and refuses anything that the format does not promise."""
import re

from .client import Client

_NAME = re.compile(r'sluice_[a-z0-9_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})?')


def scrape(port):
    """{name with labels: number}."""
    with Client(("127.0.0.1", port)) as client:
        reply = client.ask("GET", "/metrics")
    assert reply.status == 200 and reply["Content-Type"].startswith("text/plain; version=0.0.4")
    values = {}
    for line in reply.body.decode().splitlines():
        if line.startswith("#"):
            continue
        name, value = line.rsplit(" ", 1)
        assert _NAME.fullmatch(name), line
        assert name not in values, f"{name} occurs twice"
        values[name] = float(value)
    return values
