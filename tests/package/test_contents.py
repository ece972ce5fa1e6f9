"""What is in the package, without installing it."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import pytest

from image.package.assemble import build, version_of
from tests.package.conftest import ROOT


@pytest.fixture(scope="module")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
    return folder


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_all_python_code_is_private(unpacked: Path) -> None:
    assert not [name for name in files(unpacked) if "dist-packages" in name]
    python = [name for name in files(unpacked) if name.endswith(".py")]
    assert python
    assert {"/".join(name.split("/")[:4]) for name in python} <= {
        "usr/lib/latchkey/appliance",
        "usr/lib/latchkey/webui",
    }


def test_every_program_has_a_manual_page_that_groff_takes(unpacked: Path) -> None:
    pages = sorted((unpacked / "usr/share/man").rglob("*.gz"))
    assert [page.name.removesuffix(".gz") for page in pages] == [
        "latchkey.1",
        "latchkey-admin.8",
        "latchkey-agent.8",
        "latchkey-coordinator.8",
        "latchkey-firstboot.8",
        "latchkey-relay.8",
        "latchkey-webui.8",
    ]
    for page in pages:
        text = gzip.decompress(page.read_bytes())
        done = subprocess.run(
            ["groff", "-man", "-Tutf8", "-K", "utf8", "-ww", "-z"], input=text, capture_output=True
        )
        assert done.stderr.decode() == ""


def test_the_shells_read_their_completion(unpacked: Path) -> None:
    scripts = {
        "bash": "usr/share/bash-completion/completions/latchkey",
        "zsh": "usr/share/zsh/vendor-completions/_latchkey",
        "fish": "usr/share/fish/vendor_completions.d/latchkey.fish",
    }
    for shell, script in scripts.items():
        assert (unpacked / script).stat().st_size > 1000
        if shutil.which(shell):
            subprocess.run([shell, "-n", unpacked / script], check=True)


def test_translations_are_compiled(unpacked: Path) -> None:
    catalogues = list((unpacked / "usr/lib/latchkey/webui").rglob("*.po"))
    assert all(catalogue.with_suffix(".mo").exists() for catalogue in catalogues)


def test_lintian_finds_no_error(package: Path) -> None:
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on=error", "--display-info", package],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    print(done.stdout)


def test_the_same_sources_make_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    one, other = (build(version_of(ROOT), tmp_path / name) for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()
