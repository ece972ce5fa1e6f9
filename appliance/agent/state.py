"""What state the agent is in, derived from facts and never stored.

The names are those that scripts know from the reference client's ``BackendState``.
"""

from dataclasses import dataclass
from enum import Enum


class BackendState(Enum):
    """Where a node stands on its way into the mesh."""

    NO_STATE = "NoState"
    """The agent has just started and has not looked at its state yet."""
    NEEDS_LOGIN = "NeedsLogin"
    """No node key is admitted: somebody must log in or give a key."""
    NEEDS_MACHINE_AUTH = "NeedsMachineAuth"
    """Logged in, but an admin must approve the device."""
    STOPPED = "Stopped"
    """The owner wants no connection."""
    STARTING = "Starting"
    """On the way: the netmap or the machine's configuration is not there yet."""
    RUNNING = "Running"
    """The tunnel, the routes and the filter match the netmap."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the state follows from."""

    want_running: bool = False
    logged_in: bool = False
    """The coordinator has admitted the present node key."""
    key_offered: bool = False
    """A pre-auth key is on its way to the coordinator."""
    login_needed: bool = False
    """The coordinator asks for a person (login URL), or refused the key, or the key expired."""
    has_netmap: bool = False
    machine_authorized: bool = False
    configured: bool = False
    """The machine matches the netmap."""


def backend_state(facts: Facts) -> BackendState:
    """Say where the node stands."""
    if facts.login_needed or not (facts.logged_in or facts.key_offered or facts.want_running):
        return BackendState.NEEDS_LOGIN
    if not facts.want_running:
        return BackendState.STOPPED
    if facts.has_netmap and not facts.machine_authorized:
        return BackendState.NEEDS_MACHINE_AUTH
    if facts.has_netmap and facts.configured:
        return BackendState.RUNNING
    return BackendState.STARTING
