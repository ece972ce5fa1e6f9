"""What can go wrong in the coordinator, split by what the caller does about it."""

from appliance.exit_status import ExitStatus


class CoordinatorError(Exception):
    """Root of this room's errors; the message says what to do."""


class StartError(CoordinatorError):
    """The program cannot start; ``status`` tells programs why."""

    def __init__(self, message: str, status: ExitStatus) -> None:
        super().__init__(message)
        self.status = status


class SettingsError(StartError):
    """The settings file cannot be read, or says something that cannot be meant."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitStatus.CONFIG_WRONG)


class RefusedError(CoordinatorError):
    """A request that may not be done as it stands; nothing has changed."""

    code = "refused"
    """For programs: a name from the catalogue of exit statuses."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        if code:
            self.code = code


class NotFoundError(RefusedError):
    """The request names something that does not exist."""

    code = "not-found"


class ConflictError(RefusedError):
    """The request collides with something that exists."""

    code = "conflict"


class InvalidError(RefusedError):
    """The request itself is malformed."""

    code = "invalid"
