"""Where this machine stands in the network, as one value. Pure."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
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

PRIVATE: Final = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
"""Where LANs take their addresses from (RFC 1918, RFC 4193)."""
_MESH_V6: Final = ipaddress.ip_network("fd7a:115c:a1e0::/48")
"""Private by its form, but never somebody's LAN."""

TUNNEL_KINDS: Final = frozenset({"tun", "wireguard", "ipip", "sit", "gre", "ip6tnl", "vti", "xfrm"})
"""Kinds of interface that lead somewhere else: what is behind them is not our LAN."""

_CABLES: Final = frozenset({None, "vlan", "bond", "team", "macvlan", "ipvlan", "veth"})
"""Kinds of interface that a cable or an antenna hangs on; a bridge of such ports is one too."""
_VIRTUAL_PORTS: Final = frozenset({"veth", "tun"})
"""Ports that make a bridge one of containers or virtual machines."""

_MAX_ROUTES: Final = 1000
"""A home has a handful; a machine with the internet's table must not fill every comparison."""

LONGEST_LAN: Final = {4: 30, 6: 64}
"""A longer prefix has no room for a printer: it is a link to a provider, or one host."""


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface that is on and connected, with its usable addresses and attached networks."""

    index: int
    name: str
    kind: str | None
    addresses: tuple[IPInterface, ...]
    networks: tuple[IPNetwork, ...]
    is_cable: bool = True
    """Other machines hang on it; not so the bridges of containers."""


@dataclass(frozen=True, slots=True)
class GatewayRoute:
    """A network behind another router of ours."""

    destination: IPNetwork
    interface: str
    gateway: IPAddress


class Hold(Enum):
    """How a machine has a network."""

    ATTACHED = "attached"
    """An interface is in it."""
    ROUTED = "routed"
    """A route of its own leads to it."""
    DEFAULT = "default"
    """Only the way to the rest of the world leads there."""


@dataclass(frozen=True, slots=True)
class Way:
    """How this machine reaches a network."""

    hold: Hold
    interface: str
    network: IPNetwork
    """The attached network or the route's destination: the same, a wider or a narrower one."""
    gateway: IPAddress | None = None


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
    routes: tuple[GatewayRoute, ...] = ()
    """Networks behind other routers, the default routes left out."""

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
        """Private networks at our uplinks and other cables: what an owner means by "my LAN"."""
        uplinks = self.uplinks
        return frozenset(
            network
            for one in self.interfaces
            if one.kind not in TUNNEL_KINDS and (one.is_cable or one in uplinks)
            for network in one.networks
            if _is_lan(network)
        )

    @property
    def attached_networks(self) -> frozenset[IPNetwork]:
        """Every network at any interface, containers' bridges included."""
        return frozenset(network for one in self.interfaces for network in one.networks)

    def way_to(self, prefix: IPNetwork) -> Way | None:
        """Return how this machine has a network, the closest way first; None when it does not.

        A part of it counts: who has 10.1.2.0/24 has a way into 10.0.0.0/8.
        """
        ways = [
            Way(Hold.ATTACHED, one.name, network)
            for one in self.interfaces
            for network in one.networks
            if _touch(network, prefix)
        ]
        if not ways:
            ways = [
                Way(Hold.ROUTED, route.interface, route.destination, route.gateway)
                for route in self.routes
                if _touch(route.destination, prefix)
            ]
        if ways:
            return max(ways, key=lambda way: way.network.prefixlen)
        return self._default_way(prefix)

    def has_moved_from(self, before: "NetworkState") -> bool:
        """Whether an address at an uplink is gone, and connections from it with it."""
        used = {address.ip for one in before.uplinks for address in one.addresses}
        return not used <= {address.ip for one in self.interfaces for address in one.addresses}

    def has_internet(self, version: int) -> bool:
        """Whether there is a default route of this family."""
        return any(route.version == version for route in self.default_routes)

    def _default_way(self, prefix: IPNetwork) -> Way | None:
        anywhere = ipaddress.ip_network("0.0.0.0/0" if prefix.version == 4 else "::/0")
        for route in self.default_routes:
            if route.version == prefix.version:
                return Way(Hold.DEFAULT, route.interface, anywhere, route.gateway)
        return None


def read_state(
    links: Iterable[Link], addresses: Iterable[Address], main: Iterable[Route], tunnel: str
) -> NetworkState:
    """Put the kernel's tables together; ``main`` is the main routing table."""
    links = list(links)
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
    defaults: list[DefaultRoute] = []
    behind: list[GatewayRoute] = []
    for route in main:
        if route.kind != RTN_UNICAST or route.link not in used:
            continue
        if route.destination.prefixlen == 0:
            defaults.append(_default(route, used[route.link].name))
        elif route.gateway is None:
            networks[route.link].add(route.destination)
        elif len(behind) < _MAX_ROUTES:
            behind.append(GatewayRoute(route.destination, used[route.link].name, route.gateway))
    interfaces = tuple(
        Interface(
            index,
            link.name,
            link.kind,
            tuple(sorted(by_link[index], key=_order)),
            tuple(sorted(filter(_is_network, networks[index]), key=_order)),
            _is_cable(link, links),
        )
        for index, link in sorted(used.items())
    )
    return NetworkState(
        interfaces,
        tuple(sorted(defaults, key=_default_order)),
        tuple(sorted(behind, key=lambda route: _order(route.destination))),
    )


def _is_cable(link: Link, links: list[Link]) -> bool:
    if link.kind != "bridge":
        return link.kind in _CABLES
    ports = [one for one in links if one.master == link.index]
    return any(port.kind not in _VIRTUAL_PORTS for port in ports)


def _touch(one: IPNetwork, other: IPNetwork) -> bool:
    return one.version == other.version and one.overlaps(other)


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
        network.prefixlen <= LONGEST_LAN[network.version]
        and any(_contains(private, network) for private in PRIVATE)
        and not _contains(_MESH_V6, network)
    )


def _contains(outer: IPNetwork, inner: IPNetwork) -> bool:
    return (
        outer.version == inner.version
        and outer.prefixlen <= inner.prefixlen
        and inner.network_address in outer
    )
