"""Claiming: the first person who knows the box's secret chooses the owner's password.

The code is made at the start of the service while nobody owns the box, and lies in the runtime
directory where root finds it for the screen, the serial console and ``latchkey setup-code``:

    claim-code     the code and a newline
    claim-until    seconds since the boot at which it ends (0: it has), and a newline

It is good for an hour after the start, for five tries a minute and thirty altogether.
"""

import hashlib
import hmac
import logging
import secrets
import sqlite3
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from webui import attempts
from webui.passwords import hash_password
from webui.store import Store

_log = logging.getLogger(__name__)

WINDOW_S: Final = 3600.0
MAX_TRIES: Final = 30
"""Of 2^50 codes; what is left for guessing is nothing, and honest people need three."""

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base32: nothing that looks like something else."""

CODE_LENGTH: Final = 10
_GROUP: Final = 5

CODE_FILE: Final = "claim-code"
UNTIL_FILE: Final = "claim-until"

RESET_FILE: Final = "reset-owner"
"""In the state directory: whoever may write there asks to forget the password at the next start."""


class Verdict(Enum):
    """What becomes of one try."""

    RIGHT = "The code is right: the box is claimed."
    WRONG = "The code is wrong."
    OWNED = "The box has an owner already."
    EXPIRED = "The time for claiming is over; a restart opens it again."
    EXHAUSTED = "Too many wrong codes; a restart opens it again."
    TOO_FAST = "Too many tries in the last minute."


@dataclass(frozen=True, slots=True)
class Claim:
    """What is known about the open door; ``code_hash`` empty: there is none."""

    owned: bool
    code_hash: str = ""
    opened: float = 0.0
    tries: int = 0

    def seconds_left(self, now: float) -> float:
        """How long the door stays open."""
        return max(0.0, self.opened + WINDOW_S - now) if self.code_hash else 0.0


def door(claim: Claim, now: float) -> Verdict | None:
    """Say why nobody can claim the box now; ``None``: somebody can."""
    if claim.owned:
        return Verdict.OWNED
    if not 0 <= now - claim.opened < WINDOW_S or not claim.code_hash:
        return Verdict.EXPIRED
    return Verdict.EXHAUSTED if claim.tries >= MAX_TRIES else None


def judge(claim: Claim, code: str, now: float) -> Verdict:
    """Judge one code."""
    closed = door(claim, now)
    if closed is not None:
        return closed
    right = hmac.compare_digest(hash_code(normalise(code)), claim.code_hash)
    return Verdict.RIGHT if right else Verdict.WRONG


def make_code(randomness: bytes) -> str:
    """Return a code, as it is shown, from seven or more random bytes."""
    number = int.from_bytes(randomness, "big")
    digits = [ALPHABET[number >> 5 * place & 31] for place in range(CODE_LENGTH)]
    text = "".join(digits)
    return f"{text[:_GROUP]}-{text[_GROUP:]}"


def normalise(code: str) -> str:
    """Return a typed code without what people add or confuse."""
    kept = "".join(char for char in code.upper()[:100] if char.isascii() and char.isalnum())
    return kept.translate(str.maketrans("OIL", "011"))


def hash_code(normalised: str) -> str:
    """Return what is compared."""
    return hashlib.sha256(b"latchkey claim " + normalised.encode()).hexdigest()


def open_door(store: Store, runtime_dir: Path, state_dir: Path, now: float) -> str | None:
    """At the start of the service: make a code unless there is an owner; return it."""
    reset = state_dir / RESET_FILE
    with store.transaction() as db:
        if reset.exists():
            db.execute("delete from owner")
            db.execute("delete from session")
        if _read(db).owned:
            db.execute("delete from claim")
            _remove_files(runtime_dir)
            return None
        code = make_code(secrets.token_bytes(8))
        db.execute(
            "insert or replace into claim values (1, ?, ?, 0)", (hash_code(normalise(code)), now)
        )
        _write(runtime_dir / UNTIL_FILE, f"{now + WINDOW_S:.0f}\n")
        _write(runtime_dir / CODE_FILE, f"{code}\n")
    reset.unlink(missing_ok=True)
    _log.info("Nobody owns this box yet; `latchkey setup-code` shows the code to claim it.")
    return code


def read_claim(store: Store) -> Claim:
    """Say how things stand."""
    with store.reading() as db:
        return _read(db)


def try_claim(
    store: Store, runtime_dir: Path, code: str, password: str, *, source: str, now: float
) -> tuple[Verdict, float]:
    """Judge a code and, if it is right, set the password in the same transaction.

    The second value says how many seconds to wait when the tries came too fast.
    """
    with store.transaction() as db:
        claim = _read(db)
        if door(claim, now) is None:
            wait = attempts.take(db, attempts.CLAIM, source, now)
            if wait:
                return Verdict.TOO_FAST, wait
            db.execute("update claim set tries = tries + 1")
        verdict = judge(claim, code, now)
        if claim.tries + 1 >= MAX_TRIES and not claim.owned:
            _write(runtime_dir / UNTIL_FILE, "0\n")
        if verdict is Verdict.RIGHT:
            db.execute("insert into owner values (1, ?)", (hash_password(password),))
            db.execute("delete from claim")
            db.execute("delete from session")
    if verdict is Verdict.RIGHT:
        _remove_files(runtime_dir)
        _log.info("The box has been claimed.")
    return verdict, 0.0


def _read(db: sqlite3.Connection) -> Claim:
    owned = db.execute("select 1 from owner").fetchone() is not None
    row = db.execute("select code_hash, opened, tries from claim").fetchone()
    return Claim(owned, *row) if row else Claim(owned)


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="ascii")
    draft.replace(path)


def _remove_files(runtime_dir: Path) -> None:
    (runtime_dir / CODE_FILE).unlink(missing_ok=True)
    (runtime_dir / UNTIL_FILE).unlink(missing_ok=True)
