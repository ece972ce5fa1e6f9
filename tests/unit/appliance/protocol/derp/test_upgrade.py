"""The HTTP exchange before the frames."""

import pytest

from appliance.protocol.derp import upgrade
from appliance.protocol.derp.upgrade import Upgrade, plan_upgrade
from appliance.protocol.errors import ProtocolError
from tests.support.derp import RELAY


def test_the_request_is_that_of_a_stock_node() -> None:
    assert upgrade.encode_upgrade_request("relay.test", fast_start=False) == (
        b"GET /derp HTTP/1.1\r\nHost: relay.test\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n"
    )


def test_the_request_can_ask_for_a_fast_start_and_name_a_better_relay() -> None:
    request = upgrade.encode_upgrade_request("relay.test", fast_start=True, ideal_node="900a")
    assert b"\r\nDerp-Fast-Start: 1\r\n" in request
    assert b"\r\nIdeal-Node: 900a\r\n" in request


def test_a_name_cannot_smuggle_headers() -> None:
    with pytest.raises(ProtocolError):
        upgrade.encode_upgrade_request("relay.test\r\nX: y", fast_start=False)
    with pytest.raises(ProtocolError):
        upgrade.encode_upgrade_request("relay.test", fast_start=False, ideal_node="a\r\nX: y")


def test_the_answer_is_read_back() -> None:
    answer = upgrade.encode_upgrade_response(RELAY.public())
    assert b"\r\nDerp-Public-Key: " + RELAY.public().raw.hex().encode() + b"\r\n" in answer
    assert upgrade.split_upgrade_response(answer + b"frames") == b"frames"


def test_an_incomplete_answer_is_waited_for() -> None:
    answer = upgrade.encode_upgrade_response(RELAY.public())
    assert all(upgrade.split_upgrade_response(answer[:end]) is None for end in range(len(answer)))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 1010 What\r\n\r\n",
        b"HTTP/2 101 Switching\r\n\r\n",
        b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 426 \x1b[31m\xff\r\n\r\n",
    ],
)
def test_any_other_answer_is_an_error_that_shows_it(answer: bytes) -> None:
    with pytest.raises(ProtocolError, match="did not switch") as error:
        upgrade.split_upgrade_response(answer)
    assert str(error.value).isprintable()


def test_an_endless_answer_is_refused() -> None:
    with pytest.raises(ProtocolError, match="too long"):
        upgrade.split_upgrade_response(b"HTTP/1.1 101 x\r\n" + b"a" * upgrade.MAX_RESPONSE_HEAD)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("Upgrade", "DERP")], Upgrade.SWITCH),
        ([("upgrade", " derp ")], Upgrade.SWITCH),
        ([("Upgrade", "websocket")], Upgrade.SWITCH),
        ([("Upgrade", "websocket"), ("Sec-WebSocket-Protocol", "derp")], Upgrade.REFUSE),
        ([("Upgrade", "DERP"), ("Derp-Fast-Start", "1")], Upgrade.FAST_START),
        ([("Upgrade", "DERP"), ("Derp-Fast-Start", "0")], Upgrade.SWITCH),
        ([("Upgrade", "h2c")], Upgrade.REFUSE),
        ([], Upgrade.REFUSE),
    ],
)
def test_a_request_is_switched_or_refused(
    headers: list[tuple[str, str]], expected: Upgrade
) -> None:
    assert plan_upgrade(headers) is expected


def test_an_ordinary_certificate_tells_no_relay_key() -> None:
    assert upgrade.relay_key_from_certificate(b"derpkey" + b"0" * 63) is None
    name = b"derpkey" + RELAY.public().raw.hex().encode()
    assert upgrade.relay_key_from_certificate(b"\x30\x82" + name) == RELAY.public()
