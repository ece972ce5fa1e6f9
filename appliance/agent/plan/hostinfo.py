"""What this node tells the coordinator about itself."""

import ipaddress

from appliance.netmap.prefs import Prefs
from appliance.protocol.addresses import IPNetwork
from appliance.protocol.tailcfg import Hostinfo, NetInfo, Service

_DEFAULTS: tuple[IPNetwork, ...] = (
    ipaddress.ip_network("0.0.0.0/0"),
    ipaddress.ip_network("::/0"),
)


def plan_hostinfo(
    machine: Hostinfo,
    prefs: Prefs,
    subnets: tuple[IPNetwork, ...],
    net_info: NetInfo | None,
    services: tuple[Service, ...] = (),
) -> Hostinfo:
    """Complete the machine's description (``machine``) with wishes and measurements.

    ``subnets`` are those to advertise now, without what is withdrawn.
    """
    routes = subnets
    if prefs.advertise_exit_node:
        routes += _DEFAULTS
    fields = {name: getattr(machine, name) for name in machine.__struct_fields__}
    fields |= {
        "hostname": prefs.hostname or machine.hostname,
        "routable_ips": routes or None,
        "shields_up": prefs.shields_up,
        "net_info": net_info,
        "services": services or None,
    }
    return Hostinfo(**fields)
