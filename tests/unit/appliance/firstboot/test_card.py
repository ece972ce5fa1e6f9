"""The boot partition, as a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.firstboot.card import CLAIM, BootPartition
from appliance.firstboot.errors import FirstbootError


def test_a_note_is_written_replaced_and_removed(tmp_path: Path) -> None:
    card = BootPartition(tmp_path)
    card.write_note(CLAIM, "one\n")
    card.write_note(CLAIM, "two\n")
    assert (tmp_path / CLAIM).read_bytes() == b"\xef\xbb\xbftwo\r\n"
    card.write_note(CLAIM, "")
    assert list(tmp_path.iterdir()) == []


def test_the_same_note_again_is_not_written(tmp_path: Path) -> None:
    card = BootPartition(tmp_path)
    card.write_note(CLAIM, "one\n")
    before = (tmp_path / CLAIM).stat().st_ino
    card.write_note(CLAIM, "one\n")
    assert (tmp_path / CLAIM).stat().st_ino == before


def test_a_card_without_a_file_has_no_wishes(tmp_path: Path) -> None:
    assert BootPartition(tmp_path).read_config() is None


def test_a_card_that_is_gone_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FirstbootError, match="cannot be written to the boot partition"):
        BootPartition(tmp_path / "absent").write_note(CLAIM, "one\n")
