"""Who a policy speaks of: people, tags, addresses, and groups that nobody lists. Pure."""

from dataclasses import dataclass
from enum import Enum

from appliance.coordinator import routes
from appliance.coordinator.model import NodeRecord, Snapshot
from appliance.protocol.addresses import IPNetwork


class Auto(Enum):
    """A group that nobody lists."""

    MEMBER = "autogroup:member"
    """Every node of a person."""
    TAGGED = "autogroup:tagged"
    """Every node of a tag."""
    SELF = "autogroup:self"
    """As a destination: the sender's own other nodes."""
    INTERNET = "autogroup:internet"
    """As a destination: what exit nodes reach."""


@dataclass(frozen=True, slots=True)
class Anyone:
    """``*``."""


@dataclass(frozen=True, slots=True)
class People:
    """The untagged nodes of users, by their login names."""

    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Tag:
    """The nodes of one tag."""

    name: str


@dataclass(frozen=True, slots=True)
class Network:
    """Addresses, whoever has them."""

    prefix: IPNetwork


Selector = Anyone | People | Tag | Network | Auto


def is_member(snapshot: Snapshot, node: NodeRecord, selector: Selector) -> bool:
    """Whether the selector means this node by who it is; never so for networks and ``*``."""
    match selector:
        case People(names):
            return node.user_id is not None and snapshot.users[node.user_id].name in names
        case Tag(name):
            return name in node.tags
        case Auto.MEMBER:
            return node.user_id is not None
        case Auto.TAGGED:
            return node.user_id is None
        case _:
            return False


def touches(node: NodeRecord, prefix: IPNetwork) -> bool:
    """Whether a network holds an address of the node, or of a subnet route granted to it."""
    if any(address in prefix for address in node.addresses):
        return True
    subnets = routes.granted(node) - routes.EXIT_ROUTES
    return any(net.version == prefix.version and net.overlaps(prefix) for net in subnets)
