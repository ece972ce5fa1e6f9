"""Whatever arrives on a DERP connection, both ends return or say ProtocolError, and hold little."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.derp import frames, login, upgrade
from appliance.protocol.derp.client import DerpClientSession
from appliance.protocol.derp.frames import FrameReader, FrameType, encode_frame
from appliance.protocol.derp.server import MAX_HELD_BACK, DerpServerSession
from appliance.protocol.errors import ProtocolError
from tests.support.derp import FRAMES, NODE, NONCE, RELAY, ServerWire, logged_in_wire

kinds = st.sampled_from(FrameType) | st.integers(0, 255)
whole = st.builds(
    lambda kind, body: frames.HEADER.pack(kind, len(body)) + body, kinds, st.binary(max_size=90)
)
lying = st.builds(
    lambda kind, length, body: frames.HEADER.pack(kind, length) + body,
    kinds,
    st.integers(0, 200) | st.integers(0, 0xFFFFFFFF),
    st.binary(max_size=90),
)
real = st.sampled_from(list(FRAMES.values()))
pieces = st.lists(whole | lying | real | st.binary(max_size=60), max_size=8)


@given(pieces)
def test_a_frame_reader_holds_back_at_most_one_frame(stream: list[bytes]) -> None:
    """What the reader holds back is never more than one frame of the allowed length."""
    reader = FrameReader(max_payload=150)
    with suppress(ProtocolError):
        for piece in stream:
            reader.feed(piece)
            assert reader.held_back < 150 + frames.HEADER_SIZE


@given(pieces, st.booleans())
def test_a_node_survives_any_relay(stream: list[bytes], fast_start: bool) -> None:
    """The session gives events or a ProtocolError, and its own output stays small."""
    relay_key = RELAY.public() if fast_start else None
    session = DerpClientSession(NODE, "relay.test", nonce=NONCE, now=0.0, relay_key=relay_key)
    answer = b"" if fast_start else upgrade.encode_upgrade_response(RELAY.public())
    with suppress(ProtocolError):
        for piece in (answer, *stream, FRAMES["server_key"], FRAMES["server_info"], *stream):
            session.receive_data(piece, now=1.0)
    assert len(session.data_to_send()) < 1024


@given(st.binary(max_size=200))
def test_a_node_survives_any_http_answer(answer: bytes) -> None:
    with suppress(ProtocolError):
        upgrade.split_upgrade_response(answer)
        upgrade.split_upgrade_response(b"HTTP/1.1 101 " + answer)


@given(pieces)
def test_a_relay_survives_any_stranger(stream: list[bytes]) -> None:
    """A stranger's bytes are refused or wait for the rest of a login, 4 KiB at most."""
    wire = ServerWire(DerpServerSession(RELAY))
    with suppress(ProtocolError):
        for piece in stream:
            if wire.events:
                break
            wire.feed(piece)
            assert wire.events or len(wire.held_back) < 5 + 4096


@given(pieces, st.integers(1, 50))
def test_a_relay_survives_any_node(stream: list[bytes], step: int) -> None:
    """Every delivered run is a sequence of whole frames from that node, and little is held back."""
    wire = logged_in_wire()
    data = b"".join(stream)
    with suppress(ProtocolError):
        for start in range(0, len(data), step):
            wire.feed(data[start : start + step])
            assert len(wire.held_back) < MAX_HELD_BACK
    for run in wire.delivered.values():
        delivered = FrameReader().feed(run)
        assert (
            b"".join(encode_frame(FrameType(kind), bytes(view)) for kind, view in delivered) == run
        )
        assert all(kind == 5 and view[:32] == NODE.public().raw for kind, view in delivered)


@given(st.binary(max_size=120))
def test_any_payload_is_read_or_refused(payload: bytes) -> None:
    for parse in (
        frames.parse_server_key,
        frames.parse_peer_gone,
        frames.parse_ping,
        frames.parse_restarting,
        login.client_info_from_json,
    ):
        with suppress(ProtocolError):
            parse(payload)
    with suppress(ProtocolError):
        login.parse_client_info(payload, RELAY)
    with suppress(ProtocolError):
        login.parse_server_info(payload, NODE, RELAY.public())
