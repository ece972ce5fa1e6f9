"""The addresses that we offer to peers, and in which order.

What STUN servers saw comes first, then what they saw lately, then the addresses of our interfaces
with the WireGuard port. Addresses of the tailnet's own ranges are never offered, not even when an
uplink's carrier uses them.

Source: tailscale wgengine/magicsock (determineEndpoints), net/netmon/state.go, 2026-08. Pure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Network
from typing import Final

from appliance.protocol.addresses import AddrPort, IPAddress
from appliance.protocol.tailcfg import EndpointType
from appliance.underlay.candidates import is_tailnet
from appliance.underlay.config import OwnEndpoint
from appliance.underlay.netcheck import Report

# From the reference.
REMEMBERED_S: Final = 310.0
MAX_PORTS_PER_IP: Final = 6
MAX_V6_PER_SUBNET: Final = 2

_ULA: Final = IPv6Network("fc00::/7")
_FOREIGN_VPN_PREFIX: Final = "zt"  # ZeroTier: a tunnel in a tunnel helps nobody


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An address of one of our interfaces that is up."""

    ip: IPAddress
    interface: str


class EndpointTracker:
    """Remembers for a while how servers saw us: a NAT keeps its mappings longer than STUN looks."""

    def __init__(self) -> None:
        self._seen: dict[AddrPort, float] = {}

    def forget(self) -> None:
        """Start anew: the network is another one."""
        self._seen.clear()

    def update(self, mapped: Iterable[AddrPort], now: float) -> list[AddrPort]:
        """Note what a report saw; return what earlier ones saw, the latest first."""
        present = list(mapped)
        for address in present:
            self._seen[address] = now
        fresh = sorted(
            (a for a, at in self._seen.items() if now - at <= REMEMBERED_S),
            key=lambda address: -self._seen[address],
        )
        kept: list[AddrPort] = []
        for address in fresh:
            if sum(other.ip == address.ip for other in kept) < MAX_PORTS_PER_IP:
                kept.append(address)
        self._seen = {address: self._seen[address] for address in kept}
        return [address for address in kept if address not in present]


def plan_endpoints(
    report: Report,
    remembered: Iterable[AddrPort],
    interfaces: Sequence[InterfaceAddress],
    port: int,
) -> tuple[OwnEndpoint, ...]:
    """List our endpoints, best first; an address is listed once, as what it was first."""
    found: dict[AddrPort, EndpointType] = {}
    for address in (*report.mapped_v4, *report.mapped_v6):
        found.setdefault(address, EndpointType.STUN)
    if report.mapping_varies and report.mapped_v4:
        guess = AddrPort(report.mapped_v4[0].ip, port)  # somebody may forward our port
        found.setdefault(guess, EndpointType.STUN_LOCAL_PORT)
    for address in remembered:
        found.setdefault(address, EndpointType.STUN)
    for ip in usable_addresses(interfaces, alone=not found):
        found.setdefault(AddrPort(ip, port), EndpointType.LOCAL)
    return tuple(OwnEndpoint(address, kind) for address, kind in found.items())


def usable_addresses(interfaces: Sequence[InterfaceAddress], *, alone: bool) -> list[IPAddress]:
    """Choose among our interfaces' addresses; ``alone``: we know no other endpoint."""
    ordinary: list[IPAddress] = []
    fallback: list[IPAddress] = []
    loopback: list[IPAddress] = []
    per_subnet: dict[IPv6Network, int] = {}
    for item in interfaces:
        ip = item.ip
        if is_tailnet(ip) or item.interface.startswith(_FOREIGN_VPN_PREFIX):
            continue
        if ip.is_loopback:
            loopback.append(ip)
        elif ip.version == 4:
            (fallback if ip.is_link_local else ordinary).append(ip)
        elif not ip.is_link_local:
            subnet = IPv6Network((ip, 64), strict=False)
            per_subnet[subnet] = per_subnet.get(subnet, 0) + 1
            if per_subnet[subnet] <= MAX_V6_PER_SUBNET:
                (fallback if ip in _ULA else ordinary).append(ip)
    return ordinary or fallback or (loopback if alone else [])
