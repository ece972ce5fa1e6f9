"""Why there is no connection to the coordinator, or no admission; each with its exit status."""

from appliance.exit_status import ExitStatus


class ControlError(Exception):
    """Root of this room's errors; the message says what to do."""

    status = ExitStatus.ERROR

    def __init__(self, message: str, status: ExitStatus | None = None) -> None:
        super().__init__(message)
        if status is not None:
            self.status = status


class UnreachableError(ControlError):
    """Nobody answers at the coordinator's address, or the connection was lost."""

    status = ExitStatus.COORDINATOR_UNREACHABLE


class CertificateError(ControlError):
    """The coordinator's TLS certificate is not trusted for its name."""

    status = ExitStatus.CERTIFICATE_WRONG


class ClockWrongError(ControlError):
    """The certificate cannot be checked because this machine's clock is far off."""

    status = ExitStatus.CLOCK_WRONG


class NotACoordinatorError(ControlError):
    """Something answers at the address, but it is no coordinator."""

    status = ExitStatus.NOT_A_COORDINATOR


class ProtocolBrokenError(ControlError):
    """The coordinator answered in a way that the protocol does not allow."""

    status = ExitStatus.PROTOCOL_BROKEN


class UnknownNodeError(ControlError):
    """The coordinator does not know this node (any more): it must register again."""

    status = ExitStatus.LOGIN_NEEDED


class RefusedError(ControlError):
    """The coordinator refused this node; ``status`` tells why, when that could be read."""

    status = ExitStatus.KEY_REFUSED
