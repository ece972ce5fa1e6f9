"""What our own packet filter lets peers reach, in words. Pure.

A node's filter knows only what may come in, so this is said at the destination or its router.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from appliance.agent.plan.inputs import Inputs
from appliance.agent.plan.routes import approved_routes
from appliance.gateway import ranges
from appliance.gateway.filter import ALL_PORTS, Allow, Ports, parse_filter
from appliance.netmap.model import short_name
from appliance.protocol.addresses import IPAddress
from appliance.protocol.tailcfg import Node

MAX_NAMED: Final = 8
"""Peers that are named; the rest is counted."""
_PROTOCOLS: Final = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6", 132: "sctp"}
_ALL: Final = frozenset({1, 6, 17, 58})


def who_may_reach(inputs: Inputs, address: IPAddress) -> tuple[str, ...]:
    """Return each peer that may reach an address here, with the ports."""
    allows = _allows(inputs)
    found = [
        f"{short_name(peer)} ({', '.join(doors)})"
        for peer in sorted(inputs.netmap.peers.values(), key=lambda peer: peer.name)
        if (doors := tuple(_doors(allows, peer, address)))
    ]
    more = (f"{len(found) - MAX_NAMED} more",) if len(found) > MAX_NAMED else ()
    return (*found[:MAX_NAMED], *more)


def reach_of(inputs: Inputs, peer: Node) -> tuple[str, ...]:
    """Return what a peer may reach here: this node, and each subnet that it carries."""
    allows = _allows(inputs)
    found = []
    own = [n.network_address for n in inputs.netmap.self_node.addresses or ()]
    places = [("this node", own)]
    places += [(str(prefix), [prefix.network_address + 1]) for prefix in approved_routes(inputs)]
    for name, addresses in places:
        doors = dict.fromkeys(door for a in addresses for door in _doors(allows, peer, a))
        if doors:
            found.append(f"{name} ({', '.join(doors)})")
    return tuple(found)


def _allows(inputs: Inputs) -> tuple[Allow, ...]:
    return () if inputs.prefs.shields_up else parse_filter(inputs.netmap.filter_rules).allows


def _doors(allows: Iterable[Allow], peer: Node, address: IPAddress) -> Iterator[str]:
    sources = [n.network_address for n in peer.addresses or () if n.version == address.version]
    seen: set[str] = set()
    for allow in allows:
        if allow.version != address.version:
            continue
        if not any(ranges.has(allow.sources, int(source)) for source in sources):
            continue
        for ports, destinations in sorted(allow.destinations.items()):
            if ranges.has(destinations, int(address)):
                text = f"{_protocols(allow.protocols)}{_ports(ports)}"
                if text not in seen:
                    seen.add(text)
                    yield text


def _protocols(numbers: frozenset[int]) -> str:
    if numbers >= _ALL:
        return "all"
    return "/".join(_PROTOCOLS.get(number, str(number)) for number in sorted(numbers))


def _ports(ports: Ports) -> str:
    if ports == ALL_PORTS:
        return ""
    return f" {ports.first}" if ports.first == ports.last else f" {ports.first}-{ports.last}"
