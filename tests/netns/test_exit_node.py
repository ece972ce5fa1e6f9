"""An exit node carries everything of its client, both families, and nothing else.

   10.77.0.0/24, 2001:db8:77::/64  internet          192.168.1.0/24, fd4c:7a11::/64
 laptop ── hostel ────┬───────────────────────── home ──┬── appliance (exit node)
 phone ─┘            vps, web                           └── printer

The printer's network is not advertised at first. The phone is no node: it is the laptop's LAN.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.netns.lab import wait_until
from tests.netns.lab.ear import listening
from tests.netns.lab.web import start_page
from tests.netns.topologies import Journey, journey
from tests.support.gatewaylab import (
    SOON_S,
    Mesh,
    accept,
    download,
    exchange,
    gateway_lab,
    leads_into_tunnel,
    page,
    pings,
    seen,
    start_mesh,
    udp_server,
    wait_for_no_page,
    wait_for_page,
)

pytestmark = pytest.mark.netns

HOME_LAN = ("192.168.1.0/24", "fd4c:7a11::/64")
PORT = 5353
LARGE = 1_000_000


@dataclass
class World:
    """The house and the traveller, who uses the appliance as exit node."""

    places: Journey
    mesh: Mesh

    def use_exit(self, *flags: str) -> None:
        """The laptop leaves through home."""
        self.mesh["laptop"].set("--exit-node=appliance", *flags)
        home = self.places.home.ip
        wait_until(lambda: seen(self.places.laptop, self.places.web.ip) == home, SOON_S, "exit")

    def use_none(self) -> None:
        """The laptop leaves by itself."""
        self.mesh["laptop"].set(
            "--exit-node=", "--no-accept-routes", "--no-exit-node-allow-lan-access"
        )
        hostel = self.places.hostel.ip
        wait_until(lambda: seen(self.places.laptop, self.places.web.ip) == hostel, SOON_S, "none")


@pytest.fixture(scope="module")
def made() -> Iterator[World]:
    with gateway_lab() as lab:
        places = journey(lab)
        mesh = start_mesh(places.vps)
        mesh.join(places.appliance, "--advertise-exit-node")
        mesh.coordinator.approve("appliance", "exit")
        mesh.join(places.laptop)
        for host in (places.web, places.printer, places.phone, places.laptop, places.appliance):
            start_page(host).wait_for_line("serving")
        yield World(places, mesh)


@pytest.fixture
def world(made: World) -> Iterator[World]:
    """The laptop leaves through home."""
    made.use_exit()
    yield made
    made.use_none()


def test_the_web_sees_home_by_both_families(world: World) -> None:
    """And whoever uses no exit node himself, though he could: IPv6 is not even translated."""
    laptop, web, home = world.places.laptop, world.places.web, world.places.home
    assert seen(laptop, web.ip) == home.ip
    assert seen(laptop, web.ip6) == home.ip6
    for address, outside in ((web.ip, home.ip), (web.ip6, home.ip6)):
        with udp_server(web, PORT, address) as server:
            assert exchange(laptop, server, address, PORT) == outside
    assert pings(laptop, web.ip)
    assert pings(laptop, web.ip6)
    assert seen(world.places.phone, web.ip6) == world.places.phone.ip6
    world.use_none()
    assert wait_for_page(laptop, web.ip6) == laptop.ip6


def test_what_is_larger_than_the_tunnels_packets_comes_through_whole(world: World) -> None:
    """Streams by their segment size, large datagrams in fragments."""
    laptop, web = world.places.laptop, world.places.web
    for address in (web.ip, web.ip6):
        assert download(laptop, web, address, LARGE) == LARGE
        any_address = "::" if ":" in address else "0.0.0.0"
        with udp_server(web, PORT, address) as server, laptop.udp(address=any_address) as sock:
            server.settimeout(SOON_S)
            sock.sendto(bytes(4000), (address, PORT))
            assert len(server.recv(5000)) == 4000


def test_home_is_not_reached_through_it_unless_advertised(world: World) -> None:
    """The exit node is for the internet: the LAN there hears nothing of its clients."""
    laptop, printer, appliance = world.places.laptop, world.places.printer, world.places.appliance
    targets = (printer.ip, printer.ip6, "192.168.1.1", appliance.ip, appliance.ip6)
    with listening(printer, "eth0", "tcp dst port 80") as at_printer:
        for address in targets:
            assert leads_into_tunnel(laptop, address)
            assert not page(laptop, address), address
        assert at_printer.heard() == []
        world.mesh["appliance"].set(f"--advertise-routes={','.join(HOME_LAN)}")
        world.mesh.coordinator.approve("appliance", *HOME_LAN)
        world.mesh["laptop"].set("--accept-routes")
        try:
            for address in (printer.ip, printer.ip6):
                assert wait_for_page(laptop, address)
            wait_until(at_printer.heard, SOON_S, "what arrives is heard")
        finally:
            world.mesh["appliance"].set("--advertise-routes=")
        wait_for_no_page(laptop, printer.ip)


def test_the_clients_lan_is_out_of_reach_unless_it_is_wanted(world: World) -> None:
    laptop, phone = world.places.laptop, world.places.phone
    for address in (phone.ip, phone.ip6):
        assert not page(laptop, address)
    assert page(laptop, world.mesh.addresses("appliance")[0]), "the mesh is reached"
    world.use_exit("--exit-node-allow-lan-access")
    for address, own in ((phone.ip, laptop.ip), (phone.ip6, laptop.ip6)):
        assert wait_for_page(laptop, address) == own
    assert seen(laptop, world.places.web.ip6) == world.places.home.ip6
    world.use_exit("--no-exit-node-allow-lan-access")
    wait_for_no_page(laptop, phone.ip)
    wait_for_no_page(laptop, phone.ip6)


def test_only_whom_the_policy_allows_leaves_through_it(world: World) -> None:
    """`autogroup:internet` is the right to leave; without it the exit node carries nothing."""
    laptop, web = world.places.laptop, world.places.web
    nodes = accept(["family@"], "100.64.0.0/10:*", "[fd7a:115c:a1e0::]/48:*")
    with listening(web, "eth0", "tcp dst port 80") as at_web:
        world.mesh.coordinator.set_policy({"acls": [nodes]})
        try:
            for address in (web.ip, web.ip6):
                wait_for_no_page(laptop, address)
            before = len(at_web.heard())
            assert not page(laptop, web.ip)
            assert not page(laptop, web.ip6)
            assert len(at_web.heard()) == before
            internet = accept(["family@"], "autogroup:internet:*")
            world.mesh.coordinator.set_policy({"acls": [nodes, internet]})
            assert wait_for_page(laptop, web.ip) == world.places.home.ip
            assert wait_for_page(laptop, web.ip6) == world.places.home.ip6
            assert len(at_web.heard()) > before
        finally:
            world.mesh.coordinator.set_policy({})


def test_a_revoked_exit_node_stops_everything_and_lets_nothing_out(world: World) -> None:
    """The owner asked for home: until he says otherwise, the hostel is no way out."""
    laptop, web = world.places.laptop, world.places.web
    world.mesh.coordinator.admin("routes", "revoke", "appliance", "exit")
    try:
        wait_until(lambda: not page(laptop, web.ip), SOON_S, "the exit node is gone")
        with listening(web, "eth0", "tcp dst port 80") as at_web:
            assert not page(laptop, web.ip)
            assert not page(laptop, web.ip6)
            assert at_web.heard() == []
        assert any("exit node" in text.lower() for text in world.mesh.status("laptop").health)
    finally:
        world.mesh.coordinator.approve("appliance", "exit")
    assert wait_for_page(laptop, web.ip6) == world.places.home.ip6
