"""A Debian archive of the test's own, signed: what apt takes for Debian, or for somebody else."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NOBODY: Final = "0" * 64


class Signer:
    """A key of its own."""

    def __init__(self, home: Path, name: str) -> None:
        home.mkdir(mode=0o700)
        self._command = ["gpg", "--homedir", str(home), "--batch", "--quiet"]
        make = [*self._command, "--passphrase", "", "--quick-generate-key", name, "ed25519"]
        subprocess.run(make, check=True, capture_output=True)
        self.key = home / "key.gpg"
        exported = subprocess.run([*self._command, "--export"], check=True, capture_output=True)
        self.key.write_bytes(exported.stdout)
        self._home = home

    def sign(self, release: Path) -> None:
        """Write InRelease beside a Release file."""
        command = [*self._command, "--clearsign", "--yes", "--output"]
        target = release.with_name("InRelease")
        subprocess.run([*command, str(target), str(release)], check=True, capture_output=True)

    def stop(self) -> None:
        """End the agent that holds the key."""
        command = ["gpgconf", "--homedir", str(self._home), "--kill", "all"]
        subprocess.run(command, check=False, capture_output=True)


@dataclass(frozen=True, slots=True)
class Package:
    """One package of an archive; without a file apt can choose it, but not have it."""

    name: str
    version: str
    file: Path | None = None

    def stanza(self, folder: Path) -> str:
        """Its paragraph in Packages."""
        data = self.file.read_bytes() if self.file is not None else b"-"
        digest = hashlib.sha256(data).hexdigest() if self.file is not None else _NOBODY
        name = self.file.relative_to(folder) if self.file is not None else f"pool/{self.name}.deb"
        return (
            f"Package: {self.name}\nVersion: {self.version}\nArchitecture: arm64\n"
            f"Maintainer: A <a@example.org>\nFilename: {name}\nSize: {len(data)}\n"
            f"SHA256: {digest}\nDescription: stand-in\n"
        )


def make_package(folder: Path, name: str, version: str) -> Package:
    """A package with nothing in it, in the archive's pool."""
    tree = folder / "pool" / f"tree-{name}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: arm64\n"
        "Maintainer: A <a@example.org>\nDescription: stand-in\n"
    )
    file = folder / "pool" / f"{name}_{version}_arm64.deb"
    command = ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(file)]
    subprocess.run(command, check=True, capture_output=True)
    return Package(name, version, file)


def make_archive(
    folder: Path,
    suite: str,
    components: Sequence[str],
    packages: Sequence[Package],
    signer: Signer,
    fields: str = "",
) -> None:
    """Write the indexes of an archive; all its packages are in the first component.

    ``fields`` are further lines of its Release file ("Origin: Debian\\n").
    """
    dist = folder / "dists" / suite
    listed = "\n".join(package.stanza(folder) for package in packages)
    sums = []
    for component in components:
        for architecture in ("arm64", "all"):
            index = dist / component / f"binary-{architecture}" / "Packages"
            index.parent.mkdir(parents=True)
            full = (component, architecture) == (components[0], "arm64")
            index.write_text(listed if full else "")
            digest = hashlib.sha256(index.read_bytes()).hexdigest()
            sums.append(f" {digest} {index.stat().st_size} {index.relative_to(dist)}")
    release = dist / "Release"
    release.write_text(
        f"{fields}Suite: {suite}\nCodename: {suite}\nArchitectures: all arm64\n"
        f"Components: {' '.join(components)}\nDate: Sat, 01 Nov 2025 12:00:00 UTC\nSHA256:\n"
        + "\n".join(sums)
        + "\n"
    )
    signer.sign(release)
