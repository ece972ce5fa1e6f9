"""Profiles: what differs between boards and suites, as data (image/profiles/NAME/)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from image.card.errors import CardError

PROFILES: Final = Path(__file__).resolve().parents[1] / "profiles"


@dataclass(frozen=True, slots=True)
class ExtraArchive:
    """An archive beside Debian's, and the key that signs it."""

    uri: str
    suite: str
    components: tuple[str, ...]
    keyrings: tuple[str, ...]
    """Files on the build host, the first that exists is used."""
    key_uri: str
    """Where the key is had over TLS when none of them exists."""


@dataclass(frozen=True, slots=True)
class Boot:
    """What goes to the boot partition: patterns in the tree, and the names there."""

    kernel: str
    kernel_as: str
    initramfs: str
    initramfs_as: str
    trees: tuple[str, ...]
    overlays: str
    config: tuple[str, ...]
    cmdline: str


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile."""

    name: str
    title: str
    boards: tuple[str, ...]
    components: tuple[str, ...]
    packages: tuple[str, ...]
    extra: ExtraArchive | None
    boot: Boot


def load(name: str, folder: Path = PROFILES) -> Profile:
    """Read a profile; its packages come after those of every profile."""
    try:
        data = tomllib.loads((folder / name / "profile.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(path.parent.name for path in folder.glob("*/profile.toml")))
        raise CardError(f"There is no profile {name!r}; there is {known}.") from None
    packages = _packages(folder / "packages.list") + _packages(folder / name / "packages.list")
    extra = data.get("archive")
    return Profile(
        name=name,
        title=data["title"],
        boards=tuple(data["boards"]),
        components=tuple(data["components"]),
        packages=packages,
        extra=None if extra is None else _record(ExtraArchive, extra),
        boot=_record(Boot, data["boot"]),
    )


def _packages(path: Path) -> tuple[str, ...]:
    lines = path.read_text(encoding="utf-8").splitlines()
    words = [line.partition("#")[0].strip() for line in lines]
    return tuple(word for word in words if word)


def _record(kind: Any, data: dict[str, Any]) -> Any:
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})
