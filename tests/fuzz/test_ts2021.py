"""Whatever the other end of a control connection sends, we go on or say ProtocolError."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import MachinePrivate
from appliance.protocol.ts2021 import (
    MAX_FRAME_SIZE,
    ClientHandshake,
    EarlyPayloadReader,
    Session,
    accept_handshake,
)

CLIENT, SERVER, EPHEMERAL = (MachinePrivate.from_seed(bytes([n]) * 32) for n in (1, 2, 3))


def sessions() -> tuple[ClientHandshake, bytes, Session]:
    handshake = ClientHandshake(CLIENT, SERVER.public(), 131, EPHEMERAL)
    response, session = accept_handshake(handshake.header_value, SERVER, EPHEMERAL)
    return handshake, response, session


HANDSHAKE, RESPONSE, _ = sessions()


@given(st.text(max_size=150) | st.binary(min_size=101, max_size=101).map(bytes.hex))
def test_any_handshake_header_is_accepted_or_refused(value: str) -> None:
    with suppress(ProtocolError):
        accept_handshake(value, SERVER, EPHEMERAL)


@given(st.binary(max_size=80), st.integers(0, 50))
def test_any_response_is_accepted_or_refused(noise: bytes, keep: int) -> None:
    handshake = ClientHandshake(CLIENT, SERVER.public(), 131, EPHEMERAL)
    with suppress(ProtocolError):
        handshake.finish(RESPONSE[:keep] + noise)


@given(st.lists(st.binary(max_size=300).map(lambda data: b"\x04\0" + data), max_size=8))
def test_any_records_are_read_or_end_the_session(chunks: list[bytes]) -> None:
    """Less than one record is ever buffered."""
    _, _, session = sessions()
    with suppress(ProtocolError):
        for chunk in chunks:
            session.receive_data(chunk)
            assert len(session._buffer) < MAX_FRAME_SIZE


@given(st.lists(st.binary(max_size=40), max_size=6), st.integers(0, 9))
def test_any_early_payload_is_read_or_refused(chunks: list[bytes], keep: int) -> None:
    reader = EarlyPayloadReader()
    with suppress(ProtocolError):
        reader.receive_data(b"\xff\xff\xffTS\0\0\0\x10"[:keep])
        for chunk in chunks:
            reader.receive_data(chunk)
