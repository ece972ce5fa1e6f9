"""One house for all tests of the card, and what the card's machine is plugged into there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.house import WIFI, House, build_house, note_figure, start_box
from tests.support.cardmachine import Card, CardMachine, unpack
from tests.support.labs import fresh_lab, why_no_lab


@pytest.fixture(scope="session")
def packed() -> Path:
    """The .img.xz that is tried."""
    given = os.environ.get("LATCHKEY_CARD", "")
    if not given:
        pytest.skip("the card is tried by `python -m tests.image`")
    return Path(given)


@pytest.fixture(scope="session")
def card(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Card:
    """The image in it."""
    return unpack(packed, packed.parent / "unpacked")


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    """The house and the mesh's coordinator."""
    reason = why_no_lab()
    if reason:
        pytest.skip(reason)
    with fresh_lab() as lab:
        yield build_house(lab)


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The owner's SSH key."""
    file = tmp_path_factory.mktemp("ssh") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    return file


@pytest.fixture(scope="session")
def box(
    card: Card, house: House, key: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CardMachine]:
    """The box at home, set up by latchkey.toml."""
    machine = CardMachine(card, house.wire, tmp_path_factory.mktemp("box"))
    public = key.with_suffix(".pub").read_text().strip()
    machine.put(
        "latchkey.toml",
        f'hostname = "gatekeeper"\nssh_keys = ["{public}"]\n\n{WIFI}\n[mesh]\n'
        f'login_server = "{house.coordinator.url}"\nauth_key = "{house.coordinator.new_key()}"\n'
        'advertise_routes = ["auto"]\nadvertise_exit_node = true\n',
    )
    note_figure("page_s", start_box(machine, house, key))
    yield machine
    machine.cut_power()
