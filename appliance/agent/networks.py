"""Which networks a person can offer to the mesh, and why not the others. Pure."""

from collections.abc import Callable

from appliance.host.medium import Medium
from appliance.host.network import LONGEST_LAN, TUNNEL_KINDS, Interface, NetworkState
from appliance.localapi.types import NetworkFound, Networks
from appliance.protocol.addresses import IPNetwork


def networks_found(state: NetworkState, medium_of: Callable[[str], Medium]) -> Networks:
    """Describe every network at every interface: first those to offer, uplinks before others."""
    found = [
        (_rank(state, one, network), _describe(state, one, network, medium_of))
        for one in state.interfaces
        for network in one.networks
    ]
    return Networks(networks=tuple(network for _, network in sorted(found, key=lambda f: f[0])))


def _rank(state: NetworkState, one: Interface, network: IPNetwork) -> tuple[object, ...]:
    offered = _why_not(state, one, network) == ""
    return (not offered, one not in state.uplinks, one.name, network.version, int(network[0]))


def _describe(
    state: NetworkState, one: Interface, network: IPNetwork, medium_of: Callable[[str], Medium]
) -> NetworkFound:
    reason = _why_not(state, one, network)
    gateways = (
        str(route.gateway)
        for route in state.default_routes
        if route.interface == one.name and route.gateway is not None and route.gateway in network
    )
    return NetworkFound(
        interface=one.name,
        kind=_medium(one, medium_of).value,
        prefix=str(network),
        addresses=tuple(str(address.ip) for address in one.addresses if address.ip in network),
        is_uplink=one in state.uplinks,
        gateway=next(gateways, ""),
        advertisable=not reason,
        reason=reason,
    )


def _medium(one: Interface, medium_of: Callable[[str], Medium]) -> Medium:
    if one.kind in TUNNEL_KINDS or not one.is_cable:
        return Medium.OTHER
    return medium_of(one.name)


def _why_not(state: NetworkState, one: Interface, network: IPNetwork) -> str:
    if one.kind in TUNNEL_KINDS:
        return f"{one.name} is a tunnel to somewhere else, not a network at home."
    if not one.is_cable and one not in state.uplinks:
        return "Containers or virtual machines of this machine use it; it is no network at home."
    if network in state.lan_networks:
        return ""
    if network.prefixlen > LONGEST_LAN[network.version]:
        return "It is too small to be a network at home: it links this machine to a provider."
    return "Its addresses are public: they belong to the provider and may change."
