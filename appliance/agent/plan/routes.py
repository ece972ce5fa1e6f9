"""Who gets which prefix: the routes that this node accepts from its peers, and its own.

Each prefix goes to one peer only, the one with the lowest node ID, because WireGuard gives an
allowed IP to one peer. A peer's own addresses are always accepted, subnets when the owner wants
them, the default routes from the chosen exit node alone.
"""

from appliance.agent.plan.inputs import Inputs
from appliance.netmap.model import NetworkMap, allowed_ips_of, is_expired, offers_exit
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
    """Return the subnets to advertise: those named, and our LAN when asked for."""
    return advertised(inputs.prefs.fixed_routes(), inputs.prefs.auto_routes, inputs.around.lan)


def advertised(
    fixed: tuple[IPNetwork, ...], auto: bool, lan: frozenset[IPNetwork]
) -> tuple[IPNetwork, ...]:
    """Join named subnets and our LAN; a LAN inside a named subnet adds nothing."""
    found = dict.fromkeys(fixed)
    if auto:
        for network in sorted(lan, key=lambda n: (n.version, n)):
            if not any(_contains(outer, network) for outer in fixed):
                found[network] = None
    return tuple(found)


def serves_exit(inputs: Inputs) -> bool:
    """Whether this node offers to be an exit node and the coordinator approved."""
    return inputs.prefs.advertise_exit_node and offers_exit(inputs.netmap.self_node)


def _is_accepted(network: IPNetwork, peer: Node, exit_node: Node | None, inputs: Inputs) -> bool:
    if network in (peer.addresses or ()):
        return True
    if network.prefixlen == 0:
        return exit_node is not None and peer.id == exit_node.id
    return inputs.prefs.accept_routes


def _contains(outer: IPNetwork, inner: IPNetwork) -> bool:
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
