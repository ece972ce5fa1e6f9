"""One fleet for all tests: they are steps of one story, in the order of the file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ansible.fleet import FOLDER, Fleet
from tests.ansible.tree import prepare
from tests.ansible.world import World, small_internet
from tests.netns.lab.web import start_page
from tests.support.labs import fresh_lab


@pytest.fixture(scope="session", autouse=True)
def package() -> Path:
    """The package that `python -m tests.ansible` has built, as it has the collection."""
    built = os.environ.get("LATCHKEY_PACKAGE", "")
    if not built:
        pytest.skip("a lane of its own: run `python -m tests.ansible`")
    return Path(built)


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    with fresh_lab() as lab:
        yield small_internet(lab)


@pytest.fixture(scope="session")
def fleet(world: World, package: Path) -> Iterator[Fleet]:
    """Four hosts with nothing of Latchkey on them, and pages to see in the houses."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    for host in (world.printer, world.camera):
        start_page(host)
    fleet = Fleet(world, prepare(package), package)
    try:
        fleet.start()
        yield fleet
    finally:
        fleet.stop()
