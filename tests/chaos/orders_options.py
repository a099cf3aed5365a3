# SPDX-License-Identifier: Apache-2.0
"""orders - how soon a whole fleet obeys `reset` and `grant`, and that nothing else changes.

Three proxies with two workers each, one real Redis, 10,000 subjects that ask 3,000 times a second (load.c).  One of them, over its limit,
asks 600 times a second more, on all connections.  An order about it is given over one proxy's admin socket; measured is when its
answer comes, and when the last request was sent, to whichever proxy, that was still refused.

A thousand of the subjects have asked before and do not ask meanwhile: what Redis holds of them in a quota without leases must stay as it is to
the last byte, while beside the load 10,000 times a subject is shown or a request explained, and while the orders are given.  A reset must be one of
all windows at once, and each order stand in the log.

The exit code is 1 when a bound was broken.  Everything stays on loopback.  --write puts the table into docs/operations.md.
"""
import argparse

import entry


def parser():
    made = argparse.ArgumentParser(prog="orders", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("rounds", nargs="?", type=int, default=30, metavar="ROUNDS", help="of each order (30; 100 rounds take six minutes)")
    entry.add_options(made)
    return made
