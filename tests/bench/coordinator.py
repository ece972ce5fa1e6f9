"""The coordinator as 50 stock nodes load it, driven through the reference client's own library.

    load generator (50 nodes) ──── vps: coordinator

Others' figures of the same load are in the project's reference material; no other coordinator is
built here.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final

from tests.bench.load import MissingError, load_program
from tests.bench.mesh import CannotRunError, bench_lab, start_coordinator
from tests.bench.report import Row, Target, publish, row
from tests.support.coordinator import Coordinator

NODES: Final = 50
CHANGES: Final = 10


def main() -> int:
    """Run it and publish the rows."""
    load = load_program()
    with bench_lab() as lab:
        net = lab.public("datacentre", "203.0.113.0/24")
        vps, crowd = net.host("vps", 10), net.host("crowd", 11)
        lab.build()
        coordinator = Coordinator(vps)
        start_coordinator(coordinator)
        join = coordinator.new_key("bench", "--reusable")
        assert coordinator.program is not None
        printed = crowd.run(
            [
                *(str(load), "storm", "-url", join.url, "-key", join.key_file.read_text()),
                *("-n", str(NODES), "-changes", str(CHANGES)),
                *("-pid", str(coordinator.program.pid)),
            ],
            env=join.env,
            timeout_s=180,
        )
    rows = _rows([json.loads(line) for line in printed.splitlines() if line.startswith("{")])
    publish("coordinator", rows)
    return 0 if all(r.met is not False for r in rows) else 1


def _rows(said: list[dict[str, Any]]) -> list[Row]:
    by_name = {line["what"]: line for line in said}
    change, idle = by_name["one change to all"], by_name["idle"]
    return [
        row(f"registering {NODES} nodes", "s", [by_name["register"]["s"]]),
        row(f"{NODES} first maps at once, the slowest", "ms", [by_name["storm"]["slowest_ms"]]),
        row(
            "a change until every other node has it, p99",
            "ms",
            [change["p99_ms"]],
            target=Target(at_most=250),
        ),
        row("the same, nodes that never got it", "", [change["unseen"]], target=Target(at_most=0)),
        row("server CPU for one change", "ms", [change["server_cpu_ms_per_change"]]),
        row("idle", "% of a core", [idle["cpu_pct"]]),
        row(f"memory with {NODES} nodes", "MB PSS", [idle["pss_mb"]], target=Target(at_most=80)),
    ]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (CannotRunError, MissingError) as error:
        sys.exit(f"coordinator: {error}")
