"""The Debian 13 that every host of the fleet starts from, and the archive that it installs from.

In the tree is what a server has that somebody rents or sets up with the installer: systemd, D-Bus,
OpenSSH, Python, iproute2, procps, certificates. Nothing of Latchkey and none of its dependencies:
those lie beside the tree as a small Debian archive, and each host fetches and unpacks them itself,
over the network of the lab.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CACHE: Final = Path(os.environ.get("LATCHKEY_CACHE") or Path.home() / ".cache" / "latchkey")
TREE: Final = _CACHE / "trees" / "trixie-fleet"
ARCHIVE: Final = _CACHE / "trees" / "trixie-fleet.archive"
SERVER: Final = (
    *("systemd", "systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "python3"),
    *("iproute2", "procps", "ca-certificates"),
)
BESIDE: Final = ("python3-apt", "wireguard-go")
"""What Ansible itself and the role ask for, beside the package's dependencies."""
_LIMIT_S: Final = 900
_SMALL: Final = ("doc", "man", "locale")
_URI: Final = r"^'(.*)/dists/(?:{codename}|oldstable|stable|testing)/InRelease'"


class UnfitMachineError(Exception):
    """The fleet cannot be started here; the text says why."""


@dataclass(frozen=True, slots=True)
class Base:
    """Where both are."""

    tree: Path
    archive: Path


def prepare(package: Path) -> Base:
    """Make the tree and the archive unless they are there and still fit the package."""
    wanted = (*_dependencies(package), *BESIDE)
    stamp = hashlib.sha256(" ".join((*SERVER, "+", *wanted)).encode()).hexdigest()
    mark = ARCHIVE / "made-for"
    if TREE.is_dir() and mark.is_file() and mark.read_text(encoding="ascii") == stamp:
        return Base(TREE, ARCHIVE)
    uri = _debian()
    print("Making a Debian 13 and an archive for the fleet (two minutes)", flush=True)
    for path in (TREE, ARCHIVE):
        shutil.rmtree(path, ignore_errors=True)
    ARCHIVE.mkdir(parents=True)
    new = TREE.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    _run(_mmdebstrap(new, uri, wanted))
    packages = _run(["dpkg-scanpackages", "--multiversion", "."], cwd=ARCHIVE)
    (ARCHIVE / "Packages").write_text(packages, encoding="utf-8")
    new.rename(TREE)
    mark.write_text(stamp, encoding="ascii")
    return Base(TREE, ARCHIVE)


def _dependencies(package: Path) -> list[str]:
    text = _run(["dpkg-deb", "--field", str(package), "Depends"])
    return sorted({re.split(r"[ (|]", part.strip())[0] for part in text.split(",")})


def _debian() -> str:
    """The archive that this machine's apt takes its own release from."""
    release = _run(["sh", "-c", '. /etc/os-release && echo "$ID $VERSION_CODENAME"']).split()
    if release[0] != "debian":
        raise UnfitMachineError("the fleet's Debian is made on Debian only")
    uris = _run(["apt-get", "update", "--print-uris"])
    found = re.search(_URI.format(codename=release[1]), uris, re.MULTILINE)
    if found is None:
        raise UnfitMachineError("apt has no Debian archive among its sources")
    return found[1]


def _mmdebstrap(target: Path, uri: str, wanted: tuple[str, ...]) -> list[str]:
    fetch = (
        'chroot "$1" apt-get --yes --quiet=2 --no-install-recommends --download-only install '
        + " ".join(wanted)
    )
    return [
        *("nice", "-n", "10", "mmdebstrap", "--quiet", "--variant=apt", "--components=main"),
        *("--include=" + ",".join(SERVER), '--aptopt=Acquire::Languages "none"'),
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _SMALL),
        f"--customize-hook={fetch}",
        f'--customize-hook=cp "$1"/var/cache/apt/archives/*.deb {ARCHIVE}',
        *("trixie", str(target), uri),
    ]


def _run(command: list[str], cwd: Path | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=_LIMIT_S, check=False
    )
    if done.returncode:
        words = done.stderr.strip().splitlines()
        raise UnfitMachineError(f"{command[0]}: {words[-1] if words else done.returncode}")
    return done.stdout
