import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.aio.backoff import Backoff


def test_pauses_double_up_to_the_maximum() -> None:
    backoff = Backoff(1.0, 5.0)
    assert [backoff.next(0.5) for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_success_begins_again_with_the_shortest_pause() -> None:
    backoff = Backoff(1.0, 5.0)
    backoff.next(0.5)
    backoff.next(0.5)
    backoff.reset()
    assert backoff.next(0.5) == 1.0


def test_chance_spreads_the_pauses() -> None:
    assert Backoff(1.0, 30.0).next(0.0) == pytest.approx(0.5)
    assert Backoff(1.0, 30.0).next(0.999) == pytest.approx(1.499)


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=50))
def test_no_pause_is_longer_than_the_maximum(chances: list[float]) -> None:
    backoff = Backoff(0.1, 30.0)
    assert all(0 < backoff.next(chance) <= 30.0 for chance in chances)
