"""DERP frames against reference vectors, round trips, and any cut of the stream."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.derp import frames
from appliance.protocol.derp.frames import FrameReader, FrameType, PeerGoneReason, encode_frame
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import NodePublic
from tests.support.derp import DISCO, FRAMES, NODE, RELAY, VECTORS

KEY = bytes(range(32))


def payload(name: str) -> bytes:
    return FRAMES[name][5:]


@pytest.mark.parametrize("header", VECTORS["headers"], ids=lambda header: header["hex"])
def test_a_header_is_a_type_and_a_length(header: dict[str, object]) -> None:
    kind, length = frames.HEADER.unpack(bytes.fromhex(str(header["hex"])))
    assert (kind, length) == (header["type"], header["length"])


def test_the_greeting_is_that_of_the_reference() -> None:
    assert frames.encode_server_key(RELAY.public()) == FRAMES["server_key"]
    assert frames.parse_server_key(payload("server_key")) == RELAY.public()


def test_a_greeting_may_grow_at_its_end() -> None:
    assert frames.parse_server_key(payload("server_key") + b"more") == RELAY.public()


@pytest.mark.parametrize("greeting", [b"", b"DERP", b"X" * 40, b"HTTP/1.1 404 Not Found" * 3])
def test_a_greeting_without_magic_is_no_relay(greeting: bytes) -> None:
    with pytest.raises(ProtocolError, match="not a DERP relay"):
        frames.parse_server_key(greeting)


def test_a_packet_is_encoded_as_the_reference_does() -> None:
    packet = bytes.fromhex("04000000")
    assert frames.encode_send_packet(NODE.public().raw, packet) == FRAMES["send_packet"]


def test_a_delivered_packet_differs_in_type_and_key_only() -> None:
    assert frames.encode_recv_packet(KEY, b"abc") == b"\x05\0\0\0\x23" + KEY + b"abc"


def test_a_packet_above_64_kib_is_refused() -> None:
    assert len(frames.encode_send_packet(KEY, bytes(65536))) == 65536 + 37
    with pytest.raises(ProtocolError, match="at most 65536"):
        frames.encode_send_packet(KEY, bytes(65537))


def test_ping_and_pong_carry_eight_bytes() -> None:
    data = bytes(range(1, 9))
    assert encode_frame(FrameType.PING, data) == FRAMES["ping"]
    assert encode_frame(FrameType.PONG, data) == FRAMES["pong"]
    assert frames.parse_ping(payload("ping")) == data
    assert frames.parse_ping(data + b"future") == data


@pytest.mark.parametrize("size", [0, 7, 1001])
def test_a_ping_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ProtocolError):
        frames.parse_ping(bytes(size))


def test_restarting_tells_two_times() -> None:
    assert frames.encode_restarting(1, 2) == FRAMES["restarting"]
    assert frames.parse_restarting(payload("restarting")) == (0.001, 0.002)
    with pytest.raises(ProtocolError):
        frames.parse_restarting(bytes(7))


def test_peer_gone_tells_key_and_reason() -> None:
    frame = frames.encode_peer_gone(KEY, PeerGoneReason.NOT_HERE)
    assert frame == b"\x08\0\0\0\x21" + KEY + b"\x01"
    assert frames.parse_peer_gone(frame[5:]) == (NodePublic(KEY), PeerGoneReason.NOT_HERE)


@pytest.mark.parametrize("tail", [b"", b"\x00", b"\x77", b"\x00future"])
def test_an_absent_or_unknown_reason_is_a_disconnect(tail: bytes) -> None:
    peer, reason = frames.parse_peer_gone(KEY + tail)
    assert (peer, reason) == (NodePublic(KEY), PeerGoneReason.DISCONNECTED)


def test_peer_gone_without_a_whole_key_is_refused() -> None:
    with pytest.raises(ProtocolError):
        frames.parse_peer_gone(KEY[:31])


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (DISCO, True),
        (DISCO[:62], True),
        (DISCO[:61], False),
        (b"\x04" + DISCO[1:], False),
        (b"", False),
    ],
)
def test_disco_is_told_by_magic_and_length(packet: bytes, expected: bool) -> None:
    assert frames.looks_like_disco(packet) is expected


# -- the reader

STREAM = FRAMES["server_key"] + FRAMES["health_good"] + FRAMES["send_packet"] + FRAMES["ping"]
EXPECTED = [
    (1, payload("server_key")),
    (0x14, b""),
    (4, payload("send_packet")),
    (0x12, payload("ping")),
]


def read(reader: FrameReader, *pieces: bytes) -> list[tuple[int, bytes]]:
    return [(kind, bytes(view)) for piece in pieces for kind, view in reader.feed(piece)]


def test_frames_are_read_from_one_piece() -> None:
    assert read(FrameReader(), STREAM) == EXPECTED


def test_frames_are_read_byte_by_byte() -> None:
    pieces = [STREAM[index : index + 1] for index in range(len(STREAM))]
    assert read(FrameReader(), *pieces) == EXPECTED


@given(st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_frames_are_read_however_the_stream_is_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[a:b] for a, b in itertools.pairwise(edges)]
    assert read(FrameReader(), *pieces) == EXPECTED


@given(
    st.lists(st.tuples(st.sampled_from(FrameType), st.binary(max_size=80)), max_size=8),
    st.integers(1, 40),
)
def test_what_is_encoded_is_read_again(sent: list[tuple[FrameType, bytes]], step: int) -> None:
    stream = b"".join(encode_frame(kind, data) for kind, data in sent)
    pieces = [stream[index : index + step] for index in range(0, len(stream), step)]
    assert read(FrameReader(), *pieces) == [(int(kind), data) for kind, data in sent]


def test_a_frame_above_the_limit_is_refused_at_its_header() -> None:
    with pytest.raises(ProtocolError, match="above the limit"):
        FrameReader().feed(bytes.fromhex("05ffffffff"))


def test_a_frame_of_an_unknown_type_is_skipped_without_being_kept() -> None:
    reader = FrameReader(max_payload=100)
    assert read(reader, b"\x99\x00\x10\x00\x00" + bytes(1000)) == []
    assert reader.held_back == 0
    assert read(reader, bytes((1 << 20) - 1000) + FRAMES["pong"]) == [(0x13, payload("pong"))]


def test_the_reader_holds_back_one_incomplete_frame_only() -> None:
    reader = FrameReader()
    read(reader, FRAMES["send_packet"] * 50 + FRAMES["ping"][:-1])
    assert reader.held_back == len(FRAMES["ping"]) - 1
