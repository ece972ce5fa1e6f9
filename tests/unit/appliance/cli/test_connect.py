import io
from pathlib import Path

import pytest

from appliance.cli.connect import KEY_VARIABLE, read_key
from appliance.netmap.prefs import PrefsError


def test_a_key_comes_from_a_file_standard_input_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    path.write_text("secret-1\n")
    assert read_key(f"file:{path}", {}) == "secret-1"
    monkeypatch.setattr("sys.stdin", io.StringIO("secret-2\n"))
    assert read_key("-", {}) == "secret-2"
    assert read_key(None, {KEY_VARIABLE: "secret-3"}) == "secret-3"
    assert read_key("secret-4", {}) == "secret-4"
    assert read_key(None, {}) == ""


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PrefsError, match="cannot be read"):
        read_key(f"file:{tmp_path / 'absent'}", {})
