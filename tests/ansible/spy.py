"""Looks for pre-auth keys where none may be: process lists, output, files, journals."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

SECRET: Final = re.compile(rb"lkauth-[0-9a-f]{12}-[0-9a-f]{64}")
_PAUSE_S: Final = 0.1
_CHUNK: Final = 64 * 1024 * 1024


class Spy:
    """What any user of a machine could read of other people's processes."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.looks = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at every process, in all containers, for as long as the block takes."""
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
            if not process.name.isdigit():
                continue
            for part in ("cmdline", "environ"):
                with suppress(OSError):
                    if SECRET.search((process / part).read_bytes()):
                        self.seen.add(f"{process.name}/{part}")


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
