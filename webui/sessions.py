"""Sessions: an opaque random token in a cookie; the store knows only its hash."""

import hashlib
import hmac
import secrets
import sqlite3
from typing import Final

from webui.store import Store

IDLE_S: Final = 2 * 3600.0
MAX_SESSIONS: Final = 32
"""Browsers of one household; the oldest gives way."""

TOUCH_S: Final = 60.0
"""How often a busy session is written down: an SD card need not see every click."""

MIN_TOKEN_LENGTH: Final = 40


def new_token() -> str:
    """Return a token that nobody guesses."""
    return secrets.token_urlsafe(32)


def csrf_token(token: str) -> str:
    """Return what forms of a visitor with this token carry."""
    return hmac.new(token.encode(), b"latchkey csrf", hashlib.sha256).hexdigest()


def is_alive(created: float, seen: float, now: float, absolute_s: float) -> bool:
    """Whether a session is neither too old nor idle for too long."""
    return 0 <= now - created < absolute_s and now - seen < IDLE_S


def begin(db: sqlite3.Connection, now: float) -> str:
    """Begin a session; return its token."""
    token = new_token()
    db.execute("insert into session values (?, ?, ?)", (_hash(token), now, now))
    db.execute(
        "delete from session where token_hash not in "
        "(select token_hash from session order by seen desc, created desc limit ?)",
        (MAX_SESSIONS,),
    )
    return token


def check(store: Store, token: str, now: float, absolute_s: float) -> bool:
    """Whether a token belongs to a living session; keeps it alive."""
    if len(token) < MIN_TOKEN_LENGTH:
        return False
    with store.reading() as db:
        row = db.execute(
            "select created, seen from session where token_hash = ?", (_hash(token),)
        ).fetchone()
    if row is None:
        return False
    alive = is_alive(row[0], row[1], now, absolute_s)
    if not alive or now - row[1] > TOUCH_S:
        _note(store, token, now, alive=alive)
    return alive


def end(store: Store, token: str) -> None:
    """End one session."""
    with store.transaction() as db:
        db.execute("delete from session where token_hash = ?", (_hash(token),))


def end_others(db: sqlite3.Connection, token: str) -> None:
    """End every session but this one."""
    db.execute("delete from session where token_hash != ?", (_hash(token),))


def _note(store: Store, token: str, now: float, *, alive: bool) -> None:
    with store.transaction() as db:
        if alive:
            db.execute("update session set seen = ? where token_hash = ?", (now, _hash(token)))
        else:
            db.execute("delete from session where token_hash = ?", (_hash(token),))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
