"""What may be wrong around a gateway: routes that swallow the ways they need, and refusals.

  10.77.0.0/24                   internet               192.168.1.0/24
laptop ── hostel ────┬───────────────────────── home ──┬── appliance
phone ─┘            vps, web                           └── printer
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from appliance.localapi.client import LocalClient
from tests.netns.lab import Host, LabError, wait_until
from tests.netns.lab.web import start_page
from tests.netns.topologies import Journey, journey
from tests.support.gatewaylab import (
    SOON_S,
    Mesh,
    accept,
    gateway_lab,
    leads_into_tunnel,
    page,
    pings,
    seen,
    start_mesh,
    wait_for_no_page,
    wait_for_page,
)
from tests.support.mesh import AgentNode

pytestmark = pytest.mark.netns

LAN = "192.168.1.0/24"
WIDE: Final = ("10.0.0.0/8", "192.0.2.0/24", "198.51.100.0/24", LAN)
"""The hostel's LAN and default gateway; home's outside address, and the laptop's own."""


@dataclass
class World:
    """The house and the traveller."""

    places: Journey
    mesh: Mesh

    def advertise(self, *routes: str) -> None:
        """The appliance offers these, and the admin agrees."""
        self.mesh["appliance"].set(f"--advertise-routes={','.join(routes)}")
        offered = wait_until(
            lambda: self.mesh.coordinator.node("appliance").get("routes"), SOON_S, "the offer"
        )
        assert offered
        self.mesh.coordinator.approve("appliance", *routes)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with gateway_lab() as lab:
        places = journey(lab)
        mesh = start_mesh(places.vps)
        mesh.join(places.appliance, f"--advertise-routes={LAN}", "--advertise-exit-node")
        mesh.coordinator.approve("appliance", LAN, "exit")
        mesh.join(places.laptop, "--accept-routes")
        for host in (places.web, places.printer, places.phone):
            start_page(host).wait_for_line("serving")
        yield World(places, mesh)


def test_routes_that_hold_gateways_and_endpoints_swallow_neither(world: World) -> None:
    """They are used for everything else in them; the mesh, the LAN and the internet go on."""
    places, laptop = world.places, world.places.laptop
    world.advertise(*WIDE)
    try:
        wait_until(lambda: leads_into_tunnel(laptop, "10.1.2.3"), SOON_S, "the routes")
        assert wait_for_page(laptop, places.printer.ip) == places.appliance.ip
        assert seen(laptop, places.phone.ip) == laptop.ip, "the own LAN comes first"
        assert not leads_into_tunnel(laptop, places.hostel.inside_ip)
        assert seen(laptop, places.web.ip) == places.hostel.ip
        client = LocalClient(world.mesh["laptop"].socket)
        wait_until(lambda: client.ping("appliance", 1).endpoint, SOON_S, "it is reached directly")
        world.mesh["laptop"].set("--exit-node=appliance")
        wait_until(lambda: seen(laptop, places.web.ip) == places.home.ip, SOON_S, "exit")
        assert seen(places.appliance, places.printer.ip) == places.appliance.ip
    finally:
        world.mesh["laptop"].set("--exit-node=")
        world.advertise(LAN)
    wait_until(lambda: not leads_into_tunnel(laptop, "10.1.2.3"), SOON_S, "the routes are gone")


@pytest.mark.parametrize("route", ["203.0.113.0/24", "203.0.113.10/32", "2001:db8:113::/64"])
def test_a_route_that_holds_coordinator_and_relay_is_refused_on_both_sides(
    world: World, route: str
) -> None:
    """No client shall have to go through a node to reach what it reaches the node by."""
    with pytest.raises(LabError, match=r"coordinator|relay"):
        world.mesh.coordinator.approve("appliance", route)
    if ":" not in route:
        with pytest.raises(LabError, match="coordinator"):
            world.mesh["appliance"].set(f"--advertise-routes={route}")


def test_a_route_that_holds_the_routers_own_default_gateway_is_refused(world: World) -> None:
    """Its LAN alone is fine, though the gateway is in it."""
    with pytest.raises(LabError, match=r"default gateway 192\.168\.1\.1"):
        world.mesh["appliance"].set("--advertise-routes=192.168.0.0/16")
    world.mesh["appliance"].set(f"--advertise-routes={LAN}")


def test_of_routes_within_each_other_the_narrower_one_counts(world: World) -> None:
    """Two routers, one inside the other: each gets its own, and the rest when it is alone."""
    places, laptop = world.places, world.places.laptop
    start_page(places.stove).wait_for_line("serving")
    world.advertise("192.168.6.0/23", LAN)
    stove = world.mesh.join(places.stove, "--advertise-routes=192.168.7.0/24")
    world.mesh.coordinator.approve("stove", "192.168.7.0/24")
    try:
        assert wait_for_page(laptop, places.stove.ip)
        assert wait_for_page(laptop, places.printer.ip) == places.appliance.ip
        assert not leads_into_tunnel(places.stove, "192.168.7.1"), "its own cable comes first"
        stove.command("down")
        wait_for_no_page(laptop, places.stove.ip)
        assert page(laptop, places.printer.ip)
    finally:
        stove.command("logout")
        world.advertise(LAN)


def test_a_filter_that_nft_refuses_is_said_and_the_earlier_one_stays(world: World) -> None:
    """The machine is not opened by a failure, and follows as soon as it can."""
    places, node = world.places, world.mesh["appliance"]
    refuse = broken_nft(places.appliance)
    restart(node, {"PATH": f"{refuse.parent}:/usr/sbin:/usr/bin:/sbin:/bin"})
    assert wait_for_page(places.laptop, places.printer.ip)
    try:
        refuse.touch()
        world.mesh.coordinator.set_policy({"acls": [accept(["family@"], "100.64.0.0/10:22")]})
        wait_until(
            lambda: [h for h in world.mesh.status("appliance").health if "nft" in h],
            SOON_S,
            "the refusal is said",
        )
        assert "table inet latchkey" in places.appliance.run(["nft", "list", "tables"])
        refuse.unlink()
        wait_for_no_page(places.laptop, places.printer.ip)
        wait_until(
            lambda: not [h for h in world.mesh.status("appliance").health if "nft" in h],
            SOON_S,
            "the warning is withdrawn",
        )
    finally:
        refuse.unlink(missing_ok=True)
        world.mesh.coordinator.set_policy({})
        restart(node, {})
    assert wait_for_page(places.laptop, places.printer.ip)


def broken_nft(host: Host) -> Path:
    """A program nft that refuses while a file exists; returns the file."""
    directory = host.directory / "broken"
    directory.mkdir(exist_ok=True)
    flag, program = directory / "refuse", directory / "nft"
    program.write_text(
        f'#!/bin/sh\n[ -e "{flag}" ] && echo "Error: No such device" >&2 && exit 1\n'
        f'exec {shutil.which("nft")} "$@"\n'
    )
    program.chmod(0o755)
    return flag


def restart(node: AgentNode, env: dict[str, str]) -> None:
    """Start the agent anew with something else in its environment."""
    assert node.daemon is not None
    node.daemon.kill()
    node.extra_env = env
    node.start()


def test_kernel_settings_that_are_refused_are_said_and_the_rest_works(world: World) -> None:
    """As in a container whose /proc/sys is read-only: no forwarding, but a node all the same."""
    places, node = world.places, world.mesh["appliance"]
    peer, _ = world.mesh.addresses("laptop")
    node.command("down")
    assert node.daemon is not None
    node.daemon.stop()
    read_only = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "
    command = ["unshare", "-m", "sh", "-c", read_only + " ".join(node.daemon_command())]
    node.daemon = places.appliance.start("refused agent", command, node.daemon_env())
    wait_until(node.socket.is_socket, SOON_S, "the agent listens")
    try:
        node.up()
        # WireGuard repeats a handshake after 5 s; two may go astray until there is a path.
        wait_until(lambda: pings(places.appliance, peer), 2 * SOON_S, "it is in the mesh")
        said = wait_until(
            lambda: [h for h in world.mesh.status("appliance").health if "forward" in h.lower()],
            SOON_S,
            "what is missing is said",
        )
        print(said)
        assert not page(places.laptop, places.printer.ip)
    finally:
        node.daemon.stop()
        node.start()
        node.up()
        # Who comes back speaks first: the other side would go on with the lost session for 15 s.
        wait_until(lambda: pings(places.appliance, peer), SOON_S, "it is in the mesh again")
    assert wait_for_page(places.laptop, places.printer.ip)
