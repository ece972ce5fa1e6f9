"""Everything the coordinator knows, as immutable values.

A ``Snapshot`` is replaced as a whole on each write; whoever holds one sees a state that was true
at one moment.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from appliance.protocol.addresses import IPAddress, IPNetwork
from appliance.protocol.keys import DiscoPublic, MachinePublic, NodePublic
from appliance.protocol.tailcfg import Hostinfo

TAGGED_DEVICES_ID: Final = 2147455555
"""The user that every tagged node belongs to in a netmap (as Headscale numbers it)."""


_NOTHING_SAID: Final = Hostinfo()


@dataclass(frozen=True, slots=True)
class User:
    """A person who owns nodes."""

    id: int
    name: str
    """The login name, unique."""
    display_name: str
    created: datetime


@dataclass(frozen=True, slots=True)
class PreAuthKey:
    """A key that admits nodes without asking; only the hash of its secret is kept."""

    id: str
    """The public part of the key's text."""
    secret_hash: bytes = field(repr=False)
    user_id: int
    created: datetime
    expires: datetime | None = None
    """``None``: never."""
    reusable: bool = False
    ephemeral: bool = False
    tags: tuple[str, ...] = ()
    used: datetime | None = None
    """When it last admitted a node; a one-off key is spent then."""
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One node: who it is, what it said of itself, and what an admin allowed it."""

    id: int
    machine_key: MachinePublic
    node_key: NodePublic
    user_id: int | None
    """``None``: owned by its tags."""
    name: str
    """The first label of its MagicDNS name, unique."""
    ipv4: IPv4Address
    ipv6: IPv6Address
    created: datetime
    name_fixed: bool = False
    """An admin chose the name, so a new host name does not change it."""
    tags: tuple[str, ...] = ()
    ephemeral: bool = False
    preauth_key_id: str = ""
    key_expiry: datetime | None = None
    """``None``: never."""
    approved_routes: frozenset[IPNetwork] = frozenset()
    published: frozenset[IPAddress] = frozenset()
    """LAN hosts that peers see among this router's own addresses."""
    hostinfo: Hostinfo = field(default=_NOTHING_SAID)
    """Without its NetInfo, of which only the home relay is kept."""
    disco_key: DiscoPublic | None = None
    endpoints: tuple[str, ...] = ()
    home_derp: int = 0
    cap_version: int = 0
    online: bool = False
    """Has a map stream, or had one a moment ago."""
    last_seen: datetime | None = None

    @property
    def stable_id(self) -> str:
        """The identifier that stock clients persist."""
        return str(self.id)

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """Its tailnet addresses."""
        return (self.ipv4, self.ipv6)

    def expires_by(self, now: datetime) -> bool:
        """Whether its node key may no longer be used at ``now``."""
        return self.key_expiry is not None and self.key_expiry <= now


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """A policy that was put in force by the admin API."""

    id: int
    text: str
    """As it was given, with its comments; empty: everything is allowed."""
    created: datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole state at one moment."""

    users: Mapping[int, User] = field(default_factory=dict)
    keys: Mapping[str, PreAuthKey] = field(default_factory=dict)
    nodes: Mapping[int, NodeRecord] = field(default_factory=dict)
    by_node_key: Mapping[NodePublic, int] = field(default_factory=dict)
    policies: Mapping[int, PolicyRecord] = field(default_factory=dict)
    """The newest is in force, unless the settings name a file."""
    primaries: Mapping[IPNetwork, int] = field(default_factory=dict)
    """Which router carries a granted route; never an exit route."""
    silent: frozenset[int] = frozenset()
    """Routers that have a map stream but do not answer: others are preferred to them."""
    expired: frozenset[int] = frozenset()
    """Nodes whose key had expired when this snapshot was made."""
    last_user_id: int = 0
    last_node_id: int = 0
    last_address: int = 0
    """Offset of the address given out last: a freed address is not given out again at once."""

    @property
    def policy(self) -> PolicyRecord | None:
        """The newest stored policy."""
        return self.policies[max(self.policies)] if self.policies else None

    def node_by_key(self, key: NodePublic) -> NodeRecord | None:
        """Find a node by its WireGuard key."""
        node_id = self.by_node_key.get(key)
        return None if node_id is None else self.nodes[node_id]

    def nodes_of_machine(self, key: MachinePublic) -> list[NodeRecord]:
        """Return the nodes that one device registered (one per owner)."""
        return [node for node in self.nodes.values() if node.machine_key == key]

    def with_nodes(self, changed: Iterable[NodeRecord]) -> "Snapshot":
        """Add or replace nodes."""
        nodes, by_key = dict(self.nodes), dict(self.by_node_key)
        for node in changed:
            old = nodes.get(node.id)
            if old is not None:
                by_key.pop(old.node_key, None)
            nodes[node.id] = node
            by_key[node.node_key] = node.id
        return replace(self, nodes=nodes, by_node_key=by_key)

    def without_nodes(self, node_ids: Iterable[int]) -> "Snapshot":
        """Remove nodes."""
        nodes, by_key = dict(self.nodes), dict(self.by_node_key)
        for node_id in node_ids:
            gone = nodes.pop(node_id)
            by_key.pop(gone.node_key, None)
        return replace(self, nodes=nodes, by_node_key=by_key)

    def with_user(self, user: User) -> "Snapshot":
        """Add or replace a user."""
        last = max(self.last_user_id, user.id)
        return replace(self, users={**self.users, user.id: user}, last_user_id=last)

    def with_key(self, key: PreAuthKey) -> "Snapshot":
        """Add or replace a pre-auth key."""
        return replace(self, keys={**self.keys, key.id: key})
