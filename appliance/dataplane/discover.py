"""What can move packets on this machine: the kernel, or which wireguard-go.

The program's own version does not tell a fast one from a slow one (Debian 13's calls itself
0.0.20230223), so we look for the code that makes the difference: segmentation offload on the
tunnel device, without which it moves a tenth.
"""

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.dataplane.errors import NoWireGuardError

PROGRAM: Final = "wireguard-go"
SEARCH_PATH: Final = tuple(
    Path(name) for name in ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin")
)

_OFFLOAD_CODE: Final = b"virtioNetHdr"
"""The name of the type that carries offloaded packets; Go keeps type names in the binary."""
_VERSION: Final = re.compile(r"wireguard-go v?([0-9][0-9.]{0,30})")
_VERSION_TIMEOUT_S: Final = 5.0
_MAX_PROGRAM_BYTES: Final = 64 * 1024 * 1024
"""wireguard-go has 3 MB; whatever is larger is not read to the end."""


@dataclass(frozen=True, slots=True)
class WireGuardGo:
    """A wireguard-go that runs here."""

    path: Path
    version: str
    is_fast: bool

    def __str__(self) -> str:
        speed = "" if self.is_fast else ", slow"
        return f"wireguard-go {self.version} ({self.path}{speed})"

    @property
    def advice(self) -> str | None:
        """What the owner should do about it; None when it is as good as they come."""
        if self.is_fast:
            return None
        return (
            f"{self.path} (version {self.version}) has no segmentation offload and is about ten "
            "times slower than a newer one; install wireguard-go of Debian 13, or a kernel with "
            "WireGuard."
        )


def find_wireguard_go(
    chosen: Path | None = None, directories: Iterable[Path] = SEARCH_PATH
) -> WireGuardGo:
    """Return the one that the owner chose, else the best: fast before slow, then the newest."""
    if chosen is not None:
        if found := examine(chosen):
            return found
        raise NoWireGuardError(
            f"{chosen} is not a wireguard-go that runs here; correct the path in the settings."
        )
    candidates = (directory / PROGRAM for directory in dict.fromkeys(directories))
    found_ones = [found for path in candidates if (found := examine(path))]
    if not found_ones:
        raise NoWireGuardError(
            "This kernel has no WireGuard and no wireguard-go was found; "
            "install the package wireguard-go, or a kernel with WireGuard."
        )
    return max(found_ones, key=_rank)


def examine(path: Path) -> WireGuardGo | None:
    """Ask a program what it is; None when it is no wireguard-go or does not run."""
    if not path.is_file():
        return None
    try:
        answer = subprocess.run(
            [str(path), "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_VERSION_TIMEOUT_S,
            check=False,
        )
        with path.open("rb") as program:
            is_fast = _OFFLOAD_CODE in program.read(_MAX_PROGRAM_BYTES)
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = _VERSION.search(answer.stdout)
    return WireGuardGo(path, version[1].rstrip("."), is_fast) if version else None


def _rank(program: WireGuardGo) -> tuple[bool, tuple[int, ...]]:
    numbers = tuple(int(part) for part in program.version.split(".") if part)
    return program.is_fast, numbers
