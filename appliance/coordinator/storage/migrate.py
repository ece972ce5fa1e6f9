"""Brings a database to the present schema: plain SQL files, each in one transaction."""

import sqlite3
from collections.abc import Iterator
from importlib import resources

from sqlalchemy import Connection, text

from appliance.coordinator.errors import StartError
from appliance.exit_status import ExitStatus


def migrate(connection: Connection) -> int:
    """Apply what is missing, in the order of the numbers; return the schema's number."""
    connection.execute(
        text(
            "CREATE TABLE IF NOT EXISTS schema_version "
            "(version INTEGER PRIMARY KEY, applied TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)"
        )
    )
    present = connection.execute(text("SELECT max(version) FROM schema_version")).scalar() or 0
    connection.commit()
    newest = 0
    for version, script in sorted(_migrations()):
        newest = version
        if version > present:
            _apply(connection, version, script)
    if present > newest:
        raise StartError(
            f"The database is of a newer Latchkey (schema {present}, this one knows {newest}). "
            "Install that version again, or restore a backup.",
            ExitStatus.STATE_UNUSABLE,
        )
    return newest


def _apply(connection: Connection, version: int, script: str) -> None:
    for statement in _statements(script):
        connection.exec_driver_sql(statement)
    connection.execute(
        text("INSERT INTO schema_version (version) VALUES (:version)"), {"version": version}
    )
    connection.commit()


def _migrations() -> Iterator[tuple[int, str]]:
    folder = resources.files("appliance.coordinator.storage") / "migrations"
    for file in folder.iterdir():
        if file.name.endswith(".sql"):
            yield int(file.name.partition("_")[0]), file.read_text()


def _statements(script: str) -> Iterator[str]:
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
