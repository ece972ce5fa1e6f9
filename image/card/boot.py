"""The boot partition: firmware, kernel, initramfs, and what the owner may put there."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from image.card.disk import MIB
from image.card.profiles import Profile

FILES: Final = Path(__file__).resolve().parents[1] / "boot"
LABEL: Final = "LATCHKEY"
_FIRMWARE: Final = ("bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat")
"""Of each board only what it needs to start; a Pi 5 has its own."""
_CMDLINE: Final = (
    "ro rootwait rootfstype=squashfs fsck.mode=skip transparent_hugepage=madvise quiet panic=10"
)


def fill(folder: Path, handed: Path, profile: Profile, disk_id: int) -> None:
    """Put all files of the partition into a folder."""
    boot = profile.boot
    folder.mkdir()
    for name in _FIRMWARE:
        shutil.copyfile(handed / "firmware" / name, folder / name)
    shutil.copyfile(handed / "kernel", folder / boot.kernel_as)
    shutil.copyfile(handed / "initramfs", folder / boot.initramfs_as)
    for tree in (handed / "dtb").iterdir():
        shutil.copyfile(tree, folder / tree.name)
    if boot.overlays:
        (folder / "overlays").mkdir()
        for overlay in (handed / "overlays").iterdir():
            shutil.copyfile(overlay, folder / "overlays" / overlay.name)
    shutil.copyfile(handed / "LICENCE-firmware.txt", folder / "LICENCE-firmware.txt")
    for path in FILES.iterdir():
        text = path.read_text(encoding="utf-8").replace("@CONFIG@", "\n".join(boot.config))
        (folder / path.name).write_text(text, encoding="utf-8")
    (folder / "cmdline.txt").write_text(
        f"{boot.cmdline} root=PARTUUID={disk_id:08x}-05 {_CMDLINE}\n", encoding="ascii"
    )


def make_fat(target: Path, size: int, folder: Path, disk_id: int, epoch: int) -> None:
    """Write the file system: the same files give the same bytes."""
    with target.open("wb") as file:
        file.truncate(size)
    volume = ["-F", "32", "-n", LABEL, "-i", f"{disk_id:08x}", "--invariant"]
    _run("mkfs.fat", *volume, str(target))
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": str(epoch),
        "TZ": "UTC",
        "MTOOLS_SKIP_CHECK": "1",
    }
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (epoch, epoch))
    for directory in sorted(path for path in folder.rglob("*") if path.is_dir()):
        name = f"::{directory.relative_to(folder)}"
        _run("mmd", "-i", str(target), name, env=environment)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = f"::{path.relative_to(folder)}"
        _run("mcopy", "-m", "-i", str(target), str(path), name, env=environment)


def room(folder: Path) -> int:
    """MiB that the files take."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) // MIB + 1


def _run(*command: str, env: dict[str, str] | None = None) -> None:
    subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL)
