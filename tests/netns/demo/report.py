"""What was tried and what came back: lines while it happens, a table at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TextIO

from tests.netns.lab import LabError

_WIDEST: Final = 72  # of what came back; the logs have the rest


class NotHeldError(Exception):
    """Something came back, but not what was promised."""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was tried."""

    step: str
    tried: str
    came_back: str
    held: bool
    seconds: float


class Report:
    """Collects rows and prints each as it comes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._step = ""
        self.rows: list[Row] = []

    @property
    def all_held(self) -> bool:
        """Whether something was tried and every row held."""
        return bool(self.rows) and all(row.held for row in self.rows)

    def say(self, text: str = "") -> None:
        """Print a line."""
        print(text, file=self._out, flush=True)

    def step(self, number: str, title: str) -> None:
        """Begin a step."""
        self._step = number
        self.say(f"\n{number}  {title}")

    def check(self, tried: str, action: Callable[[], str]) -> bool:
        """Try it; the action returns what came back, or raises with why it did not hold."""
        began = time.monotonic()
        try:
            came_back, held = action(), True
        except (LabError, NotHeldError, OSError) as error:
            came_back, held = f"{error}", False
        row = Row(self._step, tried, came_back, held, time.monotonic() - began)
        self.rows.append(row)
        mark = "ok  " if held else "FAIL"
        self.say(f"   {mark} {tried}: {came_back}  ({row.seconds:.2f} s)")
        return held

    def table(self) -> str:
        """All rows, aligned."""
        cells = [("step", "tried", "came back", "held")]
        cells += [
            (row.step, row.tried, _one_line(row.came_back), "yes" if row.held else "NO")
            for row in self.rows
        ]
        widths = [max(len(line[column]) for line in cells) for column in range(4)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in cells]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join(line.rstrip() for line in lines)


def expect(value: str, wanted: str, what: str) -> str:
    """Return the value when it is the wanted one."""
    if value != wanted:
        raise NotHeldError(f"{what}: wanted {wanted}, got {value or 'nothing'}")
    return value


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDEST else line[: _WIDEST - 1] + "…"
