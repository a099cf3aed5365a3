# SPDX-License-Identifier: Apache-2.0
"""What scripts/conformance reads from its command line."""
import argparse
import pathlib


def parser():
    options = argparse.ArgumentParser(
        prog="conformance", description="Raw-byte HTTP/1.1 cases for intermediaries, run against Sluice and, where they are installed, nginx, HAProxy and "
        "Caddy (scripts/install-packages conformance).  Exit code 1 when Sluice fails a case, its outcome depends on how bytes are cut, or its log "
        "disagrees with an upstream.")
    options.add_argument("proxies", nargs="*", help="which ones: sluice nginx haproxy caddy (default: all that are installed)")
    options.add_argument("--case", default="", help="only cases whose name has this text")
    options.add_argument("--all-cuts", action="store_true", help="Sluice: every case of up to 400 bytes at every byte offset; 10 minutes more")
    options.add_argument("--build", type=pathlib.Path, help="a build directory (default build/release, built now)")
    options.add_argument("--details", action="store_true", help="print every case that a proxy fails, and what happened")
    options.add_argument("--write", action="store_true", help="put the result into docs/conformance.md")
    return options
