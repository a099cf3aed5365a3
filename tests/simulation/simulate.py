# SPDX-License-Identifier: Apache-2.0
"""Tables of what leases cost for fleets that no single machine runs; see scripts/simulate."""
import argparse
import pathlib
import random

from arrivals import Poisson
from lease_model import Model

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "fleet.md"
PROXIES = (1, 4, 16, 64, 256)
LIMITS = (100, 1000, 10_000, 100_000, 1_000_000, 60_000_000)
CASES = (("even", 0.5), ("even", 2), ("even", 10), ("skewed", 2))
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


MIX = ((0.90, 100_000), (0.09, 10_000), (0.01, 100))  # of the decisions on subjects with such limits
PLANNED_PROXIES, PLANNED_PER_S = 64, 1_000_000


def plan(seed):
    """What a fleet that decides a million times a second asks of Redis."""
    lines = ["| decisions a second | limit a minute | operations for each, demand 0.5 × | demand 2 × | operations a second, 0.5 × | 2 × |",
             "|---|---|---|---|---|---|"]
    sums = [0.0, 0.0]
    for part, limit in MIX:
        shares = [row(limit, PLANNED_PROXIES, times, "even", seed)["per_request"] for times in (0.5, 2)]
        each = [part * PLANNED_PER_S * share for share in shares]
        sums = [a + b for a, b in zip(sums, each)]
        lines.append(f"| {part * PLANNED_PER_S:,.0f} | {limit:,} | {shares[0]:.3%} | {shares[1]:.3%} | {each[0]:,.0f} | {each[1]:,.0f} |")
    lines.append(f"| {PLANNED_PER_S:,} | | | | {sums[0]:,.0f} | {sums[1]:,.0f} |")
    return "\n".join(lines)


def report(seed):
    parts = ["The second of two windows of 60 s, round trip 1 ms; in each cell: operations of Redis for each request (in the window) / of what could have "
             f"been admitted, not admitted / the most that all proxies held at once, of the limit.  `scripts/simulate --seed {seed}`."]
    for balance, times in CASES:
        parts.append(f"Demand {times:g} times the limit, {balance} balance:\n\n{table(times, balance, seed)}")
    parts.append(f"A million decisions a second at {PLANNED_PROXIES} proxies:\n\n{plan(seed)}")
    return "\n\n".join(parts) + "\n"


def write(text):
    begin, end = "<!-- simulate begin -->", "<!-- simulate end -->"
    head, _, rest = PAGE.read_text().partition(begin)
    PAGE.write_text(f"{head}{begin}\n{text}{end}{rest.partition(end)[2]}")


def main():
    options = argparse.ArgumentParser(prog="simulate", description="Simulates the lease protocol (tests/simulation/lease_model.py) for fleets of up to "
                                      "256 proxies: what Redis is asked for, what is not admitted though it could be, what lies in leases.")
    options.add_argument("--seed", type=int, default=20261128)
    options.add_argument("--write", action="store_true", help="put the tables into docs/fleet.md")
    options = options.parse_args()
    text = report(options.seed)
    print(text, end="")
    if options.write:
        write(text)
