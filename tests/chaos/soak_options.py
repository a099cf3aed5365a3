# SPDX-License-Identifier: Apache-2.0
"""Everything at once, for a long time.

One proxy with two workers, two servers behind it, and a real Redis that keeps what it has counted.  The load: 400 requests a second from
64 connections, a quarter over the limit, a fifth with a body, sizes up to 64 KiB, a fifth of the bodies in chunks, one in a
hundred given up half way, one in twenty on a connection of its own.  Beside it: WebSockets plain and over TLS, event streams, requests over TLS,
malformed requests, and the verbs that look inside.

Meanwhile a reload every 30 s, each with another configuration; log rotation every 60 s, by USR1 and by `sluice log reopen` in turn; Redis
killed every 5 minutes; one server, then both, killed for 2 s every 7 minutes; two other programs take over, early.  (A soak of less
than 15 minutes has Redis and servers killed more often, so that each happens.)

Judged: no 5xx and no broken answer but from the killed servers, every body, message and event as it was sent, nobody over the limit in any
minute, memory flat, descriptors and threads as before, no worker that stands still, the log gapless, and `sluice verify` over
all parts of it clean.

--write puts the table into docs/soak.md.
"""
import argparse

import entry


def parser():
    made = argparse.ArgumentParser(prog="soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("minutes", nargs="?", type=int, default=30, metavar="MINUTES", help="how long (30)")
    entry.add_options(made)
    return made
