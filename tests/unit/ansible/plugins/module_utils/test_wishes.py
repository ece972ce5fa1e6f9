import msgspec
import pytest

from ansible.plugins.module_utils.unixapi import ApiError
from ansible.plugins.module_utils.wishes import (
    FRESH,
    Standing,
    changes,
    check_key,
    check_mesh,
    shown,
    standing,
)
from appliance.netmap.prefs import Prefs

HERE = "https://mesh.example"


def test_a_fresh_node_is_what_the_agent_says_it_is() -> None:
    assert msgspec.to_builtins(Prefs()) | {"advertise_routes": []} == FRESH


def test_only_what_differs_is_changed() -> None:
    wanted = {"hostname": "home", "accept_dns": True, "advertise_routes": ["192.168.1.0/24"]}
    assert changes(FRESH, wanted) == {"hostname": "home", "advertise_routes": ["192.168.1.0/24"]}


def test_the_order_of_routes_does_not_matter() -> None:
    present = {**FRESH, "advertise_routes": ["192.168.1.0/24", "fd00::/64"]}
    assert changes(present, {"advertise_routes": ["FD00::/64", "192.168.1.0/24"]}) == {}


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"acept_dns": True}, "has no pref 'acept_dns'. Did you mean 'accept_dns'?"),
        ({"zzz": 1}, "has no pref 'zzz'. It knows accept_dns, accept_routes"),
        ({"want_running": True}, "follows from `state` and `login_server`"),
        ({"accept_dns": "yes"}, "'accept_dns' must be true or false, not 'yes'"),
        ({"hostname": 7}, "'hostname' must be text, not 7"),
        ({"advertise_routes": "192.168.1.0/24"}, "'advertise_routes' must be a list"),
        ({"advertise_routes": ["192.168.1.5/24"]}, "'192.168.1.5/24' is not a subnet"),
        ({"advertise_routes": [None]}, "'None' is not a subnet"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(wanted, sentence) -> None:
    with pytest.raises(ApiError) as caught:
        changes(FRESH, wanted)
    assert sentence in str(caught.value)


def test_auto_stays_auto() -> None:
    assert changes(FRESH, {"advertise_routes": ["auto"]}) == {"advertise_routes": ["auto"]}


def test_a_node_of_another_mesh_is_not_taken() -> None:
    now = Standing({**FRESH, "control_url": "https://other.example"}, logged_in=True)
    with pytest.raises(ApiError, match=r"already part of the mesh of https://other\.example"):
        check_mesh(now, HERE)


@pytest.mark.parametrize("url", [HERE, f"{HERE}/", "https://MESH.example"])
def test_the_same_mesh_is_the_same(url) -> None:
    check_mesh(Standing({**FRESH, "control_url": url}, logged_in=True), HERE)


def test_who_has_logged_out_may_join_anywhere() -> None:
    check_mesh(Standing({**FRESH, "control_url": "https://other.example"}), HERE)


def test_a_join_needs_a_key_unless_the_node_has_joined() -> None:
    with pytest.raises(ApiError, match="no auth_key to join with"):
        check_key(Standing(), "")
    check_key(Standing(), "lkauth-…")
    check_key(standing({"HaveNodeKey": True, "BackendState": "Stopped"}, FRESH), "")


def test_an_expired_login_needs_a_key_again() -> None:
    now = standing({"HaveNodeKey": True, "BackendState": "NeedsLogin"}, FRESH)
    assert not now.joined
    with pytest.raises(ApiError):
        check_key(now, "")


def test_a_diff_tells_of_the_membership_too() -> None:
    assert shown({"b": 1, "a": 2}, joined=True) == {"joined": True, "a": 2, "b": 1}
