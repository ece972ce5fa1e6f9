"""Throughput: the agent's tunnel beside one made by hand, tailscaled's, and through the relay.

    left, hand-left, stock-left ── router ──┬── internet ──┬── router ── right, hand-right, ...
                                         vps: coordinator + relay

Every comparison alternates its runs, so that what else the machine does hits both sides.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.dataplane.process import go_threads
from tests.bench.mesh import (
    CannotRunError,
    bench_lab,
    start_coordinator,
    stock_programs,
    wait_for_direct,
    wait_for_relayed,
)
from tests.bench.quiet import Quiet
from tests.bench.report import Row, Target, publish, row
from tests.netns.lab import Host, Lab, Router, iperf
from tests.support.coordinator import Coordinator
from tests.support.mesh import AgentNode, Node, StockNode
from tests.support.wireguard import End, make_tunnel, wireguard_go

PAIRS: Final = 16  # of alternating runs by hand and by the agent: single runs differ by 5 %
SECONDS: Final = 2.0
SIDE_BY_SIDE: Final = 5  # runs of ours and of tailscaled's, direct and relayed
CPU_SECONDS: Final = 10.0
_HAND: Final = "hand0"
_HAND_ALIKE: Final = "hand1"
_AGENTS_ENV: Final = {"GOMAXPROCS": str(go_threads(len(os.sched_getaffinity(0))))}


@dataclass(frozen=True, slots=True)
class World:
    """The topology of this benchmark."""

    coordinator: Coordinator
    left_router: Router
    right_router: Router
    ours: tuple[AgentNode, AgentNode]
    by_hand: tuple[Host, Host]
    stock: tuple[StockNode, StockNode] | None
    quiet: Quiet


def main() -> int:
    """Run all of it and publish the rows."""
    with bench_lab() as lab:
        world = _build(lab)
        rows = _by_hand(world)
        rows += _cpu(world)
        rows += _side_by_side(world)
        rows += _relayed(world)
    notes = [f"driver: {wireguard_go() or 'kernel'}", world.quiet.note()]
    publish("datapath", rows, notes=notes)
    return 0 if all(r.met is not False for r in rows) else 1


def _build(lab: Lab) -> World:
    datacentre = lab.public("datacentre", "203.0.113.0/24")
    left_isp = lab.public("left-isp", "198.51.100.0/24")
    right_isp = lab.public("right-isp", "192.0.2.0/24")
    left_lan, right_lan = lab.lan("left-lan", "10.1.0.0/24"), lab.lan("right-lan", "10.2.0.0/24")
    vps = datacentre.host("vps", 10)
    left_router = lab.router("left-router", outside=left_isp, number=2, inside=left_lan)
    right_router = lab.router("right-router", outside=right_isp, number=2, inside=right_lan)
    left, right = left_lan.host("left", 2), right_lan.host("right", 2)
    hand_left, hand_right = left_lan.host("hand-left", 4), right_lan.host("hand-right", 4)
    stock_left, stock_right = left_lan.host("stock-left", 3), right_lan.host("stock-right", 3)
    lab.build()
    coordinator = Coordinator(vps)
    start_coordinator(coordinator)
    return World(
        coordinator,
        left_router,
        right_router,
        (_agent(coordinator, left), _agent(coordinator, right)),
        (hand_left, hand_right),
        _stock(coordinator, stock_left, stock_right, stock_programs()),
        Quiet(),
    )


def _agent(coordinator: Coordinator, host: Host) -> AgentNode:
    node = AgentNode(host, coordinator.new_key("bench"))
    node.up()
    iperf.start_server(host)
    return node


def _stock(
    coordinator: Coordinator, left: Host, right: Host, programs: Path | None
) -> tuple[StockNode, StockNode] | None:
    if programs is None:
        return None
    # Another port than our agents': behind one router two hosts cannot keep the same one.
    nodes = [
        StockNode(host, coordinator.new_key("bench"), programs, port=41642)
        for host in (left, right)
    ]
    for node in nodes:
        node.up()
        iperf.start_server(node.host)
    return nodes[0], nodes[1]


def _by_hand(world: World) -> list[Row]:
    left, right = world.ours
    hand_left, hand_right = world.by_hand
    for number, (interface, env) in enumerate(((_HAND, {}), (_HAND_ALIKE, _AGENTS_ENV))):
        make_tunnel(
            interface,
            End(hand_left, f"10.99.{number}.1", world.left_router.ip, 51820 + number),
            End(hand_right, f"10.99.{number}.2", world.right_router.ip, 51820 + number),
            env,
        )
    iperf.start_server(hand_right)
    wait_for_direct(left, "right")
    ours: list[float] = []
    hand: list[float] = []
    alike: list[float] = []
    ways = [(ours, left.host, right.ip), (hand, hand_left, "10.99.0.2")]
    if wireguard_go():
        ways.append((alike, hand_left, "10.99.1.2"))
    for number in range(PAIRS):
        # There and back again: no side is always the one that runs after the same other.
        for samples, client, server in ways if number % 2 else reversed(ways):
            samples.append(_throughput(world, client, server))
    rows = [
        row(
            "direct, agent's tunnel beside one made with wg set",
            "Mbit/s",
            ours,
            hand,
            target=Target(ratio_at_least=0.99),
            paired=True,
        )
    ]
    if alike:
        what = "the same, wireguard-go started by hand with the agent's thread limit"
        rows.append(row(what, "Mbit/s", ours, alike, paired=True))
    return rows


def _throughput(world: World, client: Host, server: str) -> float:
    return world.quiet.measure(lambda: iperf.measure(client, server, seconds=SECONDS))


def _cpu(world: World) -> list[Row]:
    """What the two agents do while a transfer runs at full speed, and while nothing runs."""
    left, right = world.ours
    wait_for_direct(left, "right")
    time.sleep(1)
    idle = [_watch(node, CPU_SECONDS / 2, None) for node in world.ours]
    busy = [_watch(node, CPU_SECONDS, (left, right.ip)) for node in world.ours]
    return [
        row(
            "agent CPU during a saturated direct transfer, worse end",
            "% of a core",
            [max(cpu for cpu, _ in busy)],
            target=Target(at_most=0.5),
        ),
        row("agent wake-ups a second, idle", "1/s", [max(wakes for _, wakes in idle)]),
        row("agent wake-ups a second, in that transfer", "1/s", [max(wakes for _, wakes in busy)]),
    ]


def _watch(node: Node, seconds: float, transfer: tuple[Node, str] | None) -> tuple[float, float]:
    """CPU in percent and wake-ups a second of a node's daemon over a time."""
    assert node.daemon is not None
    cpu, wakes = node.daemon.cpu_s(), _wake_ups(node.daemon.pid)
    began = time.monotonic()
    if transfer is None:
        time.sleep(seconds)
    else:
        iperf.measure(transfer[0].host, transfer[1], seconds=seconds)
    took = time.monotonic() - began
    used, woken = node.daemon.cpu_s() - cpu, _wake_ups(node.daemon.pid) - wakes
    return 100 * used / took, woken / took


def _wake_ups(pid: int) -> int:
    """How often all threads of a process went to sleep so far."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        text = status.read_text(encoding="ascii", errors="replace")
        total += int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return total


def _side_by_side(world: World) -> list[Row]:
    left, right = world.ours
    ours: list[float] = []
    theirs: list[float] = []
    if world.stock:
        wait_for_direct(world.stock[0], "stock-right")
    for _ in range(SIDE_BY_SIDE):
        ours.append(_throughput(world, left.host, right.ip))
        if world.stock:
            stock_left, stock_right = world.stock
            theirs.append(_throughput(world, stock_left.host, stock_right.ip))
    target = Target(ratio_at_least=1.2) if world.stock else None
    return [row("direct, beside tailscaled, same NATs", "Mbit/s", ours, theirs, target=target)]


def _relayed(world: World) -> list[Row]:
    world.left_router.block()
    world.right_router.block()
    left, right = world.ours
    wait_for_relayed(left, "right")
    ours: list[float] = []
    theirs: list[float] = []
    if world.stock:
        wait_for_relayed(world.stock[0], "stock-right")
    for _ in range(SIDE_BY_SIDE):
        ours.append(_throughput(world, left.host, right.ip))
        if world.stock:
            stock_left, stock_right = world.stock
            theirs.append(_throughput(world, stock_left.host, stock_right.ip))
    target = Target(at_least=120, ratio_at_least=2 if world.stock else None)
    what = "UDP blocked, one TCP flow, beside tailscaled through our relay"
    return [row(what, "Mbit/s", ours, theirs, target=target)]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CannotRunError as error:
        sys.exit(f"datapath: {error}")
