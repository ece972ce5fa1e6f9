"""The mesh as latchkey.toml wants it, through the agent's Local API."""

import logging
import time
from typing import Final

from appliance.firstboot.config import Mesh
from appliance.firstboot.errors import FirstbootError, LaterError
from appliance.localapi.client import LocalClient
from appliance.localapi.errors import AgentNotRunningError, LocalApiError
from appliance.localapi.types import Progress, UpRequest

_log = logging.getLogger(__name__)

JOIN_S: Final = 45.0
"""Long enough for a slow line; it is tried again, and a key stays in the file until it worked."""
_LATER: Final = frozenset(
    {"coordinator-unreachable", "certificate-wrong", "clock-wrong", "timeout", "agent-not-running"}
)
"""Failures that pass by themselves, such as those of a clock that is not set yet."""


def join(client: LocalClient, mesh: Mesh) -> None:
    """Set the wishes, and log in where there is a key; ``LaterError`` when it may work later."""
    try:
        if not mesh.auth_key:
            client.edit_prefs(mesh.prefs())
            return
        progress = client.up(UpRequest(prefs=mesh.prefs(), auth_key=mesh.auth_key))
        _wait(client, progress)
    except AgentNotRunningError as error:
        raise LaterError(str(error)) from None
    except LocalApiError as error:
        raise _failed(error.code, str(error)) from None


def _wait(client: LocalClient, progress: Progress) -> None:
    deadline = time.monotonic() + JOIN_S
    while progress.state != "Running":
        if progress.failure is not None:
            raise _failed(progress.failure.code, progress.failure.message)
        if progress.auth_url:
            raise FirstbootError(
                "The coordinator wants a login in a browser: the auth key of latchkey.toml did not "
                "suffice. Log in on the setup page, or write another key."
            )
        left = deadline - time.monotonic()
        if left <= 0:
            raise LaterError("The coordinator has not answered yet.")
        progress = client.watch(progress.seq, min(left, 25.0))
    _log.info("Joined the mesh as latchkey.toml says.")


def _failed(code: str, message: str) -> FirstbootError:
    if code in _LATER:
        return LaterError(message)
    return FirstbootError(f"latchkey.toml: the mesh was not joined: {message}")
