"""Memory (PSS) at rest: an agent with 10 peers beside tailscaled, a coordinator with 50 nodes.

crowd (50 nodes in one process) ──┐
agent-host, stock-host ───────────┴── vps: coordinator + relay
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.mesh import CannotRunError, bench_lab, start_coordinator, stock_programs
from tests.bench.report import Row, Target, publish, row
from tests.netns.lab import Host, Program, wait_until
from tests.netns.lab.namespaces import pids
from tests.netns.lab.programs import process_pss_mb
from tests.support.coordinator import Coordinator
from tests.support.mesh import AgentNode, Node, StockNode

PEERS_OF_AGENT: Final = 10
NODES_OF_COORDINATOR: Final = 50
SETTLE_S: Final = 10.0


def main() -> int:
    """Run both and publish the rows."""
    rows = [*_agent_with_peers(), *_coordinator_with_nodes()]
    publish("memory", rows)
    return 0 if all(r.met is not False for r in rows) else 1


def _agent_with_peers() -> list[Row]:
    """Ours and tailscaled one after the other, so that each has exactly 10 peers."""
    ours = _measure_node(stock=False)
    theirs = _measure_node(stock=True)
    rows = [
        row(
            f"agent, idle, {PEERS_OF_AGENT} peers, beside tailscaled",
            "MB PSS",
            ours.pss,
            theirs.pss,
            target=Target(at_most=33),
        ),
        row("the same, shared pages counted in full", "MB RSS", ours.rss, theirs.rss),
    ]
    if ours.helper:
        both = [ours.pss[0] + ours.helper[0]]
        rows.append(row("agent and its wireguard-go together", "MB PSS", both, theirs.pss))
    return rows


@dataclass(frozen=True, slots=True)
class Memory:
    """One sample each, or none: the daemon, and the wireguard-go that it started."""

    pss: list[float]
    rss: list[float]
    helper: list[float]


def _measure_node(*, stock: bool) -> Memory:
    """The daemon in a mesh of 11."""
    programs = stock_programs()
    if stock and programs is None:
        return Memory([], [], [])
    with bench_lab() as lab:
        net = lab.public("datacentre", "203.0.113.0/24")
        vps, crowd, host = net.host("vps", 10), net.host("crowd", 11), net.host("node", 12)
        lab.build()
        coordinator = Coordinator(vps)
        start_coordinator(coordinator)
        key = coordinator.new_key("bench")
        node: Node = AgentNode(host, key)
        if stock:
            assert programs is not None
            node = StockNode(host, key, programs)
        node.up()
        _start_crowd(coordinator, crowd, PEERS_OF_AGENT)
        wait_until(
            lambda: len(node.status().get("Peer") or {}) == PEERS_OF_AGENT, 20, "10 peers known"
        )
        time.sleep(SETTLE_S)
        assert node.daemon is not None
        daemon = node.daemon.pid
        helpers = [pid for pid in pids([host.namespace]) if pid != daemon]
        return Memory(
            [process_pss_mb(daemon)],
            [process_pss_mb(daemon, "Rss")],
            [sum(map(process_pss_mb, helpers))] if helpers else [],
        )


def _coordinator_with_nodes() -> list[Row]:
    with bench_lab() as lab:
        net = lab.public("datacentre", "203.0.113.0/24")
        vps, crowd = net.host("vps", 10), net.host("crowd", 11)
        lab.build()
        coordinator = Coordinator(vps)
        start_coordinator(coordinator)
        program = coordinator.program
        assert program is not None
        empty = program.pss_mb()
        _start_crowd(coordinator, crowd, NODES_OF_COORDINATOR)
        time.sleep(SETTLE_S)
        what = f"coordinator and relay in one process, {NODES_OF_COORDINATOR} nodes"
        return [
            row(what, "MB PSS", [program.pss_mb()], target=Target(at_most=80)),
            row("the same without a node", "MB PSS", [empty]),
        ]


def _start_crowd(coordinator: Coordinator, host: Host, number: int) -> Program:
    join = coordinator.new_key("bench", "--reusable")
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "tests.bench.crowd", coordinator.host.ip]
    crowd = host.start(
        "crowd", [*command, str(join.key_file), str(number)], join.env | {"PYTHONPATH": str(root)}
    )
    crowd.wait_for_line("^ready$", 60)
    return crowd


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CannotRunError as error:
        sys.exit(f"memory: {error}")
