"""A home with a gateway under test: a peer in its tunnel, a printer in its LAN, a web outside.

    peer 100.64.0.2 ══ tun ══ home ── lan ── printer 192.168.1.10, fd00:1::10
                               └── wan ── web 203.0.113.10, 2001:db8:f::10

The tunnel is a plain cable: to the gateway, decrypted packets are packets from an interface. Its
ends know each other's hardware address, since nobody asks for one in a tunnel.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
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
NAT, PLAIN = ROUTER, replace(ROUTER, snat=False)
SITE = replace(PLAIN, entering=networks(LAN, LAN6))
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
        home_hardware, peer_hardware = hardware(self.home, TUNNEL), hardware(self.peer, "tun")
        self._address_tunnel()
        self.home.ip(
            f"neigh replace {PEER} lladdr {peer_hardware} nud permanent dev {TUNNEL}",
            f"neigh replace {PEER6} lladdr {peer_hardware} nud permanent dev {TUNNEL}",
        )
        self.peer.ip(
            f"neigh replace {HOME_MESH} lladdr {home_hardware} nud permanent dev tun",
            f"neigh replace {HOME_MESH6} lladdr {home_hardware} nud permanent dev tun",
            f"route add {HOME_MESH} dev tun",
            f"route add {HOME_MESH6} dev tun",
            f"route add default via {HOME_MESH} dev tun onlink",
            f"route add default via {HOME_MESH6} dev tun onlink",
        )

    def add_wireguard(self) -> None:
        """A tunnel of the kernel's WireGuard, in place of the cable that plays it."""
        join(self.home, "under", self.peer, "under")
        self.home.ip("addr add 10.9.0.1/24 dev under")
        self.peer.ip("addr add 10.9.0.2/24 dev under")
        keys = {}
        for box, device in ((self.home, TUNNEL), (self.peer, "tun")):
            box.ip(f"link add {device} type wireguard")
            private = self.record.with_name(f"{device}.key")
            private.write_text(box.run("wg genkey"))
            box.run(f"wg set {device} private-key {private} listen-port 5555")
            keys[device] = box.run(f"wg show {device} public-key").strip()
        self.home.run(f"wg set {TUNNEL} peer {keys['tun']} allowed-ips {PEER}/32,{PEER6}/128")
        self.peer.run(
            f"wg set tun peer {keys[TUNNEL]} allowed-ips 0.0.0.0/0,::/0 endpoint 10.9.0.1:5555"
        )
        self._address_tunnel()
        self.home.ip(f"link set {TUNNEL} mtu 1280 up")
        self.peer.ip(
            "link set tun mtu 1280 up",
            "route add default dev tun",
            "route add ::/0 dev tun",
        )

    def _address_tunnel(self) -> None:
        self.home.ip(
            f"addr add {HOME_MESH}/32 dev {TUNNEL}",
            f"addr add {HOME_MESH6}/128 dev {TUNNEL} nodad",
        )
        self.peer.ip(f"addr add {PEER}/32 dev tun", f"addr add {PEER6}/128 dev tun nodad")


@asynccontextmanager
async def guarded(gateway: LinuxGateway) -> AsyncIterator[None]:
    """Inside the block the gateway's guard is at work."""
    async with asyncio.TaskGroup() as tasks:
        guard = tasks.create_task(gateway.guard(), name="guard")
        yield
        guard.cancel()


def hardware(box: Box, device: str) -> str:
    """The hardware address of a cable's end."""
    shown = box.run(f"ip -o link show dev {device}").split()
    return shown[shown.index("link/ether") + 1]


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
        printer.ip(f"route add default via {HOME_LAN}", f"route add default via {HOME_LAN6}")
        home.ip(f"route add default via {WEB}", f"route add default via {WEB6}")
        yield Home(home, peer, printer, web, tmp_path / "gateway.json")


@pytest.fixture
def home(house: Home) -> Home:
    """Everything, the tunnel included."""
    house.add_tunnel()
    return house


def _give(box: Box, interface: str, v4: str, v6: str) -> None:
    box.ip(f"addr add {v4}/24 dev {interface}", f"addr add {v6}/64 dev {interface} nodad")
