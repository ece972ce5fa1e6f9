"""The owner's password: what it must be like, and its argon2 hash."""

import threading
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHash, VerificationError  # its name in Debian 13

MIN_LENGTH: Final = 10
MAX_LENGTH: Final = 512
"""Nobody types more; a hash of megabytes would be a way to keep us busy."""

# OWASP's second choice (2024): 19 MiB, two passes, one lane. Well below a second on a Pi Zero 2,
# and little enough memory that one hash a worker at a time does no harm on 512 MB.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_ONE_AT_A_TIME: Final = threading.Lock()


def is_long_enough(password: str) -> bool:
    """Whether a password may be chosen."""
    return MIN_LENGTH <= len(password) <= MAX_LENGTH


def hash_password(password: str) -> str:
    """Return what may be stored."""
    with _ONE_AT_A_TIME:
        return _HASHER.hash(password)


def is_right(stored: str, password: str) -> bool:
    """Whether this is the password of a stored hash."""
    if len(password) > MAX_LENGTH:
        return False
    try:
        with _ONE_AT_A_TIME:
            return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHash):
        return False
