# SPDX-License-Identifier: Apache-2.0
"""run.py DRIVER [STEPS [SEED]] - both stores against the model, and leases of four proxies against the limit; ends with 1 and the step at the first difference."""
import pathlib
import random
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))

import compare  # noqa: E402
import leased  # noqa: E402
from engines import Memory, Redis  # noqa: E402
from harness.redis_server import RedisServer  # noqa: E402


def main():
    program = sys.argv[1]
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 100000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(2**32)
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(pathlib.Path(folder))
        try:
            for name, engine in (("memory", Memory(program)), ("redis", Redis(program, server.client))):
                began = time.monotonic()
                seen = compare.run(engine, seed, steps)
                engine.end()
                print(f"{name}: {steps} steps from seed {seed}, no difference: {seen['charged']} charged, {seen['refused']} refused, "
                      f"{seen['corrected']} corrected, {time.monotonic() - began:.0f} s", flush=True)
            began = time.monotonic()
            engine = Redis(program, server.client)
            seen = leased.run(engine, seed, steps)
            engine.end()
            print(f"leased: {steps} steps from seed {seed}, never more than a limit: {seen['spent']} spent, {seen['asked']} of them asked for, "
                  f"{seen['refused']} refused, {seen['restarts']} other servers, {seen['windows']} windows whose count is what was admitted, {time.monotonic() - began:.0f} s", flush=True)
        finally:
            server.stop()


main()
