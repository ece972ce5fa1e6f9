"""Runs the lanes of `make test`, cheapest first, and ends in a table of what ran.

``python -m tests.lanes [LANE …]`` runs all lanes but the slow ones, or the named ones. With
``--changed``, as the build machine has it, the slow lanes follow whose inputs are not those with
which they last passed here, those that waited longest first, as far as ``--minutes`` goes: where
none ever passed, each commit has another order, so that each lane has its turn. A lane that cannot
run here, or for which no time is left, is named in the last lines with its reason. The exit status
is 0 only when every lane that ran passed. Each lane's output goes to the terminal and its results
to build/lanes/LANE.xml.
"""

import argparse
import hashlib
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
_CACHE = Path(os.environ.get("LATCHKEY_CACHE") or Path.home() / ".cache" / "latchkey")
PASSED = _CACHE / "passed"
"""One file for a slow lane: the fingerprint of the inputs with which it last passed."""


@dataclass(frozen=True)
class Lane:
    """One group of checks: commands of its own, or a pytest run over some folders.

    A slow lane is a program instead, `python -m PROGRAM --junitxml=FILE`, and names the paths
    that it depends on. The program returns 3 when it cannot run here, after a line that says why.
    """

    name: str
    commands: tuple[tuple[str, ...], ...] = ()
    paths: tuple[str, ...] = ()
    needs_root: bool = False
    options: tuple[str, ...] = ()
    program: str = ""
    inputs: tuple[str, ...] = ()
    minutes: int = 0
    """What a slow lane takes on two quiet cores, with everything that it has to fetch first."""
    env: tuple[tuple[str, str], ...] = ()
    by_name: bool = False
    """Runs only when it is named, and says so where slow lanes are asked for."""

    @property
    def is_extra(self) -> bool:
        """Whether a plain `make test` leaves it out."""
        return self.by_name or bool(self.program)


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
    Lane("browser", paths=("tests/browser",), needs_root=True),
    Lane(
        "leak",
        paths=("tests/netns/test_leak.py",),
        needs_root=True,
        env=(("LATCHKEY_LEAK_S", "600"),),
        by_name=True,
    ),
    Lane(
        "vm",
        program="tests.vm",
        needs_root=True,
        minutes=8,
        inputs=(
            *("appliance", "requirements", "pyproject.toml", "tests/lanes.py", "tests/support"),
            *("tests/netns/dataplane", "tests/netns/gateway", "tests/netns/lab", "tests/vm"),
            *("tests/netns/conftest.py", "tests/netns/topologies.py"),
        ),
    ),
    Lane(
        "package",
        program="tests.package",
        needs_root=True,
        minutes=10,
        inputs=(
            *("appliance", "webui", "image/package", "docs", "pyproject.toml", "tests/lanes.py"),
            *("tests/package", "tests/unit", "tests/support", "tests/netns/lab"),
            "tests/netns/topologies.py",
        ),
    ),
    Lane(
        "ansible",
        program="tests.ansible",
        needs_root=True,
        minutes=9,
        inputs=(
            *("ansible", "appliance", "webui", "image/package", "requirements/fleet.txt"),
            *("pyproject.toml", ".ci/ansible", "tests/ansible", "tests/lanes.py"),
            *("tests/netns/lab", "tests/support", "tests/bench/report.py"),
        ),
    ),
    Lane(
        "image",
        program="tests.image",
        needs_root=True,
        minutes=15,
        inputs=(
            *("appliance", "webui", "image", "docs/changelog.md", "pyproject.toml"),
            *("tests/lanes.py", "tests/image", "tests/netns/lab", "tests/bench/report.py"),
            *("tests/support/cardmachine.py", "tests/support/labs.py", "tests/support/mesh.py"),
            "tests/support/aptarchive.py",
            "tests/support/emulator.py",
        ),
    ),
)
CANNOT_RUN = 3


def main(arguments: list[str]) -> int:
    """Run the lanes; return 0 when all that ran passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.lanes")
    parser.add_argument("names", nargs="*", metavar="LANE")
    parser.add_argument("--changed", action="store_true", help="slow lanes too, where changed")
    parser.add_argument(
        "--minutes", type=int, default=10_000, help="start no slow lane that would end later"
    )
    options = parser.parse_args(arguments)
    names, changed = options.names, options.changed
    unknown = set(names) - {lane.name for lane in LANES}
    if unknown:
        print(f"No such lane: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    chosen = [lane for lane in LANES if lane.name in names or not (names or lane.is_extra)]
    if changed:
        slow = [lane for lane in LANES if lane.program and lane not in chosen]
        chosen += sorted(slow, key=_turn)
    if not _may_write():
        print(
            "build/ is root's: go on with sudo, or begin anew (`sudo make clean`)", file=sys.stderr
        )
        return 2
    outcomes = {}
    ends = time.monotonic() + options.minutes * 60
    for lane in chosen:
        print(f"\n=== {lane.name}", flush=True)
        started = time.monotonic()
        unchanged = changed and lane.name not in names and _passed_before(lane)
        if unchanged:
            outcome = Outcome(not_run="unchanged since it passed")
        elif lane.program and started + lane.minutes * 60 > ends:
            outcome = Outcome(not_run=f"no time left; run `make test-{lane.name}`")
        else:
            outcome = _run(lane)
        outcomes[lane.name] = outcome
        outcome.seconds = time.monotonic() - started
    _report(outcomes)
    return 1 if any(outcome.failed for outcome in outcomes.values()) else 0


def _may_write() -> bool:
    """Make the folder for results; an earlier run with sudo leaves it to root."""
    try:
        RESULTS.mkdir(parents=True, exist_ok=True)
    except PermissionError:
        return False
    return os.access(RESULTS, os.W_OK)


def _run(lane: Lane) -> Outcome:
    if lane.needs_root and os.geteuid() != 0:
        return Outcome(not_run="needs root: run `sudo make test`")
    if lane.commands:
        return _run_commands(lane)
    if lane.program:
        return _run_program(lane)
    paths = [path for path in lane.paths if (ROOT / path).exists()]
    if not paths:
        return Outcome(failed=1, not_run=f"{lane.paths[0]} is missing")
    results = RESULTS / f"{lane.name}.xml"
    results.unlink(missing_ok=True)
    command = [str(BIN / "pytest"), "-q", f"--junitxml={results}", *lane.options, *paths]
    env = os.environ | dict(lane.env)
    status = subprocess.run(command, cwd=ROOT, check=False, env=env).returncode
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


def _run_program(lane: Lane) -> Outcome:
    inputs = _fingerprint(lane)
    results = RESULTS / f"{lane.name}.xml"
    results.unlink(missing_ok=True)
    command = [str(BIN / "python"), "-m", lane.program, f"--junitxml={results}"]
    done = subprocess.run(command, cwd=ROOT, check=False, stderr=subprocess.PIPE, text=True)
    print(done.stderr, end="", file=sys.stderr)
    if done.returncode == CANNOT_RUN:
        return Outcome(not_run=done.stderr.strip().rpartition("\n")[2] or "it does not say why")
    outcome = _read(results) if results.exists() else Outcome()
    if done.returncode and not outcome.failed:
        outcome.failed = 1
    elif inputs and not outcome.failed:
        PASSED.mkdir(parents=True, exist_ok=True)
        (PASSED / lane.name).write_text(inputs, encoding="ascii")
    return outcome


def _turn(lane: Lane) -> tuple[float, str]:
    """Sort the lane that passed longest ago first; what never passed, by the commit."""
    stamp = PASSED / lane.name
    head = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, check=False
    )
    chance = hashlib.sha256(head.stdout + lane.name.encode()).hexdigest()
    return (stamp.stat().st_mtime if stamp.is_file() else 0.0, chance)


def _passed_before(lane: Lane) -> bool:
    """Whether a slow lane passed here with the inputs that it has now."""
    stamp = PASSED / lane.name
    inputs = _fingerprint(lane) if lane.program else ""
    return bool(inputs) and stamp.is_file() and stamp.read_text(encoding="ascii") == inputs


def _fingerprint(lane: Lane) -> str:
    """What a lane's inputs are in git's index; empty when the work tree differs or is none."""
    git = ("git", "-C", str(ROOT))
    status = subprocess.run(
        [*git, "status", "--porcelain", "--", *lane.inputs], capture_output=True, check=False
    )
    if status.returncode or any(line[1:2] != b" " for line in status.stdout.splitlines()):
        return ""
    files = subprocess.run(
        [*git, "ls-files", "-s", "--", *lane.inputs], capture_output=True, check=True
    )
    return hashlib.sha256(files.stdout).hexdigest()


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
