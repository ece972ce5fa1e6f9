"""A home with a gateway under test: a peer in its tunnel, a printer in its LAN, a web outside.

    peer 100.64.0.2 ══ tun ══ home ── lan ── printer 192.168.1.10, fd00:1::10
                               └── wan ── web 203.0.113.10, 2001:db8:f::10

The tunnel is a plain cable: to the gateway, decrypted packets are packets from an interface. Its
ends know each other's hardware address, since nobody asks for one in a tunnel.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from appliance.gateway.config import GatewayConfig, GatewayStatus
from appliance.gateway.linux import LinuxGateway
from appliance.protocol.addresses import IPNetwork
from appliance.protocol.tailcfg import FilterRule, NetPortRange, PortRange
from tests.support.boxes import Box, fresh_boxes, join, why_no_boxes

TUNNEL = "tun-lkm"
PORT = 41641
PEER, HOME_MESH = "100.64.0.2", "100.64.0.1"
PEER6, HOME_MESH6 = "fd7a:115c:a1e0::2", "fd7a:115c:a1e0::1"
HOME_LAN, PRINTER = "192.168.1.1", "192.168.1.10"
HOME_LAN6, PRINTER6 = "fd00:1::1", "fd00:1::10"
HOME_WAN, WEB = "203.0.113.1", "203.0.113.10"
HOME_WAN6, WEB6 = "2001:db8:f::1", "2001:db8:f::10"
LAN, LAN6 = "192.168.1.0/24", "fd00:1::/64"


def networks(*texts: str) -> frozenset[IPNetwork]:
    return frozenset(ipaddress.ip_network(text) for text in texts)


def allow(source: str, destination: str, first: int = 0, last: int | None = None) -> FilterRule:
    """A rule for one destination: one port, some ports, or all."""
    ports = PortRange(first=first, last=65535 if first == 0 and last is None else last or first)
    return FilterRule(src_ips=(source,), dst_ports=(NetPortRange(ip=destination, ports=ports),))


ANYTHING = (allow("*", "*"),)

CLOSED = GatewayConfig(
    interface=TUNNEL,
    addresses=(
        ipaddress.ip_interface(f"{HOME_MESH}/32"),
        ipaddress.ip_interface(f"{HOME_MESH6}/128"),
    ),
    listen_port=PORT,
    fwmark=0x80000,
    routes=networks(f"{PEER}/32", f"{PEER6}/128"),
    local_networks=networks(LAN, LAN6, "203.0.113.0/24", "2001:db8:f::/64"),
)
OPEN = replace(CLOSED, filter=ANYTHING)
ROUTER = replace(OPEN, advertised=networks(LAN, LAN6))
EXIT = replace(OPEN, serve_exit=True)


@dataclass
class Home:
    """The boxes, and the gateway of the one in the middle."""

    home: Box
    peer: Box
    printer: Box
    web: Box
    record: Path

    def apply(self, config: GatewayConfig) -> None:
        """Have a fresh gateway, as after a restart of the agent, apply a config."""
        self.home.do(lambda: LinuxGateway(self.record).apply(config))

    def observe(self) -> GatewayStatus:
        return self.home.do(lambda: LinuxGateway(self.record).observe())

    def clean_up(self) -> None:
        self.home.do(lambda: LinuxGateway(self.record).clean_up())

    def add_tunnel(self) -> None:
        """Plug in the cable that plays the tunnel; the peer sends everything through it."""
        join(self.home, TUNNEL, self.peer, "tun")
        self.home.run(f"ip addr add {HOME_MESH}/32 dev {TUNNEL}")
        self.home.run(f"ip addr add {HOME_MESH6}/128 dev {TUNNEL} nodad")
        for address, gateway in ((f"{PEER}/32", HOME_MESH), (f"{PEER6}/128", HOME_MESH6)):
            flags = " nodad" if ":" in address else ""
            self.peer.run(f"ip addr add {address} dev tun{flags}")
            self.peer.run(f"ip route add {gateway} dev tun")
            self.peer.run(f"ip route add default via {gateway} dev tun onlink")
        self._introduce(self.home, TUNNEL, (PEER, PEER6), self.peer, "tun")
        self._introduce(self.peer, "tun", (HOME_MESH, HOME_MESH6), self.home, TUNNEL)

    def _introduce(
        self, box: Box, device: str, addresses: tuple[str, str], other: Box, other_device: str
    ) -> None:
        shown = other.run(f"ip -o link show dev {other_device}").split()
        hardware = shown[shown.index("link/ether") + 1]
        for address in addresses:
            box.run(f"ip neigh replace {address} lladdr {hardware} nud permanent dev {device}")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Home]:
    """Everything but the tunnel."""
    reason = why_no_boxes("nft")
    if reason:
        pytest.skip(reason)
    with fresh_boxes("home", "peer", "printer", "web") as (home, peer, printer, web):
        join(home, "lan", printer, "eth0")
        join(home, "wan", web, "eth0")
        _give(home, "lan", HOME_LAN, HOME_LAN6)
        _give(home, "wan", HOME_WAN, HOME_WAN6)
        _give(printer, "eth0", PRINTER, PRINTER6)
        _give(web, "eth0", WEB, WEB6)
        for gateway in (HOME_LAN, HOME_LAN6):
            printer.run(f"ip route add default via {gateway}")
        for gateway in (WEB, WEB6):
            home.run(f"ip route add default via {gateway}")
        yield Home(home, peer, printer, web, tmp_path / "gateway.json")


@pytest.fixture
def home(house: Home) -> Home:
    """Everything, the tunnel included."""
    house.add_tunnel()
    return house


def _give(box: Box, interface: str, v4: str, v6: str) -> None:
    box.run(f"ip addr add {v4}/24 dev {interface}")
    box.run(f"ip addr add {v6}/64 dev {interface} nodad")
