"""The Debian package, tried in a booted Debian 13: ``python -m tests.package [TEST …]``.

Builds the package (twice, the second with a higher version), makes a tree of Debian 13 and has
apt install, upgrade, remove and purge it under the tree's own systemd; runs the unit tests against
the installed modules; lets the agent get on with resolved and NetworkManager.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from image.package.assemble import CannotBuildError, build, version_of
from tests.package.tree import UnfitMachineError, prepare

ROOT: Final = Path(__file__).resolve().parents[2]
BUILD: Final = ROOT / "build" / "test-package"
CANNOT_RUN: Final = 3
LIMIT_S: Final = 1800
"""Several times what it takes on two busy cores."""


def main(arguments: list[str]) -> int:
    """Build, prepare, test; 3 and a reason when that is not possible here."""
    parser = argparse.ArgumentParser(prog="python -m tests.package")
    parser.add_argument("--junitxml", type=Path, default=BUILD / "results.xml")
    parser.add_argument("tests", nargs="*", default=["tests/package"], metavar="TEST")
    options = parser.parse_args(arguments)
    if os.geteuid() != 0:
        print("needs root: run it with sudo", file=sys.stderr)
        return CANNOT_RUN
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / "figures.txt").unlink(missing_ok=True)
    version = version_of(ROOT)
    try:
        first = build(version, BUILD)
        build(f"{version}+next", BUILD)
        prepare(first)
    except (CannotBuildError, UnfitMachineError) as error:
        print(error, file=sys.stderr)
        return CANNOT_RUN
    command = [
        *("timeout", "--kill-after=20", str(LIMIT_S), sys.executable, "-m", "pytest", "-q"),
        *(f"--junitxml={options.junitxml}", *options.tests),
    ]
    status = subprocess.run(["nice", *command], cwd=ROOT, check=False).returncode
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
