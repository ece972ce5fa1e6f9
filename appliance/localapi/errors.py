"""What can go wrong between a front end and the agent."""


class LocalApiError(Exception):
    """A call did not succeed; the message says what to do."""

    code = "error"

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        if code:
            self.code = code


class AgentNotRunningError(LocalApiError):
    """Nobody listens on the socket."""

    code = "agent-not-running"


class NotAllowedError(LocalApiError):
    """The caller may look, but not change."""

    code = "not-allowed"
