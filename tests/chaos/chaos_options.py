# SPDX-License-Identifier: Apache-2.0
"""The acceptance tests that take minutes; without a name: all of them.

  fleet    two proxies, one Redis: exactly the limit in each of five whole minutes (6 min)
  leases   four proxies that lease, in peace and with kills: never more than the limit, few operations (6 min)
  exact    two hundred users of four proxies, each request counted in Redis (6 min)
  leased   the same with leases (6 min)
  hunted   the same with a proxy killed every five seconds (6 min)
  sick     a fleet while Redis is stopped, flushed, full, mute, slow or lying (7 min)
  clocks   clocks of the proxies and of Redis that differ and are set by a day (6 min)
  model    the simulation of leases (scripts/simulate) beside one, two and four real proxies (8 min)
  costs    memory and processor time of a subject and a lease (4 min)
  big      a gibibyte up and down with slow sides in little memory
  stop     Redis stands still for 10 s under load, for each on_failure
  kill9    the serving process is killed ten times under load
  reloads  a hundred reloads under load
  store    Redis is flushed, restarted and killed under load
  failover masters are cut off and killed, under Sentinel and in a cluster, with and without `durable` (9 min)
  slow     3,000 clients that hold their connections beside good ones (2 min)
  crowd    more connections, slower readers and more load than a proxy can serve (2 min)

Prints a table each; the exit code is 1 when a bound was broken.  Everything stays on loopback, and only own processes
are killed.  --write puts the tables into docs/chaos.md, those of a fleet into docs/fleet.md.
"""
import argparse

import entry

SCENARIOS = ("fleet", "leases", "exact", "leased", "hunted", "sick", "clocks", "model", "costs", "big",
             "stop", "kill9", "reloads", "store", "failover", "slow", "crowd")


def scenario(name):
    if name not in SCENARIOS:
        raise argparse.ArgumentTypeError(f"no scenario {name!r}: there are {', '.join(SCENARIOS)}")
    return name


def parser():
    made = argparse.ArgumentParser(prog="chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("names", nargs="*", metavar="NAME", type=scenario, help="a scenario")
    entry.add_options(made)
    return made
