# SPDX-License-Identifier: Apache-2.0
"""Runs the scenarios and tells what they found; see chaos_options.py."""
import importlib
import itertools
import shlex
import traceback

import fleet_plot
import report
import rig
from chaos_options import SCENARIOS
from harness.waiting import wait_for_room

PAGE = rig.ROOT / "docs" / "chaos.md"
LONGEST_S = 900


def run(name, options):
    scenario = importlib.import_module(f"scenario_{name.replace('-', '_')}")
    wait_for_room(86400, LONGEST_S)  # counters of a day are compared: no scenario runs over midnight (UTC)
    print(f"{name}: {scenario.__doc__}", flush=True)
    world, judge, weather = rig.World(name, options.short), rig.Judge(name), report.Weather()
    try:
        scenario.run(world, judge)
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc()
        judge.check("the scenario ran to its end", traceback.format_exc(limit=0).strip().split("\n")[0][:200], "yes", False)
    finally:
        judge.note(f"The machine meanwhile: {weather.stop()}.")
        world.end(options.keep)
    report.print_table(judge)
    if options.keep:
        print(f"  files: {world.folder}")
    if options.write and not options.short:
        command = shlex.join(["scripts/chaos", name])
        page = getattr(scenario, "PAGE", PAGE)
        report.write_section(page, name, report.section(judge, command, options.build, scenario.__doc__))
        fleet_plot.write(page.parent, judge.plots)
    print(f"{name}: {'kept' if judge.is_kept else 'BROKEN'}\n", flush=True)
    return judge.is_kept


def main(options):
    results = {name: run(name, options) for name in list(itertools.chain.from_iterable(options.names)) or SCENARIOS}
    broken = [name for name, is_kept in results.items() if not is_kept]
    print(f"{len(results) - len(broken)} kept, {len(broken)} broken{': ' + ', '.join(broken) if broken else ''}")
    return 1 if broken else 0
