from pathlib import Path

import pytest

from webui.claim import CODE_FILE
from webui.errors import StoreError
from webui.settings import Settings
from webui.start import start


def test_a_new_box_has_a_code_after_the_start(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, runtime_dir=tmp_path)
    start(settings)
    assert len((tmp_path / CODE_FILE).read_text()) == 12


def test_a_start_without_a_state_directory_says_why(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot use its file"):
        start(Settings(state_dir=tmp_path / "absent", runtime_dir=tmp_path))


def test_a_start_without_a_runtime_directory_says_why(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="claim code cannot be written"):
        start(Settings(state_dir=tmp_path, runtime_dir=tmp_path / "absent"))
