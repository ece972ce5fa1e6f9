"""What a page says when the agent or the coordinator does not do what was asked.

Each failure becomes one sentence, a next step and an HTTP status; the sentences here are those
that can be said in the visitor's language, the rest comes from the API as it is.
"""

from dataclasses import dataclass
from typing import Final

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from appliance.adminapi.errors import AdminApiError
from appliance.exit_status import ExitStatus
from appliance.localapi.errors import LocalApiError
from webui.sentences import translate

ApiError = LocalApiError | AdminApiError


@dataclass(frozen=True, slots=True)
class Trouble:
    """What a page shows about a failure."""

    sentence: str
    next_step: str = ""
    status: int = 502
    code: str = ""


# What a person can do about it on this page, by failure code.
_TEXTS: Final = {
    ExitStatus.AGENT_NOT_RUNNING: (
        _l("The part of this box that talks to the mesh is not running."),
        _l("Wait a minute and try again; if it stays so, restart the box."),
    ),
    ExitStatus.COORDINATOR_NOT_RUNNING: (
        _l("The coordinator on this box is not running yet."),
        _l("Wait a few seconds and try again; nothing is lost."),
    ),
    ExitStatus.TIMEOUT: (
        _l("That took longer than expected."),
        _l("It may still be under way; try again in a moment."),
    ),
    ExitStatus.NOT_ALLOWED: (
        _l("This page is not allowed to do that."),
        _l("Reinstall the latchkey package, or see setup_page_user in the agent's settings."),
    ),
    ExitStatus.COORDINATOR_UNREACHABLE: (
        _l("The coordinator cannot be reached."),
        _l("Check its address and that this box has an internet connection."),
    ),
    ExitStatus.CERTIFICATE_WRONG: (
        _l("The coordinator's certificate is not valid for this address."),
        _l("Check the address; it must be the one in the certificate."),
    ),
    ExitStatus.NOT_A_COORDINATOR: (
        _l("Something answers at this address, but it is no coordinator."),
        _l("Check the address and the port."),
    ),
    ExitStatus.CLOCK_WRONG: (
        _l("The clock of this box is wrong, so certificates cannot be checked."),
        _l("Connect the box to the internet and wait a minute until it knows the time."),
    ),
    ExitStatus.KEY_WRONG: (
        _l("The coordinator does not know this key."),
        _l("Copy the whole key, or make a new one."),
    ),
    ExitStatus.KEY_USED: (
        _l("This key was good for one device, and has been used."),
        _l("Make a new one."),
    ),
    ExitStatus.KEY_EXPIRED: (_l("This key has expired."), _l("Make a new one.")),
    ExitStatus.KEY_REVOKED: (_l("This key was revoked."), _l("Make a new one.")),
    ExitStatus.NODE_KEY_TAKEN: (
        _l("The coordinator takes this box for another machine."),
        _l("Leave the mesh in the settings, then join again."),
    ),
}

_STATUS: Final = {
    ExitStatus.AGENT_NOT_RUNNING: 503,
    ExitStatus.COORDINATOR_NOT_RUNNING: 503,
    ExitStatus.TIMEOUT: 504,
    ExitStatus.COORDINATOR_UNREACHABLE: 502,
    ExitStatus.NOT_ALLOWED: 502,
    ExitStatus.NOT_FOUND: 404,
    ExitStatus.CONFLICT: 409,
    ExitStatus.REFUSED: 409,
    ExitStatus.LOCKS_OUT: 409,
    ExitStatus.ERROR: 502,
}


def explain(error: ApiError) -> Trouble:
    """Say what a failed call means for the person."""
    return explain_code(error.code, str(error))


def explain_code(code: str, message: str) -> Trouble:
    """Say what a failure code means for the person."""
    status = ExitStatus.of(code)
    if status in _TEXTS:
        sentence, next_step = _TEXTS[status]
        return Trouble(str(sentence), str(next_step), _STATUS.get(status, 422), code)
    next_step = _("Try again in a moment.") if status is ExitStatus.ERROR else ""
    return Trouble(translate(message), next_step, _STATUS.get(status, 422), code)
