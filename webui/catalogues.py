"""Catalogues of texts: reads what a language says.

English stands in the sources. A package ships each catalogue compiled (.mo); without that the .po
is read at the start, so a checkout needs no step of its own. ``webui.gather`` makes both.
"""

from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Final

from babel.support import NullTranslations, Translations

DIRECTORY: Final = Path(__file__).resolve().parent / "translations"


@cache
def load(language: str) -> NullTranslations:
    """Return the texts of a language; one without a catalogue says what the sources say."""
    po, mo = path_of(language, "po"), path_of(language, "mo")
    if mo.exists() and (not po.exists() or mo.stat().st_mtime >= po.stat().st_mtime):
        with mo.open("rb") as file:
            return Translations(file)
    if not po.exists():
        return NullTranslations()
    return Translations(BytesIO(compiled(po)))


def compiled(po: Path) -> bytes:
    """Return the compiled form of a catalogue."""
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    with po.open("rb") as source:
        catalogue = read_po(source, locale=po.parent.parent.name)
    target = BytesIO()
    write_mo(target, catalogue)
    return target.getvalue()


def path_of(language: str, kind: str) -> Path:
    """Return where a catalogue lies: ``po`` or ``mo``."""
    return DIRECTORY / language / "LC_MESSAGES" / f"messages.{kind}"
