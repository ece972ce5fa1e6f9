"""What an interface is to a person, and what went through it: from sysfs and procfs, no netlink.

Source: Documentation/ABI/testing/sysfs-class-net, proc(5) ``/proc/PID/net/dev``.
"""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

_SYS: Final = Path("/sys/class/net")
_PROC: Final = Path("/proc/self/net/dev")
_ARPHRD_ETHER: Final = "1"


class Medium(Enum):
    """What the interface's packets travel on."""

    ETHERNET = "ethernet"
    WIFI = "wifi"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Counters:
    """Bytes since the interface was made."""

    rx_bytes: int
    tx_bytes: int


def observe_medium(interface: str, directory: Path = _SYS) -> Medium:
    """Look at an interface; one that sysfs does not show counts as Ethernet."""
    own = directory / interface
    if (own / "phy80211").exists() or (own / "wireless").exists():
        return Medium.WIFI
    try:
        kind = (own / "type").read_text(encoding="ascii").strip()
    except OSError:
        return Medium.ETHERNET
    return Medium.ETHERNET if kind == _ARPHRD_ETHER else Medium.OTHER


def read_counters(interface: str, path: Path = _PROC) -> Counters | None:
    """Read an interface's counters; None when there is no such interface."""
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        name, colon, rest = line.partition(":")
        if colon and name.strip() == interface:
            fields = rest.split()
            return Counters(rx_bytes=int(fields[0]), tx_bytes=int(fields[8]))
    return None
