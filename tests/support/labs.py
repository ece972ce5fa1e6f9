"""Labs for tests: whether this machine can build one, and names that never collide."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path
from typing import Final

from tests.netns.lab import Lab
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
    """A lab named after this process; labs of test processes that no longer live are removed."""
    for name in namespaces(f"{PREFIX}t"):
        owner = name.removeprefix(f"{PREFIX}t").partition("x")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            clean(f"{PREFIX}t{owner}x")
    return Lab(f"t{os.getpid()}x{next(_numbers)}")
