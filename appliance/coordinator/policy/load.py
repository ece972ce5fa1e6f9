"""From the settings' policy file to the policy in force."""

from pathlib import Path

from appliance.coordinator.errors import SettingsError
from appliance.coordinator.policy.acls import AclPolicy
from appliance.coordinator.policy.engine import AllowAll, Policy
from appliance.coordinator.policy.errors import PolicyError
from appliance.coordinator.policy.parse import parse_policy


def policy_of(text: str) -> Policy:
    """Return the policy that a text asks for; without ``acls`` everything is allowed."""
    acls = parse_policy(text)
    return AllowAll() if acls is None else AclPolicy(acls)


def load_policy(file: str) -> Policy:
    """Read a policy file; an empty name is no file, and allows everything."""
    if not file:
        return AllowAll()
    try:
        return policy_of(Path(file).read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The policy file {file} cannot be read: {error}.") from None
    except PolicyError as error:
        raise SettingsError(f"{file}: {error}") from None
