"""Behind an exit node: what may leave by another way than the tunnel. Pure.

The routes lead everything into the tunnel, but they can be got round: a program that is bound to
an interface finds the main table's default route (IPv6) or takes the whole internet for a
neighbour (IPv4, where any router that answers ARP for others lets it out), and whoever flushes the
routes opens the way for all. So the packet filter holds back what is not ours to send: it is there
before the routes, and goes after them.
"""

from collections.abc import Iterator
from typing import Final

from appliance.gateway import ranges
from appliance.gateway.chains.admission import match
from appliance.gateway.config import GatewayConfig
from appliance.gateway.marks import MARK_MASK

_CABLE: Final = (
    # Without these there is no uplink: neighbours and routers of IPv6, and addresses by DHCP.
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert, "
    "mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report } accept",
    "udp sport { 67, 68 } udp dport { 67, 68 } accept",
    "udp sport { 546, 547 } udp dport { 546, 547 } accept",
)
_NEIGHBOURS: Final = (
    "ip daddr { 224.0.0.0/4, 255.255.255.255, 169.254.0.0/16 } accept",
    "ip6 daddr { ff02::/16, fe80::/10 } accept",
)
"""Discovery on the LAN, where the owner wants to reach it."""


def hold_back(config: GatewayConfig) -> Iterator[str]:
    """Return rules for packets on their way out; those to loopback or tunnel never come here."""
    yield f"meta mark and {MARK_MASK:#x} == {config.fwmark:#x} accept"
    for version in (4, 6):
        if local := ranges.of_networks(config.local_networks, version):
            yield f"{match(version, 'daddr', local)} accept"
    yield from _CABLE
    if config.lan_access:
        yield from _NEIGHBOURS
    yield "counter reject"
