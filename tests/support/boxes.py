"""Network namespaces of our own for tests of single rooms, joined by plain veth pairs.

Everything a test makes is in namespaces whose names begin with ``lkm-``; they go with the test,
and the next run removes what a killed one left.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

T = TypeVar("T")

PREFIX: Final = "lkm-"
REPOSITORY: Final = Path(__file__).resolve().parents[2]
PATIENT_S: Final = 3.0
"""For what must arrive, on a busy machine too."""
QUICK_S: Final = 0.3
"""Long enough for a packet between namespaces, short enough to wait for none."""
_RUN_NETNS: Final = Path("/run/netns")
_CLONE_NEWNET: Final = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def why_no_boxes(*tools: str) -> str | None:
    """None when namespaces can be made here, else the reason for a named skip."""
    if os.geteuid() != 0:
        return "needs root for network namespaces"
    missing = [tool for tool in ("ip", *tools) if shutil.which(tool) is None]
    return f"needs {', '.join(missing)}" if missing else None


class Box:
    """One network namespace."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._background: list[subprocess.Popen[str]] = []
        _sh("ip", "netns", "add", name)
        self.ip("link set lo up")

    def run(self, command: str, *, check: bool = True, timeout: float = 20) -> str:
        """Run a command inside; its standard output, or an AssertionError with its complaint."""
        done = self.attempt(command, timeout=timeout)
        if check and done.returncode:
            raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
        return done.stdout

    def ip(self, *commands: str) -> None:
        """Run several commands of ip(8) at once."""
        subprocess.run(
            ["ip", "-n", self.name, "-batch", "-"],
            input="\n".join(commands),
            check=True,
            capture_output=True,
            text=True,
        )

    def attempt(self, command: str, timeout: float = 20) -> subprocess.CompletedProcess[str]:
        """Run a command inside, whether it succeeds or not."""
        return subprocess.run(
            ["ip", "netns", "exec", self.name, *command.split()],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def pings(self, address: str) -> bool:
        """Whether an address answers within some seconds."""
        with self.inside():
            return _ping(address, PATIENT_S)

    def is_deaf_to(self, address: str) -> bool:
        """Whether an address gives no answer for a moment."""
        with self.inside():
            return not _ping(address, QUICK_S)

    def start(self, command: str | list[str], **options: Any) -> subprocess.Popen[str]:
        """Run a command in the background until the test ends."""
        words = command.split() if isinstance(command, str) else command
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.name, *words],
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=options.pop("stdout", subprocess.DEVNULL),
            stderr=options.pop("stderr", subprocess.DEVNULL),
            cwd=REPOSITORY,
            **options,
        )
        self._background.append(process)
        return process

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Have this thread, and those it starts, live in the namespace."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _enter(_RUN_NETNS / self.name)
            yield
        finally:
            _libc.setns(home, _CLONE_NEWNET)
            os.close(home)

    def do(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine to its end inside."""
        with self.inside():
            return asyncio.run(work())

    def destroy(self) -> None:
        """End what runs inside and remove the namespace."""
        for process in self._background:
            process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        _remove(self.name)


def join(left: Box, left_name: str, right: Box, right_name: str) -> None:
    """Put a cable between two boxes; both ends are switched on."""
    _sh(
        *("ip", "link", "add", left_name, "netns", left.name, "type", "veth"),
        *("peer", "name", right_name, "netns", right.name),
    )
    left.ip(f"link set {left_name} up")
    right.ip(f"link set {right_name} up")


@contextmanager
def fresh_boxes(*names: str) -> Iterator[tuple[Box, ...]]:
    """Boxes with these names (and this process in theirs), removed afterwards."""
    _remove_leftovers()
    boxes: list[Box] = []
    try:
        for name in names:
            boxes.append(Box(f"{PREFIX}{os.getpid()}-{name}"))  # noqa: PERF401 - kept on failure
        yield tuple(boxes)
    finally:
        for box in boxes:
            box.destroy()


def _ping(address: str, timeout_s: float) -> bool:
    """Send one echo request and wait for its answer."""
    v6 = ":" in address
    family, protocol = (socket.AF_INET6, 58) if v6 else (socket.AF_INET, 1)
    ask, answer = (128, 129) if v6 else (8, 0)
    body = os.urandom(4) + b"latchkey" * 4
    packet = (
        struct.pack("!BBH", ask, 0, 0 if v6 else _checksum(bytes([ask, 0, 0, 0]) + body)) + body
    )
    deadline = time.monotonic() + timeout_s
    with socket.socket(family, socket.SOCK_RAW, protocol) as sender:
        try:
            sender.sendto(packet, (address, 0))
            while (left := deadline - time.monotonic()) > 0:
                sender.settimeout(left)
                data = sender.recv(2048)
                data = data if v6 else data[(data[0] & 15) * 4 :]
                if data[0] == answer and data[4:] == body:
                    return True
        except OSError:
            return False
    return False


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _remove_leftovers() -> None:
    if not _RUN_NETNS.is_dir():
        return
    for path in _RUN_NETNS.iterdir():
        owner = path.name.removeprefix(PREFIX).partition("-")[0]
        if path.name.startswith(PREFIX) and owner.isdigit() and not Path("/proc", owner).exists():
            _remove(path.name)


def _remove(name: str) -> None:
    listed = subprocess.run(
        ["ip", "netns", "pids", name], capture_output=True, text=True, check=False
    )
    for pid in listed.stdout.split():
        os.kill(int(pid), signal.SIGKILL)
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _enter(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if _libc.setns(descriptor, _CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(descriptor)


def _sh(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
