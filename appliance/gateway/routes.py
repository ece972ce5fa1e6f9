"""Which routes and policy rules a GatewayConfig means. Pure.

Priority  Packets                       Where
5110      marked as ours                main table: the machine's ordinary routes
5130      marked as ours                default table
5150      marked as ours                unreachable: never into the tunnel
5170      all                           our table; no match there goes on to main

The reference uses 5210 to 5270 and table 52; ours stand just before, so both can run. All of ours
carry a protocol number of our own, by which they are found after a crash.
"""

import ipaddress
import socket
from typing import Final

from appliance.gateway.config import GatewayConfig
from appliance.gateway.ruleset import MARK_MASK, MESH_RANGES
from appliance.host.rtmessages import (
    FR_ACT_TO_TBL,
    FR_ACT_UNREACHABLE,
    RT_TABLE_DEFAULT,
    RT_TABLE_MAIN,
    RTN_THROW,
    RTN_UNREACHABLE,
    Route,
    Rule,
)
from appliance.protocol.addresses import IPNetwork

TABLE: Final = 5170
PROTOCOL: Final = 76
"""Free in the kernel's and iproute2's lists (rt_protos)."""

PRIORITY_MAIN: Final = 5110
PRIORITY_DEFAULT: Final = 5130
PRIORITY_UNREACHABLE: Final = 5150
PRIORITY_TUNNEL: Final = 5170

DEFAULT_ROUTES: Final[frozenset[IPNetwork]] = frozenset(
    {ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")}
)

_IPV6_METRIC: Final = 1024
"""What the kernel gives an IPv6 route without one."""
_LAST_METRIC: Final = 4096
"""After the tunnel's own routes."""


def plan_rules(fwmark: int, families: tuple[int, ...]) -> frozenset[Rule]:
    """Return the policy rules; they do not depend on the routes."""
    rules: set[Rule] = set()
    for family in families:
        for priority, table in (
            (PRIORITY_MAIN, RT_TABLE_MAIN),
            (PRIORITY_DEFAULT, RT_TABLE_DEFAULT),
        ):
            rules.add(
                Rule(family, priority, FR_ACT_TO_TBL, table, fwmark, MARK_MASK, protocol=PROTOCOL)
            )
        rules.add(
            Rule(
                family,
                PRIORITY_UNREACHABLE,
                FR_ACT_UNREACHABLE,
                fwmark=fwmark,
                fwmask=MARK_MASK,
                protocol=PROTOCOL,
            )
        )
        rules.add(Rule(family, PRIORITY_TUNNEL, FR_ACT_TO_TBL, TABLE, protocol=PROTOCOL))
    return frozenset(rules)


def plan_routes(
    config: GatewayConfig, tunnel: int | None, families: tuple[int, ...]
) -> frozenset[Route]:
    """Return our table; without a tunnel (None) only what stays out of it.

    Behind an exit node there is a dead end under the default routes: should the tunnel vanish,
    its routes go with it, and traffic then goes nowhere instead of out in the clear.
    """
    routes = {_throw(network) for network in config.local_networks if network.prefixlen}
    if config.use_exit:
        routes |= {_dead_end(network) for network in DEFAULT_ROUTES}
    if tunnel is not None:
        routes |= {_into(network, tunnel) for network in tunnel_networks(config)}
    return frozenset(route for route in routes if _family(route.destination) in families)


def tunnel_networks(config: GatewayConfig) -> frozenset[IPNetwork]:
    """Return what leads into the tunnel.

    Nothing of a local network does, except mesh addresses: a provider may use the same range. A
    lone default route is refused here too: both families go through an exit node, or neither.
    """
    wanted = frozenset(
        network
        for network in config.routes - DEFAULT_ROUTES
        if _is_mesh(network) or not _is_within(network, config.local_networks)
    )
    return wanted | DEFAULT_ROUTES if config.use_exit else wanted


def _into(network: IPNetwork, tunnel: int) -> Route:
    priority = _IPV6_METRIC if network.version == 6 else 0
    return Route(network, TABLE, protocol=PROTOCOL, link=tunnel, priority=priority)


def _throw(network: IPNetwork) -> Route:
    priority = _IPV6_METRIC if network.version == 6 else 0
    return Route(network, TABLE, kind=RTN_THROW, protocol=PROTOCOL, priority=priority)


def _dead_end(network: IPNetwork) -> Route:
    return Route(network, TABLE, RTN_UNREACHABLE, PROTOCOL, priority=_LAST_METRIC)


def _is_mesh(network: IPNetwork) -> bool:
    return _is_within(network, frozenset(MESH_RANGES))


def _is_within(network: IPNetwork, others: frozenset[IPNetwork]) -> bool:
    return any(
        network.version == other.version
        and network.prefixlen >= other.prefixlen
        and network.network_address in other
        for other in others
    )


def _family(network: IPNetwork) -> int:
    return socket.AF_INET if network.version == 4 else socket.AF_INET6
