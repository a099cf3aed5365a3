# SPDX-License-Identifier: Apache-2.0
"""scripts/conformance: all cases, all proxies, and real servers behind Sluice; says and writes down what came of it."""
import collections
import datetime
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

import backends
import case as cases
import log_check
import proxies
import report
import suite
from harness.waiting import PATIENCE_S

# Others may take longer to close a connection that they have refused (nginx waits 5 s for what still comes).
PATIENCE_OTHERS_S = 8


def _chosen(text):
    return [case for case in (*suite.REQUESTS, *suite.RESPONSES) if text in case.name]


def _jobs(chosen, is_sluice, all_cuts):
    jobs = [(case, cut) for case in chosen for cut in suite.CUTS]
    if is_sluice:
        jobs += suite.every_offset(chosen if all_cuts else [c for c in suite.sample(60, 60) if c in chosen])
    return jobs


def _say(text):
    print(text, flush=True)


def _run_proxy(kind, folder, chosen, all_cuts):
    is_sluice = kind is proxies.Sluice
    jobs = _jobs(chosen, is_sluice, all_cuts)
    began = time.monotonic()
    proxy, results, code = suite.drive(kind, folder, jobs, PATIENCE_S if is_sluice else PATIENCE_OTHERS_S)
    row = report.Row(kind.version(), suite.Verdict(results), len(jobs), time.monotonic() - began)
    if is_sluice:
        row.log_faults = log_check.faults_of(proxy.access_log, results)
        if code != 0 or "restart in" in proxy.output():
            row.log_faults.append(f"sluice ended with {code}: {proxy.output()[-2000:]}")
    _say(f"{row.version}: {len(jobs)} runs in {row.seconds:.0f} s")
    for level, (right, total) in (*row.verdict.score(cases.RequestCase).items(), *row.verdict.score(cases.ResponseCase).items()):
        _say(f"  {level:10} {right} of {total}")
    _say(f"  {len(row.verdict.differs)} outcomes depend on the cut, {len(row.verdict.smuggled())} cases with requests that nobody sent")
    return row


def _run_backends(folder, chosen):
    rows = []
    accepted = [c for c in backends.accepted() if c in chosen]
    for kind in backends.ALL:
        if not kind.is_there():
            rows.append((kind.name, None, None, None, f"{kind.program} is not on this machine"))
            continue
        faults, counted, refused = backends.compare(kind, folder, accepted)
        rows.append((kind.name, counted, refused, faults, ""))
        _say(f"{kind.name} behind Sluice: {counted} requests counted, {refused} refused by it, {len(faults)} disagreements")
    return rows


def _commit():
    done = subprocess.run(["git", "log", "-1", "--format=%h"], cwd=proxies.ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def main(options):
    wanted = options.proxies or [kind.name for kind in proxies.ALL]
    unknown = set(wanted) - {kind.name for kind in proxies.ALL}
    if unknown:
        print(f"conformance: no proxy {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    chosen = _chosen(options.case)
    rows, missing = [], []
    with tempfile.TemporaryDirectory(prefix="sluice-conformance-") as folder:
        for kind in (k for k in proxies.ALL if k.name in wanted):
            if kind.version() is None:
                missing.append(kind.name)
                continue
            rows.append(_run_proxy(kind, pathlib.Path(folder), chosen, options.all_cuts))
        backend_rows = _run_backends(pathlib.Path(folder), chosen) if "sluice" in wanted else []
    facts = report.Facts(
        date=datetime.date.today().isoformat(), commit=_commit(), machine=f"{platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}",
        command="scripts/conformance " + " ".join(sys.argv[1:]), missing=missing,
        counts=collections.Counter(type(c).__name__ for c in chosen), offsets="all cases" if options.all_cuts else "120 cases")
    text = report.page(facts, rows, backend_rows)
    if options.write:
        (proxies.ROOT / "docs" / "conformance.md").write_text(text)
    if options.details:
        for row in rows:
            _say("\n".join([f"{row.version}, failed cases:", *report.details(row)]))
    own = [row for row in rows if report.is_sluice(row)]
    wrong = [line for row in own for line in report.own_faults(row)] + [f for row in backend_rows for f in row[3] or ()]
    for line in wrong[:100]:
        _say(f"FAILED {line}")
    if missing:
        _say(f"not installed: {', '.join(missing)} (scripts/install-packages conformance)")
    _say(f"sluice: {len(wrong)} faults" if own else "sluice was not run")
    return 1 if wrong else 0
