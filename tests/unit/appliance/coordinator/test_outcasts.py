from appliance.coordinator.change import between
from appliance.coordinator.outcasts import is_admitted, outcasts
from appliance.coordinator.state import settle
from tests.support.snapshots import LATER, NOW, node, node_key, snapshot

STATE = snapshot(node(1), node(2, key_expiry=LATER), node(3))


def test_nodes_are_admitted_until_they_expire() -> None:
    assert is_admitted(STATE, node_key(2))
    assert not is_admitted(settle(STATE, LATER), node_key(2))
    assert not is_admitted(STATE, node_key(9))


def test_who_was_deleted_expired_or_changed_keys_is_an_outcast() -> None:
    after = settle(STATE.without_nodes([1]), LATER)
    renewed = after.with_nodes([node(3, node_key=node_key(33))])
    change = between(STATE, renewed)
    assert outcasts(STATE, renewed, change.nodes) == [node_key(1), node_key(2), node_key(3)]


def test_who_merely_changed_is_none() -> None:
    after = settle(STATE.with_nodes([node(1, online=False)]), NOW)
    assert outcasts(STATE, after, [1, 2, 3, 4]) == []


def test_who_had_expired_already_is_none() -> None:
    expired = settle(STATE, LATER)
    assert outcasts(expired, expired.without_nodes([2]), [2]) == []
