"""Nobody gets further than the coordinator and the owner allow, whatever he sends.

laptop ── hostel ──┬── internet ──┬── home ──┬── appliance (carries .20; .30 is not approved)
                  vps (coordinator + relay)  ├── printer 192.168.1.20, fd4c:7a11::20
                                             └── camera  192.168.1.30

The bad ones: hosts of the home LAN that want into the mesh, or pretend to be in it, and a laptop
whose owner changes its routes and its WireGuard by hand.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from appliance.localapi.client import LocalClient
from tests.netns.lab import Host, LabError, wait_until
from tests.netns.lab.ear import listening
from tests.netns.lab.web import client_seen, start_page
from tests.netns.topologies import HomeAndHostel, home_and_hostel
from tests.support.coordinator import Coordinator
from tests.support.labs import fresh_lab, why_no_lab
from tests.support.mesh import AgentNode
from tests.support.pulse import Pulse
from tests.support.wireguard import why_no_wireguard

pytestmark = pytest.mark.netns

TUNNEL = "latchkey0"
SOON_S = 15.0
PRINTER, PRINTER6 = "192.168.1.20", "fd4c:7a11::20"
CAMERA = "192.168.1.30"
MESH, MESH6 = "100.64.0.0/10", "fd7a:115c:a1e0::/48"
PORT = 5353  # where somebody would have to listen
PATIENT_S = 0.3  # an answer that is given takes some milliseconds
ENOUGH = 15  # packets of each kind, 20 ms apart


@dataclass
class Mesh:
    """The house and the traveller, joined; pages run on the printer, the camera, the laptop."""

    world: HomeAndHostel
    coordinator: Coordinator
    appliance: AgentNode
    laptop: AgentNode

    def laptop_gets(self, address: str) -> str:
        """The page at an address; empty when none comes."""
        with suppress(OSError, LabError):
            return self.world.laptop.http_get(address, timeout_s=1)
        return ""


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    reason = why_no_lab() or why_no_wireguard()
    if reason:
        pytest.skip(reason)
    with fresh_lab() as lab:
        world = home_and_hostel(lab)
        coordinator = Coordinator(world.vps)
        coordinator.start()
        coordinator.new_user("family")
        key = coordinator.new_key("family", "--reusable")
        appliance, laptop = AgentNode(world.appliance, key), AgentNode(world.laptop, key)
        approved = (f"{PRINTER}/32", f"{PRINTER6}/128")
        appliance.up("--advertise-routes=" + ",".join((*approved, f"{CAMERA}/32")))
        laptop.up("--accept-routes")
        coordinator.approve("appliance", *approved)
        for host in (world.printer, world.camera, world.laptop):
            start_page(host).wait_for_line("serving")
        made = Mesh(world, coordinator, appliance, laptop)
        for address in (PRINTER, f"{PRINTER6}"):
            wait_until(lambda a=address: made.laptop_gets(a), SOON_S, "the printer's page")
        yield made


def knock(host: Host, address: str, source: str = "") -> None:
    """Try to reach an address by ICMP, UDP and TCP; nothing must come back."""
    with Pulse(host, address, late_s=PATIENT_S) as pulse:
        for _ in range(ENOUGH):
            throw(host, address, source)
        with suppress(OSError), host.connect(address, 80, timeout_s=PATIENT_S):
            pytest.fail(f"{address} took a connection from {host.name}")
        wait_until(lambda: len(pulse.beats()) >= ENOUGH, SOON_S, "some packets are sent")
    assert not any(beat.answered for beat in pulse.beats())


def throw(host: Host, address: str, source: str = "") -> None:
    """Send one datagram, from a source of choice."""
    any_source = "::" if ":" in address else "0.0.0.0"
    with host.udp(address=source or any_source) as sock:
        sock.sendto(f"from {source or host.name}".encode(), (address, PORT))


@pytest.fixture
def intruder(mesh: Mesh) -> Iterator[Host]:
    """The printer, whose address the laptop's WireGuard accepts, with routes into the mesh."""
    host = mesh.world.printer
    routes = [(MESH, mesh.world.appliance.ip), (MESH6, mesh.world.appliance.ip6)]
    for network, gateway in routes:
        host.run(["ip", "route", "add", network, "via", gateway])
    yield host
    for network, gateway in routes:
        host.run(["ip", "route", "del", network, "via", gateway])


def mesh_addresses(node: AgentNode) -> tuple[str, ...]:
    return LocalClient(node.socket).status().tailscale_ips


def test_a_lan_host_cannot_enter_the_mesh_through_the_appliance(mesh: Mesh, intruder: Host) -> None:
    """Not one packet of its own reaches a tunnel, and yet the laptop reaches it."""
    addresses = mesh_addresses(mesh.laptop)
    assert len(addresses) == 2
    # The laptop's agent probes the route now and then: echo replies are answers to it.
    answer = "icmp[icmptype] == icmp-echoreply or ( icmp6 and ip6[40] == 129 )"
    new = f"( src host {PRINTER} or src host {PRINTER6} ) and not ( {answer} )"
    with (
        listening(mesh.world.laptop, TUNNEL, new) as at_laptop,
        listening(mesh.world.appliance, TUNNEL, new) as at_appliance,
        listening(mesh.world.appliance, "eth0", f"udp port {PORT}") as arriving,
    ):
        for address in addresses:
            knock(intruder, address)
        wait_until(
            lambda: len(arriving.heard()) == ENOUGH * 2, SOON_S, "the appliance shall forward"
        )
        assert (at_appliance.heard(), at_laptop.heard()) == ([], [])
        assert client_seen(mesh.laptop_gets(PRINTER)) == mesh.world.appliance.ip
        wait_until(at_laptop.heard, SOON_S, "the answers to the laptop are heard")
    for address in mesh_addresses(mesh.appliance):
        knock(intruder, address)  # the appliance's own mesh addresses, from outside the mesh


@pytest.fixture
def cheat(mesh: Mesh) -> Iterator[Host]:
    """The laptop, which sends the whole home LAN into the tunnel against everybody's wish."""
    host = mesh.world.laptop
    networks = ("192.168.1.0/24", "fd4c:7a11::/64")
    [line] = host.run(["wg", "show", TUNNEL, "allowed-ips"]).splitlines()
    key, *allowed = line.split()
    set_peer = ["wg", "set", TUNNEL, "peer", key, "allowed-ips"]
    host.run([*set_peer, ",".join((*allowed, *networks))])
    for network in networks:
        host.run(["ip", "route", "add", network, "dev", TUNNEL])
    yield host
    for network in networks:
        host.run(["ip", "route", "del", network, "dev", TUNNEL])
    host.run([*set_peer, ",".join(allowed)])


def test_a_peer_reaches_no_lan_address_that_is_not_approved(mesh: Mesh, cheat: Host) -> None:
    """The appliance drops what its peer should not have sent; the LAN hears nothing of it."""
    world = mesh.world
    others = {
        "advertised, not approved": CAMERA,
        "not advertised": world.camera.ip6,
        "the home router": "192.168.1.1",
        "the appliance itself": world.appliance.ip,
    }
    with (
        listening(world.camera, "eth0", "ip or icmp6 and not multicast") as at_camera,
        listening(world.home, "lan", f"host 192.168.1.1 or udp port {PORT}") as at_router,
        listening(world.appliance, TUNNEL, f"udp port {PORT}") as arriving,
    ):
        for address in others.values():
            knock(cheat, address)
        wait_until(
            lambda: len(arriving.heard()) == ENOUGH * len(others), SOON_S, "all of it arrives"
        )
        strays = [line for line in (*at_camera.heard(), *at_router.heard()) if not _is_nd(line)]
        assert strays == []
    assert mesh.laptop_gets(PRINTER), "what is approved goes on working"


def _is_nd(line: str) -> bool:
    """Neighbour discovery: the LAN's own talk."""
    return "neighbor" in line


def raise_shields(mesh: Mesh) -> None:
    mesh.laptop.set("--shields-up")
    wait_until(lambda: not laptop_answers(mesh), SOON_S, "the shields are up")


def lower_shields(mesh: Mesh) -> None:
    mesh.laptop.set("--no-shields-up")
    wait_until(lambda: laptop_answers(mesh), SOON_S, "the shields are down")


def laptop_answers(mesh: Mesh) -> bool:
    """Whether a new connection from the appliance to the laptop's page is let in."""
    with suppress(OSError, LabError):
        return bool(mesh.world.appliance.http_get(mesh.laptop.ip, timeout_s=0.3))
    return False


def test_a_laptop_with_its_shields_up_answers_nobody(mesh: Mesh) -> None:
    """It still reaches others; and when the shields are down, others reach it again."""
    assert laptop_answers(mesh)
    raise_shields(mesh)
    for address in mesh_addresses(mesh.laptop):
        knock(mesh.world.appliance, address)
    with Pulse(mesh.world.laptop, mesh.appliance.ip) as pulse:
        pulse.wait_for_answers(ENOUGH, SOON_S)
    assert mesh.laptop_gets(PRINTER)
    lower_shields(mesh)


def test_a_lan_host_that_pretends_to_be_in_the_mesh_is_not_heard(mesh: Mesh) -> None:
    """Packets with the laptop's address, or any other of the mesh, that come from the LAN."""
    camera, appliance = mesh.world.camera, mesh.world.appliance
    pretended = (*mesh_addresses(mesh.laptop), "100.99.1.1", "fd7a:115c:a1e0::99")
    for address in pretended:
        nodad = ["nodad"] if ":" in address else []
        camera.run(["ip", "addr", "add", address, "dev", "eth0", *nodad])
    routes = [(PRINTER, appliance.ip), (PRINTER6, appliance.ip6)]
    for network, gateway in routes:
        camera.run(["ip", "route", "add", network, "via", gateway])
    try:
        with (
            appliance.udp(PORT) as ear4,
            appliance.udp(PORT, address="::") as ear6,
            listening(appliance, "eth0", f"udp port {PORT}") as arriving,
            listening(mesh.world.printer, "eth0", f"udp port {PORT}") as at_printer,
        ):
            sent = 0
            for source in pretended:
                own = (appliance.ip6, PRINTER6) if ":" in source else (appliance.ip, PRINTER)
                for destination in own:
                    throw(camera, destination, source)
                    sent += 1
            throw(camera, appliance.ip)
            throw(camera, appliance.ip6)
            wait_until(lambda: len(arriving.heard()) >= sent + 2, SOON_S, "all of it arrived")
            assert received(ear4) == received(ear6) == [b"from camera"]
            assert at_printer.heard() == []
    finally:
        for network, gateway in routes:
            camera.run(["ip", "route", "del", network, "via", gateway])
        for address in pretended:
            camera.run(["ip", "addr", "del", address, "dev", "eth0"])


def received(sock: socket.socket) -> list[bytes]:
    """All that has come so far."""
    sock.setblocking(False)
    found = []
    with suppress(BlockingIOError):
        while True:
            found.append(sock.recv(2048))
    return found


def test_before_the_first_netmap_nothing_comes_in(mesh: Mesh) -> None:
    """An agent that takes over a live device without filter or netmap closes it first."""
    appliance, vps = mesh.appliance, mesh.world.vps
    with Pulse(mesh.world.laptop, appliance.ip) as pulse:
        pulse.wait_for_answers(5, SOON_S)
        assert appliance.daemon is not None
        appliance.daemon.kill()
        (appliance.directory / "netmap.json").unlink()
        appliance.host.nft("delete table inet latchkey\n")
        pulse.wait_for_answers(5, SOON_S)
        vps.block("tcp dport 443")
        try:
            appliance.start()
            wait_until(lambda: not answers(pulse), SOON_S, "the door is closed")
            beats = len(pulse.beats())
            wait_until(lambda: len(pulse.beats()) >= beats + 50, SOON_S, "a second goes by")
            assert LocalClient(appliance.socket).status().backend_state == "Starting"
            assert not any(beat.answered for beat in pulse.beats()[beats:])
        finally:
            vps.unblock()
        pulse.wait_for_answers(5, 2 * SOON_S)


def answers(pulse: Pulse) -> bool:
    return any(beat.answered for beat in pulse.beats()[-10:-1])


def test_a_filter_that_somebody_flushes_is_back_at_once(mesh: Mesh) -> None:
    """E.g. a restart of the machine's own nftables service."""
    raise_shields(mesh)
    laptop = mesh.world.laptop
    laptop.run(["nft", "flush", "ruleset"])
    flushed = time.monotonic()
    wait_until(
        lambda: "table inet latchkey" in laptop.run(["nft", "list", "tables"]),
        SOON_S,
        "the table is back",
    )
    print(f"the filter is back {time.monotonic() - flushed:.2f} s after the flush")
    for address in mesh_addresses(mesh.laptop):
        knock(mesh.world.appliance, address)
    lower_shields(mesh)
