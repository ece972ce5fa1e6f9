from appliance.coordinator.auth.pending import LIFETIME_S, MAX_PENDING, Pending, PendingTable
from appliance.protocol.tailcfg import Hostinfo
from tests.support.snapshots import machine_key, node_key


def entry(number: int, since: float = 0.0, machine: int | None = None) -> Pending:
    return Pending(
        id=f"id{number}",
        machine_key=machine_key(number if machine is None else machine),
        node_key=node_key(number),
        hostinfo=Hostinfo(hostname="x"),
        ephemeral=False,
        cap_version=131,
        since=since,
    )


def test_an_entry_is_found_by_its_id_and_by_its_machine() -> None:
    table = PendingTable()
    table.add(entry(1))
    assert table.get("id1", 1.0) == table.of_machine(machine_key(1), 1.0) == entry(1)


def test_a_machine_waits_only_once() -> None:
    table = PendingTable()
    table.add(entry(1))
    assert table.add(entry(2, machine=1)) == [entry(1)]
    assert [e.id for e in table] == ["id2"]


def test_an_entry_lives_for_a_quarter_of_an_hour() -> None:
    table = PendingTable()
    table.add(entry(1))
    assert table.get("id1", LIFETIME_S)
    assert table.get("id1", LIFETIME_S + 1) is None
    assert table.take("id1", LIFETIME_S + 1) is None
    assert table.expire(LIFETIME_S + 1) == [entry(1)]
    assert len(table) == 0


def test_an_entry_is_taken_once() -> None:
    table = PendingTable()
    table.add(entry(1))
    assert table.take("id1", 1.0) == entry(1)
    assert table.take("id1", 1.0) is None
    assert table.of_machine(machine_key(1), 1.0) is None


def test_strangers_cannot_fill_it() -> None:
    table = PendingTable()
    for number in range(MAX_PENDING):
        assert table.add(entry(number)) == []
    assert table.add(entry(MAX_PENDING)) == [entry(0)]
    assert len(table) == MAX_PENDING
