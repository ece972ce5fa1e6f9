"""The Debian 13 tree that the package is tried in, and every package that it may want.

A root directory in the cache, which tests only read: each works in a layer of its own above. It
holds the archive's index and the downloaded packages too, so that apt installs from it without a
network. Made anew when what is wanted of it changes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

_CACHE: Final = Path(os.environ.get("LATCHKEY_CACHE") or Path.home() / ".cache" / "latchkey")
TREE: Final = _CACHE / "trees" / "trixie-package"
SUITE: Final = "trixie"
INCLUDED: Final = (
    *("systemd", "systemd-sysv", "dbus", "libpam-systemd", "systemd-resolved", "network-manager"),
    *("nftables", "iproute2", "iputils-ping", "procps", "kmod", "ca-certificates", "polkitd"),
)
"""A server as people install it, with what the agent must get on with."""
WANTED_LATER: Final = (
    "wireguard-go",
    *("python3-pytest", "python3-pytest-asyncio", "python3-pytest-timeout", "python3-hypothesis"),
)
"""What tests install beside the package's own dependencies."""
_TOOLS: Final = ("mmdebstrap", "systemd-nspawn", "lintian", "dpkg-buildpackage", "dh_python3")
_ARCHIVE: Final = re.compile(r"^'(.*)/dists/[a-z]+/InRelease'", re.MULTILINE)


class UnfitMachineError(Exception):
    """The package cannot be tried here; the message says why."""


def prepare(package: Path) -> Path:
    """Make the tree, if need be, and have all packages in it that this one depends on."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        raise UnfitMachineError(f"needs {', '.join(missing)} (see .ci/packages-package.txt)")
    _make_base()
    _download(package)
    return TREE


def _make_base() -> None:
    stamp = TREE / ".base"
    key = _key(SUITE, *INCLUDED)
    if stamp.is_file() and stamp.read_text() == key:
        return
    new = TREE.with_name(f"{TREE.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.parent.mkdir(parents=True, exist_ok=True)
    print(f"Making a Debian {SUITE} tree (a minute)", flush=True)
    command = [
        *("nice", "mmdebstrap", "--quiet", "--variant=minbase", "--components=main"),
        *('--aptopt=Acquire::Languages "none"', f"--include={','.join(INCLUDED)}"),
        *(SUITE, str(new), _archive()),
    ]
    _run(command, "mmdebstrap")
    (new / ".base").write_text(key)
    shutil.rmtree(TREE, ignore_errors=True)
    new.rename(TREE)


def _download(package: Path) -> None:
    """Fill apt's cache in the tree with the dependencies of the package."""
    depends = subprocess.run(
        ["dpkg-deb", "--field", str(package), "Depends", "Recommends"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    stamp = TREE / ".downloaded"
    key = _key(depends, *WANTED_LATER)
    if stamp.is_file() and stamp.read_text() == key:
        return
    apt = [
        *("apt-get", "--quiet", "--yes", "-o", f"Dir={TREE}"),
        *("-o", f"Dir::State::status={TREE}/var/lib/dpkg/status"),
        *("-o", "Acquire::Languages=none", "-o", "APT::Sandbox::User=root"),
    ]
    _run([*apt, "update"], "apt-get update")
    _run([*apt, "--download-only", "install", str(package), *WANTED_LATER], "apt-get install")
    stamp.write_text(key)


def _archive() -> str:
    """Return the archive that this machine's apt takes Debian from."""
    release = dict(
        line.split("=", 1)
        for line in Path("/etc/os-release").read_text().splitlines()
        if "=" in line
    )
    codename = release.get("VERSION_CODENAME", "").strip('"')
    command = ["apt-get", "update", "--print-uris"]
    uris = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    for suite in (codename, "oldstable", "stable", "testing"):
        for found in _ARCHIVE.finditer(uris):
            if f"/dists/{suite}/" in found[0]:
                return found[1]
    raise UnfitMachineError("apt has no Debian archive among its sources")


def _key(*words: str) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def _run(command: list[str], name: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise UnfitMachineError(f"{name} failed: {said[-1]}")
