"""A machine at home never sends its own LAN's traffic through the mesh, whatever others offer.

                          ┌── cabin ──┬── far (carries 192.168.1.0/24 and more)
laptop ── hostel ─────────┤           └── 192.168.1.66: a machine of the same numbers
  └╌╌╌ the cable at home  ├── home ───┬── appliance (carries 192.168.1.0/24)
                  vps ────┘           └── printer 192.168.1.20
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.netns.lab import PORT_RESTRICTED, Host, Program, wait_until
from tests.netns.lab.namespaces import tool
from tests.netns.lab.web import start_page
from tests.support.gatewaylab import (
    SOON_S,
    TUNNEL,
    Mesh,
    gateway_lab,
    leads_into_tunnel,
    page,
    seen,
    start_mesh,
    wait_for_page,
)

pytestmark = pytest.mark.netns

LAN, WIDER, NARROWER = "192.168.1.0/24", "192.168.0.0/16", "192.168.1.16/28"
PRINTER, APPLIANCE = "192.168.1.20", "192.168.1.10"
ELSEWHERE = "192.168.40.7"  # only in the wider one
AT_HOME = "192.168.1.21"


@dataclass
class World:
    mesh: Mesh
    laptop: Host
    appliance: Host
    printer: Host
    home_lan: str
    """The namespace of the Ethernet at home."""

    def cable(self, state: str) -> None:
        """Plug the laptop in at home, or out."""
        tool(["ip", "-n", self.home_lan, "link", "set", "laptop", state])

    def carry(self, node: str, *prefixes: str) -> None:
        """Let a node carry these subnets alone, advertised and approved."""
        self.mesh[node].set("--advertise-routes=" + ",".join(prefixes))
        if prefixes:
            self.mesh.coordinator.approve(node, *prefixes)

    def tunnel_routes(self, host: Host) -> list[str]:
        return host.run(["ip", "route", "show", "table", "5170", "dev", TUNNEL]).split()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with gateway_lab() as lab:
        datacentre = lab.public("datacentre", "203.0.113.0/24")
        city, isp = lab.public("city", "198.51.100.0/24"), lab.public("isp", "192.0.2.0/24")
        hostel_lan, home_lan = lab.lan("hostel-lan", "10.77.0.0/24"), lab.lan("home-lan", LAN)
        cabin_lan = lab.lan("cabin-lan", "10.88.0.0/24")
        vps = datacentre.host("vps", 10)
        lab.router("hostel", outside=city, number=2, inside=hostel_lan, nat=PORT_RESTRICTED)
        lab.router("home", outside=isp, number=2, inside=home_lan, nat=PORT_RESTRICTED)
        lab.router("cabin", outside=city, number=3, inside=cabin_lan, nat=PORT_RESTRICTED)
        laptop, far = hostel_lan.host("laptop", 21), cabin_lan.host("far", 10)
        appliance, printer = home_lan.host("appliance", 10), home_lan.host("printer", 20)
        home_lan.join(laptop, 21)
        lab.build()
        start_page(printer).wait_for_line("serving")
        mesh = start_mesh(vps)
        world = World(mesh, laptop, appliance, printer, lab.name_of("home-lan"))
        world.cable("down")
        mesh.join(appliance, "--accept-routes")
        mesh.join(far)
        mesh.join(laptop, "--accept-routes")
        yield world


class Ear:
    """Hears what goes into the tunnel for an address."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def heard(self) -> list[str]:
        return [line for line in self._program.text().splitlines() if " > " in line]


@contextmanager
def into_tunnel(host: Host, address: str) -> Iterator[Ear]:
    file = host.directory / "ear.log"
    file.unlink(missing_ok=True)
    command = ["tcpdump", "-i", TUNNEL, "-n", "-l", "--immediate-mode", "dst", "host", address]
    program = host.start("ear", command)
    program.wait_for_line("listening on")
    try:
        yield Ear(program)
    finally:
        program.stop()


@pytest.mark.parametrize("offered", [LAN, WIDER, NARROWER])
def test_at_home_no_offer_of_others_takes_the_lan(world: World, offered: str) -> None:
    world.cable("up")
    world.carry("far", offered)
    outside = ELSEWHERE if offered == WIDER else "10.88.0.10"
    if offered == WIDER:
        wait_until(
            lambda: leads_into_tunnel(world.laptop, outside), SOON_S, "the wider route is accepted"
        )
    with into_tunnel(world.laptop, PRINTER) as ear:
        assert seen(world.laptop, PRINTER) == AT_HOME
        assert not leads_into_tunnel(world.laptop, PRINTER)
        assert not ear.heard()
    world.carry("far")


def test_the_cable_wins_from_its_first_packet_on(world: World) -> None:
    """Away the laptop uses the route; the moment it has an address at home, it no longer does.

    The agent is stopped while the cable is plugged in: what it would do comes too late.
    """
    world.cable("down")
    world.laptop.run(["ip", "address", "flush", "dev", "eth1", "scope", "global"])
    world.carry("appliance", LAN)
    wait_for_page(world.laptop, PRINTER)
    assert leads_into_tunnel(world.laptop, PRINTER)
    daemon = world.mesh["laptop"].daemon
    assert daemon is not None
    world.laptop.run(["kill", "-STOP", str(daemon.pid)])
    try:
        world.cable("up")
        world.laptop.run(["ip", "address", "add", f"{AT_HOME}/24", "dev", "eth1"])
        with into_tunnel(world.laptop, PRINTER) as ear:
            assert not leads_into_tunnel(world.laptop, PRINTER)
            wait_until(lambda: page(world.laptop, PRINTER), SOON_S, "the printer by the cable")
            assert seen(world.laptop, PRINTER) == AT_HOME
            assert not ear.heard()
    finally:
        world.laptop.run(["kill", "-CONT", str(daemon.pid)])
    world.cable("down")
    world.laptop.run(["ip", "address", "flush", "dev", "eth1", "scope", "global"])
    wait_for_page(world.laptop, PRINTER)
    assert leads_into_tunnel(world.laptop, PRINTER), "away again, it goes through the mesh"
    world.cable("up")
    world.laptop.run(["ip", "address", "add", f"{AT_HOME}/24", "dev", "eth1"])
    world.carry("appliance")


def test_a_router_keeps_its_lan_when_another_offers_the_same(world: World) -> None:
    world.carry("far", LAN, ELSEWHERE + "/32")
    wait_until(
        lambda: leads_into_tunnel(world.appliance, ELSEWHERE), SOON_S, "the other's are accepted"
    )
    world.carry("appliance", LAN)
    assert not leads_into_tunnel(world.appliance, PRINTER)
    assert seen(world.appliance, PRINTER) == APPLIANCE
    world.carry("far")
    world.carry("appliance")


def test_a_router_reaches_what_it_offers_behind_its_default_gateway(world: World) -> None:
    """Another offers a wider route; the router's peers must not be sent on into the mesh."""
    behind = "192.168.40.0/24"
    world.carry("far", WIDER)
    wait_until(
        lambda: leads_into_tunnel(world.appliance, ELSEWHERE), SOON_S, "the wider one is accepted"
    )
    world.carry("appliance", behind)
    wait_until(
        lambda: not leads_into_tunnel(world.appliance, ELSEWHERE), SOON_S, "its own goes first"
    )
    world.carry("far")
    world.carry("appliance")
