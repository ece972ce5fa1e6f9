from pathlib import Path

import pytest

from appliance.coordinator.errors import SettingsError
from appliance.coordinator.policy.acls import AclPolicy
from appliance.coordinator.policy.engine import AllowAll
from appliance.coordinator.policy.load import load_policy


def test_no_file_and_a_file_without_rules_allow_everything(tmp_path: Path) -> None:
    assert isinstance(load_policy(""), AllowAll)
    (tmp_path / "p").write_text("{ /* nothing yet */ }")
    assert isinstance(load_policy(str(tmp_path / "p")), AllowAll)


def test_a_file_with_rules_allows_what_they_say(tmp_path: Path) -> None:
    (tmp_path / "p").write_text('{"acls": []}')
    assert isinstance(load_policy(str(tmp_path / "p")), AclPolicy)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_policy(str(tmp_path / "none"))
    (tmp_path / "p").write_text('{"acls": [{"action": "deny"}]}')
    with pytest.raises(SettingsError, match=r"/p: an entry of acls does not fit"):
        load_policy(str(tmp_path / "p"))
