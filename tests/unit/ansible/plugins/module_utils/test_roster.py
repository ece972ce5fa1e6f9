import pytest

from ansible.plugins.module_utils.roster import Edit, Wanted, plan, prefixes, shown
from ansible.plugins.module_utils.unixapi import ApiError


def node(**values):
    routes = [
        {"prefix": prefix, "approved": True, "advertised": True}
        for prefix in values.pop("approved", ())
    ]
    return {"id": 1, "name": "home", "tags": ["tag:gateway"], "routes": routes, **values}


def test_a_node_as_it_is_wanted_needs_nothing() -> None:
    wanted = Wanted("home", ("tag:gateway",), ("192.168.1.0/24",), only_these=True)
    assert not plan(node(approved=["192.168.1.0/24"]), wanted)


def test_what_is_not_said_stays() -> None:
    assert plan(node(approved=["10.0.0.0/8"]), Wanted()) == Edit()
    assert plan(node(), Wanted(tags=())) == Edit()


def test_routes_are_approved_and_others_revoked_on_request() -> None:
    present = node(approved=["192.168.1.0/24", "10.0.0.0/8"])
    wanted = ("192.168.1.0/24", "192.168.2.0/24")
    assert plan(present, Wanted(routes=wanted)) == Edit(approve=("192.168.2.0/24",))
    assert plan(present, Wanted(routes=wanted, only_these=True)) == Edit(
        approve=("192.168.2.0/24",), revoke=("10.0.0.0/8",)
    )
    assert plan(present, Wanted(routes=(), only_these=True)).revoke == (
        "10.0.0.0/8",
        "192.168.1.0/24",
    )


@pytest.mark.parametrize("text", ["exit", "0.0.0.0/0", "::/0"])
def test_an_exit_node_is_both_families(text) -> None:
    assert prefixes([text]) == {"0.0.0.0/0", "::/0"}


@pytest.mark.parametrize("text", ["", "home", "192.168.1.1/24", "exits"])
def test_what_is_no_route_is_refused(text) -> None:
    with pytest.raises(ApiError, match="is not a route"):
        prefixes([text])


def test_a_tag_needs_no_prefix_of_its_own() -> None:
    assert plan(node(tags=[]), Wanted(tags=("gateway",))).tags == ("tag:gateway",)
    assert plan(node(), Wanted(tags=("gateway",))) == Edit()


def test_a_node_to_come_gets_everything() -> None:
    edit = plan(None, Wanted("home", ("tag:a",), ("192.168.1.0/24",), only_these=True))
    assert edit == Edit("home", ("tag:a",), ("192.168.1.0/24",))
    assert shown(None, edit) == {"name": "home", "tags": ["tag:a"], "approved": ["192.168.1.0/24"]}


def test_a_diff_shows_approvals_that_come_and_go() -> None:
    present = node(approved=["10.0.0.0/8"])
    edit = Edit(approve=("192.168.1.0/24",), revoke=("10.0.0.0/8",))
    assert shown(present)["approved"] == ["10.0.0.0/8"]
    assert shown(present, edit)["approved"] == ["192.168.1.0/24"]
