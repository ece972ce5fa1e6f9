"""Benchmark rows: ours beside the peer's, with the target and whether it was met.

A row in JSON: {"what", "unit", "ours", "peer", "ratio", "target", "met"}; `ours` and `peer` are
{"min", "median", "max"} of the runs or null, `ratio` is ours to the peer's by the medians (or by
the median of the pairs of alternating runs), `met` is null where there is no target.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

RESULTS: Final = Path(__file__).resolve().parents[2] / "build" / "bench"


@dataclass(frozen=True, slots=True)
class Figure:
    """Several runs of one measurement."""

    min: float
    median: float
    max: float

    @classmethod
    def of(cls, samples: Iterable[float]) -> Figure:
        """From at least one sample."""
        values = list(samples)
        return cls(min(values), statistics.median(values), max(values))

    def text(self) -> str:
        """`median (min..max)`, with three digits that matter."""
        if self.min == self.max:
            return _digits(self.median)
        return f"{_digits(self.median)} ({_digits(self.min)}..{_digits(self.max)})"


@dataclass(frozen=True, slots=True)
class Target:
    """What the median and the ratio must reach; all given bounds count."""

    at_least: float | None = None
    at_most: float | None = None
    ratio_at_least: float | None = None
    ratio_at_most: float | None = None

    def text(self) -> str:
        """For the table."""
        bounds = [
            (">=", self.at_least, ""),
            ("<=", self.at_most, ""),
            (">=", self.ratio_at_least, "x"),
            ("<=", self.ratio_at_most, "x"),
        ]
        return ", ".join(f"{sign} {value:g}{x}" for sign, value, x in bounds if value is not None)

    def met(self, median: float, ratio: float | None) -> bool:
        """A ratio that is wanted but unknown is a target not met."""
        return _within(median, self.at_least, self.at_most) and _within(
            ratio, self.ratio_at_least, self.ratio_at_most
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a benchmark."""

    what: str
    unit: str
    ours: Figure | None
    peer: Figure | None
    ratio: float | None
    target: str
    met: bool | None


def row(
    what: str,
    unit: str,
    ours: Sequence[float],
    peer: Sequence[float] = (),
    *,
    target: Target | None = None,
    paired: bool = False,
) -> Row:
    """Make a row from samples; `paired` when runs alternated (the ratio is then the pairs')."""
    our_figure = Figure.of(ours) if ours else None
    peer_figure = Figure.of(peer) if peer else None
    ratio = None
    if paired and ours and peer:
        ratio = statistics.median(a / b for a, b in zip(ours, peer, strict=True))
    elif our_figure and peer_figure and peer_figure.median:
        ratio = our_figure.median / peer_figure.median
    met = None
    if target is not None:
        met = our_figure is not None and target.met(our_figure.median, ratio)
    return Row(what, unit, our_figure, peer_figure, ratio, target.text() if target else "", met)


def table(rows: Sequence[Row]) -> str:
    """The rows, aligned, for people."""
    cells = [("what", "unit", "ours", "peer", "ratio", "target", "met")]
    cells += [_cells(row) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def publish(name: str, rows: Sequence[Row], *, notes: Sequence[str] = ()) -> None:
    """Print the table and write build/bench/<name>.json."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps([asdict(r) for r in rows], indent=2)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    machine = (
        f"{os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}"
    )
    print(f"\n{name} ({machine})\n\n{table(rows)}")
    for note in notes:
        print(f"  {note}")
    sys.stdout.flush()


def _cells(row: Row) -> tuple[str, str, str, str, str, str, str]:
    return (
        row.what,
        row.unit,
        row.ours.text() if row.ours else "-",
        row.peer.text() if row.peer else "-",
        f"{row.ratio:.3f}" if row.ratio is not None else "-",
        row.target or "-",
        {True: "yes", False: "NO", None: "-"}[row.met],
    )


def _within(value: float | None, low: float | None, high: float | None) -> bool:
    if low is None and high is None:
        return True
    return value is not None and (low is None or value >= low) and (high is None or value <= high)


def _digits(value: float) -> str:
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"
