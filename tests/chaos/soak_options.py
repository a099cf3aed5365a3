# SPDX-License-Identifier: Apache-2.0
"""Mixed load for a long time, with faults.

One proxy with two workers, a real Redis and two servers behind it.  400 requests a second from 64 connections: a quarter over
the limit, a fifth with a body, sizes up to 64 KiB, a fifth of the bodies in chunks, one in a hundred given up half way.
Meanwhile a reload every 30 s, log rotation every 60 s, Redis killed and started empty every 5 minutes, and every 7 minutes
one server, then both, killed for 2 s.  Judged: no 5xx and no broken answer but from the killed servers, every body as it was
sent, nobody over the limit in any minute, memory flat, descriptors as before, the log gapless.

--write puts the table into docs/soak.md.
"""
import argparse

import entry


def parser():
    made = argparse.ArgumentParser(prog="soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("minutes", nargs="?", type=int, default=10, metavar="MINUTES", help="how long (10)")
    entry.add_options(made)
    return made
