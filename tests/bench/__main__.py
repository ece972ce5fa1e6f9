"""`python -m tests.bench [NAME ...]`: run the benchmarks, then show all rows in one table.

Each benchmark is a module of its own (`python -m tests.bench.datapath`) and writes
build/bench/<name>.json. The exit status is 0 when every target was met; one that cannot run here
is named in the last lines.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import Final

from tests.bench.report import RESULTS, Figure, Row, table

NAMES: Final = ("relay", "datapath", "join", "memory", "coordinator", "gateway", "box")


def main(names: list[str]) -> int:
    """Run the named ones, or all."""
    unknown = set(names) - set(NAMES)
    if unknown:
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    rows: list[Row] = []
    without_result: list[str] = []
    for name in names or NAMES:
        print(f"\n=== {name}", flush=True)
        found = _run(name)
        rows += found
        if not found:
            without_result.append(name)
    if rows:
        print(f"\nall benchmarks\n\n{table(rows)}")
    for name in without_result:
        print(f"{name}: no result (its own words are above)")
    return 0 if rows and all(row.met is not False for row in rows) and not without_result else 1


def _run(name: str) -> list[Row]:
    if importlib.util.find_spec(f"tests.bench.{name}") is None:
        print(f"{name}: there is no such module")
        return []
    result = RESULTS / f"{name}.json"
    result.unlink(missing_ok=True)
    subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], check=False)
    if not result.exists():
        return []
    return [_row(values) for values in json.loads(result.read_text(encoding="utf-8"))]


def _row(values: dict[str, object]) -> Row:
    figures = {key: values[key] for key in ("ours", "peer")}
    made = {
        key: Figure(**figure) if isinstance(figure, dict) else None
        for key, figure in figures.items()
    }
    return Row(**(values | made))  # type: ignore[arg-type]  # our own file, written just now


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
