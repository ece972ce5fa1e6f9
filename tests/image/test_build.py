"""Builds that do not come to their end: one sentence, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.netns.lab import REPOSITORY, wait_until

BUILD: Final = REPOSITORY / "image" / "build"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def start(*arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(BUILD), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | (env or {}),
    )


def test_a_disk_without_room_is_said_before_anything_is_done(small_disk: Path) -> None:
    done = start("--output", str(small_disk))
    _, said = done.communicate(timeout=60)
    assert done.returncode == 3
    assert "GiB free; making the card takes" in said
    assert list(small_disk.iterdir()) == []


def test_an_archive_that_is_gone_is_one_sentence(tmp_path: Path) -> None:
    sources = tmp_path / "apt" / "sources.list"
    sources.parent.mkdir()
    archive = "deb [trusted=yes] http://127.0.0.1:9/debian"
    sources.write_text(f"{archive} trixie main\n{archive}-security trixie-security main\n")
    config = tmp_path / "apt.conf"
    config.write_text(f'Dir::Etc::sourcelist "{sources}";\nDir::Etc::sourceparts "/dev/null";\n')
    out = tmp_path / "out"
    done = start("--output", str(out), "--profile", "debian", env={"APT_CONFIG": str(config)})
    _, said = done.communicate(timeout=120)
    assert done.returncode == 1
    assert said.strip().endswith(
        "The archive http://127.0.0.1:9/debian does not answer for trixie: check the network, or "
        "name another one in this machine's apt sources."
    )
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_nothing_behind(tmp_path: Path, how: signal.Signals) -> None:
    package = tmp_path / "latchkey.deb"
    control = tmp_path / "deb" / "DEBIAN" / "control"
    control.parent.mkdir(parents=True)
    control.write_text(
        "Package: latchkey\nVersion: 0\nArchitecture: all\nMaintainer: A <a@example.org>\n"
        "Depends: python3\nDescription: nothing\n"
    )
    subprocess.run(
        ["dpkg-deb", "--build", str(control.parents[1]), str(package)],
        check=True,
        capture_output=True,
    )
    out = tmp_path / "out"
    build = start("--output", str(out), "--profile", "debian", "--package", str(package))
    # In the middle of unpacking, with file systems mounted in the tree.
    wait_until(lambda: list(out.glob(".image-*/tree/*/usr/bin/dpkg")), 300, "packages are unpacked")
    build.send_signal(how)
    _, said = build.communicate(timeout=120)
    assert build.returncode == 130
    assert said.strip().endswith("image: interrupted; nothing was left behind.")
    assert list(out.iterdir()) == []
    assert str(out) not in Path("/proc/mounts").read_text()
    alive = subprocess.run(["pgrep", "-f", str(out)], capture_output=True, check=False)
    assert alive.returncode == 1
