"""What waits for a slow node: bounded, fair, the urgent first."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.relay.outbox import PIECE_BYTES, URGENT_LIMIT_BYTES, Outbox
from tests.support.derp import DISCO, recv_frame

A, B = b"a" * 32, b"b" * 32


def run(source: bytes, count: int, size: int = 1000) -> bytes:
    return recv_frame(source, bytes(size)) * count


def drain(outbox: Outbox) -> list[bytes]:
    return list(iter(outbox.pop, b""))


def test_what_goes_in_comes_out_in_order() -> None:
    outbox = Outbox()
    frames = b"".join(recv_frame(A, bytes([n])) for n in range(100))
    assert outbox.push(A, frames) == 0
    assert b"".join(drain(outbox)) == frames
    assert outbox.queued_bytes == 0


def test_disco_overtakes_packets() -> None:
    outbox = Outbox()
    outbox.push(A, run(A, 3) + recv_frame(A, DISCO) + run(A, 2))
    assert drain(outbox) == [recv_frame(A, DISCO), run(A, 3), run(A, 2)]


def test_the_relays_own_frames_overtake_packets() -> None:
    outbox = Outbox()
    outbox.push(A, run(A, 1))
    outbox.push_urgent(b"pong")
    outbox.push_urgent(b"gone")
    assert outbox.pop() == b"ponggone"


def test_a_long_run_leaves_in_pieces_that_end_between_frames() -> None:
    outbox = Outbox()
    outbox.push(A, run(A, 100))
    pieces = drain(outbox)
    size = len(run(A, 1))
    assert all(PIECE_BYTES <= len(piece) < PIECE_BYTES + size for piece in pieces[:-1])
    assert all(len(piece) % size == 0 for piece in pieces)


def test_sources_take_turns() -> None:
    outbox = Outbox()
    outbox.push(A, run(A, 64))
    outbox.push(B, run(B, 64))
    sources = [piece[5:37] for piece in drain(outbox)]
    assert sources == [A, B] * (len(sources) // 2)


def test_above_the_limit_the_oldest_packets_of_the_longest_queue_go() -> None:
    outbox = Outbox(limit_bytes=64 * 1024)
    frames = [recv_frame(A, n.to_bytes(2) + bytes(998)) for n in range(200)]
    outbox.push(B, run(B, 4))
    dropped = outbox.push(A, b"".join(frames))
    pieces = drain(outbox)
    assert pieces[0] == run(B, 4)
    assert b"".join(pieces[1:]) == b"".join(frames[dropped:])
    assert 0 < dropped < 200


def test_urgent_frames_are_bounded_too() -> None:
    outbox = Outbox()
    dropped = sum(outbox.push_urgent(bytes(1024)) for _ in range(100))
    assert dropped == 100 - URGENT_LIMIT_BYTES // 1024
    assert outbox.queued_bytes == URGENT_LIMIT_BYTES


@given(st.lists(st.tuples(st.sampled_from([A, B]), st.integers(1, 40)), max_size=12))
def test_no_packet_is_lost_uncounted(pushes: list[tuple[bytes, int]]) -> None:
    outbox = Outbox(limit_bytes=40_000)
    dropped = 0
    for source, count in pushes:
        dropped += outbox.push(source, run(source, count))
        assert outbox.queued_bytes <= 40_000
    kept = sum(len(piece) for piece in drain(outbox)) // len(run(A, 1))
    assert kept + dropped == sum(count for _, count in pushes)
