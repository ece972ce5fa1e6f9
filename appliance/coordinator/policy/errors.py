"""What can be wrong with a policy file."""

from appliance.coordinator.errors import CoordinatorError


class PolicyError(CoordinatorError):
    """The policy cannot be read or says something that cannot be meant; none of it is used."""
