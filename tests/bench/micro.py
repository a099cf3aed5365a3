# SPDX-License-Identifier: Apache-2.0
"""What single functions cost: nanoseconds as the clock says, instructions as callgrind counts them."""
import re
import subprocess
import tempfile

PROGRAMS = ("bench_http_head", "bench_route", "bench_quota", "bench_lines")
FEW, MANY = 1000, 5000


def instructions(program, row):
    totals = []
    with tempfile.NamedTemporaryFile() as out:
        for count in (FEW, MANY):
            subprocess.run(["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={out.name}", program, str(row), str(count)],
                           check=True, capture_output=True)
            with open(out.name, encoding="utf-8") as file:
                totals.append(int(re.search(r"^totals: (\d+)", file.read(), re.MULTILINE)[1]))
    return (totals[1] - totals[0]) / (MANY - FEW)


def table(build):
    lines = ["| what | ns | instructions |", "|---|---|---|"]
    for name in PROGRAMS:
        program = build / name
        text = subprocess.run([program], check=True, capture_output=True, text=True).stdout
        for row, (what, ns) in enumerate(line.split("\t") for line in text.splitlines()):
            lines.append(f"| {what} | {float(ns):,.0f} | {instructions(program, row):,.0f} |")
    return "\n".join(lines) + "\n"
