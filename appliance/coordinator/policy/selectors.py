"""Who a policy speaks of: people, tags, addresses, and groups that nobody lists. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_network

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

Span = tuple[int, int, int]
"""IP version, first and last address."""

Nodes = int
"""A set of nodes as the bits of a number: a thousand rules are compared in microseconds."""


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


class NodeIndex:
    """The nodes of one snapshot by what selectors ask; each has a bit, in the order of IDs."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.records = [snapshot.nodes[n] for n in sorted(snapshot.nodes)]
        self.bits = {node.id: 1 << at for at, node in enumerate(self.records)}
        self.everyone: Nodes = (1 << len(self.records)) - 1
        self.people: dict[int, Nodes] = {}
        """By user ID, without those who only have tagged nodes."""
        self.exits = self.having(lambda node: bool(routes.exit_routes(node)))
        self._snapshot = snapshot
        self._found: dict[Selector, Nodes] = {Anyone(): self.everyone}
        self._texts = [tuple(map(str, node.addresses)) for node in self.records]
        self._covers = [_covered(node) for node in self.records]
        for node in self.records:
            if node.user_id is not None:
                known = self.people.get(node.user_id, 0)
                self.people[node.user_id] = known | self.bits[node.id]

    def nodes(self, selector: Selector) -> Nodes:
        """Return the nodes that a selector means; a network: those that it touches."""
        found = self._found.get(selector)
        if found is None:
            if isinstance(selector, Network):
                found = self._touched(selector.prefix)
            else:
                found = self.having(lambda node: is_member(self._snapshot, node, selector))
            self._found[selector] = found
        return found

    def addresses(self, at: int, without: frozenset[int]) -> tuple[str, ...]:
        """Return the addresses of the node with this bit, as text; none of those left out."""
        return () if self.records[at].id in without else self._texts[at]

    def having(self, wanted: Callable[[NodeRecord], bool]) -> Nodes:
        """Return the nodes of which something is true."""
        return sum(self.bits[node.id] for node in self.records if wanted(node))

    def of(self, nodes: Nodes) -> list[NodeRecord]:
        """Return the records of a set."""
        return [node for node in self.records if self.bits[node.id] & nodes]

    def _touched(self, prefix: IPNetwork) -> Nodes:
        """Return the nodes of which an address, or a subnet route, lies in the network."""
        wanted, first, last = span(prefix)
        found = 0
        for at, covered in enumerate(self._covers):
            for version, low, high in covered:
                if version == wanted and low <= last and first <= high:
                    found |= 1 << at
                    break
        return found


def span(prefix: IPNetwork) -> Span:
    """Return a network as numbers, which are compared sooner."""
    return prefix.version, int(prefix[0]), int(prefix[-1])


def _covered(node: NodeRecord) -> list[Span]:
    """Return the ranges whose packets this node takes in."""
    subnets = routes.granted(node) - routes.EXIT_ROUTES
    return [span(ip_network(a)) for a in node.addresses] + [span(net) for net in subnets]
