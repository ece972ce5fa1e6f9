"""Our routes and policy rules in the kernel's tables, and what else it says of this machine."""

import errno
import socket
from dataclasses import replace
from typing import Final

from appliance.gateway import nft
from appliance.gateway.config import GatewayStatus
from appliance.gateway.errors import GatewayError
from appliance.gateway.profile import FORWARD_V4, FORWARD_V6
from appliance.gateway.routes import PROTOCOL, TABLE
from appliance.host import sysctl
from appliance.host.rtmessages import RTN_THROW, RTN_UNICAST, Link, Route, Rule
from appliance.host.rtnetlink import RtNetlink

_DONE_ALREADY: Final = frozenset({errno.EEXIST, errno.ESRCH, errno.ENOENT})
"""Somebody was quicker: the route is there, or gone, as we wanted."""


def apply_rules(rtnetlink: RtNetlink, wanted: frozenset[Rule]) -> bool:
    """Have these policy rules and no others of ours; whether that changed anything."""
    present = _our_rules(rtnetlink)
    refused = rtnetlink.change_rules(remove=present - wanted, add=wanted - present)
    for rule, error in refused:
        if error.errno not in _DONE_ALREADY:
            raise GatewayError(f"The kernel refused policy rule {rule.priority}: {error}.")
    return present != wanted


def apply_routes(rtnetlink: RtNetlink, wanted: frozenset[Route]) -> bool:
    """Have these routes and no others of ours; whether that changed anything."""
    present = _our_routes(rtnetlink)
    refused = rtnetlink.change_routes(remove=present - wanted, add=wanted - present)
    for route, error in refused:
        if error.errno not in _DONE_ALREADY:
            raise GatewayError(f"The kernel refused the route to {route.destination}: {error}.")
    return present != wanted


def observe() -> GatewayStatus:
    """Read what of ours the kernel really has."""
    with RtNetlink() as rtnetlink:
        rules = _our_rules(rtnetlink)
        routes = _our_routes(rtnetlink)
    return GatewayStatus(
        ruleset=nft.identify() is not None,
        rules=len(rules),
        routes=frozenset(r.destination for r in routes if r.kind == RTN_UNICAST),
        local_networks=frozenset(r.destination for r in routes if r.kind == RTN_THROW),
        forwarding_ipv4=sysctl.read(FORWARD_V4) == "1",
        forwarding_ipv6=sysctl.read(FORWARD_V6) not in (None, "0"),
    )


def uplinks(links: list[Link], main: list[Route], tunnel: str) -> tuple[str, ...]:
    """Return the interfaces that may hear an IPv6 router: real ones, and what leads out."""
    leads_out = {route.link for route in main if route.destination.prefixlen == 0}
    return tuple(
        sorted(
            link.name
            for link in links
            if link.name not in ("lo", tunnel) and (link.kind is None or link.index in leads_out)
        )
    )


def families() -> tuple[int, ...]:
    """Return the address families that this kernel has switched on."""
    if sysctl.read(FORWARD_V6) is None:
        return (socket.AF_INET,)
    return (socket.AF_INET, socket.AF_INET6)


def is_strict() -> bool:
    """Return whether the strict reverse-path check is on for all interfaces."""
    return sysctl.read("net.ipv4.conf.all.rp_filter") == "1"


def _our_rules(rtnetlink: RtNetlink) -> frozenset[Rule]:
    return frozenset(rule for rule in rtnetlink.rules() if rule.protocol == PROTOCOL)


def _our_routes(rtnetlink: RtNetlink) -> frozenset[Route]:
    return frozenset(_plain(route) for route in rtnetlink.routes(TABLE))


def _plain(route: Route) -> Route:
    """Leave out the loopback interface that IPv6 names in a route to nowhere."""
    if route.kind == RTN_UNICAST:
        return route
    return replace(route, link=0)
