"""Packages and systems for the tests; what another run left is removed first."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from image.package.assemble import version_of
from tests.package.system import System
from tests.package.tree import TREE

ROOT: Final = Path(__file__).resolve().parents[2]
BUILD: Final = ROOT / "build" / "test-package"

MakeSystem = Callable[..., System]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A system boots, and apt unpacks sixty packages: more patience than with other tests."""
    for item in items:
        if "tests/package/" in str(item.path):
            item.add_marker(pytest.mark.timeout(400))


def note(figure: str) -> None:
    """Keep a figure that no test asserts, for people."""
    with (BUILD / "figures.txt").open("a", encoding="utf-8") as file:
        file.write(f"{figure}\n")


@pytest.fixture(scope="session")
def package() -> Path:
    """The package of this tree."""
    return _built(version_of(ROOT))


@pytest.fixture(scope="session")
def next_package() -> Path:
    """The same with a higher version."""
    return _built(f"{version_of(ROOT)}+next")


@pytest.fixture(scope="module")
def make_system(request: pytest.FixtureRequest) -> Iterator[MakeSystem]:
    """Makes systems of the Debian tree that are gone after the module."""
    made: list[System] = []
    name = Path(str(request.path)).stem.removeprefix("test_")

    def make(namespace: str = "") -> System:
        system = System(TREE, BUILD / f"{name}-{len(made)}", namespace)
        made.append(system)
        return system

    yield make
    for system in made:
        system.remove()


def _built(version: str) -> Path:
    file = BUILD / f"latchkey_{version}_all.deb"
    if not file.exists():
        pytest.skip("the package is not built (`python -m tests.package` does it)")
    if not (TREE / "usr").is_dir():
        pytest.skip("there is no Debian tree (`python -m tests.package` makes it)")
    if subprocess.run(["dpkg-deb", "--info", file], capture_output=True, check=False).returncode:
        pytest.skip(f"{file} is no package")
    return file
