"""Being the coordinator: every step from its settings to the box as the first node of its mesh.

Each step looks first whether it has been done, so the whole may be broken off anywhere (a lost
connection, a power cut) and started again; nothing is remembered here.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.adminapi.client import AdminClient
from appliance.adminapi.errors import AdminApiError, CoordinatorNotRunningError
from appliance.adminapi.types import CreatePreAuthKey, CreateUser, NodeInfo
from appliance.exit_status import ExitStatus
from appliance.localapi.client import LocalClient
from appliance.localapi.errors import LocalApiError
from appliance.localapi.types import BeCoordinator, Prefs, Progress, Status, UpRequest

OWNER: Final = "owner"
"""The user to whom the box and the devices added on this page belong."""

KEY_LIFETIME_S: Final = 600
PAUSE_S: Final = 0.3


@dataclass(frozen=True, slots=True)
class Founder:
    """Makes a mesh of this box's own."""

    local: LocalClient
    admin: AdminClient
    now: Callable[[], float]
    pause: Callable[[float], None]

    def found(self, server_url: str, patience_s: float) -> bool:
        """Be the coordinator at this address and join; False: it is still under way."""
        self.local.be_coordinator(BeCoordinator(server_url=server_url))
        return self.go_on(patience_s)

    def go_on(self, patience_s: float) -> bool:
        """Do what is left; False: it is still under way."""
        deadline = self.now() + patience_s
        wanted = self.local.coordinator()
        url = self._await_coordinator(wanted.server_url, deadline)
        if not url:
            return False
        status, prefs = self.local.status(), self.local.prefs()
        if status.have_node_key or (prefs.want_running and status.backend_state == "Starting"):
            progress = self.local.watch(0, 0)
        else:
            progress = self._join(url)
        return self._await_running(progress, deadline)

    def _await_coordinator(self, url: str, deadline: float) -> str:
        """Return its address when it answers; an earlier one with other settings may go first."""
        while True:
            with suppress(CoordinatorNotRunningError):
                found = self.admin.status().server_url.rstrip("/")
                if not url or found == url.rstrip("/"):
                    return found
            if self.now() >= deadline:
                return ""
            self.pause(PAUSE_S)

    def _join(self, url: str) -> Progress:
        user = ensure_user(self.admin)
        key = self.admin.create_preauth_key(CreatePreAuthKey(user=user, lifetime_s=KEY_LIFETIME_S))
        try:
            return self.local.up(UpRequest(prefs={"control_url": url}, auth_key=key.key))
        except LocalApiError:
            with suppress(AdminApiError):
                self.admin.revoke_preauth_key(key.id)
            raise

    def _await_running(self, progress: Progress, deadline: float) -> bool:
        while progress.state != "Running":
            if progress.failure is not None:
                raise LocalApiError(progress.failure.message, progress.failure.code)
            left = deadline - self.now()
            if left <= 0:
                return False
            progress = self.local.watch(progress.seq, min(left, 2.0))
            self.pause(0.05)
        return True


def ensure_user(admin: AdminClient) -> str:
    """Return the user of this box's devices, made if need be."""
    users = admin.users().users
    if users:
        names = [user.name for user in users]
        return OWNER if OWNER in names else names[0]
    try:
        return admin.create_user(CreateUser(name=OWNER, display_name="Owner")).name
    except AdminApiError as error:
        if error.code != ExitStatus.CONFLICT.code:  # else somebody made it at the same moment
            raise
        return OWNER


def own_node(admin: AdminClient, status: Status, prefs: Prefs) -> NodeInfo | None:
    """Return this box as its own coordinator knows it.

    ``None``: the mesh is somebody else's, or the coordinator is away.
    """
    key = status.self_node.public_key
    try:
        if not key or admin.status().server_url.rstrip("/") != prefs.control_url.rstrip("/"):
            return None
        return next((node for node in admin.nodes().nodes if node.node_key == key), None)
    except AdminApiError:
        return None


@contextmanager
def one_at_a_time(runtime_dir: Path) -> Iterator[bool]:
    """Let only one request of all workers do this; the others get ``False`` at once."""
    handle = os.open(runtime_dir / "founding.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)
