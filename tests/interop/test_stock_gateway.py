"""Our agent uses a stock client's subnet route and exit node, and a relay of its own process.

laptop (our agent) ── hostel ──┬── internet ──┬── home ──┬── appliance (tailscaled)
                     vps (coordinator, relay), web       └── printer (a web page)
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.netns.lab import wait_until
from tests.netns.lab.web import client_seen
from tests.support.coordinator import RELAY
from tests.support.interop import Interop, open_world, page, udp_blocked
from tests.support.mesh import AgentNode, StockNode

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def world() -> Iterator[Interop]:
    with open_world(separate_relay=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def appliance(world: Interop) -> StockNode:
    host = world.world.appliance
    for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        host.set_sysctl(key, "1")  # tailscaled only warns when it is off
    node = world.stock(host.name, "--advertise-routes=192.168.1.0/24", "--advertise-exit-node")
    world.coordinator.approve(host.name, "192.168.1.0/24", "exit")
    return node


@pytest.fixture(scope="module")
def laptop(world: Interop, appliance: StockNode) -> AgentNode:
    node = world.agent("laptop", "--accept-routes")
    node.wait_for_peer("appliance")
    return node


def test_it_reaches_the_printer_and_goes_direct(
    world: Interop, appliance: StockNode, laptop: AgentNode
) -> None:
    printer = world.world.printer
    assert client_seen(page(laptop, printer.ip)) == appliance.host.ip
    wait_until(lambda: laptop.direct_address("appliance"), 20, "the path becomes direct")
    path = world.coordinator.path_between("appliance", laptop.ip)
    assert path["endpoint"].startswith(f"{world.world.hostel.ip}:")


def test_it_leaves_through_the_stock_exit_node_for_both_families(
    world: Interop, laptop: AgentNode
) -> None:
    web, home = world.world.web, world.world.home
    laptop.set("--exit-node=appliance")
    try:
        wait_until(lambda: client_seen(page(laptop, web.ip)) == home.ip, 10, "IPv4 from home")
        assert client_seen(page(laptop, web.ip6)) == home.ip6
    finally:
        laptop.set("--exit-node=")
    wait_until(
        lambda: client_seen(page(laptop, web.ip)) == world.world.hostel.ip, 10, "no exit node"
    )


def test_it_falls_back_to_a_relay_that_runs_by_itself(world: Interop, laptop: AgentNode) -> None:
    printer = world.world.printer
    with udp_blocked(world.world.hostel):
        wait_until(
            lambda: page(laptop, printer.ip) and not laptop.direct_address("appliance"),
            30,
            "the relay carries the page",
        )
        assert laptop.peer("appliance")["Relay"] == RELAY
    wait_until(
        lambda: page(laptop, printer.ip) and laptop.direct_address("appliance"), 30, "direct again"
    )
