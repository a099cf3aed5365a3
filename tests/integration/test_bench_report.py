# SPDX-License-Identifier: Apache-2.0
"""What scripts/bench says about what it has measured: the verdicts, on made-up figures, and a picture that can be read."""
import os
import pathlib
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
import measure  # noqa: E402
import peers  # noqa: E402
import plot  # noqa: E402
import priority  # noqa: E402
import report  # noqa: E402
import scenarios  # noqa: E402


def result(name, columns, more=None):
    """columns: {proxy: CPU µs}; user instructions are a thousand times that, unless `more` has others."""
    figures = {peer: [{"us": us * phase, "rps": 1e6 / us / phase, "insn_u": us * 1000, "syscalls": 4.1, "allocations": 0.0} | (more or {}).get(peer, {})
                      for phase in (1, 2, 1)] for peer, us in columns.items()}
    latencies = {peer: [{"p50": us * 10, "p99": us * 100}] * 3 for peer, us in columns.items()}
    return report.Result(scenarios.SCENARIOS[name], figures, latencies, 1000, [], {peer: f"{peer} 1.0" for peer in columns})


def met(results, what, idle_kib=None):
    (row,) = [row for row in report.rows(results, idle_kib, 75.9) if row.what.startswith(what)]
    return row.met


PLAIN = {"sluice": 6, "nginx": 10, "haproxy": 9, "relay": 4}


def test_phases_of_the_machine_fall_out_of_paired_ratios():
    assert report.spread(result("plain", PLAIN).paired("nginx", "us")) == "0.60 (0.60 to 0.60)"


@pytest.mark.parametrize("sluice, cpu, expected", [
    (7000, 6, "yes"), (7001, 6, "open: kernel instructions are not counted here"),
    (6000, 7.1, "open: kernel instructions are not counted here"), (7001, 7.1, "**no**")])
def test_instructions_without_the_kernels_are_judged_with_cpu_time(sluice, cpu, expected):
    found = result("plain", PLAIN | {"sluice": cpu}, {"sluice": {"insn_u": sluice}})
    assert met({"plain": found}, "instructions against nginx") == expected


@pytest.mark.parametrize("kernel, expected", [(8000, "yes"), (8001, "**no**")])
def test_instructions_with_the_kernels_are_judged_alone(kernel, expected):
    found = result("plain", PLAIN, {"sluice": {"insn_u": 6000, "insn_k": kernel}, "nginx": {"insn_k": 10000}})
    assert met({"plain": found}, "instructions against nginx") == expected


@pytest.mark.parametrize("emulated, expected", [(14000, "yes"), (14001, "**no**")])
def test_instructions_counted_in_the_emulated_machine_are_judged_alone(emulated, expected):
    """CPU time that would not hold, and user instructions that would, change nothing."""
    found = result("plain", PLAIN | {"sluice": 9}, {"sluice": {"insn_u": 1, "insn_all": emulated}, "nginx": {"insn_all": 20000}})
    assert met({"plain": found}, "instructions against nginx") == expected


def test_the_best_other_proxy_counts_and_never_the_relay_or_ourselves():
    found = result("plain", PLAIN)
    assert (found.best("us"), found.best("rps", True), found.best("p99")) == ("haproxy", "haproxy", "haproxy")
    assert met({"local": result("local", {"sluice": 6, "forward": 5, "nginx": 10, "haproxy": 9})}, "throughput against haproxy") == "yes"
    assert met({"local": result("local", {"sluice": 9, "forward": 5, "nginx": 10, "haproxy": 9})}, "throughput") == "**no**"
    assert met({"plain": result("plain", PLAIN | {"sluice": 10.4})}, "p99 latency") == "**no**"
    assert set(result("local", {"sluice": 1, "forward": 1, "nginx": 2}).rivals()) == {"nginx"}


def test_latencies_are_judged_by_the_round_that_was_disturbed_least():
    """What the host takes away comes on top for whoever runs then: a round that went wrong says nothing of a proxy."""
    found = result("plain", PLAIN)
    for peer, values in {"sluice": (9000, 700, 110, 800, 105), "nginx": (400, 3000, 450, 420, 400), "haproxy": (100, 700, 100, 300, 97)}.items():
        found.latencies[peer] = [{"p50": 10, "p99": value} for value in values]
    (row,) = [row for row in report.rows({"plain": found}, None, None) if row.what.startswith("p99 latency")]
    assert (row.what, row.measured, row.met) == ("p99 latency against haproxy 1.0 (least of the rounds)", "1.08 ×", "yes")
    assert "| 700 | 105 |" in report.table(found)


@pytest.mark.parametrize("values, is_settled", [([100, 300, 104, 105], True), ([100, 300, 104, 106], False), ([100, 100], False)])
def test_rounds_go_on_until_the_least_is_no_stroke_of_luck(values, is_settled):
    assert report.is_settled(values, 1.05) == is_settled


def test_lines_that_another_proxy_lost_are_told():
    found = result("two", {"sluice": 6, "sluice1": 6, "nginx": 10, "haproxy": 12}, {"haproxy": {"lost": 1}})
    table = report.table(found)
    assert "| haproxy 1.0 (1) |" in table and "(1) haproxy 1.0: 3 log lines were never written." in table
    assert "sluice 1.0 (1)" not in table and table.count("never written") == 1


class LogOf:
    """A proxy whose log has so many lines."""

    def __init__(self, lines, log_loss_max):
        self.name, self.scenario, self.lines, self.log_loss_max = "it", scenarios.SCENARIOS["two"], [lines], log_loss_max

    def new_log_lines(self):
        return self.lines.pop() if self.lines else 0


@pytest.mark.parametrize("lines, loss_max, lost", [(1000, 0, 0), (999, 0, None), (1001, 0, None), (1001, 0.001, None), (999, 0.001, 1), (998, 0.001, None)])
def test_lost_lines_of_ours_are_void(monkeypatch, lines, loss_max, lost):
    clock = iter(range(1000))
    monkeypatch.setattr(measure.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(measure.time, "sleep", lambda _: None)
    if lost is None:
        with pytest.raises(measure.Void):
            measure.check_log(LogOf(lines, loss_max), 1000)
    else:
        assert measure.check_log(LogOf(lines, loss_max), 1000) == lost


def test_only_the_other_proxies_may_lose_lines():
    assert {name for name, kind in peers.KINDS.items() if kind.log_loss_max} == {"haproxy", "splice"}


def test_allocations_are_none():
    assert met({"plain": result("plain", PLAIN)}, "allocations") == "yes"
    assert met({"plain": result("plain", PLAIN, {"sluice": {"allocations": 1.0}})}, "allocations") == "**no**"


def test_rows_of_several_scenarios():
    results = {"local": result("local", {"sluice": 6, "forward": 5.5, "nginx": 10, "haproxy": 12}),
               "token": result("token", {"sluice": 7.9, "nginx": 10, "haproxy": 12}),
               "two": result("two", {"sluice": 6.4, "sluice1": 6, "nginx": 10, "haproxy": 12})}
    assert met(results, "instructions against local") == "**no**"
    assert met(results, "user instructions against one worker") == "**no**"
    assert met(results, "instructions against forward") == "yes"
    assert met(results, "KiB a connection", 0.34) == "yes"
    assert met(results, "KiB a connection", 0.51) == "**no**"
    text = report.summary(report.rows(results, 0.34, 75.9))
    assert text.index("| local |") < text.index("| token |") < text.index("| two |") < text.index("| idle |")


@pytest.mark.parametrize("name, what", [("secure", "TLS requests"), ("handshake", "TLS handshakes"), ("resume", "TLS handshakes")])
@pytest.mark.parametrize("sluice, verdict", [(9, "yes"), (9.1, "**no**")])
def test_what_a_processor_does_over_tls_is_no_less_than_either_of_the_others(name, what, sluice, verdict):
    results = {name: result(name, {"sluice": sluice, "nginx": 9, "haproxy": 12})}
    assert met(results, f"{what} a second of CPU time against nginx") == verdict
    assert met(results, f"{what} a second of CPU time against haproxy") == "yes"
    assert met(results, "instructions against nginx") == verdict
    rows = report.rows(results, None, 75.9)
    assert not any(row.what.startswith("allocations") for row in rows), "OpenSSL's are not ours"
    assert any(row.what.startswith("throughput") for row in rows) == (name == "secure"), "of handshakes it would be the load's"
    (row,) = [row for row in rows if row.what.startswith(what) and "nginx" in row.what]
    assert row.must == "≥ 1 ×" and f"({1e6 / sluice:,.0f} beside 111,111)" in row.measured


def test_tables_and_picture():
    results = {"plain": result("plain", PLAIN), "large": result("large", {"sluice": 1, "nginx": 9, "haproxy": 2, "splice": 3})}
    table = report.table(results["plain"])
    assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) == 1
    assert "| sluice 1.0 | " in table
    picture = ElementTree.fromstring(plot.draw(results, "a <note> & more"))
    bars = picture.findall("{http://www.w3.org/2000/svg}rect")
    assert len(bars) == 2 * 8
    assert all(float(bar.get("x")) + float(bar.get("width")) <= plot.WIDTH for bar in bars)
    assert any("9.0 ×, cut" in (text.text or "") for text in picture.iter("{http://www.w3.org/2000/svg}text"))


@pytest.mark.parametrize("shared, expected", [(1.01, "yes"), (0.99, "**no**"), (None, "open: no control groups for processors here")])
def test_where_the_load_is_what_limits_throughput_is_judged_with_a_share_of_a_processor(shared, expected):
    """Free throughput, here half of the other's, is told and not judged."""
    found = result("churn", {"sluice": 20, "nginx": 11, "haproxy": 10})
    for peer, factor in (("sluice", shared), ("nginx", 0.5), ("haproxy", 1)):
        if shared is not None:
            found.figures[peer] += [{"rps_share": 1000 * factor}] * 3
    assert met({"churn": found}, "throughput with 0.4 of a processor") == expected
    (free,) = [row for row in report.rows({"churn": found}, None, None) if "the load at its limit" in row.what]
    assert (free.measured, free.met) == ("0.50 ×", "-")


@pytest.mark.parametrize("calls, expected", [(4.3, "yes"), (4.31, "**no**")])
def test_system_calls_are_counted_where_the_proxy_is_what_limits(calls, expected):
    found = result("plain", PLAIN, {"sluice": {"syscalls": 5}})
    assert met({"plain": found}, "system calls") == "open: no control groups for processors here"
    found.figures["sluice"] += [{"syscalls_share": calls}] * 3
    assert met({"plain": found}, "system calls a request, with 0.4 of a processor") == expected


def test_a_share_of_a_processor_is_enforced_and_given_back():
    share = priority.Share(0.2)
    if not share.is_had():
        share.close()
        pytest.skip("no control groups for processors here")
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as spinner:
        try:
            share.take([spinner.pid])
            assert str(spinner.pid) in (share.folder / "cgroup.procs").read_text().split()
            stat = share.folder / "cpu.stat"
            deadline = time.monotonic() + 20
            while not re.search(r"^nr_throttled [1-9]", stat.read_text(), re.M):
                assert time.monotonic() < deadline, stat.read_text()
                time.sleep(0.02)
        finally:
            try:
                share.close()
            finally:
                spinner.kill()
    assert not share.folder.exists()


def test_what_takes_part_runs_first_and_only_while_it_is_measured():
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            with priority.first([process.pid]) as before:
                if not before:
                    pytest.skip("not allowed here")
                assert os.sched_getscheduler(process.pid) == os.SCHED_FIFO
            assert os.sched_getscheduler(process.pid) == os.SCHED_OTHER
        finally:
            process.kill()
