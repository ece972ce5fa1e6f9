"""What a write changed, and so whom it concerns."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Change:
    """What to look at again; the mapper decides per viewer what of it must be said."""

    nodes: frozenset[int] = frozenset()
    """Nodes that were added, changed or removed: their viewers and they themselves care."""
    everyone: bool = False
    """Something that all nodes share changed (policy, relay map, DNS, users)."""

    def __or__(self, other: "Change") -> "Change":
        """Both, as one: what is queued while a message is being written becomes one look."""
        return Change(self.nodes | other.nodes, self.everyone or other.everyone)

    def __bool__(self) -> bool:
        return self.everyone or bool(self.nodes)


NOTHING: Final = Change()
EVERYTHING: Final = Change(everyone=True)
