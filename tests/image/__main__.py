"""The card, tried in an emulated arm64 machine: ``python -m tests.image [TEST …]``.

Builds the card (or takes ``--image FILE``), boots it from its own partitions on the Ethernet of a
lab's house, claims it, joins it to a mesh and reaches the printer through it. ``--again`` makes a
second card from the same inputs and compares the bytes. build/test-image/ keeps the consoles.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Final

from tests.bench.report import RESULTS, Target, row

ROOT: Final = Path(__file__).resolve().parents[2]
BUILD: Final = ROOT / "build" / "test-image"
FIGURES: Final = BUILD / "figures.json"
"""What the tests measured, by name."""
CANNOT_RUN: Final = 3
LIMIT_S: Final = 2700
"""Six starts under emulation on two busy cores take a third of it."""
_TOOLS: Final = {
    "qemu-system-aarch64": "qemu-system-arm",
    "mcopy": "mtools",
    "xz": "xz-utils",
    "ssh": "openssh-client",
    "busybox": "busybox",
    "sfdisk": "fdisk",
}


def main(arguments: list[str]) -> int:
    """Build, boot, test; 3 and a reason when that is not possible here."""
    parser = argparse.ArgumentParser(prog="python -m tests.image")
    parser.add_argument("--junitxml", type=Path, default=BUILD / "results.xml")
    parser.add_argument("--image", type=Path, metavar="FILE", help="an .img.xz, else one is built")
    parser.add_argument("--again", action="store_true", help="build a second one and compare")
    parser.add_argument("tests", nargs="*", default=["tests/image"], metavar="TEST")
    options = parser.parse_args(arguments)
    if os.geteuid() != 0:
        return _unfit("needs root: run it with sudo")
    missing = sorted(package for tool, package in _TOOLS.items() if shutil.which(tool) is None)
    if missing:
        return _unfit(f"needs {', '.join(missing)}: install it")
    BUILD.mkdir(parents=True, exist_ok=True)
    image: Path | None = options.image
    if image is None:
        status = _build(BUILD / "card")
        if status:
            return CANNOT_RUN if status == CANNOT_RUN else 1
        [image] = (BUILD / "card").glob("*.img.xz")
    environment = os.environ | {"LATCHKEY_CARD": str(image.resolve())}
    if options.again:
        status = _build(BUILD / "card-again")
        if status:
            return 1
        environment["LATCHKEY_CARD_AGAIN"] = str(BUILD / "card-again" / image.name)
    command = [
        *("timeout", "--kill-after=20", str(LIMIT_S), sys.executable, "-m", "pytest", "-q"),
        *("--timeout=1500", f"--junitxml={options.junitxml}", *options.tests),
    ]
    FIGURES.unlink(missing_ok=True)
    status = subprocess.run(["nice", *command], cwd=ROOT, check=False, env=environment).returncode
    _keep_figures(image)
    return 1 if status else 0


def _build(output: Path) -> int:
    """Make a card; what it says goes on to the terminal, its last line is the reason."""
    command = ["nice", str(ROOT / "image" / "build"), "--output", str(output), "--keep-log"]
    return subprocess.run([*command, "--profile", "debian"], cwd=ROOT, check=False).returncode


def _keep_figures(packed: Path) -> None:
    """Write rows for `make bench-box`."""
    times = packed.with_suffix("").with_name(f"{packed.stem}.times.json")
    found = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    rows = [row("card, packed", "MB", [packed.stat().st_size / 1e6], target=Target(at_most=320))]
    if times.exists():
        took = json.loads(times.read_text(encoding="utf-8"))
        rows += [
            row("card, built in", "s", [took["all"]], target=Target(at_most=900)),
            row("card, built with (all processors)", "s", [took["processor"]]),
        ]
    if "idle_mb" in found:
        target = Target(at_most=180)
        rows.append(row("idle memory of the box (1 GiB)", "MB", [found["idle_mb"]], target=target))
    if "page_s" in found:
        rows.append(row("from power on to the page, emulated", "s", [found["page_s"]]))
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps([asdict(r) for r in rows], indent=2)
    (RESULTS / "box-image.json").write_text(text + "\n", encoding="utf-8")


def _unfit(reason: str) -> int:
    print(reason, file=sys.stderr)
    return CANNOT_RUN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
