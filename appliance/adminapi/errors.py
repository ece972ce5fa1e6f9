"""What can go wrong between an admin and the coordinator."""


class AdminApiError(Exception):
    """A call did not succeed; the message says what to do, ``code`` is for programs."""

    code = "error"

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        if code:
            self.code = code


class CoordinatorNotRunningError(AdminApiError):
    """Nobody listens on the socket."""

    code = "coordinator-not-running"


class NotAllowedError(AdminApiError):
    """The caller may not administer the coordinator."""

    code = "not-allowed"
