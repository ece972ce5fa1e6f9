"""A node's connection to a relay, driven by bytes and time."""

import pytest

from appliance.protocol.derp import client
from appliance.protocol.derp.client import (
    DerpClientSession,
    HealthChanged,
    LoggedIn,
    Packets,
    PeerGone,
    PongReceived,
    Restarting,
    State,
)
from appliance.protocol.derp.frames import (
    FrameType,
    PeerGoneReason,
    encode_frame,
    encode_peer_gone,
    encode_recv_packet,
)
from appliance.protocol.derp.login import ServerInfo, encode_server_info
from appliance.protocol.derp.upgrade import encode_upgrade_request, encode_upgrade_response
from appliance.protocol.errors import ProtocolError
from tests.support.derp import FRAMES, NODE, NONCE, RELAY, node_key

HOST = "relay.test"
PEER = node_key(9).public()
ANSWER = encode_upgrade_response(RELAY.public()) + FRAMES["server_key"]


def new_session(**options: object) -> DerpClientSession:
    return DerpClientSession(NODE, HOST, nonce=NONCE, now=0.0, **options)  # type: ignore[arg-type]


def running_session(**options: object) -> DerpClientSession:
    session = new_session(**options)
    session.receive_data(ANSWER + FRAMES["server_info"], now=1.0)
    session.data_to_send()
    assert session.state is State.RUNNING
    return session


def test_the_login_follows_the_greeting() -> None:
    session = new_session()
    assert session.data_to_send() == encode_upgrade_request(HOST, fast_start=False)
    assert session.receive_data(ANSWER, now=0.1) == []
    assert session.data_to_send() == FRAMES["client_info"]
    [event] = session.receive_data(FRAMES["server_info"], now=0.2)
    assert event == LoggedIn(RELAY.public(), 0, 0)


def test_with_a_fast_start_request_and_login_leave_together() -> None:
    session = new_session(relay_key=RELAY.public())
    request = encode_upgrade_request(HOST, fast_start=True)
    assert session.data_to_send() == request + FRAMES["client_info"]
    [event] = session.receive_data(FRAMES["server_key"] + FRAMES["server_info"], now=0.1)
    assert event == LoggedIn(RELAY.public(), 0, 0)


def test_the_login_works_byte_by_byte() -> None:
    session = new_session()
    stream = ANSWER + FRAMES["server_info"] + encode_recv_packet(PEER.raw, b"hello")
    events = [
        event
        for index in range(len(stream))
        for event in session.receive_data(stream[index : index + 1], now=0.1)
    ]
    assert events[0] == LoggedIn(RELAY.public(), 0, 0)
    assert events[1:] == [Packets([(PEER.raw, memoryview(b"hello"))])]


def test_a_home_relay_is_told_at_once() -> None:
    session = new_session(relay_key=RELAY.public(), preferred=True)
    assert session.data_to_send().endswith(b"\x07\0\0\0\x01\x01")


def test_a_change_of_home_is_told_once() -> None:
    session = running_session()
    session.note_preferred(preferred=True)
    session.note_preferred(preferred=True)
    assert session.data_to_send() == b"\x07\0\0\0\x01\x01"
    session.note_preferred(preferred=False)
    assert session.data_to_send() == b"\x07\0\0\0\x01\x00"


def test_a_change_of_home_before_the_login_is_told_with_it() -> None:
    session = new_session()
    session.data_to_send()
    session.note_preferred(preferred=True)
    session.receive_data(ANSWER, now=0.1)
    assert session.data_to_send() == FRAMES["client_info"] + b"\x07\0\0\0\x01\x01"


def test_packets_that_arrive_together_come_in_one_event() -> None:
    session = running_session()
    stream = b"".join(encode_recv_packet(PEER.raw, bytes([n]) * 3) for n in range(5))
    [event] = session.receive_data(stream, now=2.0)
    assert isinstance(event, Packets)
    assert event.packets == [(PEER.raw, bytes([n]) * 3) for n in range(5)]


def test_packets_and_other_news_keep_their_order() -> None:
    session = running_session()
    packet = encode_recv_packet(PEER.raw, b"x")
    gone = encode_peer_gone(PEER.raw, PeerGoneReason.DISCONNECTED)
    events = session.receive_data(packet + gone + packet, now=2.0)
    assert [type(event) for event in events] == [Packets, PeerGone, Packets]


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (encode_peer_gone(PEER.raw, PeerGoneReason.NOT_HERE), PeerGone(PEER, PeerGoneReason(1))),
        (FRAMES["pong"], PongReceived(bytes(range(1, 9)))),
        (FRAMES["health_bad"], HealthChanged("BAD")),
        (FRAMES["health_good"], HealthChanged("")),
        (encode_frame(FrameType.HEALTH, b"a\x1b[2J\xff\nb"), HealthChanged("a[2J\ufffdb")),
        (FRAMES["restarting"], Restarting(0.001, 0.002)),
    ],
)
def test_the_relays_news_become_events(frame: bytes, expected: client.Event) -> None:
    assert running_session().receive_data(frame, now=2.0) == [expected]


@pytest.mark.parametrize("kind", [0x06, 0x09, 0x42, 0x01])
def test_what_says_nothing_to_a_node_is_passed_over(kind: int) -> None:
    frame = bytes([kind]) + b"\0\0\0\x02ab"
    assert running_session().receive_data(frame, now=2.0) == []


def test_a_ping_is_answered() -> None:
    session = running_session()
    session.receive_data(FRAMES["ping"], now=2.0)
    assert session.data_to_send() == FRAMES["pong"]


def test_a_relay_that_pings_without_end_gets_few_answers() -> None:
    session = running_session()
    session.receive_data(FRAMES["ping"] * 1000, now=2.0)
    assert session.data_to_send() == FRAMES["pong"] * client.MAX_QUEUED_PONGS
    session.receive_data(FRAMES["ping"], now=2.0)
    assert session.data_to_send() == FRAMES["pong"]


def test_a_ping_of_our_own_carries_eight_bytes() -> None:
    session = running_session()
    session.ping(bytes(range(1, 9)))
    assert session.data_to_send() == FRAMES["ping"]
    with pytest.raises(ProtocolError):
        session.ping(b"short")


def test_packets_for_one_peer_are_encoded_in_one_piece() -> None:
    packets = [b"a", memoryview(b"bc"), b""]
    frames = DerpClientSession.encode_packets(PEER, packets)
    assert frames == b"".join(DerpClientSession.encode_packet(PEER, p) for p in packets)
    with pytest.raises(ProtocolError):
        DerpClientSession.encode_packets(PEER, [bytes(65537)])


def test_the_reference_packet_is_encoded_byte_for_byte() -> None:
    packet = bytes.fromhex("04000000")
    assert DerpClientSession.encode_packet(NODE.public(), packet) == FRAMES["send_packet"]


def test_a_relay_that_asks_for_a_rate_is_heard() -> None:
    session = new_session(relay_key=RELAY.public())
    answer = encode_server_info(ServerInfo(2, 100, 200), RELAY, NODE.public(), NONCE)
    assert session.receive_data(answer, now=0.1) == [LoggedIn(RELAY.public(), 100, 200)]


def test_another_servers_answer_is_an_error() -> None:
    with pytest.raises(ProtocolError, match="did not switch"):
        new_session().receive_data(b"HTTP/1.1 404 Not Found\r\n\r\n", now=0.1)
    with pytest.raises(ProtocolError, match="greeting"):
        new_session().receive_data(
            encode_upgrade_response(RELAY.public()) + FRAMES["ping"], now=0.1
        )


def test_an_answer_sealed_by_another_relay_is_an_error() -> None:
    session = new_session(relay_key=node_key(5).public())
    with pytest.raises(ProtocolError, match="does not open"):
        session.receive_data(FRAMES["server_info"], now=0.1)


def test_a_login_has_ten_seconds() -> None:
    session = new_session()
    assert session.next_timeout() == client.LOGIN_S
    session.receive_data(ANSWER, now=9.0)
    session.handle_timeout(now=9.9)
    with pytest.raises(ProtocolError, match="login"):
        session.handle_timeout(now=10.0)


def test_any_frame_is_a_sign_of_life() -> None:
    session = running_session()
    session.receive_data(encode_frame(FrameType.KEEP_ALIVE), now=60.0)
    assert session.next_timeout() == 60.0 + client.SILENCE_S
    session.handle_timeout(now=179.0)
    with pytest.raises(ProtocolError, match="silent"):
        session.handle_timeout(now=180.0)


def test_nothing_in_a_session_prints_the_key() -> None:
    assert NODE.raw.hex()[:8] not in repr(new_session().__dict__)
