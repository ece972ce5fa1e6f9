"""Which addresses are where, as a gateway sees it: here, in the mesh, beyond. Pure."""

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Final

from appliance.gateway import ranges
from appliance.gateway.config import GatewayConfig
from appliance.gateway.filter import TCP, Allow
from appliance.gateway.ranges import Ranges
from appliance.protocol.addresses import IPNetwork

MESH_RANGES: Final = (
    ipaddress.ip_network("100.64.0.0/10"),
    ipaddress.ip_network("fd7a:115c:a1e0::/48"),
)
"""Where the addresses of nodes come from."""

_NOT_INTERNET_V4: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "224.0.0.0/3",
    )
)
_INTERNET_V6: Final = (ipaddress.ip_network("2000::/3"), ipaddress.ip_network("64:ff9b::/96"))
"""Global unicast, and the prefix by which IPv6-only networks reach IPv4 (RFC 6052)."""


def internet(local_networks: Iterable[IPNetwork], version: int) -> Ranges:
    """Return what an exit node gives access to: the internet without our own networks."""
    local = ranges.of_networks(local_networks, version)
    if version == 4:
        reserved = ranges.of_networks(_NOT_INTERNET_V4, 4)
        return ranges.without(ranges.without(ranges.everything(4), reserved), local)
    return ranges.without(ranges.of_networks(_INTERNET_V6, 6), local)


def own(config: GatewayConfig) -> Iterator[tuple[int, Ranges]]:
    """Return this machine's own addresses in the mesh, by family."""
    addresses = [ipaddress.ip_network(address.ip) for address in config.addresses]
    for version in (4, 6):
        if found := ranges.of_networks(addresses, version):
            yield version, found


def here(config: GatewayConfig, version: int) -> Ranges:
    """Return addresses that may be this machine's: in the mesh and in advertised subnets."""
    addresses: list[IPNetwork] = [ipaddress.ip_network(address.ip) for address in config.addresses]
    return ranges.of_networks([*addresses, *config.advertised], version)


def beyond(config: GatewayConfig, version: int) -> Iterator[tuple[str, Ranges]]:
    """Return where packets from the tunnel may go on to, each place once."""
    advertised = ranges.of_networks(config.advertised, version)
    if advertised:
        yield "to_lan", advertised
    if config.serve_exit:
        outside = ranges.without(internet(config.local_networks, version), advertised)
        if outside:
            yield "to_internet", outside


def exit_users(config: GatewayConfig, allows: Iterable[Allow], version: int) -> Ranges:
    """Return the sources of a family whose filter gives them the internet through us."""
    wanted = internet(config.local_networks, version)
    if version == 6:  # what a coordinator means by the internet: global unicast
        wanted = ranges.without(wanted, ranges.of_networks(_INTERNET_V6[1:], 6))
    return ranges.merged(
        source
        for allow in allows
        if wanted and allow.version == version and TCP in allow.protocols
        if ranges.contain(
            ranges.merged(
                one
                for ports, where in allow.destinations.items()
                if ports.first <= 53 <= ports.last
                for one in where
            ),
            wanted,
        )
        for source in allow.sources
    )


def accepts_subnets(config: GatewayConfig) -> bool:
    """Whether anything but mesh addresses leads into the tunnel."""
    return config.use_exit or any(
        not any(
            network.version == mesh.version and network.network_address in mesh
            for mesh in MESH_RANGES
        )
        for network in config.routes
    )


def forwards(config: GatewayConfig) -> bool:
    """Whether anybody's packets go on through this machine, into the tunnel or out of it."""
    return bool(config.advertised or config.serve_exit or config.entering)
