"""Debian's kernel for the virtual machine, had through apt and kept in the cache.

A kernel's folder holds vmlinuz, lib/modules/VERSION and the initramfs: busybox, the modules that
mount the host's file system, and `init`.
"""

from __future__ import annotations

import lzma
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

CACHE: Final = Path(os.environ.get("LATCHKEY_CACHE") or Path.home() / ".cache" / "latchkey")
_FOLDER: Final = CACHE / "vm"
_INIT: Final = Path(__file__).with_name("init")
_TOOLS: Final = {"qemu-system-x86_64": "qemu-system-x86", "modprobe": "kmod", "cpio": "cpio"}
_BOOT_MODULES: Final = ("virtio_pci", "virtio_rng", "9pnet_virtio", "9p", "overlay")


class UnfitMachineError(Exception):
    """This machine cannot run the virtual machine; the message says why."""


def prepare() -> Path:
    """The folder of the newest kernel that apt offers, or else of the newest in the cache."""
    if os.uname().machine != "x86_64":
        raise UnfitMachineError("the virtual machine is made for x86-64 hosts only")
    if shutil.which("apt-get") is None:
        raise UnfitMachineError("the virtual machine's kernel comes through apt: not a Debian")
    _install_tools()
    kernel = _find_kernel()
    _pack(kernel)
    return kernel


def _find_kernel() -> Path:
    try:
        try:
            return _newest_kernel()
        except subprocess.CalledProcessError:
            _run("apt-get", "update", "-qq")  # lists that are absent or old
            return _newest_kernel()
    except subprocess.CalledProcessError as error:
        cached = [
            path.parent for path in _FOLDER.glob("*/vmlinuz") if path.parent.suffix != ".part"
        ]
        if not cached:
            message = f"apt cannot download the kernel: {error.stderr.strip()[-200:]}"
            raise UnfitMachineError(message) from None
        return max(cached, key=lambda path: path.stat().st_mtime)


def _newest_kernel() -> Path:
    kernel = _FOLDER / _newest()
    if not (kernel / "vmlinuz").exists():
        _download(kernel)
    return kernel


def _install_tools() -> None:
    missing = [package for tool, package in _TOOLS.items() if shutil.which(tool) is None]
    if not missing:
        return
    if os.geteuid() != 0:
        raise UnfitMachineError(f"needs {', '.join(missing)}: install it, or run this as root")
    print(f"vm: installing {' '.join(missing)}", flush=True)
    subprocess.run(["apt-get", "update", "-qq"], check=False)
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    if subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=False).returncode:
        raise UnfitMachineError(f"needs {', '.join(missing)}, which apt cannot install")


def _newest() -> str:
    """The version of the kernel that the package linux-image-amd64 means today."""
    shown = _run("apt-cache", "depends", "linux-image-amd64")
    match = re.search(r"Depends: linux-image-(\S+)", shown)
    if match is None:
        raise subprocess.CalledProcessError(1, "apt-cache", stderr="no linux-image-amd64")
    return match[1]


def _download(kernel: Path) -> None:
    """Replace the cache by this kernel and busybox; whole or not at all."""
    part = kernel.with_name(f"{kernel.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    print(f"vm: downloading linux-image-{kernel.name}", flush=True)
    packages = (f"linux-image-{kernel.name}", "busybox-static")
    _run("apt-get", "download", "-qq", *packages, cwd=part)
    for package in part.glob("*.deb"):
        _run("dpkg-deb", "-x", str(package), str(part))
        package.unlink()
    usr_merged = part / "usr" / "lib" / "modules"
    if usr_merged.is_dir():
        (part / "lib").mkdir(exist_ok=True)
        usr_merged.rename(part / "lib" / "modules")
    busybox = next(path for path in part.rglob("bin/busybox") if path.is_file())
    busybox.rename(part / "busybox")
    (part / "boot" / f"vmlinuz-{kernel.name}").rename(part / "vmlinuz")
    for name in ("boot", "usr", "bin"):
        shutil.rmtree(part / name, ignore_errors=True)
    _run("depmod", "-b", str(part), kernel.name)
    for older in _FOLDER.iterdir():
        if older != part:
            shutil.rmtree(older)
    part.rename(kernel)


def _pack(kernel: Path) -> None:
    """Make the initramfs, anew each time: it takes a moment, and init may have changed."""
    tree = kernel / "initramfs.tree"
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "modules").mkdir(parents=True)
    shutil.copy(kernel / "busybox", tree)
    shutil.copy(_INIT, tree)
    for number, module in enumerate(_boot_modules(kernel)):
        data = module.read_bytes()
        name = f"{number:02}-{module.name}".removesuffix(".xz")
        packed = module.suffix == ".xz"
        (tree / "modules" / name).write_bytes(lzma.decompress(data) if packed else data)
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    with (kernel / "initramfs").open("wb") as output:
        command = ["cpio", "--create", "--quiet", "--format=newc"]
        subprocess.run(command, cwd=tree, input=names.encode(), stdout=output, check=True)


def _boot_modules(kernel: Path) -> list[Path]:
    """The modules and all that they need, in the order to load them."""
    base = ("modprobe", "--dirname", str(kernel), "--set-version", kernel.name)
    shown = _run(*base, "--show-depends", "--all", *_BOOT_MODULES)
    paths = [Path(line.split()[1]) for line in shown.splitlines() if line.startswith("insmod")]
    return list(dict.fromkeys(paths))


def _run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout
