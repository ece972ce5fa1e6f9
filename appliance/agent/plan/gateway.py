"""The gateway's desired state."""

from ipaddress import ip_interface

from appliance.agent.plan.inputs import Inputs
from appliance.agent.plan.routes import accepted_routes, approved_routes, serves_exit
from appliance.gateway.config import GatewayConfig
from appliance.protocol.addresses import IPNetwork


def plan_gateway(inputs: Inputs) -> GatewayConfig:
    """Decide routes, forwarding and filter; with ``shields_up`` nothing may come in.

    ``use_exit`` follows the owner's wish even while the exit node is away: traffic then goes
    nowhere instead of out in the clear.
    """
    routes = frozenset(n for mine in accepted_routes(inputs).values() for n in mine)
    return GatewayConfig(
        interface=inputs.interface,
        addresses=tuple(ip_interface(str(n)) for n in inputs.netmap.self_node.addresses or ()),
        listen_port=inputs.listen_port,
        fwmark=inputs.fwmark,
        routes=frozenset(n for n in routes if n.prefixlen),
        local_networks=_kept_local(inputs),
        advertised=approved_routes(inputs),
        serve_exit=serves_exit(inputs),
        use_exit=bool(inputs.prefs.exit_node),
        snat=inputs.prefs.snat_subnet_routes,
        filter=() if inputs.prefs.shields_up else inputs.netmap.filter_rules,
    )


def _kept_local(inputs: Inputs) -> frozenset[IPNetwork]:
    """Our own networks first; behind an exit node the uplink's only if allowed, or served."""
    around = inputs.around
    if not inputs.prefs.exit_node or inputs.prefs.exit_node_allow_lan_access:
        return around.internal | around.uplink
    return around.internal | (around.uplink & approved_routes(inputs))
