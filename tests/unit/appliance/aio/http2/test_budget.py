from hypothesis import given
from hypothesis import strategies as st

from appliance.aio.http2.budget import Allowance, ByteBudget


def test_the_first_bytes_of_a_connection_are_free() -> None:
    budget = ByteBudget(0)
    assert Allowance(budget, free=10).take(10)
    assert not Allowance(budget, free=10).take(11)


def test_what_goes_beyond_is_shared_by_all_connections() -> None:
    budget = ByteBudget(5)
    first, second = Allowance(budget, free=10), Allowance(budget, free=10)
    assert first.take(14)
    assert not second.take(12)
    assert second.take(11)
    assert not second.take(1)
    first.give_back(14)
    assert second.take(4)


@given(st.lists(st.integers(0, 30), max_size=20))
def test_everything_given_back_leaves_the_budget_whole(sizes: list[int]) -> None:
    budget = ByteBudget(100)
    allowance = Allowance(budget, free=10)
    taken = [size for size in sizes if allowance.take(size)]
    assert budget.left >= 0
    for size in taken:
        allowance.give_back(size)
    assert budget.left == 100
