from typing import Any

import pytest

from appliance.exit_status import ExitStatus
from appliance.netmap.prefs import AUTO_EXIT, Prefs, PrefsError, edit


def test_a_change_leaves_everything_else_as_it_is() -> None:
    before = Prefs(hostname="box", accept_routes=True)
    assert edit(before, {"want_running": True}) == Prefs(
        hostname="box", accept_routes=True, want_running=True
    )


@pytest.mark.parametrize(
    ("routes", "status"),
    [
        (["192.168.1.7/24"], ExitStatus.ROUTE_MALFORMED),
        (["printer"], ExitStatus.ROUTE_MALFORMED),
        (["224.0.0.0/4"], ExitStatus.ROUTE_MALFORMED),
        (["0.0.0.0/0"], ExitStatus.ROUTE_IS_DEFAULT),
        (["::/0"], ExitStatus.ROUTE_IS_DEFAULT),
        (["10.0.0.0/8", "10.1.0.0/16"], ExitStatus.ROUTES_OVERLAP),
    ],
)
def test_bad_routes_are_refused_with_a_status_of_their_own(
    routes: list[str], status: ExitStatus
) -> None:
    with pytest.raises(PrefsError) as caught:
        edit(Prefs(), {"advertise_routes": routes})
    assert caught.value.status is status


@pytest.mark.parametrize(
    "changes",
    [
        {"no_such_wish": True},
        {"accept_routes": "yes"},
        {"exit_node": "a", "advertise_exit_node": True},
        {"hostname": "x" * 64},
    ],
)
def test_unfit_wishes_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(PrefsError):
        edit(Prefs(), changes)


def test_routes_are_named_or_found() -> None:
    prefs = edit(Prefs(), {"advertise_routes": ["auto", "10.0.0.0/8"]})
    assert prefs.auto_routes
    assert [str(route) for route in prefs.fixed_routes()] == ["10.0.0.0/8"]


def test_the_nearest_exit_node_has_one_spelling() -> None:
    assert edit(Prefs(), {"exit_node": AUTO_EXIT}).exit_node == "auto:any"
    assert edit(Prefs(), {"exit_node": "automat"}).exit_node == "automat"
    with pytest.raises(PrefsError, match="auto:any"):
        edit(Prefs(), {"exit_node": "auto:nearest"})
