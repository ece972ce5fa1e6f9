from pathlib import Path

import pytest

from appliance.coordinator.errors import SettingsError
from appliance.coordinator.policy.compile import RulePolicy
from appliance.coordinator.policy.engine import AllowAll
from appliance.coordinator.policy.load import load_policy_text, policy_of


def test_no_file_and_a_file_without_rules_allow_everything(tmp_path: Path) -> None:
    assert load_policy_text("") is None
    (tmp_path / "p").write_text("{ /* nothing yet */ }")
    assert isinstance(policy_of(load_policy_text(str(tmp_path / "p")) or ""), AllowAll)


def test_a_file_with_rules_allows_what_they_say(tmp_path: Path) -> None:
    (tmp_path / "p").write_text('{"acls": []}')
    assert isinstance(policy_of(load_policy_text(str(tmp_path / "p")) or ""), RulePolicy)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_policy_text(str(tmp_path / "none"))
    (tmp_path / "p").write_text('{"acls": [{"action": "deny"}]}')
    with pytest.raises(
        SettingsError,
        match=r"/p: line 1, column 11: acls does not fit: Object missing required field `src`",
    ):
        load_policy_text(str(tmp_path / "p"))


def test_the_policy_in_the_manual_can_be_used() -> None:
    manual = (Path(__file__).resolve().parents[5] / "docs" / "coordinator.md").read_text()
    [example] = [text for text in manual.split("```") if text.lstrip().startswith("{")]
    said = policy_of(example).said
    assert said.rules
    assert said.approvers
