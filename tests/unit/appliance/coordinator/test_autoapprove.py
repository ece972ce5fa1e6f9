from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from appliance.coordinator.autoapprove import Ourselves, approve_everything, approve_news
from appliance.coordinator.model import Snapshot
from appliance.coordinator.policy.rules import AutoApprovers
from appliance.coordinator.policy.selectors import Auto, People, Tag
from tests.support.snapshots import BOB, node, router, snapshot

LAN, EXIT = "10.33.0.0/16", ("0.0.0.0/0", "::/0")
ALICE_OR_TAG = (People(frozenset({"alice"})), Tag("tag:router"))
NOWHERE = Ourselves()
APPROVERS = AutoApprovers({ip_network("10.0.0.0/8"): ALICE_OR_TAG}, (Tag("tag:exit"),))


def approved(state: Snapshot, number: int = 1) -> set[str]:
    return {str(prefix) for prefix in state.nodes[number].approved_routes}


@pytest.mark.parametrize(
    ("offers", "owner", "expected"),
    [
        ((LAN,), {}, {LAN}),
        (("10.0.0.0/8",), {}, {"10.0.0.0/8"}),
        (("10.0.0.0/7",), {}, set()),
        ((LAN, "192.168.1.0/24"), {}, {LAN}),
        ((LAN,), {"user_id": BOB.id}, set()),
        ((LAN,), {"user_id": None, "tags": ("tag:router",)}, {LAN}),
        (EXIT, {}, set()),
        (EXIT, {"user_id": None, "tags": ("tag:exit",)}, set(EXIT)),
        (EXIT[:1], {"user_id": None, "tags": ("tag:exit",)}, set()),
    ],
)
def test_a_route_is_approved_for_those_whom_the_policy_names(
    offers: tuple[str, ...], owner: dict, expected: set[str]
) -> None:
    state = snapshot(router(1, *offers, approved=False, **owner))
    assert approved(approve_everything(state, APPROVERS, NOWHERE)) == expected


def test_a_default_route_among_the_subnets_approves_nothing() -> None:
    wide = AutoApprovers({ip_network("0.0.0.0/0"): (Auto.MEMBER,)})
    state = snapshot(router(1, LAN, *EXIT, approved=False))
    assert approve_everything(state, wide, NOWHERE) is state


def test_what_no_admin_could_approve_is_not() -> None:
    wide = AutoApprovers({ip_network("96.0.0.0/3"): (Auto.MEMBER,)})
    state = snapshot(router(1, "100.64.0.0/16", "127.0.0.0/8", "98.0.0.0/8", approved=False))
    dialled = Ourselves((ip_address("98.1.2.3"),))
    assert approved(approve_everything(state, wide, dialled)) == set()


def test_the_coordinators_own_lan_is_approved_as_by_an_admins_hand() -> None:
    at_home = Ourselves((ip_address("10.33.0.2"),), lambda: (ip_network(LAN),))
    offers = (LAN, "10.33.0.0/24", "10.32.0.0/15")
    state = snapshot(router(1, *offers, approved=False))
    assert approved(approve_everything(state, APPROVERS, at_home)) == set(offers[:2])
    elsewhere = Ourselves(at_home.addresses)
    assert approved(approve_everything(state, APPROVERS, elsewhere)) == set()


def test_networks_are_not_looked_up_for_routes_that_lead_elsewhere() -> None:
    def never() -> tuple[()]:
        raise AssertionError

    state = snapshot(router(1, LAN, approved=False))
    far = Ourselves((ip_address("192.0.2.1"),), never)
    assert approved(approve_everything(state, APPROVERS, far)) == {LAN}


def test_only_news_are_looked_at_so_that_a_revocation_stays() -> None:
    before = snapshot(node(1))
    asked = before.with_nodes([router(1, LAN, approved=False)])
    then = approve_news(before, asked, APPROVERS, NOWHERE)
    assert approved(then) == {LAN}
    revoked = then.with_nodes([replace(then.nodes[1], approved_routes=frozenset())])
    assert approve_news(then, revoked, APPROVERS, NOWHERE) is revoked
    moved = revoked.with_nodes([replace(revoked.nodes[1], endpoints=())])
    assert approve_news(revoked, moved, APPROVERS, NOWHERE) is moved


def test_an_approval_outlives_the_policy_that_gave_it() -> None:
    state = snapshot(router(1, LAN))
    assert approve_everything(state, AutoApprovers(), NOWHERE) is state
