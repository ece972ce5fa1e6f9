"""What a misspelt name was meant to be: the hint beside an unknown key of a settings file. Pure."""

from collections.abc import Collection, Iterable


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that looks most like this one; ``None`` if none is near."""
    # Only who misspells something has to load it.
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, known, n=1)), None)


def hint(name: str, known: Collection[str], listed_as: str = "Known") -> str:
    """Ask for the closest name in one sentence; without one, list all there are."""
    close = closest(name, known)
    return f"Did you mean {close!r}?" if close else f"{listed_as}: {', '.join(known)}."
