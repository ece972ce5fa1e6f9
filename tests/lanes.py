"""Runs the lanes of `make test`, cheapest first, and ends in a table of what ran.

``python -m tests.lanes [LANE …]`` runs all lanes, or the named ones. A lane that cannot run here
is named in the last lines with its reason. The exit status is 0 only when every lane that ran
passed. Each lane's output goes to the terminal and its results to build/lanes/LANE.xml.
"""

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
RESULTS = ROOT / "build" / "lanes"


@dataclass(frozen=True)
class Lane:
    """One group of checks: commands of its own, or a pytest run over some folders."""

    name: str
    commands: tuple[tuple[str, ...], ...] = ()
    paths: tuple[str, ...] = ()
    needs_root: bool = False
    options: tuple[str, ...] = ()


@dataclass
class Outcome:
    """What came of a lane."""

    passed: int = 0
    failed: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    not_run: str = ""


LANES = (
    Lane(
        "lint",
        commands=(
            ("ruff", "format", "--check", "--quiet", "."),
            ("ruff", "check", "--quiet", "."),
            ("mypy",),
            ("lint-imports",),
        ),
    ),
    Lane("architecture", paths=("tests/architecture",)),
    Lane("unit", paths=("tests/unit",)),
    Lane("fuzz", paths=("tests/fuzz",)),
    Lane("simnet", paths=("tests/simnet",)),
    Lane("tailnet", paths=("tests/tailnet",)),
    Lane("netns", paths=("tests/netns",), needs_root=True),
    Lane("interop", paths=("tests/interop",), needs_root=True),
)


def main(names: list[str]) -> int:
    """Run the lanes; return 0 when all that ran passed."""
    unknown = set(names) - {lane.name for lane in LANES}
    if unknown:
        print(f"No such lane: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    chosen = [lane for lane in LANES if not names or lane.name in names]
    RESULTS.mkdir(parents=True, exist_ok=True)
    outcomes = {}
    for lane in chosen:
        print(f"\n=== {lane.name}", flush=True)
        started = time.monotonic()
        outcomes[lane.name] = outcome = _run(lane)
        outcome.seconds = time.monotonic() - started
    _report(outcomes)
    return 1 if any(outcome.failed for outcome in outcomes.values()) else 0


def _run(lane: Lane) -> Outcome:
    if lane.needs_root and os.geteuid() != 0:
        return Outcome(not_run="needs root: run `sudo make test`")
    if lane.commands:
        return _run_commands(lane)
    paths = [path for path in lane.paths if (ROOT / path).exists()]
    if not paths:
        return Outcome(failed=1, not_run=f"{lane.paths[0]} is missing")
    results = RESULTS / f"{lane.name}.xml"
    results.unlink(missing_ok=True)
    command = [str(BIN / "pytest"), "-q", f"--junitxml={results}", *lane.options, *paths]
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    outcome = _read(results) if results.exists() else Outcome()
    if status and not outcome.failed:
        outcome.failed = 1
    return outcome


def _run_commands(lane: Lane) -> Outcome:
    outcome = Outcome()
    for program, *arguments in lane.commands:
        print("$", program, *arguments, flush=True)
        status = subprocess.run([str(BIN / program), *arguments], cwd=ROOT, check=False).returncode
        outcome.passed += status == 0
        outcome.failed += status != 0
    return outcome


def _read(results: Path) -> Outcome:
    outcome = Outcome()
    for case in ET.parse(results).getroot().iter("testcase"):
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            outcome.failed += 1
        elif skip is not None:
            reason = skip.get("message", "no reason given")
            outcome.skipped[reason] = outcome.skipped.get(reason, 0) + 1
        else:
            outcome.passed += 1
    return outcome


def _report(outcomes: dict[str, Outcome]) -> None:
    print("\nlane          passed  failed  skipped  seconds")
    for name, outcome in outcomes.items():
        skipped = sum(outcome.skipped.values())
        print(
            f"{name:12}  {outcome.passed:6}  {outcome.failed:6}  {skipped:7}  "
            f"{outcome.seconds:7.1f}{'  NOT RUN: ' + outcome.not_run if outcome.not_run else ''}"
        )
    for name, outcome in outcomes.items():
        for reason, count in outcome.skipped.items():
            print(f"skipped in {name}: {count} x {reason}")
    total = [
        sum(outcome.passed for outcome in outcomes.values()),
        sum(outcome.failed for outcome in outcomes.values()),
        sum(sum(outcome.skipped.values()) for outcome in outcomes.values()),
    ]
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
