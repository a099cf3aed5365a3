# SPDX-License-Identifier: Apache-2.0
"""The way into chaos and soak: builds what they run, before the harness of the integration tests looks for it."""
import importlib
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ("sluice", "chaos_load", "chaos_backend", "chaos_streams", "clock_preload", "fault_preload")


def build(folder):
    """The build directory with its programs up to date; build/release unless another is given."""
    subprocess.run([ROOT / "scripts" / "install-packages", "build", "test", "chaos"], check=True)
    if folder is None:
        folder = ROOT / "build" / "release"
        subprocess.run([ROOT / "scripts" / "build", "release"], check=True)
    subprocess.run(["ninja", "-C", str(folder), "--quiet", *PROGRAMS], check=True, stdout=subprocess.DEVNULL)
    return folder.resolve()


def add_options(parser):
    parser.add_argument("--build", type=pathlib.Path, help="a build directory (default build/release, built now)")
    parser.add_argument("--write", action="store_true", help="put the table into docs/")
    parser.add_argument("--keep", action="store_true", help="leave logs and answers in /tmp")


def start(name):
    """Runs main(options) of a module with the options that its parser() reads; gives its exit code."""
    module = importlib.import_module(name + "_options")
    options = module.parser().parse_args()
    options.build = build(options.build)
    os.environ["SLUICE_BIN"] = str(options.build / "sluice")
    sys.path.insert(0, str(ROOT / "tests" / "integration"))
    return importlib.import_module(name).main(options)


def run(name):
    sys.dont_write_bytecode = True
    sys.exit(start(name))
