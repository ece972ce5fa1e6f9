import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect

from appliance.coordinator.errors import StartError
from appliance.coordinator.storage.database import Database
from appliance.coordinator.storage.schema import METADATA


def test_the_migrations_make_the_schema_that_the_code_uses(tmp_path: Path) -> None:
    Database(tmp_path / "migrated").close()
    migrated = create_engine(f"sqlite:///{tmp_path / 'migrated'}")
    declared = create_engine(f"sqlite:///{tmp_path / 'declared'}")
    METADATA.create_all(declared)
    for table in METADATA.tables:
        columns = [
            [(c["name"], str(c["type"]), c["nullable"]) for c in inspect(engine).get_columns(table)]
            for engine in (migrated, declared)
        ]
        assert columns[0] == columns[1], table
    migrated.dispose()
    declared.dispose()


def test_opening_again_migrates_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        Database(tmp_path / "db").close()
    connection = sqlite3.connect(tmp_path / "db")
    assert connection.execute("SELECT version FROM schema_version").fetchall() == [(1,), (2,)]
    connection.close()


def test_a_database_of_a_newer_version_is_not_touched(tmp_path: Path) -> None:
    Database(tmp_path / "db").close()
    connection = sqlite3.connect(tmp_path / "db")
    connection.execute("INSERT INTO schema_version (version) VALUES (99)")
    connection.commit()
    connection.close()
    with pytest.raises(StartError, match="of a newer Latchkey"):
        Database(tmp_path / "db")
