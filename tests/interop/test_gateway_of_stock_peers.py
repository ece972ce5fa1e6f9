"""Our client behind gateways of the stock client, with and without a TUN device.

  10.77.0.0/24, 2001:db8:77::/64 internet          192.168.1.0/24, both families
laptop ── hostel ────┬────────────────────── home ──┬── appliance (tailscaled, TUN)
our agent            │                              └── printer
                    vps, web ─────────────── cabin ──── stove (tailscaled, netstack), IPv4 only
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.netns.lab import wait_until
from tests.netns.lab.web import start_page
from tests.netns.topologies import Journey, journey
from tests.support.gatewaylab import (
    Mesh,
    gateway_lab,
    page,
    seen,
    start_mesh,
    wait_for_page,
)
from tests.support.leaks import Watch, now, watching
from tests.support.mesh import NetstackNode, StockNode
from tests.support.peers import require_peer

pytestmark = pytest.mark.interop

SOON_S = 20.0
LAN, CABIN = "192.168.1.0/24", "192.168.7.0/24"
ENOUGH = 10


@dataclass
class World:
    """Our laptop, which talks, and two stock gateways."""

    places: Journey
    mesh: Mesh
    watch: Watch


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    programs = require_peer("tailscaled").parent
    with gateway_lab() as lab:
        places = journey(lab)
        for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            places.appliance.set_sysctl(key, "1")  # tailscaled only warns when it is off
        mesh = start_mesh(places.vps)
        mesh.join(places.laptop, "--accept-routes")
        key = mesh.keys["family"]
        for kind, host, lan in (
            (StockNode, places.appliance, LAN),
            (NetstackNode, places.stove, CABIN),
        ):
            node = kind(host, key, programs)
            node.up(f"--advertise-routes={lan}", "--advertise-exit-node")
            mesh.coordinator.approve(host.name, lan, "exit")
        for host in (places.web, places.printer, places.stove):
            start_page(host).wait_for_line("serving")
        with watching(places) as watch:
            yield World(places, mesh, watch)


@pytest.fixture(autouse=True)
def _use_no_exit_node(world: World) -> Iterator[None]:
    yield
    world.mesh["laptop"].set("--exit-node=")


def test_it_reaches_the_lan_behind_a_stock_router(world: World) -> None:
    printer = world.places.printer
    assert wait_for_page(world.places.laptop, printer.ip, timeout_s=SOON_S)
    assert seen(world.places.laptop, printer.ip) == world.places.appliance.ip


def test_it_reaches_the_lan_behind_a_stock_router_without_tun(world: World) -> None:
    assert wait_for_page(world.places.laptop, world.places.stove.ip, timeout_s=SOON_S)


def test_it_leaves_through_a_stock_exit_node_and_leaks_nothing(world: World) -> None:
    """Not when its agent is killed, either."""
    laptop, web, home = world.places.laptop, world.places.web, world.places.home
    world.mesh["laptop"].set("--exit-node=appliance")
    wait_until(lambda: seen(laptop, web.ip) == home.ip, SOON_S, "IPv4 leaves from home")
    assert wait_for_page(laptop, web.ip6) == home.ip6
    began = now()
    daemon = world.mesh["laptop"].daemon
    assert daemon is not None
    daemon.kill()
    world.mesh["laptop"].start()
    world.watch.wait_for_talk(SOON_S)
    assert world.watch.leaks(began) == []


def test_it_leaves_through_a_stock_exit_node_without_tun_and_ipv6(world: World) -> None:
    """What the cabin cannot carry is not leaked."""
    laptop, web, cabin = world.places.laptop, world.places.web, world.places.cabin
    world.mesh["laptop"].set("--exit-node=stove")
    wait_until(lambda: seen(laptop, web.ip) == cabin.ip, SOON_S, "IPv4 leaves from the cabin")
    began = now()
    v4, v6 = world.watch.reported()
    wait_until(lambda: world.watch.connected()[0] > v4 + ENOUGH, SOON_S, "IPv4 works")
    assert world.watch.leaks(began) == []
    assert world.watch.connected()[1] == v6
    assert not page(laptop, web.ip6)
