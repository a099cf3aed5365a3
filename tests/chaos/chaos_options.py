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
  kill9    the serving process, then all of the service, is killed twenty times under load (6 min)
  reloads  five hundred reloads under load (6 min)
  checks   two hundred runs of `sluice check` beside a thousand new connections a second (1 min)
  broken   fifty reloads of broken files under load (1 min)
  logs     a million lines over thirty rotations, hostile bytes, a stalled reader, a full disk (6 min)
  offline  what the logs of four proxies prove, and what a replay of a million lines foretells (12 min)
  shadow   a quota in shadow foretells what it denies when it is enforced: 200,000 requests each, over both stores (3 min)
  drain    TERM with 200 responses in flight and 500 idle connections
  upgrades twenty programs take over from each other under load, others fail at it at many stages (4 min)
  store    Redis is flushed, restarted and killed under load
  failover masters are cut off and killed, under Sentinel and in a cluster, with and without `durable` (9 min)
  slow     3,000 clients that hold their connections beside good ones (2 min)
  series   100,000 users, paths, methods and hosts, and 10,000 routes: how large and slow the metrics page is (1 min)
  crowd    more connections, slower readers and more load than a proxy can serve (2 min)
  backends in front of real servers, which are (about eight minutes):
    servers       one of three servers is killed at 3,000 requests a second; all three fail (1 min)
    idle-close    servers close idle connections after random 0 to 50 ms (40 s)
    names         a name moves; its resolver is dead for a minute, then answers in 5 s (2 min)
    streams       500 event streams, each event on time (1 min)
    slow-readers  200 clients that read 1 KiB/s of large bodies, plain and over TLS (1 min)
    aborts        10,000 aborted transfers of every kind (1 min)
    certificates  certificates are replaced a hundred times under load (30 s)
    websocket     10,000 messages of a real client and server, close codes, drain (20 s)

Prints a table each; the exit code is 1 when a bound was broken.  Everything stays on loopback, and only own processes
are killed.  --write puts the tables into docs/chaos.md, those of a fleet into docs/fleet.md, those of backends into
docs/backends.md, those of logs and offline into docs/logs.md.
"""
import argparse

import entry

BACKENDS = ("servers", "idle-close", "names", "streams", "slow-readers", "aborts", "certificates", "websocket")
SCENARIOS = ("fleet", "leases", "exact", "leased", "hunted", "sick", "clocks", "model", "costs", "big",
             "stop", "kill9", "reloads", "checks", "broken", "drain", "upgrades", "logs", "offline", "shadow", "store", "failover", "slow", "crowd", "series", *BACKENDS)
GROUPS = {"backends": BACKENDS}


def scenario(name):
    """The scenarios of a name, which may be that of a group."""
    if name not in SCENARIOS and name not in GROUPS:
        raise argparse.ArgumentTypeError(f"no scenario {name!r}: there are {', '.join((*SCENARIOS, *GROUPS))}")
    return GROUPS.get(name, (name,))


def parser():
    made = argparse.ArgumentParser(prog="chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("names", nargs="*", metavar="NAME", type=scenario, help="a scenario, or a group of them")
    made.add_argument("--short", action="store_true", help="a tenth of the time and of the numbers, where a scenario can")
    entry.add_options(made)
    return made
