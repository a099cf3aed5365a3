# SPDX-License-Identifier: Apache-2.0
"""The way into scripts/conformance: builds Sluice before anything looks for it."""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _build(folder):
    if folder is None:
        subprocess.run([ROOT / "scripts" / "install-packages", "build", "test"], check=True)
        subprocess.run([ROOT / "scripts" / "build", "release"], check=True, stdout=subprocess.DEVNULL)
        folder = ROOT / "build" / "release"
    return folder.resolve()


def run():
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(ROOT / "tests" / "integration"))
    import conformance_options  # pylint: disable=import-outside-toplevel
    options = conformance_options.parser().parse_args()
    os.environ["SLUICE_BIN"] = str(_build(options.build) / "sluice")
    import conformance  # pylint: disable=import-outside-toplevel
    sys.exit(conformance.main(options))
