"""Network namespaces by name: list, enter, kill and delete them.

Everything a lab makes lives inside namespaces whose names begin with its prefix, so that one
look at /run/netns finds whatever an earlier run left behind, however it ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from tests.netns.lab.errors import LabError

T = TypeVar("T")

PREFIX: Final = "lk-"
RUN_NETNS: Final = Path("/run/netns")
ETC_NETNS: Final = Path("/etc/netns")
# wireguard-go and `wg` find each other here by interface name; each host gets its own (see enter).
WIREGUARD_SOCKETS: Final = Path("/run/wireguard")
# The path of a Unix socket ends after 107 bytes, the one of a repository may not.
SOCKETS: Final = Path("/run/latchkey-lab")

_CLONE_NEWNET: Final = 0x40000000
_KILL_ROUNDS: Final = 50  # a round is 20 ms: one second for the kernel to reap what was killed
_libc = ctypes.CDLL(None, use_errno=True)


def namespaces(prefix: str) -> list[str]:
    """Names of the existing namespaces that begin with the prefix."""
    if not RUN_NETNS.is_dir():
        return []
    return sorted(path.name for path in RUN_NETNS.iterdir() if path.name.startswith(prefix))


def pids(names: list[str]) -> list[int]:
    """Processes that live in any of these namespaces, found in one walk through /proc."""
    inodes = set()
    for name in names:
        try:
            inodes.add((RUN_NETNS / name).stat().st_ino)
        except OSError:
            continue
    return [pid for pid in _all_pids() if _namespace_inode(pid) in inodes]


def clean(prefix: str) -> list[str]:
    """Kill every process in the namespaces of this prefix and delete them; returns their names.

    Works for what an earlier, killed run left behind: it needs nothing but the prefix.
    """
    names = namespaces(prefix)
    if names:
        _kill_all(names)
        _delete(names)
    for parent in (ETC_NETNS, SOCKETS):
        if parent.is_dir():
            _remove_directories(parent, prefix)
    return names


def enter(name: str, sockets: Path, argv: list[str]) -> list[str]:
    """The command line that runs argv in the namespace.

    `sockets` is mounted on /run/wireguard for that process only: hosts may then use equal
    interface names, and a killed run leaves no stale socket outside its own folder.
    """
    mount = f'mount --bind "$0" {WIREGUARD_SOCKETS} && exec "$@"'
    return ["ip", "netns", "exec", name, "sh", "-c", mount, str(sockets), *argv]


def inside(name: str, action: Callable[[], T]) -> T:
    """Run action in a thread that has entered the namespace; sockets it opens stay there."""
    results: list[T] = []
    failures: list[BaseException] = []

    def body() -> None:
        try:
            _move_this_thread(name)
            results.append(action())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=body, name=f"inside {name}", daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def write_sysctls(name: str, values: dict[str, str]) -> None:
    """Set sysctls of the namespace, e.g. {"net.ipv4.ip_forward": "1"}."""

    def write() -> None:
        for key, value in values.items():
            Path("/proc/sys", *key.split(".")).write_text(value, encoding="ascii")

    inside(name, write)


def tool(argv: list[str], text: str | None = None) -> str:
    """Run one of the lab's own tools (ip, nft); a failure is a LabError with its words."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: {done.stderr.strip()}\n{text or ''}".strip())
    return done.stdout


def _remove_directories(parent: Path, prefix: str) -> None:
    for directory in parent.iterdir():
        if directory.name.startswith(prefix):
            shutil.rmtree(directory, ignore_errors=True)
    with contextlib.suppress(OSError):  # another lab's directories are in it
        parent.rmdir()


def _move_this_thread(name: str) -> None:
    with (RUN_NETNS / name).open("rb") as handle:
        if _libc.setns(handle.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter namespace {name}")


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]


def _namespace_inode(pid: int) -> int | None:
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:
        return None


def _kill_all(names: list[str]) -> None:
    for _ in range(_KILL_ROUNDS):
        living = pids(names)
        if not living:
            return
        for pid in living:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)
    raise LabError(f"processes {pids(names)} in the lab do not end after SIGKILL")


def _delete(names: list[str]) -> None:
    tool(["ip", "-force", "-batch", "-"], "".join(f"netns del {name}\n" for name in names))
