import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.aio.errors import HttpProtocolError
from appliance.aio.http2.framing import MAX_FRAME_SIZE, PREFACE_SIZE, FrameGuard


def frame(size: int) -> bytes:
    return size.to_bytes(3) + bytes(6) + b"\xff" * size


def feed(guard: FrameGuard, data: bytes, step: int) -> None:
    for at in range(0, len(data), step):
        guard.check(data[at : at + step])


@given(st.lists(st.integers(0, 300), max_size=10), st.integers(1, 400), st.booleans())
def test_frames_of_allowed_length_pass_in_any_fragmentation(
    sizes: list[int], step: int, preface: bool
) -> None:
    skip = PREFACE_SIZE if preface else 0
    guard = FrameGuard(skip)
    feed(guard, b"\xff" * skip + b"".join(map(frame, sizes)), step)


def test_the_longest_frame_passes() -> None:
    FrameGuard().check(frame(MAX_FRAME_SIZE) * 2)


@pytest.mark.parametrize("step", [1, 9, 10_000])
def test_a_longer_frame_is_refused_when_its_header_arrives(step: int) -> None:
    guard = FrameGuard()
    data = frame(100) + frame(MAX_FRAME_SIZE + 1)[:9]
    with pytest.raises(HttpProtocolError):
        feed(guard, data, step)
