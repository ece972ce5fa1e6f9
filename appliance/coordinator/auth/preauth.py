"""Pre-auth keys: ``lkauth-<12 hex digits>-<64 hex digits>``. Pure.

The first part names the key, the second is 32 random bytes. Only the SHA-256 of the secret is
stored: with 256 bits of entropy there is nothing to guess, so a slow password hash would only slow
down registrations (bcrypt: 45 ms each).
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from appliance.coordinator.errors import RefusedError
from appliance.coordinator.model import PreAuthKey

ID_BYTES: Final = 6
SECRET_BYTES: Final = 32

_TEXT: Final = re.compile(r"lkauth-([0-9a-f]{12})-([0-9a-f]{64})")


def key_id(seed: bytes) -> str:
    """Name a key by 6 random bytes."""
    return seed.hex()


def key_text(identifier: str, secret: bytes) -> str:
    """Return the text that the owner is shown once."""
    return f"lkauth-{identifier}-{secret.hex()}"


def hash_secret(secret: bytes) -> bytes:
    """Return what is stored of a secret."""
    return hashlib.sha256(secret).digest()


def check_key(keys: Mapping[str, PreAuthKey], text: str, now: datetime) -> PreAuthKey:
    """Return the key that this text unlocks, if it may admit a node now."""
    match = _TEXT.fullmatch(text.strip())
    key = keys.get(match[1]) if match else None
    # One digest and one comparison whether or not the key exists.
    secret = bytes.fromhex(match[2]) if match else b""
    stored = key.secret_hash if key else bytes(32)
    fits = hmac.compare_digest(hash_secret(secret), stored)
    if key is None or not fits:
        raise RefusedError(
            "This pre-auth key is not known here. Check that it is complete and of this "
            "coordinator, or ask an admin for a new one."
        )
    _check_usable(key, now)
    return key


def _check_usable(key: PreAuthKey, now: datetime) -> None:
    advice = "Ask an admin for a new one."
    if key.revoked:
        raise RefusedError(f"This pre-auth key was revoked. {advice}")
    if key.expires is not None and key.expires <= now:
        raise RefusedError(f"This pre-auth key expired on {key.expires:%d %B %Y}. {advice}")
    if key.used is not None and not key.reusable:
        raise RefusedError(f"This pre-auth key was for one use and has been used. {advice}")


def is_usable(key: PreAuthKey, now: datetime) -> bool:
    """Whether the key would admit a node now."""
    try:
        _check_usable(key, now)
    except RefusedError:
        return False
    return True


def spend(key: PreAuthKey, now: datetime) -> PreAuthKey:
    """Note that the key has admitted a node."""
    return replace(key, used=now)
