"""The four facts of a route follow the truth, and a route whose LAN is down is withdrawn.

laptop ── hostel ──┬── internet ──┬── home ──┬── appliance ── workshop ── lathe 10.50.0.20
                  vps (coordinator + relay)  └── printer 192.168.1.20
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from appliance.exit_status import ExitStatus
from appliance.localapi.client import LocalClient
from appliance.localapi.types import RouteStatus
from tests.netns.lab import PORT_RESTRICTED, Host, wait_until
from tests.netns.lab.namespaces import tool
from tests.netns.lab.web import start_page
from tests.support.gatewaylab import (
    SOON_S,
    Mesh,
    gateway_lab,
    leads_into_tunnel,
    start_mesh,
    wait_for_page,
)

pytestmark = pytest.mark.netns

LAN, WORKSHOP = "192.168.1.0/24", "10.50.0.0/24"
PRINTER, LATHE = "192.168.1.20", "10.50.0.20"


@dataclass
class World:
    mesh: Mesh
    appliance: Host
    laptop: Host
    printer: Host
    lathe: Host
    workshop: str
    """The namespace of the workshop's Ethernet."""

    def route(self, node: str, prefix: str) -> RouteStatus:
        client = LocalClient(self.mesh[node].socket)
        routes = wait_until(
            lambda: [route for route in client.routes().routes if route.prefix == prefix],
            SOON_S,
            f"{node} knows {prefix}",
        )
        return routes[0]

    def facts(self, node: str, prefix: str) -> dict[str, bool]:
        return {name: fact.ok for name, fact in self.route(node, prefix).facts.items()}

    def wait_for(self, node: str, prefix: str, **wanted: bool) -> None:
        def so() -> bool:
            facts = self.facts(node, prefix)
            return all(facts[name] == ok for name, ok in wanted.items())

        wait_until(so, SOON_S, f"{prefix} at {node} is {wanted}")

    def cable(self, state: str) -> None:
        """Plug the workshop's cable in (up) or out (down), at its far end."""
        tool(["ip", "-n", self.workshop, "link", "set", "appliance", state])

    def warnings(self, node: str) -> set[str]:
        return {f"{item.code} {item.subject}".strip() for item in self.mesh.status(node).warnings}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with gateway_lab() as lab:
        datacentre = lab.public("datacentre", "203.0.113.0/24")
        city = lab.public("city", "198.51.100.0/24")
        isp = lab.public("isp", "192.0.2.0/24")
        hostel_lan = lab.lan("hostel-lan", "10.77.0.0/24")
        home_lan = lab.lan("home-lan", LAN)
        workshop = lab.lan("workshop", WORKSHOP)
        vps = datacentre.host("vps", 10)
        lab.router("hostel", outside=city, number=2, inside=hostel_lan, nat=PORT_RESTRICTED)
        lab.router("home", outside=isp, number=2, inside=home_lan, nat=PORT_RESTRICTED)
        laptop, appliance = hostel_lan.host("laptop", 21), home_lan.host("appliance", 10)
        workshop.join(appliance, 10)
        printer, lathe = home_lan.host("printer", 20), workshop.host("lathe", 20)
        lab.build()
        mesh = start_mesh(vps)
        mesh.join(appliance, f"--advertise-routes=auto,{WORKSHOP}", "--advertise-exit-node")
        mesh.join(laptop, "--accept-routes")
        for host in (printer, lathe):
            start_page(host).wait_for_line("serving")
        yield World(mesh, appliance, laptop, printer, lathe, lab.name_of("workshop"))


def test_a_route_that_waits_for_approval_says_who_must_do_what(world: World) -> None:
    route = world.route("appliance", LAN)
    assert route.advertised.ok
    assert "eth0" in route.advertised.evidence
    assert not route.approved.ok
    assert f"latchkey admin routes approve appliance {LAN}" in route.approved.evidence
    assert (route.serving.ok, route.proven.ok) == (False, False)
    assert f"route-not-approved {LAN}" in world.warnings("appliance")


def test_an_approved_route_serves_and_is_proven_on_both_ends(world: World) -> None:
    world.mesh.coordinator.approve("appliance", LAN, WORKSHOP)
    world.wait_for("appliance", LAN, approved=True, serving=True)
    assert f"route-not-approved {LAN}" not in world.warnings("appliance")
    # At the client a probe of its own proves it, without any traffic of the owner's.
    world.wait_for("laptop", LAN, serving=True, proven=True)
    assert "answered a probe" in world.route("laptop", LAN).proven.evidence
    # At the router what peers did and what came back: the probe was an echo to the home router.
    wait_for_page(world.laptop, LATHE)
    world.wait_for("appliance", WORKSHOP, proven=True)
    evidence = world.route("appliance", WORKSHOP).proven.evidence
    assert evidence.startswith("laptop reached 10.50.0.")


def test_a_route_is_probed_on_demand_at_one_host(world: World) -> None:
    printed = world.mesh["laptop"].command("routes", "probe", PRINTER)
    assert f"{PRINTER} answered a probe" in printed
    done = world.laptop.try_run([*world.mesh["laptop"].cli(), "routes", "probe", "10.99.0.1"])
    assert done.returncode == ExitStatus.DOCTOR_ROUTE
    assert max(map(len, printed.splitlines())) <= 80


def test_a_route_is_withdrawn_while_its_cable_is_out(world: World) -> None:
    wait_until(lambda: leads_into_tunnel(world.laptop, LATHE), SOON_S, "the laptop uses the route")
    world.cable("down")
    world.wait_for("appliance", WORKSHOP, advertised=False, approved=False, serving=False)
    assert "Withdrawn" in world.route("appliance", WORKSHOP).advertised.evidence
    wait_until(
        lambda: not leads_into_tunnel(world.laptop, LATHE), SOON_S, "the laptop lets go of it"
    )
    assert f"route-withdrawn {WORKSHOP}" in world.warnings("appliance")
    assert world.facts("appliance", LAN)["serving"], "the other LAN goes on"
    world.cable("up")
    world.wait_for("appliance", WORKSHOP, advertised=True, approved=True, serving=True)
    wait_for_page(world.laptop, LATHE)
    assert f"route-withdrawn {WORKSHOP}" not in world.warnings("appliance")


def test_a_restart_while_the_cable_is_out_does_not_offer_the_default_gateway(world: World) -> None:
    world.cable("down")
    world.wait_for("appliance", WORKSHOP, advertised=False)
    node = world.mesh["appliance"]
    assert node.daemon is not None
    node.daemon.kill()
    node.start()
    wait_until(
        lambda: world.mesh.status("appliance").backend_state == "Running", SOON_S, "it runs again"
    )
    assert not world.facts("appliance", WORKSHOP)["advertised"]
    world.cable("up")
    world.wait_for("appliance", WORKSHOP, serving=True)


def test_an_interface_that_vanishes_withdraws_its_route(world: World) -> None:
    tool(["ip", "-n", world.workshop, "link", "del", "appliance"])
    world.wait_for("appliance", WORKSHOP, advertised=False)
    wait_for_page(world.laptop, PRINTER)  # nothing else broke
    make = ["link", "add", "appliance", "type", "veth", "peer", "name", "eth1"]
    tool(["ip", "-n", world.workshop, *make, "netns", world.appliance.namespace])
    tool(["ip", "-n", world.workshop, "link", "set", "appliance", "master", "br0", "up"])
    world.appliance.run(["ip", "address", "add", "10.50.0.10/24", "dev", "eth1"])
    world.appliance.run(["ip", "link", "set", "eth1", "up"])
    world.wait_for("appliance", WORKSHOP, serving=True)
    wait_for_page(world.laptop, LATHE)


def test_the_router_itself_reaches_what_it_advertises(world: World) -> None:
    wait_for_page(world.appliance, LATHE)
    wait_for_page(world.appliance, PRINTER)


def test_an_exit_node_is_proven_and_says_that_there_is_no_ipv6(world: World) -> None:
    world.mesh.coordinator.approve("appliance", "exit")
    world.wait_for("appliance", "exit", approved=True, serving=True)
    assert "no IPv6" in world.route("appliance", "exit").serving.evidence
    assert "exit-home-no-ipv6" in world.warnings("appliance")
    laptop = world.mesh["laptop"]
    listed = laptop.command("exit-node", "list")
    assert "appliance" in listed
    laptop.set("--exit-node=auto:any")
    try:
        world.wait_for("laptop", "exit", serving=True, proven=True)
        world.wait_for("appliance", "exit", proven=True)
        wait_until(
            lambda: world.mesh.status("laptop").exit_node_ipv6 == "no", SOON_S, "no IPv6 is known"
        )
        assert "exit-node-no-ipv6" in world.warnings("laptop")
        assert "in use" in laptop.command("exit-node", "list")
    finally:
        laptop.set("--exit-node=")


def test_a_lan_that_is_renumbered_needs_a_new_approval(world: World) -> None:
    """One cable, the usual home: uplink and LAN are the same interface."""
    appliance = world.appliance
    moved = "192.168.77.0/24"
    home = world.workshop.replace("workshop", "home")
    tool(["ip", "-n", home, "address", "add", "192.168.77.1/24", "dev", "lan"])
    appliance.run(["ip", "address", "add", "192.168.77.10/24", "dev", "eth0"])
    appliance.run(["ip", "route", "replace", "default", "via", "192.168.77.1"])
    appliance.run(["ip", "address", "del", "192.168.1.10/24", "dev", "eth0"])
    world.wait_for("appliance", moved, advertised=True, approved=False)
    items = {item.code: item for item in world.mesh.status("appliance").warnings}
    assert moved in items["lan-renumbered"].text
    assert LAN in items["lan-renumbered"].text
    wait_until(
        lambda: not leads_into_tunnel(world.laptop, PRINTER), SOON_S, "the old route is gone"
    )
    world.mesh.coordinator.approve("appliance", moved)
    world.wait_for("appliance", moved, serving=True)
    assert f"lan-renumbered {moved}" not in world.warnings("appliance")
