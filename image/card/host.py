"""What this machine must have, and what it knows: tools, room, the time of the sources."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

from image.card.errors import UnfitHostError as UnfitHostError

_TOOLS: Final = {
    "mmdebstrap": "mmdebstrap",
    "arch-test": "arch-test",
    "mksquashfs": "squashfs-tools",
    "mkfs.fat": "dosfstools",
    "mcopy": "mtools",
    "xz": "xz-utils",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "depmod": "kmod",
    "dpkg-deb": "dpkg",
    "apt-get": "apt",
}
_INTERPRETER: Final = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")
_RULE: Final = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
"""Of qemu-user-static: what systemd tells the kernel, where systemd runs."""


def require(output: Path, free_gib: int) -> None:
    """Say in one sentence what is missing here."""
    if os.geteuid() != 0:
        raise UnfitHostError("Making the card needs root: run `sudo make image`.")
    missing = sorted({pkg for tool, pkg in _TOOLS.items() if shutil.which(tool) is None})
    if missing:
        raise UnfitHostError(f"Install what is missing: apt-get install {' '.join(missing)}")
    free = shutil.disk_usage(output).free
    if free < free_gib << 30:
        raise UnfitHostError(
            f"{output} has {free / 2**30:.1f} GiB free; making the card takes {free_gib}. Make "
            "room, or choose another folder with --output."
        )
    _require_arm64()


def _require_arm64() -> None:
    if os.uname().machine == "aarch64" or _interpreter_works():
        return
    _register_interpreter()
    if not _interpreter_works():
        raise UnfitHostError(
            "Programs for arm64 do not run here: apt-get install qemu-user-static binfmt-support"
        )


def _register_interpreter() -> None:
    register = _INTERPRETER.with_name("register")
    if not register.exists():
        mount = ["mount", "-t", "binfmt_misc", "binfmt_misc", str(_INTERPRETER.parent)]
        subprocess.run(mount, check=False, capture_output=True)
    with suppress(OSError):
        register.write_bytes(_RULE.read_bytes().strip())


def _interpreter_works() -> bool:
    try:
        return _INTERPRETER.read_text(encoding="ascii").startswith("enabled")
    except OSError:
        return False


def epoch(root: Path, signed: int) -> int:
    """Return the time that files of this build have, and beneath which no box's clock is.

    That of the last commit or of the archive's signature, the later one, so that the same inputs
    have the same; SOURCE_DATE_EPOCH wins.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given.isdigit():
        return int(given)
    git = ["git", "-c", f"safe.directory={root}", "-C", str(root), "log", "-1", "--format=%ct"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    committed = int(done.stdout) if done.returncode == 0 and done.stdout.strip() else 0
    return max(committed, signed)


def depends(package: Path) -> tuple[str, ...]:
    """Return the names of the packages that this one depends on."""
    field = subprocess.run(
        ["dpkg-deb", "--field", str(package), "Depends"], capture_output=True, text=True, check=True
    ).stdout
    return parse_depends(field)


def parse_depends(field: str) -> tuple[str, ...]:
    """Return the first choice of each dependency, without versions."""
    names = (re.sub(r"[ (:|].*", "", part.strip()) for part in field.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def digest(folders: list[Path]) -> str:
    """Return what stands for the names, modes and contents of all files."""
    total = hashlib.sha256()
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            mode = path.stat().st_mode & 0o100
            total.update(f"{path.relative_to(folder)}\0{mode}\0".encode())
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()
