"""Everything that is generated is, from what is in the tree."""

from pathlib import Path

from image.package.generate import (
    COMMANDS,
    PAGES,
    compile_catalogues,
    write_completion,
    write_manual,
)
from image.package.program import EVERYTHING

CATALOGUE = (
    'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\nmsgid "Yes"\nmsgstr "Ja"\n'
)


def test_every_page_is_written_and_no_place_is_left(tmp_path: Path) -> None:
    write_manual(tmp_path / "man", "1.0", 0)
    pages = {page.name: page.read_text() for page in (tmp_path / "man").iterdir()}
    assert set(pages) == set(COMMANDS) == {page.name for page in PAGES.iterdir()}
    assert not [name for name, text in pages.items() if "\n@" in text]


def test_every_shell_gets_its_script(tmp_path: Path) -> None:
    write_completion(tmp_path, EVERYTHING)
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {"bash/latchkey", "zsh/_latchkey", "fish/latchkey.fish"}


def test_catalogues_are_compiled_beside_their_text(tmp_path: Path) -> None:
    folder = tmp_path / "de" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "messages.po").write_text(CATALOGUE)
    compile_catalogues(tmp_path)
    assert b"Ja" in (folder / "messages.mo").read_bytes()
