from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.underlay.bursts import MAX_BURST, MAX_SEGMENTS, plan_bursts, split_burst


def views(sizes: list[int]) -> list[memoryview]:
    return [memoryview(bytes([i % 256]) * size) for i, size in enumerate(sizes)]


def planned(sizes: list[int]) -> list[list[int]]:
    return [[len(p) for p in burst.packets] for burst in plan_bursts(views(sizes))]


def test_equal_packets_go_together_and_a_shorter_one_ends_the_burst() -> None:
    assert planned([1312, 1312, 1312, 96, 96, 1312]) == [[1312, 1312, 1312, 96], [96], [1312]]


def test_a_longer_packet_begins_a_new_burst() -> None:
    assert planned([96, 1312, 1312]) == [[96], [1312, 1312]]


def test_a_burst_has_at_most_64_packets() -> None:
    assert [len(burst) for burst in planned([100] * 130)] == [64, 64, 2]


def test_a_burst_fits_into_one_datagram() -> None:
    assert [len(burst) for burst in planned([1400] * 60)] == [46, 14]


def test_nothing_makes_no_burst() -> None:
    assert planned([]) == []


@settings(deadline=None)
@given(st.lists(st.sampled_from([0, 1, 32, 96, 148, 1312, 1452, 9000]), max_size=300))
def test_bursts_keep_every_packet_in_order_and_obey_the_kernel(sizes: list[int]) -> None:
    packets = views(sizes)
    bursts = list(plan_bursts(packets))
    assert [p for burst in bursts for p in burst.packets] == packets
    for burst in bursts:
        lengths = [len(p) for p in burst.packets]
        assert len(lengths) <= MAX_SEGMENTS
        assert sum(lengths) <= MAX_BURST
        if len(lengths) > 1:
            assert set(lengths[:-1]) == {burst.size}
            assert 0 < lengths[-1] <= burst.size


@settings(deadline=None)
@given(st.lists(st.binary(min_size=7, max_size=7), min_size=1, max_size=64), st.binary(max_size=6))
def test_what_was_put_together_is_cut_apart_again(packets: list[bytes], last: bytes) -> None:
    sent = [*packets, last] if last else packets
    assert split_burst(memoryview(b"".join(sent)), 7) == sent


def test_a_read_without_a_segment_size_is_one_packet() -> None:
    assert split_burst(memoryview(b"abc"), 0) == [b"abc"]
