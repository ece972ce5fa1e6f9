"""Where this machine stands in the network, as one value. Pure."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from appliance.host.rtmessages import (
    IFA_F_DEPRECATED,
    IFA_F_TENTATIVE,
    IFF_LOOPBACK,
    RTN_UNICAST,
    Address,
    Link,
    Route,
)
from appliance.protocol.addresses import IPAddress, IPInterface, IPNetwork

_PRIVATE: Final = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
_MESH_V6: Final = ipaddress.ip_network("fd7a:115c:a1e0::/48")
"""Private by its form, but never somebody's LAN."""

_TUNNEL_KINDS: Final = frozenset(
    {"tun", "wireguard", "ipip", "sit", "gre", "ip6tnl", "vti", "xfrm"}
)
"""Kinds of interface that lead somewhere else: what is behind them is not our LAN."""

_LONGEST_LAN: Final = {4: 30, 6: 64}
"""A longer prefix has no room for a printer: it is a link to a provider, or one host."""


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface that is on and connected, with its usable addresses and attached networks."""

    index: int
    name: str
    kind: str | None
    addresses: tuple[IPInterface, ...]
    networks: tuple[IPNetwork, ...]


@dataclass(frozen=True, slots=True)
class DefaultRoute:
    """A way to the rest of the world."""

    version: int
    interface: str
    gateway: IPAddress | None
    priority: int


@dataclass(frozen=True, slots=True)
class NetworkState:
    """Everything but the loopback and our own tunnel; equal states mean that nothing changed."""

    interfaces: tuple[Interface, ...] = ()
    default_routes: tuple[DefaultRoute, ...] = ()
    """Best first, IPv4 before IPv6."""

    @property
    def uplinks(self) -> tuple[Interface, ...]:
        """Interfaces with a default route."""
        names = {route.interface for route in self.default_routes}
        return tuple(one for one in self.interfaces if one.name in names)

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """Addresses at which others may reach this machine; link-local ones are left out."""
        return tuple(
            address.ip
            for one in self.interfaces
            for address in one.addresses
            if not address.ip.is_link_local
        )

    @property
    def lan_networks(self) -> frozenset[IPNetwork]:
        """Private networks at our uplinks: what an owner means by "my LAN"."""
        return frozenset(
            network
            for one in self.uplinks
            if one.kind not in _TUNNEL_KINDS
            for network in one.networks
            if _is_lan(network)
        )

    @property
    def attached_networks(self) -> frozenset[IPNetwork]:
        """Every network at any interface, containers' bridges included."""
        return frozenset(network for one in self.interfaces for network in one.networks)


def read_state(
    links: Iterable[Link], addresses: Iterable[Address], main: Iterable[Route], tunnel: str
) -> NetworkState:
    """Put the kernel's tables together; ``main`` is the main routing table."""
    used = {
        link.index: link
        for link in links
        if link.has_carrier and not link.flags & IFF_LOOPBACK and link.name != tunnel
    }
    by_link: dict[int, list[IPInterface]] = {index: [] for index in used}
    networks: dict[int, set[IPNetwork]] = {index: set() for index in used}
    for address in addresses:
        if address.link in used and not address.flags & (IFA_F_TENTATIVE | IFA_F_DEPRECATED):
            by_link[address.link].append(address.interface)
            networks[address.link].add(address.interface.network)
    defaults = []
    for route in main:
        if route.kind != RTN_UNICAST or route.link not in used:
            continue
        if route.destination.prefixlen == 0:
            defaults.append(_default(route, used[route.link].name))
        elif route.gateway is None:
            networks[route.link].add(route.destination)
    interfaces = tuple(
        Interface(
            index,
            link.name,
            link.kind,
            tuple(sorted(by_link[index], key=_order)),
            tuple(sorted(filter(_is_network, networks[index]), key=_order)),
        )
        for index, link in sorted(used.items())
    )
    return NetworkState(interfaces, tuple(sorted(defaults, key=_default_order)))


def _default(route: Route, interface: str) -> DefaultRoute:
    return DefaultRoute(route.destination.version, interface, route.gateway, route.priority)


def _default_order(route: DefaultRoute) -> tuple[int, int, str]:
    return route.version, route.priority, route.interface


def _order(one: IPInterface | IPNetwork) -> tuple[int, int, int]:
    if isinstance(one, IPNetwork):
        return one.version, int(one.network_address), one.prefixlen
    return one.version, int(one.ip), one.network.prefixlen


def _is_network(network: IPNetwork) -> bool:
    return (
        network.prefixlen < network.max_prefixlen
        and not network.is_link_local
        and not network.is_multicast
    )


def _is_lan(network: IPNetwork) -> bool:
    return (
        network.prefixlen <= _LONGEST_LAN[network.version]
        and any(_contains(private, network) for private in _PRIVATE)
        and not _contains(_MESH_V6, network)
    )


def _contains(outer: IPNetwork, inner: IPNetwork) -> bool:
    return (
        outer.version == inner.version
        and outer.prefixlen <= inner.prefixlen
        and inner.network_address in outer
    )
