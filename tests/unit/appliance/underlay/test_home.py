import pytest

from appliance.protocol.tailcfg import DerpMap, DerpNode, DerpRegion, HomeParams
from appliance.underlay.config import NO_REGION
from appliance.underlay.home import HISTORY_S, HomeChoice, candidate_regions
from tests.support.underlay import derp_map, region

THREE = derp_map(region(1), region(2), region(3))
NEVER = float("-inf")


def choose(
    latency_ms: dict[int, float], old: int = NO_REGION, heard_at: float = NEVER, **options: DerpMap
) -> int:
    latency_s = {number: ms / 1000 for number, ms in latency_ms.items()}
    relays = options.get("relays", THREE)
    return HomeChoice(0.5).choose(latency_s, relays, old, 100.0, old_heard_at=heard_at)


def test_the_nearest_region_is_home() -> None:
    assert choose({1: 30, 2: 10, 3: 20}) == 2


@pytest.mark.parametrize(
    ("old_ms", "best_ms", "moves"),
    [
        (50, 45, False),  # less than 10 ms gained
        (50, 39, False),  # more than two thirds of the old latency
        (50, 33, True),
        (9, 1, False),
        (200, 130, True),
        (200, 140, False),
    ],
)
def test_home_moves_only_for_a_clear_gain(old_ms: float, best_ms: float, *, moves: bool) -> None:
    assert choose({1: old_ms, 2: best_ms}, old=1) == (2 if moves else 1)


def test_a_home_that_is_silent_is_left() -> None:
    assert choose({2: 20, 3: 30}, old=1) == 2


def test_a_home_that_talks_to_us_is_kept_though_stun_does_not_see_it() -> None:
    assert choose({2: 20, 3: 30}, old=1, heard_at=95.0) == 1


def test_without_any_data_home_stays() -> None:
    assert choose({}, old=3) == 3


def test_without_data_and_home_a_region_is_drawn_and_stays_drawn() -> None:
    choice = HomeChoice(0.5)
    drawn = choice.choose({}, THREE, NO_REGION, 100.0, old_heard_at=NEVER)
    assert drawn == 2
    assert choice.choose({}, THREE, NO_REGION, 200.0, old_heard_at=NEVER) == drawn


def test_a_map_without_regions_gives_no_home() -> None:
    assert choose({}, relays=derp_map()) == NO_REGION


def test_one_good_moment_counts_for_five_minutes() -> None:
    choice = HomeChoice(0.5)
    choice.choose({1: 0.010, 2: 0.050}, THREE, 1, 0.0, old_heard_at=NEVER)
    busy = {1: 0.200, 2: 0.050}
    assert choice.choose(busy, THREE, 1, 100.0, old_heard_at=NEVER) == 1
    assert choice.choose(busy, THREE, 1, HISTORY_S + 1, old_heard_at=NEVER) == 2


def test_a_new_network_forgets_the_good_moments() -> None:
    choice = HomeChoice(0.5)
    choice.choose({1: 0.010, 2: 0.050}, THREE, 1, 0.0, old_heard_at=NEVER)
    choice.forget()
    assert choice.choose({1: 0.200, 2: 0.050}, THREE, 1, 1.0, old_heard_at=NEVER) == 2


def test_the_coordinators_scores_weigh() -> None:
    weighed = derp_map(region(1), region(2), home_params=HomeParams(region_score={1: 0.5, 2: -1.0}))
    assert choose({1: 30, 2: 20}, relays=weighed) == 1


def test_regions_that_may_not_be_home_are_not() -> None:
    stun_only = DerpRegion(region_id=4, nodes=(DerpNode(host_name="x", stun_only=True),))
    relays = derp_map(
        region(1), region(2, no_measure_no_home=True), region(3, avoid=True), stun_only
    )
    assert candidate_regions(relays, NO_REGION) == (1,)
    assert candidate_regions(relays, 3) == (1, 3)
    assert choose({1: 90, 2: 1, 3: 1, 4: 1}, relays=relays) == 1


def test_a_home_that_left_the_map_is_replaced() -> None:
    assert choose({2: 20}, old=9, heard_at=99.0) == 2
