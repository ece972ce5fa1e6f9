"""What the page keeps on disk: the password hash, sessions, the claim and recent attempts.

One small SQLite file that all workers share. Times are seconds since the machine was booted
(``CLOCK_BOOTTIME``), because a box without a clock of its own jumps by decades when it finds the
network; so sessions and attempts of an earlier boot are dropped at the start.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from webui.errors import StoreError

FILE_NAME: Final = "webui.sqlite"

LOCK_PATIENCE_S: Final = 10.0
"""How long a worker waits for another one: longer than one password hash on a slow board."""

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

_SCHEMA: Final = """
create table if not exists boot (id integer primary key check (id = 1), boot_id text not null);
create table if not exists owner (
    id integer primary key check (id = 1), password_hash text not null);
create table if not exists claim (
    id integer primary key check (id = 1), code_hash text not null, opened real not null,
    tries integer not null default 0);
create table if not exists decided (step text primary key);
create table if not exists attempt (kind text not null, source text not null, at real not null);
create index if not exists attempt_at on attempt (kind, at);
create table if not exists session (
    token_hash text primary key, created real not null, seen real not null);
"""


class Store:
    """The file; a connection lives as long as one request."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Read and write as one; others wait. What raises inside undoes everything."""
        with self._connect() as db:
            db.execute("begin immediate")
            try:
                yield db
            except BaseException:
                db.execute("rollback")
                raise
            db.execute("commit")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Only read."""
        with self._connect() as db:
            yield db

    def prepare(self, boot_id: str) -> None:
        """Make the tables; forget what belongs to an earlier boot."""
        try:
            self._path.touch(mode=0o600, exist_ok=True)
        except OSError as error:
            raise self._unusable(error) from error
        with self._connect() as db:
            db.executescript(_SCHEMA)
        with self.transaction() as db:
            row = db.execute("select boot_id from boot").fetchone()
            if row is None or row[0] != boot_id:
                db.execute("delete from session")
                db.execute("delete from attempt")
                db.execute("insert or replace into boot values (1, ?)", (boot_id,))

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        try:
            db = sqlite3.connect(self._path, timeout=LOCK_PATIENCE_S, isolation_level=None)
            try:
                yield db
            finally:
                db.close()
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> StoreError:
        return StoreError(f"The page cannot use its file {self._path} ({error}). Is the disk full?")


def boot_seconds() -> float:
    """Return the seconds since the boot; goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Return what tells one boot from another."""
    return _BOOT_ID.read_text(encoding="ascii").strip()
