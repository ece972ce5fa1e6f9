"""Generates into a source tree: manual pages, completion, compiled catalogues."""

import sys
from pathlib import Path
from typing import Final

from image.package import program
from image.package.commands import Command
from image.package.completion import render_bash, render_fish, render_zsh
from image.package.manual import render_page
from image.package.settings import Key, read_keys, read_statuses

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = ROOT / "image" / "package" / "man"
COMMANDS: Final = {
    "latchkey.1": program.NODE,
    "latchkey-admin.8": program.ADMIN,
    "latchkey-agent.8": program.AGENT,
    "latchkey-coordinator.8": program.COORDINATOR,
    "latchkey-relay.8": program.RELAY,
    "latchkey-firstboot.8": program.FIRSTBOOT,
    "latchkey-webui.8": program.WEBUI,
}
_SETTINGS: Final = {
    "latchkey-agent.8": Path("appliance/agent/settings.py"),
    "latchkey-coordinator.8": Path("appliance/coordinator/settings.py"),
    "latchkey-webui.8": Path("webui/settings.py"),
}


def main(arguments: list[str]) -> int:
    """Take the tree, the version and the date (seconds since 1970)."""
    source, version, epoch = Path(arguments[0]), arguments[1], int(arguments[2])
    compile_catalogues(source / "webui" / "translations")
    write_manual(source / "man", version, epoch)
    write_completion(source / "completion", program.EVERYTHING)
    return 0


def write_manual(folder: Path, version: str, epoch: int) -> None:
    """Write every page."""
    folder.mkdir()
    statuses = read_statuses(ROOT / "appliance" / "exit_status.py")
    for name, command in COMMANDS.items():
        page = (PAGES / name).read_text(encoding="utf-8")
        text = render_page(name, page, command, version, epoch, statuses, keys_of(name))
        (folder / name).write_text(text, encoding="utf-8")


def keys_of(name: str) -> tuple[Key, ...]:
    """Return the settings that a page lists; none where their module is still missing."""
    source = ROOT / _SETTINGS[name] if name in _SETTINGS else None
    return read_keys(source, "Settings") if source and source.exists() else ()


def write_completion(folder: Path, root: Command) -> None:
    """Write a script for each shell."""
    scripts = {
        "bash/latchkey": render_bash(root),
        "zsh/_latchkey": render_zsh(root),
        "fish/latchkey.fish": render_fish(root),
    }
    for name, text in scripts.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(text, encoding="utf-8")


def compile_catalogues(translations: Path) -> None:
    """Make a .mo beside each .po."""
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    for catalogue in sorted(translations.glob("*/LC_MESSAGES/*.po")):
        with catalogue.open("rb") as file:
            messages = read_po(file)
        with catalogue.with_suffix(".mo").open("wb") as file:
            write_mo(file, messages)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
