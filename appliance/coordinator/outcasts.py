"""Who was admitted a moment ago and is no longer: deleted, expired, logged out, or with a new key.

Admission is asked once, at login; so whoever holds connections for a node must be told of its end.
"""

from collections.abc import Callable, Iterable

from appliance.coordinator.change import Change
from appliance.coordinator.mapper.view import View
from appliance.coordinator.model import Snapshot
from appliance.protocol.keys import NodePublic


def is_admitted(snapshot: Snapshot, key: NodePublic) -> bool:
    """Whether this is the key of a node that has not expired."""
    node_id = snapshot.by_node_key.get(key)
    return node_id is not None and node_id not in snapshot.expired


def outcasts(old: Snapshot, new: Snapshot, nodes: Iterable[int]) -> list[NodePublic]:
    """Return the keys among those nodes that were admitted and are not now. Pure."""
    before = (old.nodes[n].node_key for n in sorted(nodes) if n in old.nodes)
    return [key for key in before if is_admitted(old, key) and not is_admitted(new, key)]


class Outcasts:
    """Calls ``expel`` for each outcast as soon as the state knows of it."""

    def __init__(self, snapshot: Snapshot, expel: Callable[[NodePublic], None]) -> None:
        self._seen = snapshot
        self._expel = expel

    def on_change(self, view: View, change: Change) -> None:
        """Look at the nodes that changed."""
        old, self._seen = self._seen, view.snapshot
        for key in outcasts(old, view.snapshot, change.nodes):
            self._expel(key)
