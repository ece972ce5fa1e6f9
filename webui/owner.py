"""The owner's password: checking and changing it."""

import sqlite3

from webui.passwords import hash_password, is_right
from webui.store import Store


def is_owner(store: Store, password: str) -> bool:
    """Whether this is the owner's password; nobody is the owner of an unclaimed box."""
    with store.reading() as db:
        row = db.execute("select password_hash from owner").fetchone()
    return row is not None and is_right(row[0], password)


def change_password(db: sqlite3.Connection, password: str) -> None:
    """Put another password in the place of the old one."""
    db.execute("update owner set password_hash = ? where id = 1", (hash_password(password),))
