"""The boot partition as its owner sees it: read-only, but for moments in which we write there."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from appliance.firstboot.config import FILE, MAX_BYTES
from appliance.firstboot.errors import FirstbootError
from appliance.host.errors import FileProblemError
from appliance.host.files import read_bounded

DEFAULT_FOLDER: Final = Path("/boot/firmware")
CLAIM: Final = "LATCHKEY-CLAIM.txt"
ERROR: Final = "LATCHKEY-ERROR.txt"


class BootPartition:
    """One folder with the owner's file and our notes."""

    def __init__(self, folder: Path = DEFAULT_FOLDER) -> None:
        self._folder = folder

    def read_config(self) -> bytes | None:
        """Return latchkey.toml; None when there is none."""
        try:
            return read_bounded(self._folder / FILE, MAX_BYTES + 1)
        except FileProblemError as error:
            raise FirstbootError(f"{FILE} on the boot partition: {error}") from None

    def write_config(self, data: bytes) -> None:
        """Replace latchkey.toml."""
        self._write(FILE, data)

    def write_note(self, name: str, text: str) -> None:
        """Write a note for the owner, unless it is there already; empty text removes it."""
        path = self._folder / name
        # Windows' editors of old want both characters at the end of a line.
        data = text.replace("\n", "\r\n").encode("utf-8-sig") if text else b""
        try:
            if (path.read_bytes() if path.exists() else b"") == data:
                return
        except OSError:
            pass
        self._write(name, data)

    def _write(self, name: str, data: bytes) -> None:
        path = self._folder / name
        part = path.with_name("LATCHKEY.NEW")
        try:
            with self._writable():
                if not data:
                    path.unlink(missing_ok=True)
                    return
                with part.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(path)
        except OSError as error:
            raise FirstbootError(
                f"{name} cannot be written to the boot partition ({error.strerror})."
            ) from None

    @contextmanager
    def _writable(self) -> Iterator[None]:
        mounted = os.path.ismount(self._folder)
        if mounted:
            _remount(self._folder, "rw")
        try:
            yield
        finally:
            os.sync()
            if mounted:
                _remount(self._folder, "ro")


def _remount(folder: Path, mode: str) -> None:
    command = ["mount", "-o", f"remount,{mode}", str(folder)]
    subprocess.run(command, check=False, capture_output=True, timeout=30)
