from pathlib import Path

import pytest

from appliance.adminapi.errors import CoordinatorNotRunningError
from appliance.exit_status import ExitStatus
from appliance.localapi.errors import AgentNotRunningError, LocalApiError
from tests.support.webui import make_page
from webui.failures import ApiError, explain


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (AgentNotRunningError("x"), 503),
        (CoordinatorNotRunningError("x"), 503),
        (LocalApiError("x", "timeout"), 504),
        (LocalApiError("x", "conflict"), 409),
        (LocalApiError("x", "route-malformed"), 422),
        (LocalApiError("x", "key-expired"), 422),
        (LocalApiError("The agent broke off: x"), 502),
        (LocalApiError("x", "a-code-of-the-future"), 502),
    ],
)
def test_a_failure_has_a_fitting_status(tmp_path: Path, error: ApiError, status: int) -> None:
    with make_page(tmp_path).app.test_request_context():
        assert explain(error).status == status


def test_what_the_api_says_stands_where_we_know_nothing_better(tmp_path: Path) -> None:
    with make_page(tmp_path).app.test_request_context():
        assert explain(LocalApiError("A and B overlap.", "routes-overlap")).sentence == (
            "A and B overlap."
        )


def test_failures_are_told_in_the_language_of_the_visitor(tmp_path: Path) -> None:
    headers = {"Accept-Language": "de"}
    with make_page(tmp_path).app.test_request_context(headers=headers):
        trouble = explain(LocalApiError("x", ExitStatus.KEY_EXPIRED.code))
        assert trouble.sentence == "Dieser Schlüssel ist abgelaufen."
