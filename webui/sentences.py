"""The agent's sentences in the visitor's language, and for people without a terminal.

The agent speaks English and names commands. Its sentences are known as templates (``phrases``);
what none of them fits is shown as it is.
"""

import re
from functools import cache, lru_cache
from typing import Final

from flask_babel import gettext

from webui.phrases import TEMPLATES
from webui.units import moment_text

MAX_LENGTH: Final = 1000
"""Longer texts are no sentences of ours; patterns need not try them."""

MAX_KEPT: Final = 256
"""Sentences that are not looked up again: a page says some dozens, most of them every time."""

_PLACE: Final = re.compile(r"%\((\w+)\)s")
_NESTED: Final = frozenset(
    {"reason", "where", "why", "hint", "advice", "finding", "said", "owner", "what", "who", "whose"}
)
"""Words that are sentences' parts themselves."""


def translate(text: str) -> str:
    """Return a sentence of the agent's for the visitor, or as it is."""
    if not text or len(text) > MAX_LENGTH:
        return text
    found = _fitting(text)
    if found is None:
        return text
    shown, said = found
    words = {name: _word(name, word) for name, word in said}
    return str(gettext(shown, **words) if "%(" in shown else gettext(shown))


def is_known(text: str) -> bool:
    """Whether some template fits."""
    return _fitting(text) is not None


@lru_cache(MAX_KEPT)
def _fitting(text: str) -> tuple[str, tuple[tuple[str, str], ...]] | None:
    """Return what the page says for a sentence, and the words in it."""
    for pattern, shown in _patterns():
        match = pattern.fullmatch(text)
        if match is not None:
            return shown, tuple(match.groupdict().items())
    return None


def _word(name: str, word: str) -> str:
    if name in _NESTED:
        return translate(word)
    if name == "time":
        return moment_text(word)
    return str(gettext("to the internet")) if name == "prefix" and word == "exit" else word


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    pairs = [(one, one) if isinstance(one, str) else one for one in TEMPLATES]
    pairs.sort(key=lambda pair: -len(_PLACE.sub("", pair[0])))  # what says most fits best
    return tuple((_pattern(said), shown) for said, shown in pairs)


def _pattern(template: str) -> re.Pattern[str]:
    parts = _PLACE.split(template)
    texts = [re.escape(part) for part in parts[::2]]
    words = [f"(?P<{name}>.+?)" for name in parts[1::2]]
    return re.compile(texts[0] + "".join(map("".join, zip(words, texts[1:], strict=True))))
