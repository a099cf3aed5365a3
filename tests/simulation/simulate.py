# SPDX-License-Identifier: Apache-2.0
"""Tables of what leases cost for fleets that no single machine runs; see scripts/simulate."""
import argparse
import random
import time

from arrivals import Poisson
from lease_model import Model

PROXIES = (1, 4, 16, 64, 256)
LIMITS = (100, 1000, 10_000, 100_000, 1_000_000, 60_000_000)
BALANCES = {"even": lambda n: 1, "skewed": lambda n: 1 / (n + 1)}


def one(limit, proxies, times, balance, seed, windows=2, window_s=60, round_trip_s=0.001):
    """The last of the windows, when rates are known; demand: times the limit."""
    rng = random.Random(f"{seed}/{limit}/{proxies}/{times}/{balance}")
    weights = [BALANCES[balance](n) for n in range(proxies)]
    rate = limit * times / window_s
    arrivals = [Poisson(rng, rate * weight / sum(weights), windows * window_s) for weight in weights]
    return Model(limit, window_s, arrivals, round_trip_s).run(windows)[-1]


def row(limit, proxies, times, balance, seed):
    told = one(limit, proxies, times, balance, seed)
    asked = told["admitted"] + told["denied"]
    return {"asked": asked, "operations": told["operations"], "per_request": told["operations"] / max(1, asked),
            "unused": max(0, min(limit, asked) - told["admitted"]) / limit, "held_most": told["held_most"] / limit}


def table(times, balance, seed):
    head = ["limit a minute"] + [f"{n} prox{'y' if n == 1 else 'ies'}" for n in PROXIES]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for limit in LIMITS:
        cells = []
        for proxies in PROXIES:
            found = row(limit, proxies, times, balance, seed)
            cells.append(f"{found['per_request']:.3%} ({found['operations']:,}) / {found['unused']:.2%} / {found['held_most']:.0%}")
        lines.append(f"| {limit:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    options = argparse.ArgumentParser(prog="simulate", description="Simulates the lease protocol (tests/simulation/lease_model.py) for fleets of up to "
                                      "256 proxies: for each limit and fleet operations of Redis per request (in all) / of what could have been "
                                      "admitted, not admitted / the most that all held at once, of the limit.")
    options.add_argument("--seed", type=int, default=20261128)
    options = options.parse_args()
    for balance in BALANCES:
        for times in (0.5, 2, 10):
            begin = time.monotonic()
            print(f"\nDemand {times:g} times the limit, {balance} balance:\n\n{table(times, balance, options.seed)}", flush=True)
            print(f"\n({time.monotonic() - begin:.0f} s)")
