"""A bound on the memory that many connections may hold together."""

from typing import Final

# What every connection may buffer without asking: stock nodes send less than 10 KiB.
FREE_BYTES: Final = 16 * 1024
# What all connections of a program share beyond that: sixteen of the longest bodies.
SHARED_BYTES: Final = 16 * 1024 * 1024


class ByteBudget:
    """Bytes that all connections of a program share."""

    def __init__(self, total: int = SHARED_BYTES) -> None:
        self.left = total


class Allowance:
    """One connection's bytes: some free, the rest from the shared budget."""

    def __init__(self, budget: ByteBudget, free: int = FREE_BYTES) -> None:
        self._budget = budget
        self._free = free
        self._held = 0

    def take(self, size: int) -> bool:
        """Hold some more bytes; False when the budget is used up."""
        wanted = self._shared(self._held + size) - self._shared(self._held)
        if wanted > self._budget.left:
            return False
        self._budget.left -= wanted
        self._held += size
        return True

    def give_back(self, size: int) -> None:
        """Hold fewer bytes."""
        self._budget.left += self._shared(self._held) - self._shared(self._held - size)
        self._held -= size

    def _shared(self, held: int) -> int:
        return max(0, held - self._free)
