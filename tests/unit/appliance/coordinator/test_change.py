from dataclasses import replace

from appliance.coordinator.change import EVERYTHING, NOTHING, Change, between
from appliance.coordinator.state import settle
from tests.support.snapshots import ALICE, LATER, NOW, node, router, snapshot

LAN = "192.168.1.0/24"


def test_the_same_snapshot_has_no_change() -> None:
    one = snapshot(node(1), node(2))
    assert not between(one, one)


def test_added_changed_and_removed_nodes_are_named() -> None:
    old = snapshot(node(1), node(2), node(3))
    new = old.with_nodes([node(2, name="new"), node(4)]).without_nodes([3])
    assert between(old, new).nodes == {2, 3, 4}


def test_new_endpoints_do_not_touch_the_policy() -> None:
    old = snapshot(node(1), node(2))
    change = between(old, old.with_nodes([node(1, endpoints=("192.0.2.9:1",))]))
    assert change == Change(nodes=frozenset({1}))


def test_new_tags_owners_and_routes_do() -> None:
    old = snapshot(node(1), node(2), router(3, LAN, approved=False), node(4))
    new = old.with_nodes([node(1, tags=("tag:a",)), node(2, user_id=2), router(3, LAN)])
    assert between(old, settle(new, NOW)).regrouped == {1, 2, 3}


def test_a_route_that_changes_hands_concerns_both_routers() -> None:
    old = snapshot(router(1, LAN), router(2, LAN))
    new = settle(old.with_nodes([router(1, LAN, online=False)]), NOW)
    assert between(old, new).nodes == {1, 2}


def test_a_key_that_expires_concerns_its_node() -> None:
    old = snapshot(node(1, key_expiry=LATER), node(2))
    change = between(old, settle(old, LATER))
    assert change.nodes == change.regrouped == {1}


def test_a_new_user_concerns_nobody_but_a_renamed_one_everybody() -> None:
    old = snapshot(node(1))
    assert not between(old, old.with_user(replace(ALICE, id=9, name="carol")))
    assert between(old, old.with_user(replace(ALICE, name="alicia"))).everyone


def test_changes_add_up() -> None:
    first = Change(frozenset({1}), frozenset({1}))
    assert first | Change(frozenset({2})) == Change(frozenset({1, 2}), frozenset({1}))
    assert (first | EVERYTHING).everyone
    assert first | NOTHING == first
