"""Who gets which prefix: the routes that this node accepts from its peers, and its own.

Each prefix goes to one peer only, the one with the lowest node ID, because WireGuard gives an
allowed IP to one peer. A peer's own addresses are always accepted, subnets when the owner wants
them, the default routes from the chosen exit node alone. What this node offers itself it accepts
from nobody: its own way there comes first, and peers' packets must not go on into the mesh.

A named subnet that was attached and is gone is withdrawn, so that peers fall back to ways of their
own. The default route alone is way enough only for a subnet that never had a closer one.
"""

from dataclasses import dataclass

from appliance.agent.plan.inputs import Inputs, RouteMemory, Surroundings
from appliance.host.network import Hold, Way
from appliance.netmap.model import NetworkMap, allowed_ips_of, is_expired, offers_exit
from appliance.netmap.prefs import Prefs
from appliance.protocol.addresses import IPNetwork, parse_ip
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import NodePublic
from appliance.protocol.tailcfg import Node


def exit_node_of(netmap: NetworkMap, wanted: str) -> Node | None:
    """Return the peer that the owner chose as exit node, if it is there and offers to be one."""
    if not wanted:
        return None
    peer = _by_stable_id(netmap, wanted) or _by_ip(netmap, wanted) or netmap.peer_by_name(wanted)
    return peer if peer is not None and offers_exit(peer) else None


def accepted_routes(inputs: Inputs) -> dict[NodePublic, frozenset[IPNetwork]]:
    """Return for each usable peer the prefixes that lead to it."""
    exit_node = exit_node_of(inputs.netmap, inputs.prefs.exit_node)
    taken: set[IPNetwork] = set(inputs.netmap.self_node.addresses or ())
    accepted: dict[NodePublic, frozenset[IPNetwork]] = {}
    for peer in sorted(inputs.netmap.peers.values(), key=lambda peer: peer.id):
        if is_expired(peer, inputs.now):
            continue
        mine = {
            network
            for network in allowed_ips_of(peer)
            if network not in taken and _is_accepted(network, peer, exit_node, inputs)
        }
        taken |= mine
        accepted[peer.key] = frozenset(mine)
    return accepted


def approved_routes(inputs: Inputs) -> frozenset[IPNetwork]:
    """Return the subnets that this node advertises and the coordinator approved."""
    own = frozenset(inputs.netmap.self_node.addresses or ())
    allowed = frozenset(allowed_ips_of(inputs.netmap.self_node))
    return (allowed - own) & frozenset(advertised_routes(inputs))


def advertised_routes(inputs: Inputs) -> tuple[IPNetwork, ...]:
    """Return the subnets to advertise now: those named that are there, and our LAN if asked for."""
    return advertised(inputs.prefs, inputs.around, inputs.memory)


def advertised(prefs: Prefs, around: Surroundings, memory: RouteMemory) -> tuple[IPNetwork, ...]:
    """Return the subnets to advertise now, without a netmap."""
    return tuple(one.prefix for one in offers(prefs, around, memory) if not one.lost)


@dataclass(frozen=True, slots=True)
class Offer:
    """A subnet that the owner wants to offer."""

    prefix: IPNetwork
    way: Way | None
    """How this machine reaches it; None when it does not."""
    lost: str = ""
    """Why it is withdrawn, as the end of a sentence; empty when it is advertised."""
    found: bool = False
    """Found by itself (``auto``), not named."""


def offers(prefs: Prefs, around: Surroundings, memory: RouteMemory) -> tuple[Offer, ...]:
    """Return what is to be offered; a LAN inside a named subnet adds nothing."""
    fixed = prefs.fixed_routes()
    found = [_named(prefix, around, memory) for prefix in fixed]
    if prefs.auto_routes:
        lans = sorted(around.lan, key=lambda n: (n.version, n))
        found += [
            Offer(lan, around.network.way_to(lan), found=True)
            for lan in lans
            if not any(contains(outer, lan) for outer in fixed)
        ]
    return tuple(found)


def lost_lans(prefs: Prefs, around: Surroundings, memory: RouteMemory) -> frozenset[IPNetwork]:
    """Return LANs that were served, found by themselves, and are no longer there."""
    return memory.served - around.lan if prefs.auto_routes else frozenset()


def next_memory(
    memory: RouteMemory, prefs: Prefs, around: Surroundings, approved: frozenset[IPNetwork]
) -> RouteMemory:
    """Remember what is there now; forget what the owner no longer names.

    Of the LANs found by themselves those before are forgotten once a new one of the same family
    is approved: then the LAN has moved for good.
    """
    held = {
        prefix
        for prefix in prefs.fixed_routes()
        if prefix in memory.held or _is_close(around.network.way_to(prefix))
    }
    served = around.lan & approved if prefs.auto_routes else frozenset()
    families = {lan.version for lan in served - memory.served}
    gone = lost_lans(prefs, around, memory)
    served |= {lan for lan in gone if lan.version not in families}
    served |= memory.served & around.lan if prefs.auto_routes else frozenset()
    return RouteMemory(frozenset(held), served)


def _named(prefix: IPNetwork, around: Surroundings, memory: RouteMemory) -> Offer:
    way = around.network.way_to(prefix)
    if way is None:
        return Offer(prefix, way, "no interface of this machine leads to it")
    if way.hold is Hold.DEFAULT and prefix in memory.held:
        return Offer(prefix, way, "the interface that had it is disconnected or has lost it")
    return Offer(prefix, way)


def _is_close(way: Way | None) -> bool:
    return way is not None and way.hold is not Hold.DEFAULT


def serves_exit(inputs: Inputs) -> bool:
    """Whether this node offers to be an exit node and the coordinator approved."""
    return inputs.prefs.advertise_exit_node and offers_exit(inputs.netmap.self_node)


def _is_accepted(network: IPNetwork, peer: Node, exit_node: Node | None, inputs: Inputs) -> bool:
    if network in (peer.addresses or ()):
        return True
    if network.prefixlen == 0:
        return exit_node is not None and peer.id == exit_node.id
    return inputs.prefs.accept_routes and not any(
        contains(mine, network) for mine in advertised_routes(inputs)
    )


def contains(outer: IPNetwork, inner: IPNetwork) -> bool:
    """Whether all of the inner network is in the outer one."""
    return (
        outer.version == inner.version
        and outer.network_address <= inner.network_address  # type: ignore[operator]
        and inner.broadcast_address <= outer.broadcast_address  # type: ignore[operator]
    )


def _by_stable_id(netmap: NetworkMap, wanted: str) -> Node | None:
    return next((peer for peer in netmap.peers.values() if peer.stable_id == wanted), None)


def _by_ip(netmap: NetworkMap, wanted: str) -> Node | None:
    try:
        return netmap.peer_by_ip(parse_ip(wanted))
    except ProtocolError:
        return None
