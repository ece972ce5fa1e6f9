"""From a policy's text to the policy in force."""

from pathlib import Path

from appliance.coordinator.errors import SettingsError
from appliance.coordinator.policy.compile import RulePolicy
from appliance.coordinator.policy.engine import AllowAll, Policy
from appliance.coordinator.policy.errors import PolicyError
from appliance.coordinator.policy.parse import parse_policy


def policy_of(text: str) -> Policy:
    """Return the policy that a text asks for; without ``acls`` everything is allowed."""
    said = parse_policy(text)
    return AllowAll(said) if said.rules is None else RulePolicy(said, said.rules)


def load_policy_text(file: str) -> str | None:
    """Read a policy file that must be fit for use; an empty name is no file."""
    if not file:
        return None
    text = read_policy(file)
    try:
        policy_of(text)
    except PolicyError as error:
        raise SettingsError(f"{file}: {error}") from None
    return text


def read_policy(file: str) -> str:
    """Return the text of a policy file."""
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The policy file {file} cannot be read: {error}.") from None
