"""The system itself: Debian's packages and rootfs/, packed into one squashfs.

mmdebstrap unpacks and configures; what is slow under emulation is kept away from it or done with
this machine's own programs (hooks/).
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from image.card.archive import SUITE, Archives
from image.card.errors import CardError
from image.card.native import Native
from image.card.profiles import Profile

HOOKS: Final = Path(__file__).resolve().parents[1] / "hooks"

_EXCLUDED: Final = (
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/doc/*",
    "/usr/share/lintian/*",
    "/usr/share/bug/*",
    "/usr/share/icons/*",
    "/usr/share/python-babel-localedata/locale-data/*",
    # Names of other people's mice and keyboards.
    "/usr/lib/udev/hwdb.d/*",
)
_INCLUDED: Final = (
    "/usr/share/doc/*/copyright",
    "/usr/share/python-babel-localedata/locale-data/root.dat",
    "/usr/share/python-babel-localedata/locale-data/en*.dat",
    "/usr/share/python-babel-localedata/locale-data/de*.dat",
)


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Everything that decides what is in the tree."""

    archives: Archives
    profile: Profile
    profile_key: Path | None
    """The key of the profile's own archive."""
    package: Path | None
    """latchkey_VERSION_all.deb; None makes a tree without."""
    depends: tuple[str, ...]
    epoch: int
    cache: Path
    work: Path
    native: Native
    """What runs here without emulation."""


def sources(bootstrap: Bootstrap) -> list[str]:
    """Return the lines of apt for building, one an archive."""
    archives, profile = bootstrap.archives, bootstrap.profile
    components = " ".join(profile.components)
    lines = [
        f"deb {archives.debian} {SUITE} {components}",
        f"deb {archives.debian} {SUITE}-updates {components}",
        f"deb {archives.security} {SUITE}-security {components}",
    ]
    if profile.extra is not None and bootstrap.profile_key is not None:
        extra = profile.extra
        lines.append(
            f"deb [signed-by={bootstrap.profile_key}] {extra.uri} {extra.suite} "
            f"{' '.join(extra.components)}"
        )
    return lines


def box_sources(archives: Archives, profile: Profile, key: str) -> str:
    """Return what the box's own apt gets: the same archives, in the form of today."""
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    blocks = [
        (archives.debian, f"{SUITE} {SUITE}-updates", profile.components, keyring),
        (archives.security, f"{SUITE}-security", profile.components, keyring),
    ]
    if profile.extra is not None:
        extra = profile.extra
        blocks.append((extra.uri, extra.suite, extra.components, key))
    return "\n".join(
        f"Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: {' '.join(components)}\n"
        f"Signed-By: {signed_by}\n"
        for uri, suites, components, signed_by in blocks
    )


def mmdebstrap_command(bootstrap: Bootstrap) -> list[str]:
    """Return the command that writes the tree to its standard output, as tar."""
    options = [
        "Acquire::Languages none;",
        'APT::Install-Recommends "false";',
        'Acquire::Retries "3";',
        *bootstrap.archives.options,
    ]
    excluded = [f"path-exclude={path}" for path in _EXCLUDED]
    included = [f"path-include={path}" for path in _INCLUDED]
    packages = [*bootstrap.profile.packages, *bootstrap.depends]
    cache = "$1/var/cache/apt/archives"
    hooks = [
        f'--setup-hook=mkdir -p "{cache}"; cp {bootstrap.cache}/*.deb "{cache}" 2>/dev/null || :',
        *(f"--extract-hook={path}" for path in sorted((HOOKS / "extract").iterdir())),
        *(f"--customize-hook={path}" for path in sorted((HOOKS / "customize").iterdir())),
    ]
    return [
        *("mmdebstrap", "--mode=root", "--architectures=arm64", "--variant=apt", "--format=tar"),
        "--skip=download/empty,essential/unlink,cleanup/apt",
        *(f"--aptopt={option}" for option in options),
        *(f"--dpkgopt={option}" for option in (*excluded, *included, "force-unsafe-io")),
        f"--include={','.join(dict.fromkeys(packages))}",
        *hooks,
        *(SUITE, "-", *sources(bootstrap)),
    ]


def squashfs_command(target: Path) -> list[str]:
    """Return the command that packs a tar from its standard input.

    Its times come from SOURCE_DATE_EPOCH: Debian 12's ignores -root-time with a tar.
    """
    return [
        *("mksquashfs", "-", str(target), "-tar", "-noappend", "-quiet", "-no-progress"),
        *("-reproducible", "-no-exports", "-root-mode", "755"),
        *("-comp", "zstd", "-Xcompression-level", "9", "-b", "256K"),
    ]


def make_tree(bootstrap: Bootstrap, target: Path, log: Path, kept: Path) -> None:
    """Write the system to ``target``; what mmdebstrap says goes to ``log`` (later ``kept``)."""
    temporary = bootstrap.work / "tree"
    temporary.mkdir()
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": str(bootstrap.work),
        "TMPDIR": str(temporary),
        "SOURCE_DATE_EPOCH": str(bootstrap.epoch),
        "DEBIAN_FRONTEND": "noninteractive",
        "CARD_IMAGE": str(HOOKS.parent),
        "CARD_WORK": str(bootstrap.work),
        "CARD_CACHE": str(bootstrap.cache),
        "CARD_PACKAGE": str(bootstrap.package or ""),
        "CARD_PYTHON": bootstrap.native.python,
        "CARD_NATIVE": str(bootstrap.native.programs or ""),
    }
    # With this program mmdebstrap ends, too, and with mmdebstrap whatever it has mounted.
    alone = ["setpriv", "--pdeathsig", "TERM", "unshare", "--mount", "--propagation=private"]
    command = [*alone, *mmdebstrap_command(bootstrap)]
    with log.open("wb") as said:
        unpack = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=said,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        pack = subprocess.Popen(
            squashfs_command(target),
            stdin=unpack.stdout,
            stdout=said,
            stderr=said,
            env=environment,
        )
        try:
            if unpack.stdout is not None:
                unpack.stdout.close()
            packed, unpacked = pack.wait(), unpack.wait()
        except BaseException:
            _end(unpack)
            pack.kill()
            raise
    if unpacked or packed:
        raise CardError(explain(log.read_text(encoding="utf-8", errors="replace"), kept))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let mmdebstrap remove what it made; its programs end with it."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


_REASONS: Final = (
    (r"No space left on device", "The disk is full: make room where the output goes."),
    (
        r"NO_PUBKEY|is not signed",
        "An archive's signature cannot be checked: upgrade debian-archive-keyring.",
    ),
    (
        r"Failed to fetch (\S+)",
        "A package could not be had from the archive ({0}): check the network and run it again.",
    ),
    (
        r"Temporary failure resolving '([^']+)'|Could not (?:resolve|connect to) '?([^' ]+)",
        "The archive {0} cannot be reached: check the network and run it again.",
    ),
    (
        r"Unable to locate package (\S+)|Package '?([^' ]+)'? has no installation candidate",
        "The archive has no package {0}: is it a full one of this suite?",
    ),
    (
        r"([^\s]+) : Depends: (\S+)",
        "The archive's packages do not fit together ({0}): it may be in the middle of an update; "
        "run it again later.",
    ),
    (
        r"cannot be executed (?!natively)|Exec format error",
        "Programs for arm64 do not run here: install qemu-user-static and binfmt-support.",
    ),
)


def explain(log: str, path: Path) -> str:
    """Say in one sentence why mmdebstrap gave up."""
    for pattern, sentence in _REASONS:
        match = re.search(pattern, log)
        if match:
            words = [word for word in match.groups() if word]
            return sentence.format(words[0] if words else "")
    lines = [line for line in log.splitlines() if line.startswith(("E:", "dpkg: error"))]
    sys.stderr.write("".join(f"  {line}\n" for line in log.splitlines()[-20:]))
    return f"The system could not be made: {lines[0] if lines else 'see'} (all of it: {path})."
