from itertools import product

import pytest

from appliance.agent.state import BackendState, Facts, backend_state

READY = {"want_running": True, "logged_in": True, "has_netmap": True, "machine_authorized": True}


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (Facts(), BackendState.NEEDS_LOGIN),
        (Facts(want_running=True, login_needed=True), BackendState.NEEDS_LOGIN),
        (Facts(logged_in=True), BackendState.STOPPED),
        (Facts(want_running=True, logged_in=True), BackendState.STARTING),
        (Facts(want_running=True, key_offered=True), BackendState.STARTING),
        (Facts(**{**READY, "machine_authorized": False}), BackendState.NEEDS_MACHINE_AUTH),
        (Facts(**READY), BackendState.STARTING),
        (Facts(**READY, configured=True), BackendState.RUNNING),
    ],
)
def test_the_state_follows_from_the_facts(facts: Facts, state: BackendState) -> None:
    assert backend_state(facts) is state


def test_running_always_means_that_the_machine_is_configured_for_an_approved_node() -> None:
    names = list(Facts.__slots__)
    for values in product((False, True), repeat=len(names)):
        facts = Facts(**dict(zip(names, values, strict=True)))
        if backend_state(facts) is BackendState.RUNNING:
            assert facts.configured
            assert facts.machine_authorized
            assert not facts.login_needed
