"""The network map: what this node knows of its tailnet, as one immutable value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from appliance.protocol.addresses import AddrPort, IPAddress, IPNetwork
from appliance.protocol.errors import ProtocolError
from appliance.protocol.tailcfg import (
    DerpMap,
    DnsConfig,
    FilterRule,
    Node,
    UserProfile,
    is_set,
)


@dataclass(frozen=True, slots=True)
class NetworkMap:
    """Everything the coordinator has told this node, after all deltas."""

    self_node: Node
    peers: Mapping[int, Node] = field(default_factory=dict)
    """By node ID."""
    users: Mapping[int, UserProfile] = field(default_factory=dict)
    derp_map: DerpMap = field(default_factory=DerpMap)
    dns: DnsConfig | None = None
    """``None``: the coordinator has said nothing about DNS."""
    filter_chunks: Mapping[str, tuple[FilterRule, ...]] = field(default_factory=dict)
    """Named chunks of the packet filter; none at all blocks everything."""
    domain: str = ""
    health: tuple[str, ...] = ()

    @property
    def filter_rules(self) -> tuple[FilterRule, ...]:
        """All rules in force, chunks in the order of their names."""
        return tuple(
            rule for name in sorted(self.filter_chunks) for rule in self.filter_chunks[name]
        )

    def peer_by_ip(self, address: IPAddress) -> Node | None:
        """Return the peer that owns this tailnet address."""
        for peer in self.peers.values():
            if any(address in network for network in peer.addresses or ()):
                return peer
        return None

    def peer_by_name(self, name: str) -> Node | None:
        """Return the peer with this MagicDNS name, full or only its first label."""
        wanted = name.rstrip(".").lower()
        for peer in self.peers.values():
            full = peer.name.rstrip(".").lower()
            if wanted in (full, full.partition(".")[0]):
                return peer
        return None


def short_name(node: Node) -> str:
    """Return the first label of a node's name, for people."""
    return node.name.partition(".")[0]


def endpoints_of(node: Node) -> tuple[AddrPort, ...]:
    """Return a node's candidate addresses; unreadable ones are skipped."""
    found: dict[AddrPort, None] = {}
    for text in node.endpoints or ():
        try:
            found[AddrPort.parse(text)] = None
        except ProtocolError:
            continue
    return tuple(found)


def allowed_ips_of(node: Node) -> tuple[IPNetwork, ...]:
    """Return what may come from and go to a node: absent means its addresses."""
    return (node.addresses if node.allowed_ips is None else node.allowed_ips) or ()


def home_relay_of(node: Node) -> int:
    """Return the region of a node's home relay, 0 when it has none."""
    if node.home_derp:
        return node.home_derp
    region = node.derp.rpartition(":")[2]
    return int(region) if region.isascii() and region.isdigit() and len(region) < 10 else 0


def is_expired(node: Node, now: datetime) -> bool:
    """Whether the node's key may no longer be used at ``now`` (with a zone)."""
    if node.expired:
        return True
    return node.key_expiry is not None and is_set(node.key_expiry) and node.key_expiry <= now


def offers_exit(node: Node) -> bool:
    """Whether the node may carry all traffic of others: both default routes are allowed."""
    return {0} == {n.prefixlen for n in _defaults(node)} and len(_defaults(node)) == 2


def _defaults(node: Node) -> set[IPNetwork]:
    return {n for n in allowed_ips_of(node) if n.prefixlen == 0}
