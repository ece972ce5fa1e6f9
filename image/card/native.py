"""Programs of the card's release, built for this machine: they run without emulation.

Two things make emulation slow, and both have a native stand-in of the same version: Python's
byte-compilation (byte code is the same on every machine), and the shell, perl and small tools
of maintainer scripts (``hooks/extract/20-native-programs``).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from image.card.archive import SUITE, Archives
from image.card.errors import CardError

_PACKAGES: Final = (
    *("python3-minimal", "libpython3-stdlib", "bash", "coreutils", "dash", "debianutils"),
    *("diffutils", "dpkg", "findutils", "grep", "gzip", "mawk", "openssl", "perl-base", "sed"),
    *("tar", "xz-utils"),
)
_MACHINES: Final = {
    "x86_64": ("amd64", "usr/lib64/ld-linux-x86-64.so.2", "x86_64-linux-gnu"),
    "aarch64": ("arm64", "usr/lib/ld-linux-aarch64.so.1", "aarch64-linux-gnu"),
}
_MAX_AGE: Final = 14 * 24 * 3600
"""Then it is unpacked anew: its versions are to be those of the card."""


@dataclass(frozen=True, slots=True)
class Native:
    """What runs here natively; ``programs`` is None where the card's own programs do."""

    python: str
    """A command."""
    programs: Path | None


def find_native(archives: Archives, cache: Path, now: float) -> Native:
    """Unpack them into the cache, unless they are there."""
    machine = os.uname().machine
    if machine not in _MACHINES:
        raise CardError(f"The card is made on x86-64 or arm64 machines, not on {machine}.")
    architecture, loader, triplet = _MACHINES[machine]
    folder = cache / f"native-{SUITE}-{architecture}"
    if not folder.is_dir() or now - folder.stat().st_mtime > _MAX_AGE:
        _unpack(archives, architecture, folder)
        os.utime(folder, (now, now))
    start = f"{folder}/{loader} --library-path {folder}/usr/lib/{triplet}"
    python = f"env PYTHONHOME={folder}/usr {start} {folder}/usr/bin/python3.13"
    return Native(python, None if architecture == "arm64" else folder)


def _unpack(archives: Archives, architecture: str, folder: Path) -> None:
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    command = [
        *("mmdebstrap", "--quiet", "--mode=root", "--variant=extract", "--format=directory"),
        *(f"--architectures={architecture}", f"--include={','.join(_PACKAGES)}"),
        *(f"--aptopt={option}" for option in archives.options),
        *(SUITE, str(part)),
        *(f"deb {archives.debian} {suite} main" for suite in (SUITE, f"{SUITE}-updates")),
        f"deb {archives.security} {SUITE}-security main",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(part, ignore_errors=True)
        last = done.stderr.strip().rpartition("\n")[2]
        raise CardError(f"Programs of {SUITE} for this machine could not be had: {last}")
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)
