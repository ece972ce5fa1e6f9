"""What can be wrong with a policy file."""

from typing import Final

from appliance.coordinator.errors import InvalidError

_MAX_SHOWN: Final = 60


class PolicyError(InvalidError):
    """The policy cannot be read or says something that cannot be meant; none of it is used."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"line {line}, column {column}: {message}" if line else message)
        self.sentence = message
        self.line = line
        """Counted from 1; 0: unknown."""
        self.column = column


def shown(text: str) -> str:
    """Quote what a policy says, cut to a length that a message can bear."""
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…")


def printable(text: str) -> str:
    """Return a message of a library's without what a terminal would obey, and cut."""
    return "".join(char if char.isprintable() else "?" for char in text[: 2 * _MAX_SHOWN])
