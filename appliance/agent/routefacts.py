"""The four facts of each route, from what was planned and what was seen. Pure.

*advertised*: its router offers it now. *approved*: the coordinator lets peers use it. *serving*:
all that this machine must do for it is in place. *proven*: something went through it and came
back; at the router a connection of a peer that was answered, at a client a probe of ours. A proof
ends when the route stops serving.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from appliance.agent.plan.inputs import Inputs
from appliance.agent.plan.routes import (
    Offer,
    accepted_routes,
    advertised_routes,
    approved_routes,
    contains,
    exit_node_of,
    offers,
    serves_exit,
)
from appliance.gateway.config import Flow, GatewayStatus
from appliance.host.network import Hold
from appliance.host.tcptable import Connection
from appliance.localapi.types import Fact, RouteStatus
from appliance.netmap.model import allowed_ips_of, is_expired, offers_exit, short_name
from appliance.protocol.addresses import IPAddress, IPNetwork, parse_ip, parse_network
from appliance.protocol.errors import ProtocolError
from appliance.protocol.tailcfg import Node

EXIT: Final = "exit"
"""Stands for both default routes."""

RouteKey = tuple[str, str]
"""Stable ID of the router (empty: this node) and prefix (or ``exit``)."""

_PROTOCOLS: Final = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6", 132: "sctp"}


@dataclass(frozen=True, slots=True)
class Proof:
    """What went through a route, and whether it came back."""

    ok: bool
    at: datetime
    text: str
    """One sentence."""


@dataclass(frozen=True, slots=True)
class RouteSight:
    """What was seen of the routes at one moment."""

    gateway: GatewayStatus | None = None
    """None: not looked yet."""
    proofs: Mapping[RouteKey, Proof] = field(default_factory=dict)


class FactLog:
    """Knows since when each fact has been as it is."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str, str], tuple[bool, datetime]] = {}

    def dated(self, routes: Iterable[RouteStatus], now: datetime) -> tuple[RouteStatus, ...]:
        """Return the routes with the time of each fact; routes that are gone are forgotten."""
        before, self._since = self._since, {}
        return tuple(self._date(route, before, now) for route in routes)

    def _date(
        self,
        route: RouteStatus,
        before: Mapping[tuple[str, str, str], tuple[bool, datetime]],
        now: datetime,
    ) -> RouteStatus:
        dated: dict[str, Fact] = {}
        for name, fact in route.facts.items():
            key = (route.router, route.prefix, name)
            ok, since = before.get(key, (fact.ok, now))
            since = since if ok == fact.ok else now
            self._since[key] = (fact.ok, since)
            dated[name] = msgspec.structs.replace(fact, since=since)
        return msgspec.structs.replace(route, **dated)


def all_routes(inputs: Inputs, sight: RouteSight) -> tuple[RouteStatus, ...]:
    """Return this node's own routes, then those of its peers."""
    return (*_own(inputs, sight), *_of_peers(inputs, sight))


def proofs_of_flows(inputs: Inputs, flows: Iterable[Flow], now: datetime) -> dict[RouteKey, Proof]:
    """Return which of our routes peers' connections went through, and came back."""
    found: dict[RouteKey, Proof] = {}
    own = set(inputs.around.network.addresses)
    own |= {network.network_address for network in inputs.netmap.self_node.addresses or ()}
    mine = sorted(approved_routes(inputs), key=lambda prefix: -prefix.prefixlen)
    for flow in flows:
        if not flow.answered or flow.destination in own:
            continue  # what this machine answers itself proves nothing of what is behind it
        prefix = next((p for p in mine if flow.destination in p), None)
        if prefix is None and not serves_exit(inputs):
            continue
        key = ("", EXIT if prefix is None else str(prefix))
        found.setdefault(key, Proof(ok=True, at=now, text=_flow_sentence(inputs, flow, now)))
    return found


def proofs_of_connections(
    inputs: Inputs, connections: Iterable[Connection], now: datetime
) -> dict[RouteKey, Proof]:
    """Return which peers' routes this machine's own connections went through, and came back."""
    ours = {network.network_address for network in inputs.netmap.self_node.addresses or ()}
    used = [
        (prefix, peer)
        for peer in inputs.netmap.peers.values()
        for prefix in subnets_of(peer) & accepted_routes(inputs).get(peer.key, frozenset())
    ]
    used.sort(key=lambda one: -one[0].prefixlen)
    found: dict[RouteKey, Proof] = {}
    for connection in connections:
        if connection.local not in ours:
            continue
        match = next((one for one in used if connection.remote in one[0]), None)
        if match is not None:
            text = (
                f"A connection of this machine to {connection.remote} (tcp {connection.port}) was "
                f"answered; seen at {clock(now)}."
            )
            key = (match[1].stable_id, str(match[0]))
            found.setdefault(key, Proof(ok=True, at=now, text=text))
    return found


def key_of(route: RouteStatus, inputs: Inputs) -> RouteKey:
    """Return the key under which a route's proofs are kept."""
    if not route.router:
        return ("", route.prefix)
    peer = inputs.netmap.peer_by_name(route.router)
    return (peer.stable_id if peer is not None else "?", route.prefix)


def routes_meant(
    wanted: str, routes: Iterable[RouteStatus], inputs: Inputs
) -> tuple[tuple[RouteKey, ...], tuple[IPAddress, ...]]:
    """Return the peers' routes in use that a prefix, an address or ``exit`` means; empty: all.

    An address is returned too: it is the host to ask.
    """
    used = [route for route in routes if route.router and route.serving.ok]
    if not wanted:
        return tuple(key_of(route, inputs) for route in used), ()
    try:
        address = parse_ip(wanted)
    except ProtocolError:
        meant = [route for route in used if route.prefix == wanted.lower()]
        return tuple(key_of(route, inputs) for route in meant), ()
    held = [r for r in used if r.prefix != EXIT and address in parse_network(r.prefix)]
    held.sort(key=lambda route: -parse_network(route.prefix).prefixlen)
    return tuple(key_of(route, inputs) for route in held[:1]), (address,)


def carrier_of(inputs: Inputs, prefix: IPNetwork) -> Node | None:
    """Return the peer that carries a prefix for the mesh."""
    return next((p for p in inputs.netmap.peers.values() if prefix in allowed_ips_of(p)), None)


def own_lan_holding(inputs: Inputs, prefix: IPNetwork) -> IPNetwork | None:
    """Return the network of ours that goes before a peer's route."""
    around = inputs.around
    own = around.uplink | around.internal | frozenset(advertised_routes(inputs))
    return next((network for network in own if contains(network, prefix)), None)


# This node's own.


def _own(inputs: Inputs, sight: RouteSight) -> Iterator[RouteStatus]:
    approved = approved_routes(inputs)
    for offer in offers(inputs.prefs, inputs.around, inputs.memory):
        advertised = _offered(offer)
        granted = _granted(inputs, offer, ok=offer.prefix in approved)
        serving = _serving(inputs, sight, offer, granted)
        yield RouteStatus(
            prefix=str(offer.prefix),
            advertised=advertised,
            approved=granted,
            serving=serving,
            proven=_proven(sight, ("", str(offer.prefix)), serving, _AT_A_PEER),
        )
    if inputs.prefs.advertise_exit_node:
        yield _own_exit(inputs, sight)


_AT_A_PEER: Final = (
    "No peer's connection went through it and was answered yet; `latchkey routes probe` at a peer "
    "tries it."
)


def _offered(offer: Offer) -> Fact:
    if offer.lost:
        return Fact(ok=False, evidence=f"Withdrawn: {offer.lost}.")
    way = offer.way
    if way is None:
        return Fact(ok=True, evidence="Attached to this machine.")
    match way.hold:
        case Hold.ATTACHED:
            return Fact(ok=True, evidence=f"{way.interface} is in {way.network}.")
        case Hold.ROUTED:
            return Fact(ok=True, evidence=f"Behind {way.gateway} on {way.interface}.")
        case Hold.DEFAULT:
            return Fact(
                ok=True, evidence=f"Behind the default gateway {way.gateway} on {way.interface}."
            )


def _granted(inputs: Inputs, offer: Offer, *, ok: bool) -> Fact:
    if ok:
        return Fact(ok=True, evidence="The coordinator lets peers use it.")
    if offer.lost:
        return Fact(ok=False, evidence="Not while it is withdrawn; the approval is kept.")
    return Fact(ok=False, evidence=_approval_needed(inputs, str(offer.prefix)))


def _approval_needed(inputs: Inputs, route: str) -> str:
    name = short_name(inputs.netmap.self_node)
    return f"An admin must approve it: `latchkey admin routes approve {name} {route}`."


def _serving(inputs: Inputs, sight: RouteSight, offer: Offer, approved: Fact) -> Fact:
    problem = offer.lost and f"Withdrawn: {offer.lost}."
    if not problem and not approved.ok:
        problem = "Not approved yet."
    problem = problem or _not_primary(inputs, offer.prefix)
    problem = problem or _gateway_problem(sight.gateway, {offer.prefix.version})
    if problem:
        return Fact(ok=False, evidence=problem)
    where = f"{offer.way.interface} is up" if offer.way is not None else "the LAN is there"
    return Fact(
        ok=True,
        evidence=f"{where}, forwarding is on, the packet filter is in force, and the coordinator "
        "sends peers here.",
    )


def _not_primary(inputs: Inputs, prefix: IPNetwork) -> str:
    if prefix in (inputs.netmap.self_node.primary_routes or ()):
        return ""
    other = carrier_of(inputs, prefix)
    if other is None:
        return ""  # a coordinator that does not say who is primary; nobody else is
    return f"{short_name(other)} carries it; this node stands by."


def _gateway_problem(gateway: GatewayStatus | None, versions: set[int]) -> str:
    if gateway is None:
        return "This machine has not been looked at yet."
    if not gateway.ruleset:
        return "Our packet filter is not in force."
    if 4 in versions and not gateway.forwarding_ipv4:
        return "The kernel does not forward IPv4 (net.ipv4.ip_forward)."
    if 6 in versions and not gateway.forwarding_ipv6:
        return "The kernel does not forward IPv6 (net.ipv6.conf.all.forwarding)."
    return ""


def _own_exit(inputs: Inputs, sight: RouteSight) -> RouteStatus:
    ok = offers_exit(inputs.netmap.self_node)
    approved = (
        Fact(ok=True, evidence="The coordinator lets peers use it.")
        if ok
        else Fact(ok=False, evidence=_approval_needed(inputs, EXIT))
    )
    network = inputs.around.network
    problem = "" if ok else "Not approved yet."
    if not problem and not network.has_internet(4) and not network.has_internet(6):
        problem = "This machine has no default route itself."
    versions = {version for version in (4, 6) if network.has_internet(version)}
    problem = problem or _gateway_problem(sight.gateway, versions)
    serving = Fact(ok=not problem, evidence=problem or _exit_evidence(versions))
    return RouteStatus(
        prefix=EXIT,
        advertised=Fact(ok=True, evidence="The owner offers this node as exit node."),
        approved=approved,
        serving=serving,
        proven=_proven(sight, ("", EXIT), serving, _AT_A_PEER),
    )


def _exit_evidence(versions: set[int]) -> str:
    if 6 not in versions:
        return (
            "IPv4 goes out from here; this home has no IPv6, so peers' IPv6 is blocked, not leaked."
        )
    return "IPv4 and IPv6 go out from here." if 4 in versions else "IPv6 alone goes out from here."


# Those of peers.


def _of_peers(inputs: Inputs, sight: RouteSight) -> Iterator[RouteStatus]:
    accepted = accepted_routes(inputs)
    for peer in sorted(inputs.netmap.peers.values(), key=lambda peer: peer.name):
        for prefix in sorted(subnets_of(peer), key=lambda n: (n.version, n)):
            serving = _in_use(inputs, sight, peer, prefix, accepted.get(peer.key, frozenset()))
            yield _peer_route(peer, str(prefix), serving, sight)
    chosen = exit_node_of(inputs.netmap, inputs.prefs.exit_node)
    if chosen is not None:
        yield _peer_route(chosen, EXIT, _exit_in_use(inputs, sight, chosen), sight)


def subnets_of(peer: Node) -> frozenset[IPNetwork]:
    """Return the subnets that a peer carries."""
    own = frozenset(peer.addresses or ())
    return frozenset(n for n in allowed_ips_of(peer) if n.prefixlen and n not in own)


def _peer_route(peer: Node, prefix: str, serving: Fact, sight: RouteSight) -> RouteStatus:
    name = short_name(peer)
    return RouteStatus(
        prefix=prefix,
        router=name,
        advertised=Fact(ok=True, evidence=f"{name} offers it, says the coordinator."),
        approved=Fact(ok=True, evidence="The coordinator lets this node use it."),
        serving=serving,
        proven=_proven(
            sight, (peer.stable_id, prefix), serving, "Not tried yet: `latchkey routes probe`."
        ),
    )


def _in_use(
    inputs: Inputs,
    sight: RouteSight,
    peer: Node,
    prefix: IPNetwork,
    accepted: frozenset[IPNetwork],
) -> Fact:
    own = own_lan_holding(inputs, prefix)
    problem = ""
    if not inputs.prefs.accept_routes:
        problem = "This node does not use it: `latchkey set --accept-routes`."
    elif own is not None:
        problem = f"This machine is in {own} itself; the own LAN goes first."
    elif is_expired(peer, inputs.now):
        problem = f"The key of {short_name(peer)} has expired."
    elif prefix not in accepted:
        problem = "Another router's route to the same addresses is in use."
    elif not peer.online:
        problem = f"{short_name(peer)} is offline."
    elif sight.gateway is None:
        problem = "This machine has not been looked at yet."
    elif prefix not in sight.gateway.routes:
        problem = "The kernel has no route into the tunnel for it."
    good = f"{short_name(peer)} is online, and the kernel sends it into the tunnel."
    return Fact(ok=not problem, evidence=problem or good)


def _exit_in_use(inputs: Inputs, sight: RouteSight, peer: Node) -> Fact:
    problem = ""
    if is_expired(peer, inputs.now):
        problem = f"The key of {short_name(peer)} has expired."
    elif not peer.online:
        problem = f"{short_name(peer)} is offline; traffic to the internet is held back."
    elif sight.gateway is None:
        problem = "This machine has not been looked at yet."
    elif not any(network.prefixlen == 0 for network in sight.gateway.routes):
        problem = "The kernel has no default route into the tunnel."
    good = f"{short_name(peer)} is online, and both default routes lead into the tunnel."
    return Fact(ok=not problem, evidence=problem or good)


def _proven(sight: RouteSight, key: RouteKey, serving: Fact, otherwise: str) -> Fact:
    proof = sight.proofs.get(key)
    if proof is not None and not proof.ok:
        return Fact(ok=False, evidence=proof.text)
    if proof is None or not serving.ok:
        return Fact(ok=False, evidence=otherwise if serving.ok else "Not while it is not serving.")
    return Fact(ok=True, evidence=proof.text)


def _flow_sentence(inputs: Inputs, flow: Flow, now: datetime) -> str:
    peer = inputs.netmap.peer_by_ip(flow.source)
    who = short_name(peer) if peer is not None else str(flow.source)
    protocol = _PROTOCOLS.get(flow.protocol, f"protocol {flow.protocol}")
    port = f" {flow.port}" if flow.port and flow.protocol not in (1, 58) else ""
    return f"{who} reached {flow.destination} ({protocol}{port}), answered at {clock(now)}."


def clock(time: datetime) -> str:
    """Write a time for people."""
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"
