"""Limits on guessing: how many tries of a kind have been made lately, over all workers."""

import sqlite3
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 60.0

KEPT_S: Final = 3600.0
"""Rows older than this are of no use to anyone."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How many tries a minute, by one address and by everybody together."""

    kind: str
    by_one: int
    by_all: int


CLAIM: Final = Limit("claim", by_one=5, by_all=5)
LOGIN: Final = Limit("login", by_one=5, by_all=30)
"""One stubborn device must not keep the owner out, and 30 hashes a minute are half a core of the
smallest board."""


def try_again_after(times: tuple[float, ...], allowed: int, now: float) -> float:
    """Say how long to wait until one more try fits among ``allowed`` a minute; 0: now."""
    recent = sorted(at for at in times if now - at < WINDOW_S)
    if len(recent) < allowed:
        return 0.0
    return recent[-allowed] + WINDOW_S - now


def take(db: sqlite3.Connection, limit: Limit, source: str, now: float) -> float:
    """Count one try unless there were too many; return the seconds to wait, 0 when it counts."""
    db.execute("delete from attempt where at < ?", (now - KEPT_S,))
    rows = db.execute(
        "select source, at from attempt where kind = ? and at > ?", (limit.kind, now - WINDOW_S)
    ).fetchall()
    everybody = tuple(at for _, at in rows)
    own = tuple(at for by, at in rows if by == source)
    wait = max(
        try_again_after(own, limit.by_one, now), try_again_after(everybody, limit.by_all, now)
    )
    if wait == 0.0:
        db.execute("insert into attempt values (?, ?, ?)", (limit.kind, source, now))
    return wait


def forgive(db: sqlite3.Connection, limit: Limit, source: str) -> None:
    """Forget the tries of somebody who got it right."""
    db.execute("delete from attempt where kind = ? and source = ?", (limit.kind, source))
