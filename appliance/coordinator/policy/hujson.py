"""HuJSON: JSON with ``//`` and ``/* */`` comments and trailing commas. Pure.

Comments and trailing commas become spaces, so that positions in error messages stay right.
"""

from typing import Any, Final

import msgspec

from appliance.coordinator.policy.errors import PolicyError

MAX_BYTES: Final = 1024 * 1024
"""A policy of a large company has a tenth of it."""

MAX_DEPTH: Final = 64
"""A policy nests four levels deep."""

_CLOSERS: Final = "]}"


def parse_hujson(text: str) -> Any:
    """Read a document; anything else is a ``PolicyError``."""
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise PolicyError("the policy is larger than 1 MiB.")
    standard = _standardize(text)
    try:
        return msgspec.json.decode(standard)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise PolicyError(f"the policy is not HuJSON: {error}.") from None


def _standardize(text: str) -> str:
    out = list(text)
    at, depth, comma, before = 0, 0, -1, "["
    while at < len(text):
        char = text[at]
        if char == '"':
            at, comma, before = _end_of_string(text, at), -1, char
            continue
        if text.startswith(("//", "/*"), at):
            end = _end_of_comment(text, at)
            out[at:end] = ["\n" if c == "\n" else " " for c in text[at:end]]
            at = end
            continue
        if char in _CLOSERS and comma >= 0:
            out[comma] = " "
        depth += (char in "[{") - (char in _CLOSERS)
        if depth > MAX_DEPTH:
            raise PolicyError(f"the policy nests deeper than {MAX_DEPTH} levels.")
        if not char.isspace():
            comma = at if char == "," and before not in "[{" else -1
            before = char
        at += 1
    return "".join(out)


def _end_of_string(text: str, start: int) -> int:
    at = start + 1
    while at < len(text) and text[at] != '"':
        at += 2 if text[at] == "\\" else 1
    return at + 1


def _end_of_comment(text: str, start: int) -> int:
    if text[start + 1] == "/":
        end = text.find("\n", start)
        return len(text) if end < 0 else end
    end = text.find("*/", start + 2)
    if end < 0:
        raise PolicyError("the policy has a comment /* without its end.")
    return end + 2
