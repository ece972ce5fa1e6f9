from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.host.errors import FileProblemError
from appliance.host.files import make_private_directory, read_bounded, remove, write_atomic


def test_a_file_is_replaced_as_a_whole_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("old")
    path.chmod(0o644)
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_of_the_old_file_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write_atomic(path, b"old")
    with path.open("rb") as reader:
        write_atomic(path, b"new", 0o644)
        assert reader.read() == b"old"
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_failed_write_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state"
    write_atomic(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileProblemError, match=r"No space left on device.*free space"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_absent_file_is_none(tmp_path: Path) -> None:
    assert read_bounded(tmp_path / "missing") is None
    remove(tmp_path / "missing")


def test_a_file_that_cannot_be_ours_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5) == b"12345"
    with pytest.raises(FileProblemError, match="move it away"):
        read_bounded(path, 4)


def test_problems_name_the_file_and_what_to_check(tmp_path: Path) -> None:
    with pytest.raises(FileProblemError, match="check its owner"):
        read_bounded(tmp_path)
    with pytest.raises(FileProblemError, match="cannot be written"):
        write_atomic(tmp_path / "missing" / "state", b"")
    with pytest.raises(FileProblemError, match="cannot be removed"):
        remove(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(FileProblemError, match="cannot be made"):
        make_private_directory(tmp_path / "file")


def test_a_directory_becomes_private(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    path.mkdir(parents=True, mode=0o755)
    make_private_directory(path)
    make_private_directory(path)
    assert path.stat().st_mode & 0o777 == 0o700
