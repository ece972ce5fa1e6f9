"""How a failure of any room reaches the owner: a code, an exit status, one sentence."""

from appliance.exit_status import ExitStatus


class AgentError(Exception):
    """The agent cannot go on with what was asked; the message says what to do."""

    def __init__(self, message: str, status: ExitStatus = ExitStatus.ERROR) -> None:
        super().__init__(message)
        self.status = status
