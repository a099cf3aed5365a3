# SPDX-License-Identifier: Apache-2.0
"""Configurations that tests begin with."""


def forward(*upstreams, quotas=None, route=None, **top):
    """Everything goes to the upstreams; quotas, when given, all apply to the one route "all"."""
    config = {
        "upstreams": {"app": {"servers": [getattr(u, "address", u) for u in upstreams]}},
        "routes": [{"name": "all", "prefix": "/", "upstream": "app", **(route or {})}],
        **top,
    }
    if quotas:
        config["quotas"] = quotas
        config["routes"][0].setdefault("quotas", list(quotas))
    return config


def respond(status=200, **top):
    """No upstream: every request is answered by Sluice itself."""
    return {"routes": [{"name": "all", "prefix": "/", "respond": {"status": status, "text": "here\n"}}], **top}


PROBE = "store-probe"


def with_probe(config):
    """One more route in front, answered by Sluice itself and counted by a quota of its own."""
    probe = {"name": PROBE, "path": "/.probe", "host": "probe.invalid", "quotas": [PROBE], "respond": {"status": 204}}
    return {**config, "quotas": {**config["quotas"], PROBE: {"key": ["route"], "limits": {"day": 1000000}}}, "routes": [probe, *config["routes"]]}
