"""Gathers the texts of the sources into the catalogues; nothing of it runs on a box.

python -m webui.gather update     after texts changed: new ones appear, empty, in the .po
python -m webui.gather compile    writes the .mo that a package ships
"""

import sys
from io import BytesIO
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from webui.catalogues import DIRECTORY, compiled, path_of

HERE: Final = Path(__file__).resolve().parent

_METHODS: Final = [("**.py", "python"), ("**/templates/**.html", "jinja2")]
_KEYWORDS: Final = {
    "_": None,
    "gettext": None,
    "lazy_gettext": None,
    "_l": None,
    "N_": None,
    "ngettext": (1, 2),
}

_NOISE: Final = tuple(
    f'"{name}'
    for name in ("Report-", "POT-", "PO-", "Last-", "Language-Team", "Generated-By", "Project-Id")
)
"""Lines of the head that say nothing here."""


def languages() -> list[str]:
    """Return those that have a catalogue."""
    return sorted(path.parent.parent.name for path in DIRECTORY.glob("*/LC_MESSAGES/*.po"))


def read(language: str) -> Catalog:
    """Return the catalogue of a language."""
    with path_of(language, "po").open("rb") as file:
        return read_po(file, locale=language)


def missing(language: str) -> list[str]:
    """Return the texts of the sources that a catalogue does not translate."""
    catalogue = read(language)
    return [text for text in texts() if not _is_translated(catalogue.get(text))]


def texts() -> list[str]:
    """Return every text that the sources mark."""
    ids = (message.id for message in _template() if message.id)
    return [text if isinstance(text, str) else text[0] for text in ids]


def update(language: str) -> None:
    """Add new texts to a catalogue, and drop those that are gone."""
    catalogue = read(language)
    catalogue.update(_template(), no_fuzzy_matching=True, update_creation_date=False)
    write(language, catalogue)


def write(language: str, catalogue: Catalog) -> None:
    """Write a catalogue so that a difference shows what changed and nothing else."""
    buffer = BytesIO()
    write_po(
        buffer, catalogue, width=100, sort_output=True, include_lineno=False, ignore_obsolete=True
    )
    lines = buffer.getvalue().decode().splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith(_NOISE))
    path_of(language, "po").write_text(text, encoding="utf-8")


def _is_translated(message: Message | None) -> bool:
    if message is None or message.fuzzy:
        return False
    found = message.string if isinstance(message.string, tuple) else (message.string,)
    return bool(found) and all(found)


def _template() -> Catalog:
    found = Catalog(project="latchkey", charset="utf-8")
    entries = extract_from_dir(HERE, _METHODS, {}, keywords=_KEYWORDS, comment_tags=("NOTE:",))
    for file, _line, text, comments, context in sorted(entries, key=lambda entry: entry[:2]):
        found.add(text, locations=[(file, 0)], auto_comments=comments, context=context)
    return found


def main(arguments: list[str]) -> int:
    """Run one of the two commands for every language."""
    if arguments not in (["update"], ["compile"]):
        sys.stderr.write(__doc__ or "")
        return 2
    for language in languages():
        if arguments == ["update"]:
            update(language)
            sys.stderr.write(f"{language}: {len(missing(language))} texts to translate\n")
        else:
            path_of(language, "mo").write_bytes(compiled(path_of(language, "po")))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
