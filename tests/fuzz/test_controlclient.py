"""Whatever a coordinator answers, the client has a value or one of its own errors."""

import json
from contextlib import suppress

import zstandard
from hypothesis import given
from hypothesis import strategies as st

from appliance.aio.messages import HttpResponse
from appliance.controlclient.config import ControlUrl, UrlError
from appliance.controlclient.errors import ControlError
from appliance.controlclient.mapstream import MAX_FRAME_SIZE, MapReader
from appliance.controlclient.pings import plan_answer
from appliance.controlclient.register import read_verdict
from appliance.protocol.errors import ProtocolError
from appliance.protocol.tailcfg import PingRequest

URL = ControlUrl.parse("https://control.test")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Error", "AuthURL", "NodeKeyExpired", "User", "Login", "Node", "ID"])
            | st.sampled_from(["Peers", "KeepAlive", "PingRequest", "DERPMap", "Key"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


@given(st.integers(200, 599), st.binary(max_size=100) | json_values.map(as_json))
def test_any_answer_to_a_registration_is_a_verdict_or_a_control_error(
    status: int, body: bytes
) -> None:
    with suppress(ControlError):
        read_verdict(HttpResponse(status, (), body), URL)


@given(
    st.lists(
        st.binary(max_size=60) | json_values.map(as_json).map(zstandard.compress),
        max_size=5,
    ),
    st.booleans(),
)
def test_any_map_stream_is_messages_or_a_protocol_error(bodies: list[bytes], framed: bool) -> None:
    """Less than one frame is ever buffered."""
    reader = MapReader()
    with suppress(ProtocolError):
        for body in bodies:
            reader.receive_data((len(body).to_bytes(4, "little") if framed else b"") + body)
            assert len(reader._buffer) < MAX_FRAME_SIZE + 4


@given(
    st.text(max_size=40) | st.text(max_size=20).map("https://x/".__add__),
    st.sampled_from(["", "c2n", "disco"]),
    st.text(max_size=40) | st.just("R0VUIC9lY2hvIEhUVFAvMS4xDQpIb3N0OiB4DQoNCg=="),
)
def test_any_ping_has_an_answer_or_is_a_protocol_error(url: str, types: str, payload: str) -> None:
    """An answer's target is one line of ASCII."""
    with suppress(ProtocolError):
        answer = plan_answer(PingRequest(url=url, url_is_noise=True, types=types, payload=payload))
        assert answer is None or (answer.target.isascii() and answer.target.isprintable())


@given(st.text(max_size=60) | st.text(max_size=40).map("https://".__add__))
def test_any_text_is_a_url_or_a_url_error(text: str) -> None:
    """A URL that is read is written in a form that means the same."""
    with suppress(UrlError):
        url = ControlUrl.parse(text)
        assert ControlUrl.parse(str(url)) == url
