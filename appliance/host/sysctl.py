"""Kernel settings under /proc/sys, by their dotted names.

A slash may stand where a name holds a dot itself, as in sysctl(8): ``net/ipv4/conf/eth0.5/mtu``.
"""

from pathlib import Path
from typing import Final

from appliance.host.errors import HostError

ROOT: Final = Path("/proc/sys")


def read(name: str, root: Path = ROOT) -> str | None:
    """Read a setting; None when this kernel has none of that name."""
    try:
        return _path(name, root).read_text().strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HostError(f"The kernel setting {name} cannot be read: {error.strerror}.") from error


def write(name: str, value: str, root: Path = ROOT) -> None:
    """Change a setting."""
    try:
        _path(name, root).write_text(value)
    except OSError as error:
        message = (
            f"The kernel setting {name} cannot be set to {value} ({error.strerror}); "
            "set it by hand, or let this program run as root."
        )
        raise HostError(message) from error


def _path(name: str, root: Path) -> Path:
    return root / (name if "/" in name else name.replace(".", "/"))
