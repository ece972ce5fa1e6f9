"""Runs a benchmark where the kernel has flow tables: in the emulated machine, with Debian's kernel.

The kernel that everything else runs on may have none. The emulated processor counts its
instructions, so the ratios are those of the work, not of the clock, and nothing disturbs them;
what a real processor loses by waiting for memory is not in them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Final

from tests.bench.report import Figure, Row
from tests.vm import __main__ as vm
from tests.vm.kernel import UnfitMachineError

PAIRS: Final = 2  # equal work takes equal time there: the second is a check of the first
LABEL: Final = "with a flow table, "
NOTE: Final = (
    "with a flow table: Debian's kernel in QEMU, whose clock counts instructions (2 ns each)"
)
_ROWS: Final = "rows.json"


def measure(program: str) -> list[Row]:
    """Boot the machine, run a module of ours inside that ends in ``hand_over``, return its rows."""
    status = vm.boot(program=program, counted=True)
    rows = vm.BUILD / _ROWS
    if not rows.exists():
        raise UnfitMachineError(f"the virtual machine ended early (QEMU: {status})")
    return [_read(one) for one in json.loads(rows.read_text(encoding="ascii"))]


def hand_over(rows: Iterable[Row]) -> None:
    """Leave the rows to the host; called inside."""
    (vm.BUILD / _ROWS).write_text(json.dumps([asdict(one) for one in rows]), "ascii")


def _read(one: dict[str, object]) -> Row:
    figures = {side: Figure(**one[side]) for side in ("ours", "peer")}  # type: ignore[arg-type]
    return Row(**{**one, **figures})  # type: ignore[arg-type]
