"""The network monitor hears real changes: a cable, an address, a router.

machine eth0 192.168.1.5 ──── 192.168.1.1 router
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest

from appliance.host.netmon import NetworkMonitor
from appliance.host.network import NetworkState
from tests.support.boxes import Box, fresh_boxes, join, why_no_boxes

pytestmark = pytest.mark.netns

NEWS_WITHIN_S = 0.25


@pytest.fixture
def boxes() -> Iterator[tuple[Box, Box]]:
    reason = why_no_boxes()
    if reason:
        pytest.skip(reason)
    with fresh_boxes("machine", "router") as (machine, router):
        join(machine, "eth0", router, "lan")
        router.run("ip addr add 192.168.1.1/24 dev lan")
        # Link-local addresses of the two ends would be changes of their own, a second later.
        machine.run("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1")
        yield machine, router


async def follow(
    machine: Box, steps: list[tuple[str, Callable[[NetworkState], bool]]]
) -> list[float]:
    """Make one change after the other; how long the news of each took."""
    monitor = NetworkMonitor("latchkey0")
    took = []
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(monitor.run(), name="monitor")
        await asyncio.sleep(0.1)
        for command, has_happened in steps:
            await asyncio.to_thread(machine.run, command)
            changed = time.monotonic()
            async with asyncio.timeout(5):
                await monitor.state.wait_for(has_happened)
            took.append(time.monotonic() - changed)
        running.cancel()
    return took


def test_every_real_change_is_published_within_a_quarter_second(boxes: tuple[Box, Box]) -> None:
    machine, _ = boxes

    def lan(*networks: str) -> Callable[[NetworkState], bool]:
        return lambda state: {str(n) for n in state.lan_networks} == set(networks)

    took = machine.do(
        lambda: follow(
            machine,
            [
                ("ip addr add 192.168.1.5/24 dev eth0", lambda state: len(state.addresses) == 1),
                ("ip route add default via 192.168.1.1", lan("192.168.1.0/24")),
                ("ip addr add 10.7.0.5/24 dev eth0", lan("192.168.1.0/24", "10.7.0.0/24")),
                ("ip addr del 10.7.0.5/24 dev eth0", lan("192.168.1.0/24")),
                ("ip link set eth0 down", lambda state: state.uplinks == ()),
                ("ip link set eth0 up", lambda state: len(state.addresses) == 1),
            ],
        )
    )
    assert sorted(took)[len(took) // 2] < NEWS_WITHIN_S


def test_changes_of_the_tunnel_wake_nobody(boxes: tuple[Box, Box]) -> None:
    machine, _ = boxes

    async def work() -> None:
        monitor = NetworkMonitor("latchkey0")
        heard: list[NetworkState] = []

        async def listen() -> None:
            async for state in monitor.state.changes():
                heard.append(state)  # noqa: PERF401 - it never ends

        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(monitor.run(), name="monitor"),
                tasks.create_task(listen(), name="listener"),
            ]
            await asyncio.sleep(0.1)
            for command in (
                "ip link add latchkey0 type veth peer name other",
                "ip link set latchkey0 up",
                "ip addr add 100.64.0.1/32 dev latchkey0",
                "ip route add 10.0.0.0/8 dev latchkey0",
            ):
                await asyncio.to_thread(machine.run, command)
            await asyncio.sleep(0.2)
            for task in running:
                task.cancel()
        assert len(heard) == 1, "only the state at the start"

    machine.do(work)
