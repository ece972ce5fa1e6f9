import pytest

from appliance.aio.messages import HttpResponse
from appliance.controlclient.config import ControlUrl, NodeReport
from appliance.controlclient.errors import ProtocolBrokenError, RefusedError, UnreachableError
from appliance.controlclient.register import (
    Admitted,
    LoginNeeded,
    NodeKeyExpired,
    plan_logout,
    plan_registration,
    read_verdict,
)
from appliance.exit_status import ExitStatus
from appliance.protocol.keys import DiscoPublic, NodePublic
from appliance.protocol.tailcfg import Hostinfo, Login, RegisterResponse, encode

URL = ControlUrl.parse("https://control.test")
PLAIN_URL = ControlUrl.parse("http://192.168.1.1:8080")
REPORT = NodeReport(Hostinfo(hostname="box"), DiscoPublic(bytes(32)))
KEY, OLD_KEY = NodePublic(b"k" * 32), NodePublic(b"o" * 32)


def verdict(response: RegisterResponse, url: ControlUrl = URL):
    return read_verdict(HttpResponse(200, (), encode(response)), url)


def test_a_registration_carries_key_description_and_old_key() -> None:
    request = plan_registration(REPORT, KEY, OLD_KEY, "lkauth-1", "https://control.test/r/1")
    assert (request.node_key, request.old_node_key) == (KEY, OLD_KEY)
    assert request.auth is not None
    assert request.auth.auth_key == "lkauth-1"
    assert request.followup == "https://control.test/r/1"
    assert request.hostinfo is not None
    assert request.hostinfo.hostname == "box"
    assert "lkauth" not in repr(request)


def test_without_a_pre_auth_key_none_is_sent() -> None:
    assert plan_registration(REPORT, KEY).auth is None


def test_a_logout_is_an_expiry_in_the_past() -> None:
    assert b'"Expiry":"1970-01-01T00:02:03Z"' in encode(plan_logout(KEY))


def test_admission_names_the_owner() -> None:
    response = RegisterResponse(login=Login(login_name="alice@example.com"))
    assert verdict(response) == Admitted("alice@example.com")
    assert verdict(RegisterResponse()) == Admitted("")


def test_an_expired_node_key_is_told() -> None:
    assert verdict(RegisterResponse(node_key_expired=True)) == NodeKeyExpired()


def test_a_login_page_is_passed_on() -> None:
    page = "https://control.test/register/abc"
    assert verdict(RegisterResponse(auth_url=page)) == LoginNeeded(page)


def test_a_plain_login_page_is_for_a_plain_coordinator_only() -> None:
    response = RegisterResponse(auth_url="http://192.168.1.1:8080/register/abc")
    assert isinstance(verdict(response, PLAIN_URL), LoginNeeded)
    with pytest.raises(ProtocolBrokenError, match="not safe to open"):
        verdict(response)


@pytest.mark.parametrize(
    "page",
    ["javascript:alert(1)", "file:///etc/passwd", "https://x/\x1b[2J", "https://x/" + "y" * 3000],
)
def test_an_unsafe_login_page_is_not_passed_on(page: str) -> None:
    with pytest.raises(ProtocolBrokenError, match="not safe to open"):
        verdict(RegisterResponse(auth_url=page))


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("This pre-auth key is not known here. Check it.", ExitStatus.KEY_WRONG),
        ("invalid pre auth key", ExitStatus.KEY_WRONG),
        ("AuthKey not found", ExitStatus.KEY_WRONG),
        ("authkey already used", ExitStatus.KEY_USED),
        ("This pre-auth key was for one use and has been used.", ExitStatus.KEY_USED),
        ("authkey expired", ExitStatus.KEY_EXPIRED),
        ("This pre-auth key expired on 02 May 2026.", ExitStatus.KEY_EXPIRED),
        ("This pre-auth key was revoked.", ExitStatus.KEY_REVOKED),
        ("This node key belongs to another machine.", ExitStatus.NODE_KEY_TAKEN),
        ("An admin turned this device away.", ExitStatus.KEY_REFUSED),
    ],
)
def test_a_refusal_has_the_coordinators_text_and_a_status(reason: str, status: ExitStatus) -> None:
    with pytest.raises(RefusedError) as refusal:
        verdict(RegisterResponse(error=reason))
    assert reason.rstrip(".") in str(refusal.value)
    assert str(refusal.value).endswith(".")
    assert refusal.value.status is status


def test_a_refusal_cannot_paint_the_terminal() -> None:
    with pytest.raises(RefusedError) as refusal:
        verdict(RegisterResponse(error="no\x1b[2J" + "x" * 1000))
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (HttpResponse(500, (), b"oops"), UnreachableError),
        (HttpResponse(429, (), b"slow down"), UnreachableError),
        (HttpResponse(400, (), b"unsupported version"), ProtocolBrokenError),
        (HttpResponse(200, (), b"<html>"), ProtocolBrokenError),
    ],
)
def test_other_answers_are_told_apart(response: HttpResponse, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_verdict(response, URL)
