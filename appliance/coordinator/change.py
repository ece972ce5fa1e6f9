"""What a write changed, and so whom it concerns. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from appliance.coordinator.model import NodeRecord, Snapshot
from appliance.coordinator.routes import granted


@dataclass(frozen=True, slots=True)
class Change:
    """What to look at again; the mapper decides per viewer what of it must be said."""

    nodes: frozenset[int] = frozenset()
    """Nodes that were added, changed or removed: they themselves and their viewers care."""
    regrouped: frozenset[int] = frozenset()
    """Those of ``nodes`` whose place in the policy changed: packet filters follow from it."""
    everyone: bool = False
    """Something that all nodes share changed: policy, relay map, DNS, a user's name."""

    def __or__(self, other: "Change") -> "Change":
        """Both, as one: what is queued while a message is being written becomes one look."""
        return Change(
            self.nodes | other.nodes,
            self.regrouped | other.regrouped,
            self.everyone or other.everyone,
        )

    def __bool__(self) -> bool:
        return self.everyone or bool(self.nodes)


NOTHING: Final = Change()
EVERYTHING: Final = Change(everyone=True)


def between(old: Snapshot, new: Snapshot) -> Change:
    """Compare two snapshots; records that are the same object are the same."""
    nodes = _differing(old.nodes, new.nodes) | _rerouted(old, new) | (old.expired ^ new.expired)
    regrouped = frozenset(n for n in nodes if _place(old, n) != _place(new, n))
    renamed = any(
        old.users[user_id] is not user
        for user_id, user in new.users.items()
        if user_id in old.users
    )
    return Change(nodes, regrouped, renamed)


def _differing(old: Mapping[int, NodeRecord], new: Mapping[int, NodeRecord]) -> frozenset[int]:
    if old is new:
        return frozenset()
    changed = {n for n, record in new.items() if old.get(n) is not record}
    return frozenset(changed | (old.keys() - new.keys()))


def _rerouted(old: Snapshot, new: Snapshot) -> frozenset[int]:
    if old.primaries is new.primaries:
        return frozenset()
    moved = set(old.primaries.items()) ^ set(new.primaries.items())
    return frozenset(node_id for _, node_id in moved)


def _place(snapshot: Snapshot, node_id: int) -> tuple[object, ...] | None:
    """Everything of a node that a policy may depend on."""
    node = snapshot.nodes.get(node_id)
    if node is None:
        return None
    expired = node_id in snapshot.expired
    return (node.user_id, node.tags, node.addresses, granted(node), expired)
