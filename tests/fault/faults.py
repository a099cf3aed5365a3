# SPDX-License-Identifier: Apache-2.0
"""The loop of scripts/faults: fails the Nth call for every N of a range, or each with a probability, and prints a table."""
import argparse
import collections
import multiprocessing
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path[:0] = [str(ROOT / "tests/integration"), str(ROOT / "tests/fault")]

PARALLEL = 2


def options():
    parser = argparse.ArgumentParser(prog="faults", description="Fails the Nth allocation or kernel call of the serving process "
                                     "over a short scenario, for each N, and judges how it ends.  Exit code 1: something was wrong.")
    parser.add_argument("--from", dest="first", type=int, default=1, metavar="N")
    parser.add_argument("--to", dest="last", type=int, default=3000, metavar="N", help="at most as many as there are calls")
    parser.add_argument("--step", type=int, default=1, metavar="K")
    parser.add_argument("--class", dest="kind", choices=("alloc", "net", "io", "all"), default="all")
    parser.add_argument("--store", choices=("memory", "redis", "cluster"), default="memory")
    parser.add_argument("--seed", type=int, default=1, help="chooses among the errors that a call can end with")
    parser.add_argument("--parent", action="store_true", help="in the parent process instead of the serving one")
    parser.add_argument("--random", type=float, metavar="PERCENT", help="each call fails with this probability once the program serves, "
                        "--from to --to being seeds")
    parser.add_argument("--build", choices=("asan", "release"), default="asan")
    parser.add_argument("--verbose", action="store_true", help="a line per point")
    return parser.parse_args()


def orders_of(args, point):
    import state
    where = state.IN_PARENT if args.parent else state.IN_CHILD
    orders = {"where": where, "class_mask": state.mask(args.kind)}
    if args.random:
        return {**orders, "rate_ppm": int(args.random * 10000), "seed": point}
    return {**orders, "nth": point, "seed": args.seed}


class Runner:
    """A folder, ports, a backend and perhaps a Redis for many lives."""

    def __init__(self, args, preload):
        from harness.ports import take_port
        from harness.redis_fleet import lone_cluster
        from harness.redis_server import RedisServer
        from scenario import Scenario
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-faults-"))
        servers = {"memory": lambda folder: None, "redis": RedisServer, "cluster": lone_cluster}
        self.redis = servers[args.store](self.folder)
        self.scenario = Scenario(self.folder, preload, [take_port(), take_port()], self.redis, has_state_file=args.parent,
                                 topology="cluster" if args.store == "cluster" else "standalone")

    def baseline(self, args):
        result = self.scenario.run(**{**orders_of(args, 0), "nth": 0, "rate_ppm": 0})
        if result["violation"]:
            raise SystemExit(f"without any fault: {result['violation']}\n{result['stderr']}")
        return result

    def end(self):
        self.scenario.end()
        if self.redis:
            self.redis.stop()
        shutil.rmtree(self.folder)


def work(args, preload, points, results):
    runner = Runner(args, preload)
    try:
        results.put(("baseline", runner.baseline(args)))
        while True:
            with points.get_lock():
                point = points.value
                points.value += args.step
            if point > args.last:
                return
            result = runner.scenario.run(**orders_of(args, point))
            results.put((point, result))
            if not args.random and result["calls"] < point and result["violation"] is None:
                return  # there are no more calls
    finally:
        runner.end()
        results.put(("end", None))


def collect(results, on_result):
    """Every (point, result) until the workers have ended."""
    ended = 0
    while ended < PARALLEL:
        point, result = results.get()
        if point == "end":
            ended += 1
        else:
            on_result(point, result)


class Table:
    def __init__(self, args):
        from harness.proxy import BINARY
        self.args, self.binary = args, BINARY
        self.rows, self.classes = collections.Counter(), {}
        self.violations = []
        self.began = time.monotonic()

    def add(self, point, result):
        import state
        if point == "baseline":
            self.rows["calls"] = result["calls"]
            self.classes = result["classes"]
            return
        if self.rows["points"] % 100 == 99:
            print(f"... {point}", flush=True)
        what = [state.describe(record, self.binary) for record in result["records"]]
        self.rows["points"] += 1
        self.rows["calls that failed"] += result["fired"]
        if result["violation"]:
            self.violations.append(point)
            print(f"{point}: VIOLATION {result['violation']}\n    failed: {what}\n    statuses {result['statuses']}\n"
                  f"    stderr: {result['stderr'][-1500:]}", flush=True)
            return
        if result["fired"] == 0:
            ending = "not reached"
        elif not result["served"]:
            ending = "start refused with a message"
        elif result["restarts"]:
            ending = "serving process started again"
        elif any(status is None or status >= 500 for status in result["statuses"]):
            ending = "an exchange ended with an error or a close"
        else:
            ending = "nothing to be seen from outside"
        self.rows[ending] += 1
        if self.args.verbose or result["restarts"]:
            print(f"{point}: {ending}: {what} {result['statuses']}", flush=True)

    def print(self):
        args = self.args
        where = "parent" if args.parent else "serving process"
        how = f"each call with {args.random} %" if args.random else "the Nth call"
        print(f"\n{args.build}, {args.store} store, class {args.kind}, {where}, {how}, {args.first}..{args.last} step {args.step}, "
              f"seed {args.seed}, {time.monotonic() - self.began:.0f} s")
        print("calls in a life without faults: " + ", ".join(f"{name} {count}" for name, count in self.classes.items()))
        for name, count in self.rows.items():
            print(f"{count:8} {name}")
        print(f"{len(self.violations):8} violations {self.violations[:40]}")


def build(preset):
    subprocess.run([ROOT / "scripts/build", preset], check=True)
    os.environ["SLUICE_BIN"] = str(ROOT / "build" / preset / "sluice")
    if preset == "asan":
        os.environ["SLUICE_SANITIZE"] = "address,undefined"
    return ROOT / "build" / preset / "libfault_preload.so"


def run():
    args = options()
    preload = build(args.build)
    table = Table(args)
    points = multiprocessing.Value("q", args.first)
    results = multiprocessing.Queue()
    workers = [multiprocessing.Process(target=work, args=(args, preload, points, results), daemon=True) for _ in range(PARALLEL)]
    for worker in workers:
        worker.start()
    collect(results, table.add)
    for worker in workers:
        worker.join()
    table.print()
    sys.exit(1 if table.violations or any(worker.exitcode for worker in workers) else 0)
