"""Which routes and policy rules a GatewayConfig means. Pure.

Priority  Packets                       Where
5110      marked as ours                main table: the machine's ordinary routes
5130      marked as ours                default table
5150      marked as ours                unreachable: never into the tunnel
5155      to mesh addresses             our table, whatever a provider's network is
5160      all                           main table, but for its widest routes: own LAN first
5170      all but those marked as ours  our table; no match there goes on to main

Rule 5170 is always there. The others are there only while subnets of peers are accepted without an
exit node: each rule is a look-up more for every packet of the machine (docs/decisions, 0010).

The reference uses 5210 to 5270 and table 52; ours stand just before, so both can run. All of ours
carry a protocol number of our own, by which they are found after a crash.

Rule 5160 makes the machine's own networks win from the moment in which the kernel knows them: a
cable that is plugged in needs no reaction of ours before the LAN's traffic stays in the LAN. Routes
as wide as those by which another VPN takes the whole internet (0.0.0.0/1) do not count there.
Behind an exit node there is no such rule, so that no LAN can draw traffic out of the tunnel by
the routes that its DHCP server hands out; there the throw routes say what stays outside.
"""

import ipaddress
import socket
from typing import Final

from appliance.gateway.config import GatewayConfig
from appliance.gateway.marks import MARK_MASK
from appliance.gateway.zones import MESH_RANGES, accepts_subnets
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
PRIORITY_MESH: Final = 5155
PRIORITY_OWN_LAN: Final = 5160
PRIORITY_TUNNEL: Final = 5170

DEFAULT_ROUTES: Final[frozenset[IPNetwork]] = frozenset(
    {ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")}
)

_IPV6_METRIC: Final = 1024
"""What the kernel gives an IPv6 route without one."""
_LAST_METRIC: Final = 4096
"""After the tunnel's own routes."""


_WIDEST_LAN: Final = 9
"""Nobody's LAN is wider than 10.0.0.0/9; one that is has its throw route all the same."""


def plan_rules(config: GatewayConfig, families: tuple[int, ...]) -> frozenset[Rule]:
    """Return the policy rules; marked packets reach our table by none of them."""
    mark = config.fwmark
    rules: set[Rule] = set()
    for family in families:
        all_others = Rule(
            family,
            PRIORITY_TUNNEL,
            FR_ACT_TO_TBL,
            TABLE,
            mark,
            MARK_MASK,
            protocol=PROTOCOL,
            invert=True,
        )
        rules.add(all_others)
        if accepts_subnets(config) and not config.use_exit:
            rules |= _marked(family, mark) | _own_lan_first(family)
    return frozenset(rules)


def _marked(family: int, mark: int) -> set[Rule]:
    """Keep marked packets away from the rules that follow and cannot leave them out."""
    rules = {
        Rule(family, priority, FR_ACT_TO_TBL, table, mark, MARK_MASK, protocol=PROTOCOL)
        for priority, table in (
            (PRIORITY_MAIN, RT_TABLE_MAIN),
            (PRIORITY_DEFAULT, RT_TABLE_DEFAULT),
        )
    }
    unreachable = FR_ACT_UNREACHABLE
    rules.add(
        Rule(
            family,
            PRIORITY_UNREACHABLE,
            unreachable,
            fwmark=mark,
            fwmask=MARK_MASK,
            protocol=PROTOCOL,
        )
    )
    return rules


def _own_lan_first(family: int) -> set[Rule]:
    mesh = next(network for network in MESH_RANGES if _family(network) == family)
    return {
        Rule(
            family,
            PRIORITY_MESH,
            FR_ACT_TO_TBL,
            TABLE,
            protocol=PROTOCOL,
            destination=mesh,
        ),
        Rule(
            family,
            PRIORITY_OWN_LAN,
            FR_ACT_TO_TBL,
            RT_TABLE_MAIN,
            protocol=PROTOCOL,
            suppress=_WIDEST_LAN - 1,
        ),
    }


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
