"""The gateway's desired state."""

from ipaddress import ip_interface
from typing import Final

from appliance.agent.plan.inputs import Inputs, Surroundings
from appliance.agent.plan.routes import accepted_routes, approved_routes, serves_exit
from appliance.gateway.config import GatewayConfig
from appliance.protocol.addresses import IPNetwork

_CABLED: Final = frozenset({None, "veth", "vlan", "bond", "team", "macvlan", "ipvlan"})
"""Kinds of interface that may become an uplink."""


def plan_gateway(inputs: Inputs) -> GatewayConfig:
    """Decide routes, forwarding and filter; with ``shields_up`` nothing may come in.

    ``use_exit`` follows the owner's wish even while the exit node is away: traffic then goes
    nowhere instead of out in the clear.
    """
    routes = frozenset(n for mine in accepted_routes(inputs).values() for n in mine)
    approved = approved_routes(inputs)
    return GatewayConfig(
        interface=inputs.interface,
        addresses=tuple(ip_interface(str(n)) for n in inputs.netmap.self_node.addresses or ()),
        listen_port=inputs.listen_port,
        fwmark=inputs.fwmark,
        routes=frozenset(n for n in routes if n.prefixlen),
        local_networks=_kept_local(inputs),
        advertised=approved,
        serve_exit=serves_exit(inputs),
        use_exit=bool(inputs.prefs.exit_node),
        lan_access=inputs.prefs.exit_node_allow_lan_access,
        snat=inputs.prefs.snat_subnet_routes,
        entering=frozenset() if inputs.prefs.snat_subnet_routes else approved,
        exit_ipv6=any(one.version == 6 for one in inputs.around.network.default_routes),
        filter=() if inputs.prefs.shields_up else inputs.netmap.filter_rules,
    )


def _kept_local(inputs: Inputs) -> frozenset[IPNetwork]:
    """Our own networks first; behind an exit node the uplink's only if allowed, or served.

    What this node carries for others it never sends into the mesh itself, attached or not.
    """
    around = inputs.around
    served = approved_routes(inputs)
    if not inputs.prefs.exit_node or inputs.prefs.exit_node_allow_lan_access:
        return around.internal | around.uplink | served
    return sheltered(around) | served


def sheltered(around: Surroundings) -> frozenset[IPNetwork]:
    """Return the networks that no cable leads to, such as containers' bridges.

    An uplink has its address before its default route: until then it looks like any other.
    """
    cabled = (one for one in around.network.interfaces if one.kind in _CABLED)
    return around.internal - frozenset(network for one in cabled for network in one.networks)
