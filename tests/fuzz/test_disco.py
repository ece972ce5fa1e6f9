"""Whatever a peer seals or a stranger sends, the reader returns or says ProtocolError."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_box_afternm, crypto_box_beforenm

from appliance.protocol.disco import (
    MAGIC,
    CallMeMaybe,
    DiscoBox,
    Ping,
    Pong,
    Unknown,
    encode_message,
    parse_message,
    parse_sender,
)
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import DiscoPrivate

A = DiscoPrivate.from_seed(bytes(range(32)))
B = DiscoPrivate.from_seed(bytes(range(1, 33)))
BOX = DiscoBox(A, B.public())
SHARED = crypto_box_beforenm(A.public().raw, B.raw)


@given(st.binary(max_size=200) | st.binary(max_size=200).map(MAGIC.__add__))
def test_any_datagram_is_opened_or_refused(datagram: bytes) -> None:
    with suppress(ProtocolError):
        parse_sender(datagram)
    with suppress(ProtocolError):
        BOX.open(datagram)


@given(
    st.builds(
        lambda kind, version, payload: bytes((kind, version)) + payload,
        st.integers(0, 10),
        st.integers(0, 1),
        st.binary(max_size=120),
    )
    | st.binary(max_size=64)
)
def test_any_sealed_message_is_read_or_refused(inner: bytes) -> None:
    """What is read means the same when written and read again."""
    datagram = MAGIC + B.public().raw + bytes(24) + crypto_box_afternm(inner, bytes(24), SHARED)
    with suppress(ProtocolError):
        message = BOX.open(datagram)
        assert isinstance(message, Ping | Pong | CallMeMaybe | Unknown)
        if not isinstance(message, Unknown):
            assert parse_message(encode_message(message)) == message
