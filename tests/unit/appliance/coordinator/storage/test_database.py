import sqlite3
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from appliance.coordinator.errors import CoordinatorError, StartError
from appliance.coordinator.model import PolicyRecord, PreAuthKey, Snapshot
from appliance.coordinator.storage.database import Database
from appliance.exit_status import ExitStatus
from appliance.protocol.tailcfg import Hostinfo, Service
from tests.support.snapshots import ALICE, BOB, LATER, NOW, node, snapshot

KEY = PreAuthKey(
    id="0123456789ab",
    secret_hash=b"\x00\xff" * 16,
    user_id=ALICE.id,
    created=NOW,
    expires=LATER,
    reusable=True,
    ephemeral=True,
    tags=("tag:a", "tag:b"),
    used=NOW,
    revoked=True,
)
FULL = node(
    3,
    user_id=None,
    tags=("tag:a",),
    ephemeral=True,
    preauth_key_id=KEY.id,
    key_expiry=LATER,
    approved_routes=frozenset({ip_network("10.0.0.0/8"), ip_network("::/0")}),
    published=frozenset({ip_address("10.0.0.9"), ip_address("fd00::9")}),
    hostinfo=Hostinfo(
        hostname="böx", services=(Service(proto="peerapi4", port=1),), location={"City": "X"}
    ),
)
EMPTY = node(4, disco_key=None, endpoints=(), last_seen=None, hostinfo=Hostinfo())


def reopened(path: Path) -> Snapshot:
    database = Database(path)
    try:
        return database.load()
    finally:
        database.close()


def stored(path: Path, *snapshots: Snapshot) -> Snapshot:
    database = Database(path)
    database.load()
    for each in snapshots:
        database.save(each)
    database.close()
    return reopened(path)


def records(state: Snapshot) -> tuple:
    """What is stored; the rest follows from it."""
    return (
        dict(state.users),
        dict(state.keys),
        dict(state.nodes),
        state.last_user_id,
        state.last_node_id,
        state.last_address,
        dict(state.policies),
        dict(state.primaries),
    )


def test_everything_comes_back_as_it_was(tmp_path: Path) -> None:
    state = snapshot(node(1), FULL, EMPTY, keys=(KEY,))
    loaded = stored(tmp_path / "db", state)
    assert records(loaded) == records(state)
    assert dict(loaded.by_node_key) == dict(state.by_node_key)


def test_policies_and_carriers_come_and_go(tmp_path: Path) -> None:
    policies = {n: PolicyRecord(n, f"{{}} // é {n}", NOW) for n in (1, 2)}
    lan, lan6 = ip_network("192.168.1.0/24"), ip_network("fd00::/64")
    first = replace(snapshot(node(1)), policies=policies, primaries={lan: 1, lan6: 300})
    then = replace(first, policies={1: policies[1]}, primaries={lan: 2})
    assert records(stored(tmp_path / "a", first)) == records(first)
    loaded = stored(tmp_path / "b", first, then)
    assert records(loaded) == records(then)
    assert loaded.policy == policies[1]


def test_a_new_file_is_empty(tmp_path: Path) -> None:
    assert records(reopened(tmp_path / "db")) == records(Snapshot())


def test_changes_and_removals_are_stored(tmp_path: Path) -> None:
    first = snapshot(node(1), node(2), FULL, keys=(KEY,))
    renamed = first.with_user(replace(ALICE, name="alicia"))
    second = replace(
        renamed.with_nodes([node(2, name="other")]).without_nodes([1]),
        keys={},
        users={ALICE.id: renamed.users[ALICE.id]},
        last_address=77,
    )
    assert records(stored(tmp_path / "db", first, second)) == records(second)


def test_two_nodes_may_swap_their_names(tmp_path: Path) -> None:
    first = snapshot(node(1, name="a"), node(2, name="b"))
    second = first.with_nodes([node(1, name="b"), node(2, name="a")])
    assert records(stored(tmp_path / "db", first, second)) == records(second)


def test_a_user_can_go_together_with_their_keys(tmp_path: Path) -> None:
    first = snapshot(keys=(KEY,))
    second = replace(first, keys={}, users={BOB.id: BOB})
    assert records(stored(tmp_path / "db", first, second)) == records(second)


def test_a_failed_write_changes_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    database = Database(tmp_path / "db")
    good = snapshot(node(1))
    database.save(good)
    clash = good.with_nodes([node(2), node(3, name="node2")])
    with pytest.raises(CoordinatorError, match="could not be written: UNIQUE"):
        database.save(clash)
    mended = good.with_nodes([node(2), node(3)])
    database.save(mended)
    database.close()
    assert records(reopened(tmp_path / "db")) == records(mended)


def test_every_transaction_is_on_the_disk_when_it_returns(tmp_path: Path) -> None:
    database = Database(tmp_path / "db")
    with database._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    database.close()


def test_what_is_no_database_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"not a database" * 100)
    with pytest.raises(StartError, match="cannot be read") as caught:
        Database(tmp_path / "db")
    assert caught.value.status is ExitStatus.STATE_UNUSABLE


def test_a_row_that_makes_no_sense_is_said_so(tmp_path: Path) -> None:
    stored(tmp_path / "db", snapshot(node(1)))
    with sqlite3.connect(tmp_path / "db") as connection:
        connection.execute("UPDATE nodes SET node_key = 'nodekey:00'")
    connection.close()
    database = Database(tmp_path / "db")
    with pytest.raises(StartError, match="Restore a backup"):
        database.load()
    database.close()


def test_what_is_written_without_the_end_of_its_transaction_is_not_there(tmp_path: Path) -> None:
    stored(tmp_path / "db", snapshot(node(1)))
    torn = sqlite3.connect(tmp_path / "db", isolation_level=None)
    torn.execute("BEGIN IMMEDIATE")
    torn.execute("DELETE FROM nodes")
    torn.close()
    assert records(reopened(tmp_path / "db")) == records(snapshot(node(1)))
