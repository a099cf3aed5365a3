# SPDX-License-Identifier: Apache-2.0
"""Reads a metrics page and refuses anything that the format does not promise."""
from . import exposition
from .client import Client


def scrape_families(port):
    """{name: Family} as exposition.py has them."""
    with Client(("127.0.0.1", port)) as client:
        reply = client.ask("GET", "/metrics")
    assert reply.status == 200 and reply["Content-Type"].startswith("text/plain; version=0.0.4")
    return exposition.parse(reply.body)


def scrape(port):
    """{name with labels: number}."""
    return {sample.text.rsplit(" ", 1)[0]: sample.value for family in scrape_families(port).values() for sample in family.samples}
