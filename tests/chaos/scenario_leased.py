# SPDX-License-Identifier: Apache-2.0
"""Two hundred users of four proxies that lease: no window of any of them above its limit, and nearly all of it used."""
import zipf

PAGE = zipf.PAGE


def run(world, judge):
    zipf.run(world, judge, "leased", "leased")
