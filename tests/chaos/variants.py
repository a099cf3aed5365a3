# SPDX-License-Identifier: Apache-2.0
"""Configurations that follow each other under load: limits, names, timeouts, servers, routes, quotas and listeners come and go, and what the load asks
for is answered and counted by each of them."""
import copy


def vary(config, turn, limit):
    """The turn's configuration.  limit: that of the quota `user` a day, which every other turn is a little higher."""
    config = copy.deepcopy(config)
    main = next(route for route in config["routes"] if route.get("prefix") == "/")
    config["quotas"]["user"]["limits"]["day"] = limit + turn % 2 * 1000
    main["name"] = f"all{turn % 3}"
    config["upstreams"]["app"]["timeouts"] = {"first_byte": f"{20 + turn % 5}s"}
    config.setdefault("limits", {})["keepalive"] = f"{50 + turn % 7}s"
    if turn % 2:
        config["quotas"]["extra"] = {"key": ["ip"], "limits": {"minute": 1000000}}
        config["routes"].insert(0, {"name": "extra", "path": f"/extra/{turn}", "quotas": ["extra"], "respond": {"text": "x"}})
    if turn % 3 == 1:
        config["upstreams"]["app"]["servers"].reverse()
    if turn % 4 == 3:
        config["listen"].append({"address": f"unix:{turn}.sock"})
    return config
