"""Two LANs whose devices have no client reach each other by their real addresses.

     10.1.0.0/24, fd00:1::/64                             10.2.0.0/24, fd00:2::/64
  anna .20 ─┐                         internet                        ┌─ ben .20
  carl .30 ─┼─ west router ─┬────────────┬────────────┬─ east router ─┼─ dora .30
  west-box .10              │           vps           │               └─ east-box .10
  guest .20 ── west-guest ──┘ 10.9.0.0/24 at the west router

Both boxes advertise their LAN without SNAT and accept the other's; each router sends what is for
the other LAN to its box. Anna may load every page over there, and ben that of anna; nobody else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Final

import pytest

from tests.netns.lab import Host, Lab, wait_until
from tests.netns.lab.ear import listening
from tests.netns.lab.topology import Route, SegmentPlan
from tests.netns.lab.web import start_page
from tests.support.gatewaylab import (
    SOON_S,
    TUNNEL,
    Mesh,
    accept,
    exchange,
    gateway_lab,
    page,
    pings,
    start_mesh,
    udp_server,
    wait_for_no_page,
    wait_for_page,
)

pytestmark = pytest.mark.netns

WEST, EAST = ("10.1.0.0/24", "fd00:1::/64"), ("10.2.0.0/24", "fd00:2::/64")
GUESTS = "10.9.0.0/24"
PORT = 5353

POLICY: Final[dict[str, Any]] = {
    "acls": [
        accept(["10.1.0.20", "fd00:1::20"], "10.2.0.0/24:80,5353", "[fd00:2::]/64:80"),
        accept(["10.2.0.20", "fd00:2::20"], "10.1.0.20:80", "[fd00:1::20]:80"),
    ]
}


@dataclass
class World:
    """Both sites, joined."""

    lab: Lab
    mesh: Mesh

    def __getitem__(self, name: str) -> Host:
        return self.lab[name]


def build(lab: Lab) -> None:
    """The picture above."""
    lab.public("datacentre", "203.0.113.0/24").host("vps", 10)
    isp = lab.public("isp", "198.51.100.0/24")
    west_lan, east_lan = lab.lan("west-lan", *WEST), lab.lan("east-lan", *EAST)
    guest_lan = lab.lan("guest-lan", GUESTS)
    west = lab.router("west", outside=isp, number=2, inside=west_lan)
    east = lab.router("east", outside=isp, number=3, inside=east_lan)
    guest_lan.join(west, 1, interface="lan2")
    west.plan.rules += 'add rule inet router forward iifname "lan2" accept\n'
    west_box, east_box = west_lan.host("west-box", 10), east_lan.host("east-box", 10)
    for router, box, other in ((west, west_box, east_lan.plan), (east, east_box, west_lan.plan)):
        router.plan.routes += through(box, other)
    east.plan.routes.append(Route(ip_network(GUESTS), east_box.plan.addresses()[0]))
    west_lan.host("anna", 20)
    west_lan.host("carl", 30)
    guest_lan.host("guest", 20)
    east_lan.host("ben", 20)
    east_lan.host("dora", 30)
    lab.build()


def through(box: Host, segment: SegmentPlan) -> list[Route]:
    """Routes to another site, one a family."""
    pairs = zip(segment.subnets, box.plan.addresses(), strict=True)
    return [Route(subnet, gateway) for subnet, gateway in pairs]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with gateway_lab() as lab:
        build(lab)
        mesh = start_mesh(lab["vps"], POLICY)
        for name, routes in (("west-box", WEST), ("east-box", EAST)):
            advertise = f"--advertise-routes={','.join(routes)}"
            mesh.join(lab[name], advertise, "--accept-routes", "--no-snat-subnet-routes")
            mesh.coordinator.approve(name, *routes)
        for name in ("anna", "carl", "ben", "dora", "guest"):
            start_page(lab[name]).wait_for_line("serving")
        made = World(lab, mesh)
        wait_for_page(made["anna"], made["ben"].ip)
        yield made


def test_a_lan_host_reaches_the_other_site_and_is_seen_by_its_own_address(world: World) -> None:
    anna = world["anna"]
    for name in ("ben", "dora"):
        assert wait_for_page(anna, world[name].ip) == anna.ip
        assert wait_for_page(anna, world[name].ip6) == anna.ip6
        assert pings(anna, world[name].ip)


def test_it_works_in_the_other_direction_too(world: World) -> None:
    ben, anna = world["ben"], world["anna"]
    assert wait_for_page(ben, anna.ip) == ben.ip
    assert wait_for_page(ben, anna.ip6) == ben.ip6


def test_udp_keeps_both_addresses(world: World) -> None:
    anna, dora = world["anna"], world["dora"]
    with udp_server(dora, PORT, dora.ip) as server:
        assert exchange(anna, server, dora.ip, PORT) == anna.ip


@pytest.mark.parametrize(
    ("who", "whom", "near"),
    [
        pytest.param("carl", "ben", "dora", id="a neighbour of anna"),
        pytest.param("dora", "anna", "carl", id="a neighbour of ben"),
        pytest.param("ben", "carl", "anna", id="a host that ben may not reach"),
    ],
)
def test_the_policy_applies_to_hosts_of_both_sites(
    world: World, who: str, whom: str, near: str
) -> None:
    target = world[whom]
    with listening(target, "eth0", "tcp dst port 80 and not multicast") as at_target:
        for address in (target.ip, target.ip6):
            assert not page(world[who], address)
        assert at_target.heard() == []
        for address in (target.ip, target.ip6):
            assert page(world[near], address), "a neighbour loads that page"
        wait_until(at_target.heard, SOON_S, "what arrives is heard")


def test_a_network_that_is_not_approved_does_not_enter(world: World) -> None:
    """The guests' packets reach the west box, and end there, whatever the policy says."""
    guest, ben = world["guest"], world["ben"]
    world.mesh.coordinator.set_policy({})
    try:
        with (
            listening(world["west-box"], "eth0", f"src host {guest.ip}") as arriving,
            listening(world["west-box"], TUNNEL, f"src host {guest.ip}") as entering,
        ):
            assert not page(guest, ben.ip)
            assert page(guest, world["anna"].ip), "the guest may load pages at home"
            wait_until(arriving.heard, SOON_S, "the box is asked")
            assert entering.heard() == []
        assert wait_for_page(world["carl"], ben.ip) == world["carl"].ip
    finally:
        world.mesh.coordinator.set_policy(POLICY)
        wait_for_no_page(world["carl"], ben.ip)


def test_lan_hosts_do_not_reach_the_boxes_in_the_mesh_unless_allowed(world: World) -> None:
    """Entering the mesh is for the other site's LAN: its box is a node like any other."""
    v4, v6 = world.mesh.addresses("east-box")
    anna = world["anna"]
    start_page(world["east-box"]).wait_for_line("serving")
    west_box = world["west-box"]
    for address, gateway in ((v4, west_box.ip), (v6, west_box.ip6)):
        anna.run(["ip", "route", "add", address, "via", gateway])
        assert not page(anna, address)
        assert not pings(anna, address)


def test_with_snat_again_nobody_enters(world: World) -> None:
    """Site to site is for routers without SNAT: with it, the LAN behind one asks in vain."""
    world.mesh["west-box"].set("--snat-subnet-routes")
    try:
        wait_for_no_page(world["anna"], world["ben"].ip)
    finally:
        world.mesh["west-box"].set("--no-snat-subnet-routes")
    assert wait_for_page(world["anna"], world["ben"].ip) == world["anna"].ip
