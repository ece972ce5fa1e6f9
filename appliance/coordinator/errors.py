"""What can go wrong in the coordinator, split by what the caller does about it."""

from enum import IntEnum


class CoordinatorError(Exception):
    """Root of this room's errors; the message says what to do."""


class ExitStatus(IntEnum):
    """How the program ends; one number for each thing an operator mends differently."""

    OK = 0
    FAILED = 1
    SETTINGS = 3
    PORT_IN_USE = 4
    CERTIFICATE = 5
    STATE_UNWRITABLE = 6
    STATE_LOCKED = 7
    STATE_UNREADABLE = 8
    LISTEN_FORBIDDEN = 9


class StartError(CoordinatorError):
    """The program cannot start; ``status`` tells programs why."""

    def __init__(self, message: str, status: ExitStatus) -> None:
        super().__init__(message)
        self.status = status


class SettingsError(StartError):
    """The settings file cannot be read, or says something that cannot be meant."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitStatus.SETTINGS)


class RefusedError(CoordinatorError):
    """A request that may not be done as it stands; nothing has changed."""

    code = "refused"


class NotFoundError(RefusedError):
    """The request names something that does not exist."""

    code = "not-found"


class ConflictError(RefusedError):
    """The request collides with something that exists."""

    code = "conflict"


class InvalidError(RefusedError):
    """The request itself is malformed."""

    code = "invalid"
