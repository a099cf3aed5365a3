# SPDX-License-Identifier: Apache-2.0
"""Two hundred users of four proxies that lease, while one is killed every five seconds: nothing is given twice, and no more is lost than the killed
ones held."""
import zipf

PAGE = zipf.PAGE


def run(world, judge):
    zipf.run(world, judge, "hunted", "leased", is_hunted=True)
