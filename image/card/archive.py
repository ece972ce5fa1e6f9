"""Where the packages come from: the archives that this machine's apt uses, never one of ours.

Their addresses are apt's configuration or a profile's data, so their scheme is not checked (S310).
"""

from __future__ import annotations

import email.utils
import re
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from image.card.errors import CardError
from image.card.profiles import ExtraArchive

SUITE: Final = "trixie"
ANSWER_S: Final = 10
"""An archive that is there answers in a fraction of it."""
_MAX_KEY_BYTES: Final = 65536
"""Some keys and their signatures."""

_OPTIONS: Final = (
    "Acquire::http::Proxy",
    "Acquire::https::Proxy",
    "Acquire::Check-Valid-Until",
)
_INDEX: Final = re.compile(r"^'(?P<base>[^']+?)/dists/(?P<suite>[^']+)/InRelease'", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Archives:
    """Debian's archive and its security archive, and apt options that this host needs for them."""

    debian: str
    security: str
    options: tuple[str, ...] = ()


def find_archives(uris: str, options: dict[str, str]) -> Archives:
    """Choose from ``apt-get update --print-uris``; the host's own release does not matter.

    Raises ``CardError`` when one of the two is missing there.
    """
    debian = security = ""
    for match in _INDEX.finditer(uris):
        suite = match["suite"]
        if re.fullmatch(r"(bookworm|trixie|forky|stable|oldstable|testing)", suite):
            debian = debian or match["base"]
        elif re.fullmatch(r"(bookworm|trixie|forky|stable|oldstable)-security(/.*)?", suite):
            security = security or match["base"]
    given = tuple(f'{name} "{value}";' for name, value in options.items() if value)
    if not (debian and security):
        missing = "security archive" if debian else "archive"
        raise CardError(
            f"This machine's apt has no Debian {missing} among its sources, and the card's "
            "packages come from there: add it to /etc/apt/sources.list."
        )
    return Archives(debian, security, given)


def ask_apt() -> Archives:
    """Find out what this machine's apt has."""
    uris = subprocess.run(
        ["apt-get", "update", "--print-uris"], capture_output=True, text=True, check=False
    ).stdout
    return find_archives(uris, {name: _option(name) for name in _OPTIONS})


def _option(name: str) -> str:
    done = subprocess.run(
        ["apt-config", "shell", "VALUE", name], capture_output=True, text=True, check=False
    )
    match = re.fullmatch(r"VALUE='(.*)'\s*", done.stdout)
    return match[1] if match else ""


def released(archive: str, suite: str = SUITE) -> int | None:
    """When the archive's index was signed, in seconds since 1970; None when it does not answer."""
    if not archive.startswith(("http://", "https://")):
        return 0
    request = urllib.request.Request(f"{archive}/dists/{suite}/InRelease")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:  # noqa: S310
            head = answer.read(4096).decode("utf-8", "replace")
    except (urllib.error.URLError, TimeoutError, OSError):
        return None
    match = re.search(r"^Date: (.*)$", head, re.MULTILINE)
    return int(email.utils.parsedate_to_datetime(match[1]).timestamp()) if match else 0


def answers(archive: str, suite: str = SUITE) -> bool:
    """Whether the archive has this suite and answers in time."""
    request = urllib.request.Request(f"{archive}/dists/{suite}/InRelease", method="HEAD")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S):  # noqa: S310
            return True
    except (urllib.error.URLError, TimeoutError, OSError, ValueError):
        return False


def require(archive: str, suite: str = SUITE) -> int:
    """Return when the archive's index was signed, or say that it does not answer."""
    when = released(archive, suite)
    if when is None:
        raise CardError(
            f"The archive {archive} does not answer for {suite}: check the network, or name "
            "another one in this machine's apt sources."
        )
    return when


def find_key(extra: ExtraArchive, folder: Path) -> Path | None:
    """Return the key of a profile's archive: this machine's, or the one that TLS vouches for."""
    for name in extra.keyrings:
        if Path(name).is_file():
            return Path(name)
    if not extra.key_uri.startswith("https://"):
        return None
    try:
        with urllib.request.urlopen(extra.key_uri, timeout=ANSWER_S) as answer:  # noqa: S310
            data = answer.read(_MAX_KEY_BYTES)
    except (urllib.error.URLError, TimeoutError, OSError):
        return None
    armoured = data.startswith(b"-----BEGIN PGP PUBLIC KEY BLOCK-----")
    key = folder / f"raspberrypi-archive.{'asc' if armoured else 'gpg'}"
    key.write_bytes(data)
    return key
