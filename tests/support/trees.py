"""Programs of a small Debian system beside ours: its files, our kernel, one box's network.

The system is a directory in the cache (`make trees`), which stays as it is: a tenant works in a
layer of memory above it, with processes of its own that all end with it. Its programs get a name
in a folder for PATH, so that the code under test can call them as if they were installed here.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.support.boxes import Box

_CACHE: Final = Path(os.environ.get("LATCHKEY_CACHE") or Path.home() / ".cache" / "latchkey")
TREES: Final = _CACHE / "trees"

_PATH: Final = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
_MOVE_IN: Final = """
set -e
mount -t tmpfs tenant {room}
mkdir {room}/upper {room}/work {room}/root
mount -t overlay tenant -o lowerdir={tree},upperdir={room}/upper,workdir={room}/work {room}/root
cd {room}/root
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup || true
mount --rbind /dev dev
mount -t tmpfs run run
mkdir -p run/dbus run/lock run/firewalld
echo "$$"
exec chroot . sleep infinity
"""


def require_tree(name: str) -> Path:
    """The system's directory, or a skip that names it."""
    tree = TREES / name
    if not (tree / "usr").is_dir():
        pytest.skip(f"the Debian system {name} is not here (`make trees` makes it, as root)")
    return tree


class Tenant:
    """A system whose network is a box."""

    def __init__(self, box: Box, process: subprocess.Popen[str], folder: Path) -> None:
        self.box = box
        self.programs = folder / "programs"
        self._process = process
        self._background: list[subprocess.Popen[str]] = []
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        self._enter = ["nsenter", "--target", children.read_text().split()[0]]
        self._enter += ["--mount", "--pid", "--root", "--wd=/"]
        self.programs.mkdir()

    def run(self, command: str | list[str], *, check: bool = True) -> str:
        """Run a command of the system in the box's network; its standard output."""
        done = subprocess.run(
            self._argv(command), capture_output=True, text=True, timeout=30, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self, command: str) -> subprocess.Popen[str]:
        """Run a command in the background until the tenant leaves."""
        process = subprocess.Popen(
            self._argv(command),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._background.append(process)
        return process

    def write(self, path: str, text: str) -> None:
        """Write a file of the system."""
        subprocess.run(
            self._argv(["tee", path]), input=text, text=True, check=True, capture_output=True
        )

    def lend(self, *names: str) -> None:
        """Put programs into the folder for PATH; they work in the network of who calls them."""
        for name in names:
            program = self.programs / name
            words = shlex.join([*self._enter, "env", _PATH, name])
            program.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
            program.chmod(0o755)

    def leave(self) -> None:
        """End everything that runs in the system."""
        self._process.kill()
        for process in (self._process, *self._background):
            process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _argv(self, command: str | list[str]) -> list[str]:
        words = command.split() if isinstance(command, str) else command
        return ["ip", "netns", "exec", self.box.name, *self._enter, "env", _PATH, *words]


@contextmanager
def tenant(box: Box, tree: Path, folder: Path) -> Iterator[Tenant]:
    """Have a system live in a box; its files and processes are gone afterwards."""
    room = folder / "room"
    room.mkdir()
    script = _MOVE_IN.format(room=room, tree=tree)
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]
    process = subprocess.Popen(
        ["ip", "netns", "exec", box.name, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip(), "the system did not start"
    moved_in = Tenant(box, process, folder)
    try:
        yield moved_in
    finally:
        moved_in.leave()
