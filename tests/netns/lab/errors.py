"""What can go wrong in the lab itself (never: what a program under test did wrong)."""

from __future__ import annotations


class LabError(Exception):
    """The lab could not be built or one of its tools failed; the message says which."""


class LabTimeoutError(LabError):
    """A condition that a test waits for did not come true in time."""
