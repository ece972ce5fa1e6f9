"""HuJSON: JSON with ``//`` and ``/* */`` comments and trailing commas. Pure.

Every value keeps its place in the text, so that an error can say where. Two things that other
readers let pass are refused: a key that stands twice in one object (the first would be left out in
silence), and characters that make a text look other than it is (control and direction marks).
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from appliance.coordinator.policy.errors import PolicyError, shown

MAX_BYTES: Final = 1024 * 1024
"""A policy of a large company has a tenth of it."""

MAX_DEPTH: Final = 64
"""A policy nests four levels deep."""

Path = tuple[str | int, ...]
"""The keys and numbers that lead to a value."""

_SPACE: Final = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING: Final = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_SCALAR: Final = re.compile(r"[-+.\w]+")
_DECEIVING: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)


@dataclass(frozen=True, slots=True)
class Document:
    """A text as a value, and where each part of the value stands."""

    text: str
    value: Any
    places: Mapping[Path, int]

    def error(self, path: Path, message: str) -> PolicyError:
        """Make an error about the value at a path, or about the nearest one around it."""
        while path and path not in self.places:
            path = path[:-1]
        return _error(self.text, self.places.get(path, 0), message)


def parse_hujson(text: str) -> Document:
    """Read a document; anything else is a ``PolicyError``."""
    text = text.removeprefix("\ufeff")
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise PolicyError("the policy is larger than 1 MiB.")
    if found := _DECEIVING.search(text):
        what = f"the character U+{ord(found[0]):04X}, which does not show. Delete it"
        raise _error(text, found.start(), f"the policy contains {what}.")
    reader = _Reader(text)
    return Document(text, reader.document(), reader.places)


def _error(text: str, at: int, message: str) -> PolicyError:
    line_start = text.rfind("\n", 0, at) + 1
    return PolicyError(message, text.count("\n", 0, at) + 1, at - line_start + 1)


class _Reader:
    """Reads one text from its beginning to its end."""

    def __init__(self, text: str) -> None:
        self.places: dict[Path, int] = {}
        self._text = text
        self._at = 0

    def document(self) -> Any:
        value = self._value(())
        if self._next():
            raise self._wrong("something follows the end of the policy")
        return value

    def _next(self) -> str:
        """Pass over spaces and comments; return the character behind them, "" at the end."""
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at
        if self._text.startswith("/*", self._at):
            raise self._wrong("the comment /* has no end")
        return self._text[self._at : self._at + 1]

    def _value(self, path: Path) -> Any:
        start = self._next()
        self.places[path] = self._at
        if len(path) > MAX_DEPTH:
            raise self._wrong(f"the policy nests deeper than {MAX_DEPTH} levels")
        match start:
            case "{":
                return self._object(path)
            case "[":
                return self._array(path)
            case '"':
                return self._string()
            case "":
                raise self._wrong("the policy ends where a value should be")
            case _:
                return self._token(_SCALAR, "this is not a value: texts stand in double quotes")

    def _object(self, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self._at += 1
        while self._next() != "}":
            if self._next() != '"':
                raise self._wrong("a key in double quotes should be here, or }")
            at = self._at
            key = self._string()
            if key in found:
                self._at = at
                raise self._wrong(f"{shown(key)} stands twice in this object")
            if self._next() != ":":
                raise self._wrong("a : should be here, between the key and its value")
            self._at += 1
            found[key] = self._value((*path, key))
            if not self._comma("}"):
                break
        self._at += 1
        return found

    def _array(self, path: Path) -> list[Any]:
        found: list[Any] = []
        self._at += 1
        while self._next() != "]":
            found.append(self._value((*path, len(found))))
            if not self._comma("]"):
                break
        self._at += 1
        return found

    def _comma(self, end: str) -> bool:
        char = self._next()
        if char == ",":
            self._at += 1
            return True
        if char != end:
            raise self._wrong(f"a comma or {end} should be here")
        return False

    def _string(self) -> str:
        return str(self._token(_STRING, "this text has no end, or a \\ that means nothing"))

    def _token(self, pattern: re.Pattern[str], otherwise: str) -> Any:
        if found := pattern.match(self._text, self._at):
            with suppress(msgspec.DecodeError, UnicodeError):
                value = msgspec.json.decode(found[0])
                self._at = found.end()
                return value
        raise self._wrong(otherwise)

    def _wrong(self, message: str) -> PolicyError:
        return _error(self._text, self._at, f"{message}.")
