"""The state directory: one coordinator at a time, the Noise key, the database."""

import fcntl
import os
import secrets
from pathlib import Path
from typing import Final

from appliance.coordinator.errors import StartError
from appliance.exit_status import ExitStatus
from appliance.host.errors import FileProblemError
from appliance.host.files import make_private_directory, read_bounded, write_atomic
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import KEY_SIZE, MachinePrivate

_LOCK: Final = "lock"
_NOISE_KEY: Final = "noise.key"
_DATABASE: Final = "coordinator.db"
_MAX_KEY_FILE: Final = 256


class StateDir:
    """Holds the directory for one process, from construction to ``release``."""

    def __init__(self, path: Path) -> None:
        """Make, check and lock the directory."""
        self._path = path
        try:
            make_private_directory(path)
            self._lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (FileProblemError, OSError) as error:
            raise _unusable(path, error) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise StartError(
                f"Another coordinator uses the state directory {path}. Stop it first, "
                "or give this one a state_dir of its own.",
                ExitStatus.ALREADY_RUNNING,
            ) from None

    @property
    def path(self) -> Path:
        """The directory itself."""
        return self._path

    @property
    def database(self) -> Path:
        """The database's file."""
        return self._path / _DATABASE

    def noise_key(self) -> MachinePrivate:
        """Return the coordinator's identity; made at the first start and kept for ever."""
        file = self._path / _NOISE_KEY
        try:
            data = read_bounded(file, _MAX_KEY_FILE)
            if data is not None:
                return MachinePrivate.parse(data.decode("ascii", "replace").strip())
            key = MachinePrivate.from_seed(secrets.token_bytes(KEY_SIZE))
            write_atomic(file, f"{key.text()}\n".encode())
        except ProtocolError:
            raise StartError(
                f"{file} does not hold a Noise key. Restore it from a backup: nodes trust this "
                "coordinator by it.",
                ExitStatus.STATE_UNUSABLE,
            ) from None
        except FileProblemError as error:
            raise _unusable(self._path, error) from None
        return key

    def release(self) -> None:
        """Let another process have the directory."""
        os.close(self._lock)


def _unusable(path: Path, error: Exception) -> StartError:
    return StartError(
        f"The state directory {path} cannot be used: {error}. Give it to the user that the "
        "coordinator runs as, or choose another state_dir.",
        ExitStatus.STATE_UNUSABLE,
    )
