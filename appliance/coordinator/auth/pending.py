"""Nodes that wait for an admin's word.

A stranger may open entries here without proving anything, so there is one for each machine key,
each is small, lives a quarter of an hour, and there are at most ``MAX_PENDING``.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from appliance.protocol.keys import MachinePublic, NodePublic
from appliance.protocol.tailcfg import Hostinfo

MAX_PENDING: Final = 1024
"""About 1 KiB each; a household never has ten at once."""

LIFETIME_S: Final = 15 * 60.0

ID_BYTES: Final = 6


@dataclass(frozen=True, slots=True)
class Pending:
    """A node key that asks to be admitted."""

    id: str
    machine_key: MachinePublic
    node_key: NodePublic
    hostinfo: Hostinfo
    """Cut to what an admin needs to recognise the device."""
    ephemeral: bool
    cap_version: int
    since: float
    """Monotonic seconds."""


class PendingTable:
    """The waiting nodes, oldest first. Driven by calls and time only."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, Pending] = OrderedDict()
        self._by_machine: dict[MachinePublic, str] = {}

    def add(self, entry: Pending) -> list[Pending]:
        """Add one; return those that it pushed out (the same machine's, or the oldest)."""
        gone = [self._remove(self._by_machine.get(entry.machine_key, ""))]
        while len(self._entries) >= MAX_PENDING:
            gone.append(self._remove(next(iter(self._entries))))
        self._entries[entry.id] = entry
        self._by_machine[entry.machine_key] = entry.id
        return [old for old in gone if old is not None]

    def get(self, entry_id: str, now: float) -> Pending | None:
        """Return a live entry."""
        entry = self._entries.get(entry_id)
        return None if entry is None or now - entry.since > LIFETIME_S else entry

    def of_machine(self, key: MachinePublic, now: float) -> Pending | None:
        """Return the live entry of one machine."""
        return self.get(self._by_machine.get(key, ""), now)

    def take(self, entry_id: str, now: float) -> Pending | None:
        """Remove and return a live entry."""
        return self._remove(entry_id) if self.get(entry_id, now) else None

    def expire(self, now: float) -> list[Pending]:
        """Remove and return what has waited too long."""
        old = [e.id for e in self._entries.values() if now - e.since > LIFETIME_S]
        return [entry for entry in map(self._remove, old) if entry is not None]

    def __iter__(self) -> Iterator[Pending]:
        return iter(tuple(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def _remove(self, entry_id: str) -> Pending | None:
        entry = self._entries.pop(entry_id, None)
        if entry is not None and self._by_machine.get(entry.machine_key) == entry_id:
            del self._by_machine[entry.machine_key]
        return entry
