"""The admin API's socket: who may open it."""

import grp
import os
import pwd
import socket
from dataclasses import dataclass
from pathlib import Path

from appliance.coordinator.errors import SettingsError, StartError
from appliance.exit_status import ExitStatus
from appliance.host.unixsocket import Caller, SocketInUseError, listen_unix


@dataclass(frozen=True, slots=True)
class Admins:
    """Root, the user that this runs as, and the members of one group."""

    own_uid: int
    group_id: int | None = None
    members: frozenset[int] = frozenset()

    @classmethod
    def of_group(cls, name: str) -> "Admins":
        """Look a group up; an empty name is none."""
        if not name:
            return cls(os.getuid())
        try:
            group = grp.getgrnam(name)
        except KeyError:
            raise SettingsError(
                f"There is no group {name!r} on this machine: make it with `groupadd {name}`, "
                "or change admin_group."
            ) from None
        members = frozenset(_uid(member) for member in group.gr_mem)
        return cls(os.getuid(), group.gr_gid, members - {-1})

    def may_call(self, caller: Caller) -> bool:
        """Whether this caller may administer."""
        if caller.uid in (0, self.own_uid) or caller.uid in self.members:
            return True
        return self.group_id is not None and caller.gid == self.group_id


def open_admin_socket(path: Path, admins: Admins) -> socket.socket:
    """Listen where only admins get in."""
    try:
        sock = listen_unix(path, 0o600 if admins.group_id is None else 0o660)
        if admins.group_id is not None:
            os.chown(path, -1, admins.group_id)
    except SocketInUseError as error:
        raise StartError(str(error), ExitStatus.ALREADY_RUNNING) from None
    except OSError as error:
        raise StartError(
            f"The admin socket {path} cannot be made: {error.strerror}. Choose another "
            "admin_socket, or give its directory to this user.",
            ExitStatus.STATE_UNUSABLE,
        ) from None
    return sock


def _uid(name: str) -> int:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return -1
