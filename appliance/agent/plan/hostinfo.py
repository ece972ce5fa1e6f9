"""What this node tells the coordinator about itself."""

import ipaddress

from appliance.agent.plan.routes import advertised
from appliance.netmap.prefs import Prefs
from appliance.protocol.addresses import IPNetwork
from appliance.protocol.tailcfg import Hostinfo, NetInfo

_DEFAULTS: tuple[IPNetwork, ...] = (
    ipaddress.ip_network("0.0.0.0/0"),
    ipaddress.ip_network("::/0"),
)


def plan_hostinfo(
    machine: Hostinfo,
    prefs: Prefs,
    lan: frozenset[IPNetwork],
    net_info: NetInfo | None,
) -> Hostinfo:
    """Complete the machine's description (``machine``) with wishes and measurements."""
    routes = advertised(prefs.fixed_routes(), prefs.auto_routes, lan)
    if prefs.advertise_exit_node:
        routes += _DEFAULTS
    fields = {name: getattr(machine, name) for name in machine.__struct_fields__}
    fields |= {
        "hostname": prefs.hostname or machine.hostname,
        "routable_ips": routes or None,
        "shields_up": prefs.shields_up,
        "net_info": net_info,
    }
    return Hostinfo(**fields)
