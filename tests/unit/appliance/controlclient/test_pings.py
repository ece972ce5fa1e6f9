from base64 import b64encode

import pytest

from appliance.aio.messages import HttpRequest
from appliance.controlclient.pings import MAX_PAYLOAD, plan_answer
from appliance.protocol.errors import ProtocolError
from appliance.protocol.tailcfg import PingRequest

URL = "https://unused/machine/ping/1?x=y"


def c2n(payload: bytes) -> PingRequest:
    return PingRequest(url=URL, types="c2n", payload=b64encode(payload).decode())


def test_a_plain_ping_over_noise_is_a_head_request() -> None:
    ping = PingRequest(url=URL, url_is_noise=True)
    assert plan_answer(ping) == HttpRequest("HEAD", "/machine/ping/1?x=y")


def test_a_plain_ping_to_anywhere_else_is_not_answered() -> None:
    assert plan_answer(PingRequest(url="http://192.168.1.1/reboot")) is None


@pytest.mark.parametrize("types", ["disco", "TSMP", "ICMP,peerapi"])
def test_path_tests_are_not_answered(types: str) -> None:
    assert plan_answer(PingRequest(url=URL, types=types, ip="100.64.0.2")) is None


def test_echo_answers_with_the_body_it_was_sent() -> None:
    answer = plan_answer(c2n(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"))
    assert answer is not None
    assert (answer.method, answer.target) == ("POST", "/machine/ping/1?x=y")
    assert answer.body == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def test_every_other_path_is_a_bad_request() -> None:
    answer = plan_answer(c2n(b"GET /debug/netmap HTTP/1.1\r\nHost: x\r\n\r\n"))
    assert answer is not None
    assert answer.body.startswith(b"HTTP/1.1 400 Bad Request\r\n")


@pytest.mark.parametrize(
    "ping",
    [
        PingRequest(url="", url_is_noise=True),
        PingRequest(url="https://[", url_is_noise=True),
        PingRequest(url="https://x", url_is_noise=True),
        PingRequest(url="https://x/\x00", url_is_noise=True),
        PingRequest(url=URL, types="c2n", payload="!"),
        c2n(b""),
        c2n(b"nonsense"),
        c2n(b"GET /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel"),
        c2n(bytes(MAX_PAYLOAD + 1)),
    ],
)
def test_a_ping_that_makes_no_sense_is_refused(ping: PingRequest) -> None:
    with pytest.raises(ProtocolError):
        plan_answer(ping)


def test_a_line_break_in_a_url_smuggles_nothing_in() -> None:
    ping = PingRequest(url="https://x/a\r\nEvil: 1", url_is_noise=True)
    answer = plan_answer(ping)
    assert answer is None or "\n" not in answer.target
