# SPDX-License-Identifier: Apache-2.0
"""The conformance suite against Sluice: every case of tests/conformance in one piece, in two, and byte by byte; 80 short ones cut at every
offset; and the access log against what the upstreams saw."""
import asyncio
import os
import sys

import pytest
from harness.ports import take_port
from harness.waiting import PATIENCE_S

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "conformance"))

import backends  # noqa: E402
import case as cases  # noqa: E402
import log_check  # noqa: E402
import origin  # noqa: E402
import proxies  # noqa: E402
import report  # noqa: E402
import run  # noqa: E402
import suite  # noqa: E402


def judged(folder, jobs):
    proxy, results, code = suite.drive(proxies.Sluice, folder, jobs, PATIENCE_S)
    reports = [report.read_text(errors="replace")[:6000] for report in proxy.folder.glob("sanitizer.*")]
    assert not reports, reports[0]
    assert code == 0, proxy.output()[-4000:]
    assert "restart in" not in proxy.output(), proxy.output()[-4000:]
    verdict = suite.Verdict(results)
    wrong = [f"{level} {result.case.section} {result.case.name!r} ({result.cut}): {why}" for result, level, why in verdict.faults]
    assert not wrong, f"{len(wrong)} faults:\n" + "\n".join(wrong[:40])
    changed = [f"{result.case.name!r} cut at {result.cut}: {result.text()}" for result in verdict.differs]
    assert not changed, f"{len(changed)} outcomes depend on the cut:\n" + "\n".join(changed[:40])
    told = log_check.faults_of(proxy.access_log, results)
    assert not told, f"the log disagrees {len(told)} times:\n" + "\n".join(told[:40])


def test_there_are_enough_cases():
    assert len(suite.REQUESTS) >= 450 and len(suite.RESPONSES) >= 200
    spellings = {c.raw for c in suite.REQUESTS if b"ransfer" in c.raw and c.name.startswith("chunks, ")}
    assert len(spellings) >= 60


async def _pipe(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except ConnectionError:
        pass
    writer.close()


def test_the_judges_see_what_a_blind_pipe_does():
    """Who forwards bytes without reading them is wrong wherever a proxy has a duty."""
    chosen = [*suite.REQUESTS[::20], *suite.RESPONSES[::10]]

    async def lane():
        port, front = take_port(), take_port()

        async def relay(reader, writer):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_pipe(reader, far_writer), _pipe(far_reader, writer))

        await asyncio.start_server(relay, "127.0.0.1", front)
        return run.Lane(("127.0.0.1", front), origin.Origin(port), 0.5)

    async def main():
        lanes = [await lane() for _ in range(suite.LANES)]
        return suite.Verdict(await run.run_all(lanes, [(case, suite.CUTS[0]) for case in chosen]))

    verdict = asyncio.run(main())
    wrong = {result.case.name for result, _, _ in verdict.faults}
    # A response that breaks off is handed on as that, rightly, by a pipe too.
    for kind, share in ((cases.RequestCase, 0.9), (cases.ResponseCase, 0.4)):
        ours = [case for case in chosen if isinstance(case, kind)]
        duties = [case for case in ours if case.level == cases.MUST and not any(isinstance(o, cases.Relay) or (
            isinstance(o, cases.Outcome) and o.refused is None) for o in case.allow)]
        seen = sum(case.name in wrong for case in duties)
        assert seen >= len(duties) * share and len(wrong) < len(chosen), f"{seen} of {len(duties)} faults were seen"


def test_the_log_check_sees_a_line_that_is_missing_and_one_that_lies(tmp_path):
    proxy, results, _ = suite.drive(proxies.Sluice, tmp_path, [(case, suite.CUTS[0]) for case in suite.REQUESTS[:20]], PATIENCE_S)
    assert not log_check.faults_of(proxy.access_log, results)
    lines = proxy.access_log.read_text()
    lie = lines.replace('"path":"/te"', '"path":"/tf"', 1)
    assert lie != lines
    proxy.access_log.write_text(lie)
    assert len(log_check.faults_of(proxy.access_log, results)) == 1
    rows = lines.splitlines(keepends=True)
    last = max(i for i, row in enumerate(rows) if '"path":"/next"' in row)
    proxy.access_log.write_text("".join(rows[:last]))
    assert log_check.faults_of(proxy.access_log, results)


def test_the_report_has_a_line_for_all_that_fail_alike():
    alike = [("request", "MUST", "9110 7.2", f"Host {n}", f"should be refused; upstream saw {n}") for n in range(5)]
    lines = report.failed_alike([*alike, ("request", "MUST", "9110 7.2", "Host |", "should be refused / closed"),
                                 ("request", "SHOULD", "9110 7.2", "Host x", "should be refused"), ("response", "MUST", "9112 4", "a", "b")])
    assert lines[2:] == ["| request | MUST | 9110 7.2 | 6 | should be refused | Host 0, Host 1, Host 2, and 3 more |",
                         "| request | SHOULD | 9110 7.2 | 1 | should be refused | Host x |", "| response | MUST | 9112 4 | 1 | b | a |", ""]


@pytest.mark.slow
@pytest.mark.parametrize("cut", suite.CUTS)
def test_requests(tmp_path, cut):
    judged(tmp_path, [(case, cut) for case in suite.REQUESTS])


@pytest.mark.slow
def test_responses(tmp_path):
    judged(tmp_path, [(case, cut) for case in suite.RESPONSES for cut in suite.CUTS])


@pytest.mark.slow
def test_every_offset(tmp_path):
    chosen = suite.sample(valid=60, bad=20)
    judged(tmp_path, [(case, suite.CUTS[0]) for case in chosen] + suite.every_offset(chosen))


@pytest.mark.parametrize("kind", backends.ALL, ids=lambda kind: kind.name)
def test_backends_count_what_the_log_says(tmp_path, kind):
    if not kind.is_there():
        pytest.skip(f"{kind.program} is not on this machine")
    chosen = backends.accepted()[::8]
    faults, counted, _ = backends.compare(kind, tmp_path, chosen)
    assert not faults, "\n".join(faults[:20])
    assert counted >= len(chosen)
