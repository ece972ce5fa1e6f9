"""How long to wait before the next attempt."""


class Backoff:
    """Doubling pauses between attempts, spread so that many clients do not come at once."""

    def __init__(self, initial_s: float, maximum_s: float) -> None:
        self._initial_s = initial_s
        self._maximum_s = maximum_s
        self._next_s = initial_s

    def next(self, random01: float) -> float:
        """Return the pause before the next attempt: 0.5 to 1.5 of it, by a number in [0, 1)."""
        pause_s = self._next_s
        self._next_s = min(2 * pause_s, self._maximum_s)
        return min(pause_s * (0.5 + random01), self._maximum_s)

    def reset(self) -> None:
        """Begin again with the shortest pause: the attempt succeeded."""
        self._next_s = self._initial_s
