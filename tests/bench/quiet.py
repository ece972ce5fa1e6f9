"""Runs that other programs of this machine did not disturb.

Two busy cores make every figure of a benchmark a lottery: a run during which programs outside
the lab used more than a little CPU is thrown away and repeated, as long as patience lasts. What
was kept although it was disturbed is counted and said.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.netns.lab.namespaces import PREFIX, namespaces, pids

_TOLERATED: Final = 0.04  # of one core; the lab's owner and a quiet system need less
_LOOK_S: Final = 0.25
_ATTEMPTS: Final = 4
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Quiet:
    """Waits for quiet moments, for so many seconds in all."""

    def __init__(self, patience_s: float = 180, *, prefix: str | None = None) -> None:
        """Take how the names of our namespaces begin, when they are not a lab's."""
        self._patience_s = patience_s
        self._prefix = f"{PREFIX}t{os.getpid()}x" if prefix is None else prefix
        self.runs = 0
        self.disturbed = 0

    def measure(self, action: Callable[[], float]) -> float:
        """The result of a run that nothing disturbed, if one can be had."""
        self.runs += 1
        attempts = 0
        while True:
            attempts += 1
            self._wait()
            began, before = time.monotonic(), _outside_cpu_s(self._prefix)
            value = action()
            took = time.monotonic() - began
            if _outside_cpu_s(self._prefix) - before <= _TOLERATED * took:
                return value
            if self._patience_s <= 0 or attempts == _ATTEMPTS:
                self.disturbed += 1
                return value
            self._patience_s -= took

    def note(self) -> str:
        """For the report."""
        return f"{self.disturbed} of {self.runs} runs were disturbed by other programs"

    def _wait(self) -> None:
        while self._patience_s > 0:
            before = _outside_cpu_s(self._prefix)
            time.sleep(_LOOK_S)
            if _outside_cpu_s(self._prefix) - before <= _TOLERATED * _LOOK_S:
                return
            self._patience_s -= _LOOK_S


def _outside_cpu_s(prefix: str) -> float:
    """CPU used so far by everything outside all labs of ours, children that ended included."""
    ours = {os.getpid(), *pids(namespaces(prefix))}
    total = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in ours:
            continue
        try:
            text = (entry / "stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            continue
        total += sum(map(int, text.rpartition(")")[2].split()[11:15]))
    return total / _TICKS
