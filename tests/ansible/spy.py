"""Looks for pre-auth keys where none may be: process lists, output, files, journals."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.netns.lab.namespaces import RUN_NETNS

SECRET: Final = re.compile(rb"lkauth-[0-9a-f]{12}-[0-9a-f]{64}")
_PAUSE_S: Final = 0.1
_CHUNK: Final = 64 * 1024 * 1024


class Spy:
    """What any user of the lab's machines could read of other people's processes.

    Everything that takes part lives in a network namespace of the lab: Ansible and its SSH in the
    owner's, a host's processes in that host's. Other programs of this machine are not looked at.
    """

    def __init__(self, namespaces: list[str]) -> None:
        self.seen: set[str] = set()
        """Which processes showed a key, with the key left out."""
        self.looks = 0
        self._networks = {(RUN_NETNS / name).stat().st_ino for name in namespaces}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at every process for as long as the block takes."""
        end = threading.Event()
        thread = threading.Thread(target=self._look_until, args=(end,))
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()

    def _look_until(self, end: threading.Event) -> None:
        while not end.wait(_PAUSE_S):
            self.look()

    def look(self) -> None:
        """Look once."""
        self.looks += 1
        for process in Path("/proc").iterdir():
            with suppress(OSError):
                if process.name.isdigit() and self._takes_part(process):
                    self._look_at(process)

    def _takes_part(self, process: Path) -> bool:
        return (process / "ns" / "net").stat().st_ino in self._networks

    def _look_at(self, process: Path) -> None:
        for part in ("cmdline", "environ"):
            text = (process / part).read_bytes()
            if SECRET.search(text):
                shown = SECRET.sub(b"(a key)", text).replace(b"\0", b" ")
                self.seen.add(f"{part}: {shown[:300].decode(errors='replace')}")


def files_with_secrets(root: Path, *below: str) -> list[str]:
    """The files under some folders that hold a key's text, wherever they are in it."""
    found = []
    for folder in below:
        for file in (root / folder).rglob("*"):
            with suppress(OSError):
                if file.is_file() and not file.is_symlink() and _holds(file):
                    found.append(str(file.relative_to(root)))
    return found


def _holds(file: Path) -> bool:
    with file.open("rb") as stream:
        return SECRET.search(stream.read(_CHUNK)) is not None
