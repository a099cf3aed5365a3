# SPDX-License-Identifier: Apache-2.0
"""From figures to tables: a table per scenario, and first of all what must hold and whether it does."""
import dataclasses
import statistics

import scenarios

LEAST = "p99 least"  # of the rounds
COLUMNS = (  # name in the figures, title, digits
    ("rps", "requests/s", 0), ("busy", "of its processor", 2), ("rps_share", "requests/s with a share of it", 0), ("us", "CPU µs/{unit}", 2), ("us_user", "of it user", 2), ("us_kernel", "kernel", 2),
    ("insn_u", "instr user/{unit}", 0), ("insn_k", "instr kernel/{unit}", 0), ("insn_all", "instr user and kernel/{unit}, emulated", 0), ("kcycles", "kcycles/{unit}", 1),
    ("syscalls", "syscalls/{unit}", 2), ("syscalls_share", "syscalls/{unit} with a share", 2), ("allocations", "allocations/{unit}", 2), ("redis", "Redis scripts/req", 2),
    ("p50", "p50 µs", 0), ("p99", "p99 µs, median of the rounds", 0), (LEAST, "p99 µs, least", 0))

NO_SHARE = "open: no control groups for processors here"
STEADY_MAX = 0.05  # allocations: connections are opened in the long run and in the short one, not always as many


@dataclasses.dataclass
class Result:
    """What was measured of a scenario.  figures: of each peer, a dict per round; likewise latencies."""
    scenario: scenarios.Scenario
    figures: dict
    latencies: dict
    rate: float
    voids: list
    versions: dict

    def values(self, peer, column):
        if column == LEAST:
            rounds = self.values(peer, "p99")
            return [min(rounds)] if rounds else []
        return [row[column] for row in (*self.figures.get(peer, ()), *self.latencies.get(peer, ())) if column in row]

    def median(self, peer, column):
        values = self.values(peer, column)
        return statistics.median(values) if values else None

    def rivals(self):
        return [peer for peer in self.figures if peer not in ("sluice", "sluice1", "forward", "memory", "relay")]

    def best(self, column, is_most=False):
        """The best of the other proxies in a column."""
        return (max if is_most else min)(self.rivals(), key=lambda peer: self.median(peer, column))

    def paired(self, peer, column):
        """Ratios of Sluice to a peer within each round."""
        return [mine / theirs for mine, theirs in zip(self.values("sluice", column), self.values(peer, column)) if theirs]

    def instructions(self, peer):
        """User and kernel, on this machine or emulated; the user's alone where nobody counts the kernel's."""
        user, kernel = self.median(peer, "insn_u"), self.median(peer, "insn_k")
        return user + kernel if kernel else self.median(peer, "insn_all") or user

    def counts_kernel(self):
        return bool(self.median("sluice", "insn_k") or self.median("sluice", "insn_all"))


def is_settled(values, near):
    """The least three lie within that factor: the least is what an undisturbed round gives, and no stroke of luck."""
    least = sorted(values)[:3]
    return len(least) == 3 and least[2] <= near * least[0]


def number(value, digits):
    return "-" if value is None else f"{value:,.{digits}f}"


def spread(ratios):
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else "-"


def table(result):
    columns = [c for c in COLUMNS if any(result.values(peer, c[0]) for peer in result.figures)]
    titles = [title.format(unit=result.scenario.unit()) for _, title, _ in columns]
    titles += ["CPU time: Sluice against it (paired)", "p99, least: Sluice against it", "instructions: Sluice against it"]
    lines = [f"### {result.scenario.name}", "", result.scenario.job[0].upper() + result.scenario.job[1:] + "."
             + (f"  Latencies at {result.rate:,.0f} requests a second for each." if result.rate else ""), ""]
    lines += [f"Void and repeated: {void}.\n" for void in result.voids]
    lines += ["| proxy | " + " | ".join(titles) + " |", "|---|" + "---|" * len(titles)]
    for peer in result.figures:
        cells = [number(result.median(peer, column), digits) for column, _, digits in columns]
        mine, theirs = result.instructions("sluice"), result.instructions(peer)
        cells += [spread(result.paired(peer, column)) if peer != "sluice" else "1" for column in ("us", LEAST)]
        cells += [f"{mine / theirs:.2f}" if peer != "sluice" and theirs else "1" if peer == "sluice" else "-"]
        lines.append(f"| {result.versions[peer]}{' (1)' if sum(result.values(peer, 'lost')) else ''} | " + " | ".join(cells) + " |")
    lost = {result.versions[peer]: sum(result.values(peer, "lost")) for peer in result.figures}
    lines += [f"\n(1) {name}: {count} log lines were never written." for name, count in lost.items() if count]
    return "\n".join(lines) + "\n"


# ---- what must hold ----

@dataclasses.dataclass(frozen=True)
class Row:
    scenario: str
    what: str
    must: str
    measured: str
    met: str


def verdict(is_met):
    return "yes" if is_met else "**no**"


def at_most(scenario, what, limit, value, digits=2, unit=""):
    return Row(scenario, what, f"≤ {limit:,}{unit}", f"{value:,.{digits}f}{unit}", verdict(value <= limit))


def instructions_against(results, scenario, peer, limit):
    """Where the kernel's are not counted, the user's alone flatter, and CPU time, which has both, decides with them."""
    result = results[scenario]
    ratio = result.instructions("sluice") / result.instructions(peer)
    what = f"instructions against {result.versions[peer]}"
    if result.counts_kernel():
        return at_most(scenario, what, limit, ratio, unit=" ×")
    cpu = statistics.median(result.paired(peer, "us"))
    met = "yes" if max(ratio, cpu) <= limit else "**no**" if min(ratio, cpu) > limit else "open: kernel instructions are not counted here"
    return Row(scenario, what, f"≤ {limit} ×", f"user alone {ratio:.2f} ×; CPU time {cpu:.2f} ×", met)


def cpu_against(results, scenario, peer, limit):
    result = results[scenario]
    peer = peer or result.best("us")
    return at_most(scenario, f"CPU time a {'MiB' if result.scenario.per_mib else 'request'} against {result.versions[peer]} (paired)", limit,
                   statistics.median(result.paired(peer, "us")), unit=" ×")


def user_instructions(results, scenario, limit):
    return at_most(scenario, "Sluice's own user instructions", limit, results[scenario].median("sluice", "insn_u"), 0)


def system_calls(results, scenario, limit):
    """Where the proxy is what limits: one that waits for the load finds fewer events at once, and looks more often."""
    result = results[scenario]
    what = f"system calls a request, with {result.scenario.share} of a processor"
    if result.median("sluice", "syscalls") is None:  # nobody counts them here
        return None
    count = result.median("sluice", "syscalls_share")
    return Row(scenario, what, f"≤ {limit}", "-", NO_SHARE) if count is None else at_most(scenario, what, limit, count)


def throughput(results, scenario):
    """Compared where the proxies are what limits: free, or each with a share of its processor."""
    result = results[scenario]
    share = result.scenario.share
    if share == 1:
        return faster(result, "rps", "throughput")
    what = f"throughput with {share} of a processor"
    if result.median("sluice", "rps_share") is None:
        return Row(scenario, what, "> 1 ×", "-", NO_SHARE)
    return faster(result, "rps_share", what)


def faster(result, column, what):
    peer = result.best(column, True)
    ratio = statistics.median(result.paired(peer, column))
    return Row(result.scenario.name, f"{what} against {result.versions[peer]} (paired)", "> 1 ×", f"{ratio:.2f} ×", verdict(ratio > 1))


def throughput_of_the_load(results, scenario):
    """Told, not judged: there the load's processor is what limits."""
    result = results[scenario]
    if result.scenario.share == 1:
        return None
    peer = result.best("rps", True)
    return Row(scenario, f"throughput against {result.versions[peer]} (paired), the load at its limit", "-",
               f"{statistics.median(result.paired(peer, 'rps')):.2f} ×", "-")


def tail(results, scenario):
    """By the least disturbed rounds: what the host takes away comes on top for whoever runs then, and never off."""
    result = results[scenario]
    peer = result.best(LEAST)
    return at_most(scenario, f"p99 latency against {result.versions[peer]} (least of the rounds)", 1.15,
                   result.median("sluice", LEAST) / result.median(peer, LEAST), unit=" ×")


def per_cpu(results, scenario, peer):
    """How many a processor does in a second, beside what the other one does: CPU time is all that is asked of it."""
    result = results[scenario]
    ratio = 1 / statistics.median(result.paired(peer, "us"))
    mine, theirs = (1e6 / result.median(name, "us") for name in ("sluice", peer))
    what = "TLS handshakes" if result.scenario.is_handshakes() else "TLS requests"
    return Row(scenario, f"{what} a second of CPU time against {result.versions[peer]} (paired)", "≥ 1 ×",
               f"{ratio:.2f} × ({mine:,.0f} beside {theirs:,.0f})", verdict(ratio >= 1))


def limits_and_log(results):
    """What a quota and the log add to forwarding, in the same rounds."""
    return instructions_against(results, "local", "forward", 1.12)


def token(results):
    return at_most("token", "instructions against local", 1.3,
                   results["token"].instructions("sluice") / results["local"].instructions("sluice"), unit=" ×")


def two_workers(results):
    result = results["two"]
    return at_most("two", "user instructions against one worker", 1.05,
                   result.median("sluice", "insn_u") / result.median("sluice1", "insn_u"), unit=" ×")


def embedded(results):
    """Leases from Redis beside the embedded store."""
    ratio = statistics.median(results["leased"].paired("memory", "rps"))
    return Row("leased", "throughput against the embedded store (paired)", "≥ 0.97 ×", f"{ratio:.2f} ×", verdict(ratio >= 0.97))


def floor(results):
    ratio = statistics.median(results["plain"].paired("relay", "us"))
    return Row("plain", "CPU time against the do-nothing relay (paired)", "-", f"{ratio:.2f} ×", "-")


def rows(results, idle_kib, window_bytes):
    """Every row whose scenarios were measured; idle_kib and window_bytes: None when they were not."""
    wanted = [
        ("plain", lambda: instructions_against(results, "plain", "nginx", 0.70)),
        ("plain", lambda: cpu_against(results, "plain", "nginx", 0.80)),
        ("plain", lambda: user_instructions(results, "plain", 7000)),
        ("plain", lambda: system_calls(results, "plain", 4.3)),
        ("plain", lambda: floor(results)),
        ("local", lambda: instructions_against(results, "local", "nginx", 0.60)),
        ("local", lambda: cpu_against(results, "local", "nginx", 0.75)),
        ("local", lambda: user_instructions(results, "local", 8500)),
        ("local", lambda: limits_and_log(results)),
        ("redis", lambda: instructions_against(results, "redis", "lua", 0.45)),
        ("leased", lambda: embedded(results)),
        ("leased", lambda: instructions_against(results, "leased", "lua", 0.35)),
        ("refuse", lambda: instructions_against(results, "refuse", "haproxy", 0.45)),
        ("refuse", lambda: cpu_against(results, "refuse", None, 0.65)),
        ("refuse", lambda: user_instructions(results, "refuse", 4000)),
        ("large", lambda: cpu_against(results, "large", "haproxy", 0.65)),
        ("many", lambda: at_most("many", "bytes a subject-window at a million subjects", 96, window_bytes, 1)),
        ("two", lambda: two_workers(results)),
    ]
    wanted += [(scenario, lambda s=scenario, p=peer, judge=judge: judge(results, s, p)) for scenario in results
               if scenarios.SCENARIOS[scenario].tls for peer in results[scenario].rivals()
               for judge in (per_cpu, lambda *of: instructions_against(*of, 1.0))]
    found = [make() for scenario, make in wanted if scenario in results]
    if {"token", "local"} <= set(results):
        found.append(token(results))
    if idle_kib is not None:
        found.append(at_most("idle", "KiB a connection", 0.50, idle_kib))
    for scenario in results:
        spec = scenarios.SCENARIOS[scenario]
        if not spec.tls:  # OpenSSL allocates for each record
            allocations = results[scenario].median("sluice", "allocations")
            found.append(Row(scenario, "allocations a request, steady", "0", f"{allocations:.2f}", verdict(allocations < STEADY_MAX)))
        if not spec.is_handshakes():  # they cost the load more than the proxy: its processor would be measured
            found += [throughput(results, scenario), throughput_of_the_load(results, scenario), tail(results, scenario)]
    return [row for row in found if row]


def summary(found):
    order = {name: index for index, name in enumerate(scenarios.SCENARIOS)}
    lines = ["### What must hold", "", "| scenario | what | must | measured | met |", "|---|---|---|---|---|"]
    lines += [f"| {row.scenario} | {row.what} | {row.must} | {row.measured} | {row.met} |"
              for row in sorted(found, key=lambda row: order[row.scenario])]
    return "\n".join(lines) + "\n"
