"""Nobody enters the mesh through a gateway but its own peers: 0 packets from LAN or WAN.

 laptop ── hostel ──┬── internet ──┬── 192.0.2.2 gate ──┬── camera 192.168.1.30, fd4c:7a11::30
                   vps             └── stranger .66     └── printer .20

The gate is home router and appliance in one: it forwards, serves its LAN to the mesh and is an exit
node. The camera and the stranger (on the same cable as the gate's uplink) send it forged packets of
every kind, straight to its hardware address: to its own mesh addresses, to the laptop's, to others,
from addresses of theirs, of the LAN, of the mesh and of nobody.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.netns.lab import Host, Lab, wait_until
from tests.netns.lab.capture import parse_frames
from tests.netns.lab.ear import listening
from tests.netns.lab.frames import Frame, parse_frame, parse_packet
from tests.netns.lab.namespaces import tool
from tests.netns.lab.topology import Link
from tests.netns.lab.web import SCRIPTS, start_page
from tests.support.gatewaylab import (
    SOON_S,
    TUNNEL,
    Mesh,
    exchange,
    gateway_lab,
    page,
    start_mesh,
    udp_server,
    wait_for_page,
)

pytestmark = pytest.mark.netns

LAN = ("192.168.1.0/24", "fd4c:7a11::/64")
WORD = b"forged packet"
NOBODY = ("100.99.1.1", "fd7a:115c:a1e0::99")
PORT = 5353
FORGED_PORT = 4444


@dataclass
class World:
    """The gate, its peer, and those who want in."""

    lab: Lab
    mesh: Mesh

    def __getitem__(self, name: str) -> Host:
        return self.lab[name]

    def hardware(self, segment_link: Link) -> str:
        """The hardware address of one of the gate's interfaces."""
        path = f"/sys/class/net/{segment_link.interface}/address"
        return self["gate"].run(["cat", path]).strip()


def build(lab: Lab) -> None:
    """The picture above."""
    lab.public("datacentre", "203.0.113.0/24", "2001:db8:113::/64").host("vps", 10)
    city = lab.public("city-isp", "198.51.100.0/24")
    isp = lab.public("isp", "192.0.2.0/24", "2001:db8:2::/64")
    hostel_lan, lan = lab.lan("hostel-lan", "10.77.0.0/24"), lab.lan("lan", *LAN)
    lab.router("hostel", outside=city, number=2, inside=hostel_lan)
    hostel_lan.host("laptop", 21)
    gate = isp.host("gate", 2, interface="wan")
    lan.join(gate, 1, interface="lan")
    gate.plan.sysctls |= {"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"}
    isp.host("stranger", 66)
    lan.host("camera", 30)
    lan.host("printer", 20)
    lab.build()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with gateway_lab() as lab:
        build(lab)
        mesh = start_mesh(lab["vps"])
        mesh.join(lab["gate"], f"--advertise-routes={','.join(LAN)}", "--advertise-exit-node")
        mesh.coordinator.approve("gate", *LAN, "exit")
        mesh.join(lab["laptop"], "--accept-routes")
        for name in ("camera", "printer", "laptop", "gate"):
            start_page(lab[name]).wait_for_line("serving")
        for address in (lab["camera"].ip, lab["camera"].ip6):
            wait_for_page(lab["laptop"], address)
        yield World(lab, mesh)


def forge(world: World, who: str, pairs: list[tuple[str, str]]) -> int:
    """Send every kind of packet for each pair to the gate; how many."""
    host = world[who]
    side = next(link for link in world["gate"].plan.links if link.segment == near(host))
    script = [sys.executable, str(SCRIPTS / "forge.py"), "eth0", world.hardware(side)]
    text = "".join(f"{source},{destination}\n" for source, destination in pairs)
    return int(tool(host.argv(script), text))


def near(host: Host) -> str:
    """The segment that the host is on."""
    return host.plan.links[0].segment


def pairs_for(world: World, who: str) -> list[tuple[str, str]]:
    """Addresses that would be worth something inside the mesh."""
    host, pairs = world[who], []
    for family in (0, 1):
        own = (host.ip, host.ip6)[family]
        printer = (world["printer"].ip, world["printer"].ip6)[family]
        gate, laptop = world.mesh.addresses("gate")[family], world.mesh.addresses("laptop")[family]
        outside = ("203.0.113.9", "2001:db8:113::9")[family]
        sources = (own, printer, gate, laptop, NOBODY[family], outside)
        targets = (gate, laptop, NOBODY[family])
        pairs += [(source, target) for source in sources for target in targets]
    return pairs


@pytest.mark.parametrize("who", ["camera", "stranger"])
def test_not_one_forged_packet_enters_the_mesh(world: World, who: str) -> None:
    """Recorded at the gate's tunnel and at its peer's: nothing; at its cable: all of them."""
    gate, laptop, host = world["gate"], world["laptop"], world[who]
    cable = "lan" if who == "camera" else "wan"
    records = [gate.capture(TUNNEL, ""), laptop.capture(TUNNEL, "")]
    answers = host.capture("eth0", "")
    arriving = gate.capture(cable, "")
    try:
        sent = forge(world, who, pairs_for(world, who))
        assert sent > 400
        wait_until(lambda: count_forged(arriving.file) >= sent, SOON_S, "all of it arrives")
        assert page(laptop, world["camera"].ip), "the mesh goes on working"
    finally:
        arriving.end()
        entered = [parse_packet(data) for record in records for data in record.end()]
        heard = [parse_frame(data) for data in answers.end()]
    assert [str(frame) for frame in entered if is_forged(frame)] == []
    assert len(entered) > 5, "what does pass there is recorded"
    mesh = {*world.mesh.addresses("gate"), *world.mesh.addresses("laptop"), *NOBODY}
    own = host.run(["cat", "/sys/class/net/eth0/address"]).strip()
    assert [str(f) for f in heard if f.hardware != own and f.source in mesh] == []


def count_forged(file: Path) -> int:
    """How many packets of a recording carry the word."""
    return sum(WORD in data for _, data in parse_frames(file.read_bytes()))


def is_forged(frame: Frame) -> bool:
    """A forged packet, or somebody's answer to one."""
    return WORD in frame.payload or FORGED_PORT in (frame.source_port, frame.destination_port)


def test_the_gate_does_forward_for_its_lan_and_its_peers(world: World) -> None:
    """So what was dropped above was dropped by us."""
    camera, stranger, laptop = world["camera"], world["stranger"], world["laptop"]
    with listening(stranger, "eth0", f"udp dst port {PORT}") as at_stranger:
        for address in (stranger.ip, stranger.ip6):
            with camera.udp(address="::" if ":" in address else "0.0.0.0") as sock:
                sock.sendto(WORD, (address, PORT))
        wait_until(lambda: len(at_stranger.heard()) == 2, SOON_S, "the gate forwards")
    for address in (camera.ip, camera.ip6):
        with udp_server(camera, PORT, address) as server:
            assert exchange(laptop, server, address, PORT)


def test_the_gates_mesh_addresses_are_for_the_mesh_only(world: World) -> None:
    """With sockets and routes of their own the outsiders get no further."""
    gate, laptop = world["gate"], world["laptop"]
    for name in ("camera", "stranger"):
        host = world[name]
        own = [a for link in gate.plan.links for a in link.addresses if link.segment == near(host)]
        for address in world.mesh.addresses("gate"):
            gateway = next(a.ip for a in own if a.version == (6 if ":" in address else 4))
            host.run(["ip", "route", "replace", address, "via", str(gateway)])
            assert not page(host, address), (name, address)
            assert page(host, str(gateway)), "the page is served there"
            assert page(laptop, address), "and in the mesh"
