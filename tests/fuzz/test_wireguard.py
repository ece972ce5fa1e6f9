"""What wireguard-go and the kernel answer is read, or refused, whatever the bytes."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from appliance.dataplane import genetlink
from appliance.host import rtmessages
from appliance.host.netlink import attribute, nested, parse_messages
from appliance.protocol.errors import ProtocolError
from appliance.protocol.wireguard import parse_device, parse_errno

DEVICE = ["private_key", "listen_port", "fwmark", "errno", "unknown", ""]
PEER = ["public_key", "endpoint", "allowed_ip", "rx_bytes"]
TIME = ["last_handshake_time_sec", "last_handshake_time_nsec"]
NAMES = st.sampled_from([*DEVICE, *PEER, *TIME])
VALUES = st.sampled_from(
    ["0", "-98", "41641", "00" * 32, "ab" * 32, "1.2.3.4:5", "[::1]:5", "10.0.0.0/8", "fd00::/8"]
) | st.text(max_size=12)
ANSWERS = st.lists(st.tuples(NAMES, VALUES).map("=".join), max_size=8).map(
    lambda lines: ("\n".join(lines) + "\n\n").encode()
)


@given(ANSWERS | st.binary(max_size=200))
def test_any_answer_of_wireguard_go_is_a_device_or_a_protocol_error(answer: bytes) -> None:
    with suppress(ProtocolError):
        assert 0 <= parse_device(answer).listen_port < 10**20
    with suppress(ProtocolError):
        assert parse_errno(answer) >= 0


ATTRIBUTES = st.recursive(
    st.builds(attribute, st.integers(0, 12), st.binary(max_size=36)) | st.binary(max_size=12),
    lambda inner: st.builds(nested, st.integers(0, 12), st.lists(inner, max_size=3)),
    max_leaves=8,
)


@given(st.lists(ATTRIBUTES, max_size=4).map(b"".join))
def test_any_row_of_the_kernel_is_read_or_left_out(attributes: bytes) -> None:
    """A device has only peers whose key has 32 bytes."""
    device = genetlink.parse_device([b"\0\1\0\0" + attributes])
    assert all(len(key.raw) == 32 for key in device.peers)
    header = bytes(16)
    for parse in (rtmessages.parse_link, rtmessages.parse_address, rtmessages.parse_route):
        parse(header + attributes)
    rtmessages.parse_rule(header + attributes)
    assert all(len(payload) <= len(attributes) for *_, payload in parse_messages(attributes))
