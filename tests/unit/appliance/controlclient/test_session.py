import itertools

import pytest

from appliance.controlclient.session import TRANSITIONS, ControlInput, ControlState, next_state

PAIRS = list(itertools.product(ControlState, ControlInput))


@pytest.mark.parametrize(("state", "happening"), PAIRS)
def test_every_pair_is_in_the_table_or_an_error(
    state: ControlState, happening: ControlInput
) -> None:
    if (state, happening) in TRANSITIONS:
        assert isinstance(next_state(state, happening), ControlState)
    else:
        with pytest.raises(KeyError):
            next_state(state, happening)


@pytest.mark.parametrize("state", ControlState)
def test_the_owner_may_log_in_and_out_in_every_state(state: ControlState) -> None:
    assert next_state(state, ControlInput.LOG_IN) is ControlState.CONNECTING
    assert next_state(state, ControlInput.LOGGED_OUT) is ControlState.LOGGED_OUT


def test_every_state_can_be_reached_from_the_first() -> None:
    reached = {ControlState.LOGGED_OUT}
    while (
        more := {after for (before, _), after in TRANSITIONS.items() if before in reached} - reached
    ):
        reached |= more
    assert reached == set(ControlState)


def test_a_lost_connection_is_followed_by_another_attempt() -> None:
    state = next_state(ControlState.RUNNING, ControlInput.LOST)
    assert next_state(state, ControlInput.RETRY) is ControlState.CONNECTING
