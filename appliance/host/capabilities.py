"""What the kernel lets this process do."""

from pathlib import Path
from typing import Final

CAP_NET_ADMIN: Final = 12
CAP_NET_RAW: Final = 13


def has_capability(number: int) -> bool:
    """Whether this process holds the capability now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False
