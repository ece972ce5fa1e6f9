"""Who is connected: which connection gets the packets for a key.

Several connections may hold one key (a restart, a cloned machine). The newest becomes active;
after that the one which last sent something is. A node that received packets from a key is told
when the key's last connection has gone.
"""

from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar

MAX_HEARD: Final = 4096
"""Sources remembered a connection (about 0.5 MB): more peers than any one node talks to."""


class Member(Protocol):
    """One logged-in connection."""

    key: bytes
    """The node's raw key."""
    heard: set[bytes]
    """The keys that this connection has received packets from; kept by the registry."""


M = TypeVar("M", bound=Member)


class Registry(Generic[M]):
    """The logged-in connections by key.

    ``active`` is the forwarding table; read it, and let the methods change it.
    """

    def __init__(self) -> None:
        self.active: dict[bytes, M] = {}
        self._duplicates: dict[bytes, list[M]] = {}
        self._listeners: dict[bytes, set[M]] = {}

    def __iter__(self) -> Iterator[M]:
        """Walk all connections, the inactive ones too."""
        for key, member in list(self.active.items()):
            yield from list(self._duplicates.get(key, (member,)))

    def __len__(self) -> int:
        """Count the keys that are connected."""
        return len(self.active)

    def of_key(self, key: bytes) -> tuple[M, ...]:
        """Return all connections of a key, the inactive ones too."""
        if key not in self.active:
            return ()
        return tuple(self._duplicates.get(key, (self.active[key],)))

    def add(self, member: M) -> None:
        """Let a new connection get the packets for its key."""
        before = self.active.get(member.key)
        if before is not None:
            self._duplicates.setdefault(member.key, [before]).append(member)
        self.active[member.key] = member

    def remove(self, member: M) -> list[M]:
        """Forget a connection; returns who must hear that its key is gone, if it was the last."""
        for source in member.heard:
            self._forget_listener(source, member)
        member.heard.clear()
        rest = self._duplicates.get(member.key)
        if rest is not None:
            self._remove_duplicate(member, rest)
            return []
        if self.active.get(member.key) is member:
            del self.active[member.key]
        listeners = self._listeners.pop(member.key, set())
        for listener in listeners:
            listener.heard.discard(member.key)
        return list(listeners)

    def note_sender(self, member: M) -> None:
        """Make the connection that has just sent something the active one of its key."""
        if member.key in self._duplicates:
            self.active[member.key] = member

    def note_delivery(self, source: bytes, target: M) -> None:
        """Remember that a connection has received packets from a key."""
        if len(target.heard) < MAX_HEARD:
            target.heard.add(source)
            self._listeners.setdefault(source, set()).add(target)

    def _remove_duplicate(self, member: M, rest: list[M]) -> None:
        rest.remove(member)
        if self.active[member.key] is member:
            self.active[member.key] = rest[-1]
        if len(rest) == 1:
            del self._duplicates[member.key]

    def _forget_listener(self, source: bytes, member: M) -> None:
        listeners = self._listeners.get(source)
        if listeners is not None:
            listeners.discard(member)
            if not listeners:
                del self._listeners[source]
