"""Whatever arrives on a STUN port, the reader returns or says ProtocolError."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.errors import ProtocolError
from appliance.protocol.stun import COOKIE, encode_response, parse_request, parse_response

attributes = st.lists(
    st.builds(
        lambda kind, size, value: kind.to_bytes(2) + size.to_bytes(2) + value,
        st.sampled_from([0x0001, 0x0020, 0x8020, 0x8022, 0x8028, 0x1234]),
        st.integers(0, 24) | st.just(65535),
        st.binary(max_size=24),
    ),
    max_size=4,
).map(b"".join)
datagrams = st.builds(
    lambda kind, size, tx_id, body: kind + size.to_bytes(2) + COOKIE + tx_id + body,
    st.sampled_from([b"\x00\x01", b"\x01\x01"]),
    st.integers(0, 120),
    st.binary(min_size=12, max_size=12),
    attributes,
)


@given(datagrams | st.binary(max_size=100))
def test_any_datagram_is_read_or_refused(datagram: bytes) -> None:
    """An address that is read is one a server can write."""
    with suppress(ProtocolError):
        assert len(parse_request(datagram)) == 12
    with suppress(ProtocolError):
        response = parse_response(datagram)
        assert parse_response(encode_response(response.tx_id, response.address)) == response
