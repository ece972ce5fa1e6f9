"""The profile `raspios` against a stand-in of its archive: names, sources and key as apt sees them.

Open until it is tried with the real archive: whether its packages have these names today, what is
in them (kernel, device trees and overlays where profile.toml looks), and whether a board starts.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from image.card.archive import SUITE, Archives
from image.card.native import Native
from image.card.profiles import Profile, load
from image.card.tree import Bootstrap, sources
from tests.support.aptarchive import Package, Signer, make_archive

pytestmark = pytest.mark.skipif(shutil.which("gpg") is None, reason="needs gpg")

PI_ONLY = {"linux-image-rpi-v8", "rpi-eeprom", "raspberrypi-archive-keyring"}
SHARED = {"raspi-firmware": "1.20250430-1~rpt1", "firmware-brcm80211": "20250410-2+rpt1"}
"""Debian has them, too; the newer one of Raspberry Pi is wanted."""


@pytest.fixture
def signers(tmp_path: Path) -> Iterator[tuple[Signer, Signer]]:
    """Debian's key and that of Raspberry Pi."""
    both = (
        Signer(tmp_path / "k1", "debian@example.org"),
        Signer(tmp_path / "k2", "pi@example.org"),
    )
    yield both
    for signer in both:
        signer.stop()


def apt(
    root: Path, bootstrap: Bootstrap, trusted: Path, *words: str
) -> subprocess.CompletedProcess[str]:
    """Run apt-get as mmdebstrap would, with a root of its own."""
    for folder in (
        *(
            f"etc/apt/{name}.d"
            for name in ("trusted.gpg", "apt.conf", "preferences", "sources.list")
        ),
        *("var/lib/apt/lists/partial", "var/lib/dpkg"),
    ):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True, exist_ok=True)
    (root / "var/lib/dpkg/status").touch()
    shutil.copy(trusted, root / "etc/apt/trusted.gpg.d/debian.gpg")
    (root / "etc/apt/sources.list").write_text("\n".join(sources(bootstrap)) + "\n")
    # Of this machine's own apt settings nothing is read.
    (root / "apt.conf").write_text(
        f'Dir "{root}";\nDir::State::status "{root}/var/lib/dpkg/status";\n'
        'APT::Architecture "arm64";\nAPT::Architectures { "arm64"; };\n'
        'APT::Install-Recommends "false";\nAPT::Sandbox::User "root";\n'
    )
    return subprocess.run(
        ["apt-get", "-qq", *words],
        env={
            "APT_CONFIG": str(root / "apt.conf"),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C",
        },
        capture_output=True,
        text=True,
        check=False,
    )


def bootstrap_of(profile: Profile, archives: Archives, key: Path) -> Bootstrap:
    return Bootstrap(
        archives, profile, key, None, (), 0, Path("/"), Path("/"), Native("python3", None)
    )


@pytest.mark.parametrize("rightly_signed", [True, False])
def test_its_packages_come_from_its_archive_and_by_its_key_alone(
    tmp_path: Path, signers: tuple[Signer, Signer], rightly_signed: bool
) -> None:
    debian, pi = signers
    profile = load("raspios")
    assert profile.extra is not None
    names = [Package(name, "1.0") for name in profile.packages if name not in PI_ONLY]
    components = profile.components
    base, security, vendor = (tmp_path / name for name in ("debian", "security", "pi"))
    make_archive(base, SUITE, components, names, debian)
    make_archive(base, f"{SUITE}-updates", components, [], debian)
    make_archive(security, f"{SUITE}-security", components, [], debian)
    shared = [Package(name, version) for name, version in SHARED.items()]
    make_archive(
        vendor,
        profile.extra.suite,
        profile.extra.components,
        [*(Package(name, "2.0") for name in PI_ONLY), *shared],
        pi if rightly_signed else debian,
    )
    profile = replace(profile, extra=replace(profile.extra, uri=f"file:{vendor}"))
    bootstrap = bootstrap_of(profile, Archives(f"file:{base}", f"file:{security}"), pi.key)
    root = tmp_path / "root"
    updated = apt(root, bootstrap, debian.key, "update")
    if not rightly_signed:
        assert "NO_PUBKEY" in updated.stderr or "not signed" in updated.stderr
        return
    assert updated.returncode == 0, updated.stderr
    assert updated.stderr == ""
    chosen = apt(root, bootstrap, debian.key, "install", "--simulate", *profile.packages)
    assert chosen.returncode == 0, chosen.stderr
    versions = dict(
        line.split()[1:3] for line in chosen.stdout.splitlines() if line.startswith("Inst")
    )
    assert set(versions) == set(profile.packages)
    assert {versions[name] for name in PI_ONLY} == {"(2.0"}
    assert versions["raspi-firmware"] == "(1.20250430-1~rpt1"
