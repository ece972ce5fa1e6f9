from datetime import timedelta

from appliance.coordinator.housekeeping import absent_ephemerals
from tests.support.snapshots import LATER, NOW, node, snapshot

TIMEOUT = timedelta(minutes=2)


def test_only_ephemeral_nodes_that_stayed_away_are_deleted() -> None:
    state = snapshot(
        node(1, ephemeral=True, online=False, last_seen=NOW),
        node(2, ephemeral=True, online=True, last_seen=NOW),
        node(3, ephemeral=False, online=False, last_seen=NOW),
        node(4, ephemeral=True, online=False, last_seen=LATER),
        node(5, ephemeral=True, online=False, last_seen=None),
    )
    assert absent_ephemerals(state, LATER, TIMEOUT) == [1, 5]
    assert absent_ephemerals(state, NOW + TIMEOUT, TIMEOUT) == []
