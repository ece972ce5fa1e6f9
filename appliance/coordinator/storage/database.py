"""The SQLite file: opened once, written by one thread.

WAL with ``synchronous=FULL``: a transaction is on the disk when it returns. A registration that
was confirmed and then lost in a power cut would leave a node that never registers again, because
stock clients keep asking for the map of a key they believe in. What may be lost (endpoints, last
seen) does not pay for this: ``state`` writes it behind, with whatever comes next.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, Table, create_engine, event, select
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import StaticPool

from appliance.coordinator.errors import CoordinatorError, StartError
from appliance.coordinator.model import Snapshot
from appliance.coordinator.storage.migrate import migrate
from appliance.coordinator.storage.rows import (
    Row,
    key_of_row,
    node_of_row,
    policy_of_row,
    primary_of_row,
    row_of_key,
    row_of_node,
    row_of_policy,
    row_of_primary,
    row_of_user,
    user_of_row,
)
from appliance.coordinator.storage.schema import (
    COUNTERS,
    NODES,
    POLICIES,
    PREAUTH_KEYS,
    PRIMARIES,
    USERS,
)
from appliance.exit_status import ExitStatus
from appliance.protocol.addresses import IPNetwork
from appliance.protocol.errors import ProtocolError

_PRAGMAS: Final = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "busy_timeout = 5000",
)
_COUNTERS: Final = ("last_user_id", "last_node_id", "last_address")

R = TypeVar("R")


class Database:
    """The state file; not for two threads at once."""

    def __init__(self, path: Path) -> None:
        """Open or create the file and bring its schema up to date."""
        self._path = path
        self._engine = _engine(path)
        self._saved = Snapshot()
        with ExitStack() as opened:
            opened.callback(self.close)
            self._migrate()
            opened.pop_all()

    def load(self) -> Snapshot:
        """Read everything."""
        try:
            with self._engine.connect() as connection:
                self._saved = _read(connection)
        except (DatabaseError, ProtocolError, ValueError) as error:
            raise self._unreadable(error) from None
        return self._saved

    def save(self, snapshot: Snapshot) -> None:
        """Make the file equal to the snapshot, in one transaction; on failure nothing changes."""
        try:
            with self._engine.begin() as connection:
                _write(connection, self._saved, snapshot)
        except DatabaseError as error:
            raise CoordinatorError(f"The state could not be written: {error.orig}.") from None
        self._saved = snapshot

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()

    def _migrate(self) -> None:
        try:
            with self._engine.connect() as connection:
                migrate(connection)
        except DatabaseError as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: Exception) -> StartError:
        cause = getattr(error, "orig", None) or error
        return StartError(
            f"The database {self._path} cannot be read: {cause}. Restore a backup of it.",
            ExitStatus.STATE_UNUSABLE,
        )


def _engine(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def _on_connect(dbapi_connection: Any, _record: object) -> None:
        dbapi_connection.isolation_level = None  # we say BEGIN ourselves, also before DDL
        try:
            for pragma in _PRAGMAS:
                dbapi_connection.execute(f"PRAGMA {pragma}")
        except BaseException:  # not a database: nobody else knows of the connection yet
            dbapi_connection.close()
            raise

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _read(connection: Connection) -> Snapshot:
    users = [user_of_row(row) for row in _rows(connection, USERS)]
    keys = [key_of_row(row) for row in _rows(connection, PREAUTH_KEYS)]
    nodes = [node_of_row(row) for row in _rows(connection, NODES)]
    policies = [policy_of_row(row) for row in _rows(connection, POLICIES)]
    primaries = [primary_of_row(row) for row in _rows(connection, PRIMARIES)]
    counters = {row["name"]: row["value"] for row in _rows(connection, COUNTERS)}
    snapshot = Snapshot(
        users={user.id: user for user in users},
        keys={key.id: key for key in keys},
        policies={policy.id: policy for policy in policies},
        primaries=dict(primaries),
    ).with_nodes(nodes)
    return replace(snapshot, **{name: counters.get(name, 0) for name in _COUNTERS})


def _rows(connection: Connection, table: Table) -> list[Row]:
    found = connection.execute(select(table).order_by(table.c[0])).mappings()
    return [dict(row) for row in found]


def _write(connection: Connection, old: Snapshot, new: Snapshot) -> None:
    # Users first and last: keys and nodes refer to them.
    _upsert(connection, USERS, old.users, new.users, row_of_user)
    _replace_rows(connection, PREAUTH_KEYS, old.keys, new.keys, row_of_key)
    _replace_rows(connection, NODES, old.nodes, new.nodes, row_of_node)
    _replace_rows(connection, POLICIES, old.policies, new.policies, row_of_policy)
    if old.primaries is not new.primaries:
        _replace_rows(
            connection, PRIMARIES, _by_text(old.primaries), _by_text(new.primaries), row_of_primary
        )
    _delete(connection, USERS, old.users.keys() - new.users.keys())
    counters = [
        {"name": name, "value": getattr(new, name)}
        for name in _COUNTERS
        if getattr(new, name) != getattr(old, name)
    ]
    if counters:
        connection.execute(COUNTERS.insert().prefix_with("OR REPLACE"), counters)


def _by_text(primaries: Mapping[IPNetwork, int]) -> dict[str, tuple[str, int]]:
    return {str(prefix): (str(prefix), node_id) for prefix, node_id in primaries.items()}


def _upsert(
    connection: Connection,
    table: Table,
    old: Mapping[Any, R],
    new: Mapping[Any, R],
    to_row: Callable[[R], Row],
) -> None:
    for key, record in new.items():
        if key not in old:
            connection.execute(table.insert(), to_row(record))
        elif old[key] is not record:
            connection.execute(table.update().where(table.c[0] == key), to_row(record))


def _replace_rows(
    connection: Connection,
    table: Table,
    old: Mapping[Any, R],
    new: Mapping[Any, R],
    to_row: Callable[[R], Row],
) -> None:
    """Delete all changed rows before any is written: two nodes may have swapped names."""
    if old is new:
        return
    changed = {
        key
        for key, record in new.items()
        if (known := old.get(key)) is not record and known != record
    }
    _delete(connection, table, (changed | (old.keys() - new.keys())) & old.keys())
    if changed:
        connection.execute(table.insert(), [to_row(new[key]) for key in sorted(changed)])


def _delete(connection: Connection, table: Table, keys: set[Any]) -> None:
    if keys:
        connection.execute(table.delete().where(table.c[0].in_(sorted(keys))))
