"""A node's connection as the relay sees it, driven by bytes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.derp import server
from appliance.protocol.derp.frames import FrameType, encode_frame
from appliance.protocol.derp.login import ClientInfo
from appliance.protocol.derp.server import (
    DerpServerSession,
    LoginRequested,
    PreferenceChanged,
    State,
    split_frames,
)
from appliance.protocol.errors import ProtocolError
from tests.support.derp import (
    DISCO,
    FRAMES,
    NODE,
    NONCE,
    RELAY,
    ServerWire,
    logged_in_wire,
    recv_frame,
    send_frame,
)

A, B = b"a" * 32, b"b" * 32
SOURCE = NODE.public().raw


def test_the_relay_greets_first() -> None:
    assert DerpServerSession(RELAY).greeting() == FRAMES["server_key"]


def test_a_login_is_opened_and_answered() -> None:
    wire = ServerWire(DerpServerSession(RELAY))
    wire.feed(FRAMES["client_info"])
    assert wire.events == [LoginRequested(NODE.public(), ClientInfo())]
    assert wire.session.admit(NONCE) == FRAMES["server_info"]
    assert wire.session.state is State.RUNNING


def test_what_follows_a_login_waits_for_the_admission() -> None:
    wire = ServerWire(DerpServerSession(RELAY))
    wire.feed(FRAMES["client_info"] + send_frame(A, b"early"))
    assert wire.delivered == {}
    wire.session.admit(NONCE)
    wire.feed(b"")
    assert wire.delivered == {A: recv_frame(SOURCE, b"early")}


def test_a_node_is_admitted_once() -> None:
    session = DerpServerSession(RELAY)
    with pytest.raises(ProtocolError):
        session.admit(NONCE)
    wire = logged_in_wire()
    with pytest.raises(ProtocolError):
        wire.session.admit(NONCE)


@pytest.mark.parametrize(
    "first",
    [
        FRAMES["ping"],
        send_frame(A, b"packet without a login"),
        b"\x02\0\0\0\x37" + bytes(55),
        b"\x02\0\0\x10\x01",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_anything_but_a_login_at_first_is_refused(first: bytes) -> None:
    with pytest.raises(ProtocolError, match="did not log in"):
        DerpServerSession(RELAY).receive(bytearray(first), len(first))


def test_a_packet_becomes_a_frame_for_its_destination() -> None:
    wire = logged_in_wire()
    wire.feed(send_frame(A, b"one"))
    assert wire.delivered == {A: recv_frame(SOURCE, b"one")}
    assert wire.packets == 1


def test_equal_frames_in_a_row_are_one_run() -> None:
    wire = logged_in_wire()
    runs = wire.feed(send_frame(A, b"12345") * 100)
    assert [(key, count) for key, _, _, count in runs] == [(A, 100)]
    assert wire.delivered == {A: recv_frame(SOURCE, b"12345") * 100}


def test_frames_of_several_sizes_for_one_node_are_one_run() -> None:
    wire = logged_in_wire()
    packets = [b"x" * size for size in (3, 3, 9, 0, 1400, 1400, 3)]
    runs = wire.feed(b"".join(send_frame(A, packet) for packet in packets))
    assert [(key, count) for key, _, _, count in runs] == [(A, 7)]
    assert wire.delivered[A] == b"".join(recv_frame(SOURCE, packet) for packet in packets)


def test_a_frame_between_two_runs_parts_them() -> None:
    wire = logged_in_wire()
    runs = wire.feed(send_frame(A, b"1") + FRAMES["ping"] + send_frame(A, b"1"))
    assert len(runs) == 2
    assert wire.delivered[A] == recv_frame(SOURCE, b"1") * 2


packets = st.lists(
    st.tuples(st.sampled_from([A, B]), st.sampled_from([b"", b"p" * 20, b"q" * 20, DISCO])),
    max_size=12,
)


@given(packets, st.lists(st.integers(0, 800), max_size=6))
def test_packets_arrive_whole_and_in_order_however_the_stream_is_cut(
    sent: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    wire = logged_in_wire()
    stream = b"".join(send_frame(*packet) for packet in sent)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    for start, end in pairwise(edges):
        wire.feed(stream[start:end])
    for key in (A, B):
        expected = b"".join(recv_frame(SOURCE, packet) for to, packet in sent if to == key)
        assert wire.delivered.get(key, b"") == expected
    assert wire.packets == len(sent)
    assert wire.held_back == b""


def test_the_stream_can_come_byte_by_byte() -> None:
    wire = logged_in_wire()
    stream = send_frame(A, b"one") + FRAMES["ping"] + b"\x99\0\0\0\x03abc" + send_frame(B, b"two")
    for index in range(len(stream)):
        wire.feed(stream[index : index + 1])
    assert wire.delivered == {A: recv_frame(SOURCE, b"one"), B: recv_frame(SOURCE, b"two")}
    assert wire.session.pong == FRAMES["pong"]


def test_the_longest_packet_fits_and_a_longer_one_is_refused() -> None:
    wire = logged_in_wire()
    longest = send_frame(A, bytes(65536))
    assert len(longest) == server.MAX_HELD_BACK
    wire.feed(longest[:-1])
    wire.feed(longest[-1:])
    assert wire.packets == 1
    with pytest.raises(ProtocolError, match="SendPacket"):
        wire.feed(send_frame(A, bytes(65537))[:5])


@pytest.mark.parametrize(
    "frame",
    [
        b"\x04\0\0\0\x1f" + bytes(31),
        encode_frame(FrameType.NOTE_PREFERRED, b""),
        encode_frame(FrameType.NOTE_PREFERRED, b"\0\0"),
        encode_frame(FrameType.PING, bytes(7)),
        encode_frame(FrameType.PING, bytes(1001)),
        b"\x12\xff\xff\xff\xff",
        encode_frame(FrameType.WATCH_CONNS),
        encode_frame(FrameType.CLOSE_PEER, A),
        encode_frame(FrameType.FORWARD_PACKET, A + B + b"x"),
        b"\x0a\0\0\x10\x00",
    ],
    ids=range(10),
)
def test_a_frame_that_a_node_may_not_send_is_refused(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        logged_in_wire().feed(frame)


def test_a_frame_of_an_unknown_type_is_skipped_without_being_kept() -> None:
    wire = logged_in_wire()
    wire.feed(b"\x77\xff\xff\xff\xff" + bytes(10_000))
    assert wire.held_back == b""
    wire = logged_in_wire()
    wire.feed(b"\x77\0\0\x10\x00" + bytes(4096) + send_frame(A, b"after"))
    assert wire.delivered == {A: recv_frame(SOURCE, b"after")}


def test_a_ping_is_answered_once_until_the_answer_is_taken() -> None:
    wire = logged_in_wire()
    wire.feed(FRAMES["ping"] + encode_frame(FrameType.PING, b"surplus!"))
    assert wire.session.pong == FRAMES["pong"]


def test_the_home_of_a_node_is_told() -> None:
    wire = logged_in_wire()
    wire.feed(b"\x07\0\0\0\x01\x01\x07\0\0\0\x01\x00")
    assert wire.events == [PreferenceChanged(True), PreferenceChanged(False)]


def test_a_run_is_split_into_its_frames() -> None:
    frames = recv_frame(SOURCE, b"abc") + recv_frame(SOURCE, DISCO) + recv_frame(SOURCE, b"")
    assert list(split_frames(frames)) == [
        (0, 40, False),
        (40, 77 + len(DISCO), True),
        (77 + len(DISCO), 114 + len(DISCO), False),
    ]
