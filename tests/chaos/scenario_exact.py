# SPDX-License-Identifier: Apache-2.0
"""Two hundred users of four proxies, each request counted in Redis: no window of any of them above its limit, and all of it used."""
import zipf

PAGE = zipf.PAGE


def run(world, judge):
    zipf.run(world, judge, "exact", "exact")
