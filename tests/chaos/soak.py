# SPDX-License-Identifier: Apache-2.0
"""The soak; see soak_options.py."""
import time
import traceback

import report
import rig
import soak_judge
import soak_visitors
from soak_faults import Faults
from soak_reads import Reads
from soak_world import PLAIN, Place, Sizes

PAGE = rig.ROOT / "docs" / "soak.md"
RATE_PER_S, CONNECTIONS, USERS = 400, 64, 400
HOT_PERMILLE = 258      # so that a quarter is refused
SAMPLE_S = 5
POOL_IDLE_S = 6         # pooled connections of the questions are gone
SEED = 20260107


def held(proxy):
    return [proxy.descriptors(), proxy.memory_kib("Threads"), proxy.descriptors(proxy.pid)]


def tell_lag(values, judge):
    """What the last program says itself of how long its threads did not get to their timers; the machine is in it."""
    count, within = (values.get(f"sluice_loop_lag_seconds_{name}") for name in ("count", 'bucket{le="0.05"}'))
    if within is not None:
        judge.tell("timers of the last program that came more than 50 ms late, as it says itself", f"{count - within:,.0f} of {count:,.0f}")


def go_on(place, faults, minutes):
    """Until the time is over; gives what was held meanwhile."""
    sizes = Sizes(place.proxy)
    while time.monotonic() < sizes.began + minutes * 60:
        faults.run_due()
        sizes.sample()
        time.sleep(SAMPLE_S)
    return sizes


def run(world, judge, minutes):
    place = Place(world)
    proxy = place.proxy
    rig.wait_for(lambda: rig.counts_in_redis(proxy), "the proxy counts in Redis")
    time.sleep(POOL_IDLE_S)
    before, children = held(proxy), {proxy.child}
    load = world.load("soak", [place.ports[PLAIN]], "-c", CONNECTIONS, "-r", RATE_PER_S, "-d", 10 * minutes * 60, "-s", SEED, "-u", USERS,
                      "-k", HOT_PERMILLE, "-b", 65536, "-w", 200, "-x", 200, "-a", 10, "-n", 50)
    visitors, reads, faults = soak_visitors.start_all(place), Reads(proxy), Faults(place, minutes)
    sizes = go_on(place, faults, minutes)
    reads.stop()
    for visitor in visitors.values():
        visitor.stop()
    totals = load.stop()
    faults.finish()
    time.sleep(POOL_IDLE_S)
    after, children = held(proxy), children | set(sizes.of) | {proxy.child}
    values = proxy.metrics()
    open_now = {name: int(values["sluice_" + name]) for name in ("connections_open", "exchanges_open", "upstream_idle_connections", "tunnels_open")}
    proxy.stop()
    tell_lag(values, judge)
    judge.equal("serving processes, as many as programs", len(children), faults.count["upgrade"] + 1)
    judge.tell("what happened", rig.text_of(dict(faults.count)))
    judge.tell("requests of the load, CPU time of the serving process each", f"{totals['sent']:,}, {sizes.cpu_s / totals['sent'] * 1e6:.0f} µs")
    judge.check("requests that found no connection free", totals["missed"], "≤ 1 %", totals["missed"] <= totals["sent"] // 100)
    judge.equal("left open when the load was over", open_now, dict.fromkeys(open_now, 0))
    answered, aborted = soak_judge.judge_answers(load, faults, judge)
    soak_judge.judge_visitors(visitors, faults, judge)
    soak_judge.judge_reads(reads, judge)
    soak_judge.judge_log(place, faults, answered, aborted, judge)
    soak_judge.judge_sizes(sizes, before, after, judge)


def main(options):
    world, judge, weather = rig.World("soak"), rig.Judge(f"{options.minutes} minutes"), report.Weather()
    try:
        run(world, judge, options.minutes)
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc()
        judge.check("the soak ran to its end", traceback.format_exc(limit=0).strip().split("\n")[0][:200], "yes", False)
    finally:
        judge.note(f"The machine meanwhile: {weather.stop()}.")
        world.end(options.keep)
    report.print_table(judge)
    if options.keep:
        print(f"  files: {world.folder}")
    if options.write:
        report.write_section(PAGE, "soak", report.section(judge, f"scripts/soak {options.minutes}", options.build, ""))
    print(f"soak: {'kept' if judge.is_kept else 'BROKEN'}")
    return 0 if judge.is_kept else 1
