"""Files that survive a power cut, and say clearly when they cannot be read.

A file is written beside its final name, flushed to the disk and renamed over it: a reader sees the
old content or the new, never half of it.
"""

import os
import tempfile
from pathlib import Path
from typing import Final

from appliance.host.errors import FileProblemError

PRIVATE_FILE: Final = 0o600
PRIVATE_DIRECTORY: Final = 0o700

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
"""No file of ours comes near this; more than that is not one of ours."""


def make_private_directory(path: Path) -> None:
    """Make the directory and its parents; it is for this user alone."""
    try:
        path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        path.chmod(PRIVATE_DIRECTORY)
    except OSError as error:
        raise FileProblemError(
            f"The directory {path} cannot be made or made private ({error.strerror}); "
            "check its owner, or choose another one."
        ) from error


def write_atomic(
    path: Path, data: bytes, mode: int = PRIVATE_FILE, group: int | None = None
) -> None:
    """Replace the file's content as a whole; it may belong to another group."""
    try:
        _replace(path, data, mode, group)
    except OSError as error:
        raise FileProblemError(
            f"{path} cannot be written ({error.strerror}); "
            "check the disk's free space and the directory's owner."
        ) from error


def read_bounded(path: Path, max_bytes: int = MAX_FILE_BYTES) -> bytes | None:
    """Read the whole file; None when there is none."""
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileProblemError(
            f"{path} cannot be read ({error.strerror}); check its owner and mode."
        ) from error
    if len(data) > max_bytes:
        raise FileProblemError(
            f"{path} is larger than {max_bytes} bytes, so it is not ours; move it away."
        )
    return data


def remove(path: Path) -> None:
    """Remove the file; it may be absent."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise FileProblemError(f"{path} cannot be removed ({error.strerror}).") from error


def _replace(path: Path, data: bytes, mode: int, group: int | None) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if group is not None and os.fstat(file.fileno()).st_gid != group:
                os.fchown(file.fileno(), -1, group)
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _flush_directory(path.parent)


def _flush_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
