"""Labs for tests: whether this machine can build one, and names that never collide."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path
from typing import Final

from tests.netns.lab import LABS, Lab
from tests.netns.lab.namespaces import PREFIX, clean, namespaces

_TOOLS: Final = ("ip", "nft", "tcpdump")
_numbers = itertools.count(1)


def why_no_lab() -> str | None:
    """None when labs can be built here, else the reason for the lane's named skip."""
    if os.geteuid() != 0:
        return "lab tests need root"
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    return f"lab tests need {', '.join(missing)}" if missing else None


def fresh_lab() -> Lab:
    """A lab named after this process; what test processes that no longer live left is removed."""
    for name in namespaces(f"{PREFIX}t"):
        owner = name.removeprefix(f"{PREFIX}t").partition("x")[0]
        if _is_dead(owner):
            clean(f"{PREFIX}t{owner}x")
    for directory in LABS.glob("t*x*"):
        if _is_dead(directory.name[1:].partition("x")[0]):
            shutil.rmtree(directory, ignore_errors=True)
    return Lab(f"t{os.getpid()}x{next(_numbers)}")


def _is_dead(owner: str) -> bool:
    return owner.isdigit() and not Path("/proc", owner).exists()
