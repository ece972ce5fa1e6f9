"""LAN devices without any client are reached exactly as the policy allows, in every kind of LAN.

laptop ─┐                                   ┌─ appliance .10 ── bench .20    10.50.0.0/24
phone  ─┴─ hostel ─┬─ internet ─┬── home ───┼─ printer .20, nas .30          192.168.1.0/24
                  vps           │           └─ shed .5 ── mower .20          10.60.0.0/24
                                └── farm ───┬─ barn .10 (no SNAT)
                                            └─ milker .20                    192.168.2.0/24

192.168.1.0/24 is at the appliance's uplink: one cable. The bench is at its second interface, the
mower behind another router that a static route names. The farm's router sends back to the barn.
home and its LAN have IPv6 too, a ULA and a global network. The laptop is alice's and may load the
pages (port 80) of all but the nas; the phone is bob's and may load the nas's only.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Final

import pytest

from tests.netns.lab import Host, Lab, wait_until
from tests.netns.lab.ear import listening
from tests.netns.lab.topology import Route
from tests.netns.lab.web import start_page
from tests.support.gatewaylab import (
    SOON_S,
    Mesh,
    accept,
    exchange,
    gateway_lab,
    page,
    pings,
    seen,
    start_mesh,
    udp_server,
    wait_for_no_page,
    wait_for_page,
)

pytestmark = pytest.mark.netns

MESH: Final = ip_network("100.64.0.0/10")
LAN, ULA, GUA = "192.168.1.0/24", "fd4c:7a11::/64", "2001:db8:4c::/64"
BENCH, SHED, FARM = "10.50.0.0/24", "10.60.0.0/24", "192.168.2.0/24"
HOME_ROUTES: Final = (LAN, ULA, GUA, BENCH, SHED)
PORT = 5353
OTHER_PORT = 8080

POLICY: Final[dict[str, Any]] = {
    "acls": [
        accept(
            ["alice@"],
            "192.168.1.20:80",
            "[fd4c:7a11::20]:80",
            "[2001:db8:4c::20]:80",
            *("10.50.0.0/24:80", "10.60.0.0/24:80", "192.168.2.20:80"),
        ),
        accept(["alice@"], "192.168.2.20:5353", proto="udp"),
        accept(["bob@"], "192.168.1.30:80"),
    ]
}


@dataclass
class World:
    """Every kind of LAN, and the mesh."""

    lab: Lab
    mesh: Mesh

    def __getitem__(self, name: str) -> Host:
        return self.lab[name]


def build(lab: Lab) -> None:
    """The picture above."""
    datacentre = lab.public("datacentre", "203.0.113.0/24")
    city = lab.public("city-isp", "198.51.100.0/24")
    country = lab.public("country-isp", "192.0.2.0/24", "2001:db8:2::/64")
    hostel_lan = lab.lan("hostel-lan", "10.77.0.0/24")
    home_lan = lab.lan("home-lan", LAN, ULA, GUA)
    bench_lan, shed_lan = lab.lan("bench-lan", BENCH), lab.lan("shed-lan", SHED)
    farm_lan = lab.lan("farm-lan", FARM)
    datacentre.host("vps", 10)
    for name, number in (("laptop", 21), ("phone", 22)):
        hostel_lan.host(name, number)
    lab.router("hostel", outside=city, number=2, inside=hostel_lan)
    home = lab.router("home", outside=country, number=2, inside=home_lan, nat6=True)
    farm = lab.router("farm", outside=country, number=3, inside=farm_lan)
    appliance, shed = home_lan.host("appliance", 10), home_lan.host("shed", 5)
    bench_lan.join(appliance, 1)
    shed_lan.join(shed, 1)
    shed.plan.sysctls["net.ipv4.ip_forward"] = "1"
    for knows_the_shed in (appliance, home):
        knows_the_shed.plan.routes.append(Route(shed_lan.subnets[0], shed.plan.addresses()[0]))
    home_lan.host("printer", 20)
    home_lan.host("nas", 30)
    bench_lan.host("bench", 20)
    shed_lan.host("mower", 20)
    barn = farm_lan.host("barn", 10)
    farm_lan.host("milker", 20)
    farm.plan.routes.append(Route(MESH, barn.plan.addresses()[0]))
    lab.build()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with gateway_lab() as lab:
        build(lab)
        mesh = start_mesh(lab["vps"], POLICY)
        advertise = "--advertise-routes="
        mesh.join(lab["appliance"], advertise + ",".join(HOME_ROUTES))
        mesh.join(lab["barn"], advertise + FARM, "--no-snat-subnet-routes")
        mesh.coordinator.approve("appliance", *HOME_ROUTES)
        mesh.coordinator.approve("barn", FARM)
        mesh.join(lab["laptop"], "--accept-routes", user="alice")
        mesh.join(lab["phone"], "--accept-routes", user="bob")
        for name in ("printer", "nas", "bench", "mower", "milker"):
            start_page(lab[name]).wait_for_line("serving")
        start_page(lab["printer"], OTHER_PORT).wait_for_line("serving")
        yield World(lab, mesh)


def test_one_cable_where_uplink_and_lan_are_the_same_interface(world: World) -> None:
    """The printer answers the appliance: it need not know that there is a mesh."""
    laptop, printer, appliance = world["laptop"], world["printer"], world["appliance"]
    assert wait_for_page(laptop, printer.ip) == appliance.ip
    assert pings(laptop, printer.ip), "where a port is open, echo requests are let through"


def test_an_ipv6_lan_with_a_unique_local_and_a_global_network(world: World) -> None:
    laptop, appliance = world["laptop"], world["appliance"]
    own = {str(address) for address in appliance.plan.addresses()}
    for address in ("fd4c:7a11::20", "2001:db8:4c::20"):
        assert wait_for_page(laptop, address) in own
        assert pings(laptop, address)


def test_a_lan_behind_a_second_interface(world: World) -> None:
    assert wait_for_page(world["laptop"], world["bench"].ip) == "10.50.0.1"


def test_a_lan_behind_another_router_that_a_static_route_names(world: World) -> None:
    assert wait_for_page(world["laptop"], world["mower"].ip) == world["appliance"].ip


def test_without_snat_a_lan_that_routes_back_sees_who_asks(world: World) -> None:
    laptop, milker = world["laptop"], world["milker"]
    own, _ = world.mesh.addresses("laptop")
    assert wait_for_page(laptop, milker.ip) == own
    with udp_server(milker, PORT, milker.ip) as server:
        assert exchange(laptop, server, milker.ip, PORT) == own


@pytest.mark.parametrize(
    ("who", "address", "port"),
    [
        pytest.param("laptop", "192.168.1.20", OTHER_PORT, id="a port that is not allowed"),
        pytest.param("laptop", "fd4c:7a11::20", OTHER_PORT, id="a port that is not allowed, IPv6"),
        pytest.param("laptop", "192.168.1.30", 80, id="a host that another may reach"),
        pytest.param("laptop", "fd4c:7a11::30", 80, id="a host that is in no rule"),
        pytest.param(
            "phone", "192.168.1.20", 80, id="a host that another may reach, the other way"
        ),
        pytest.param("phone", "10.50.0.20", 80, id="a network that another may reach"),
    ],
)
def test_what_the_policy_does_not_allow_never_reaches_the_lan(
    world: World, who: str, address: str, port: int
) -> None:
    """The LAN device hears nothing of it, and answers a neighbour who asks the same."""
    host, target = world[who], host_at(world, address)
    match = f"tcp dst port {port} and dst host {address}"
    with listening(target, "eth0", match) as at_target:
        assert not page(host, address, port)
        assert at_target.heard() == []
        near = world["appliance"]
        assert page(near, address, port), "the probe works where nothing forbids it"
        wait_until(at_target.heard, SOON_S, "what arrives is heard")


def host_at(world: World, address: str) -> Host:
    return next(host for host in world.lab.hosts if address in map(str, host.plan.addresses()))


def test_udp_is_told_from_tcp(world: World) -> None:
    laptop, milker = world["laptop"], world["milker"]
    with udp_server(milker, PORT, milker.ip) as open_port:
        assert exchange(laptop, open_port, milker.ip, PORT)
    with udp_server(milker, OTHER_PORT, milker.ip) as closed_port:
        assert not exchange(laptop, closed_port, milker.ip, OTHER_PORT)
        assert exchange(world["barn"], closed_port, milker.ip, OTHER_PORT)


def test_the_phone_reaches_what_its_owner_may(world: World) -> None:
    assert wait_for_page(world["phone"], world["nas"].ip) == world["appliance"].ip
    assert not page(world["laptop"], world["nas"].ip)


def test_the_router_itself_reaches_what_it_advertises(world: World) -> None:
    """It uses its own cables, not the mesh."""
    own = {str(address) for address in world["appliance"].plan.addresses()}
    for address in ("192.168.1.20", "fd4c:7a11::20", "10.50.0.20", "10.60.0.20"):
        assert seen(world["appliance"], address) in own
    assert seen(world["barn"], world["milker"].ip) == world["barn"].ip


def test_a_policy_that_changes_is_obeyed_at_once_in_both_directions(world: World) -> None:
    """What the tests above found closed opens with its rule, and closes without it."""
    laptop, nas = world["laptop"], world["nas"]
    more = accept(["alice@"], "192.168.1.30:80", "192.168.1.20:8080")
    world.mesh.coordinator.set_policy({"acls": [*POLICY["acls"], more]})
    assert wait_for_page(laptop, nas.ip) == world["appliance"].ip
    assert wait_for_page(laptop, world["printer"].ip, OTHER_PORT)
    world.mesh.coordinator.set_policy(POLICY)
    wait_for_no_page(laptop, nas.ip)
    wait_for_no_page(laptop, world["printer"].ip, OTHER_PORT)
    assert page(laptop, world["printer"].ip)


def test_a_revoked_rule_cuts_the_connection_that_it_allowed(world: World) -> None:
    """Established or not: a rule that is gone allows nothing."""
    laptop, milker = world["laptop"], world["milker"]
    with udp_server(milker, PORT, milker.ip) as server:
        server.settimeout(1)
        with laptop.udp() as sock:
            sock.connect((milker.ip, PORT))
            talk(sock, server)
            world.mesh.coordinator.set_policy({"acls": POLICY["acls"][:1]})
            try:
                wait_until(lambda: not talks(sock, server), SOON_S, "the flow is cut")
            finally:
                world.mesh.coordinator.set_policy(POLICY)
            wait_until(lambda: talks(sock, server), SOON_S, "it is allowed again")


def talk(sock: socket.socket, server: socket.socket) -> None:
    assert wait_until(lambda: talks(sock, server), SOON_S, "they talk")


def talks(sock: socket.socket, server: socket.socket) -> bool:
    """One datagram there and one back, in a flow that goes on."""
    server.settimeout(0.2)
    with suppress(OSError):
        sock.send(b"ask")
        _, sender = server.recvfrom(100)
        server.sendto(b"answer", sender)
        return sock.recv(100) == b"answer"
    return False
