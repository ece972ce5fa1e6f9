"""Unix sockets that know who calls: listening safely, and peer credentials.

Source: unix(7), SO_PEERCRED.
"""

import errno
import os
import socket
import stat
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_UCRED = struct.Struct("3i")
_MAX_PATH = 107
"""Of the socket's name in ``struct sockaddr_un``, its end mark excepted."""


class SocketInUseError(Exception):
    """Another instance listens there; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is at the other end of a Unix socket, as the kernel says."""

    pid: int
    uid: int
    gid: int


def peer_credentials(sock: socket.socket) -> Caller:
    """Ask the kernel who connected."""
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return Caller(*_UCRED.unpack(raw))


def listen_unix(path: Path, mode: int) -> socket.socket:
    """Listen at ``path`` with these permissions; a socket that a dead instance left is replaced.

    ``SocketInUseError`` when a living instance holds it, ``OSError`` when the path cannot be used.
    """
    if len(os.fsencode(path)) > _MAX_PATH:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o777 & ~mode)
        try:
            sock.bind(str(path))
        finally:
            os.umask(before)
        sock.listen(64)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _remove_stale(path: Path) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise SocketInUseError(
                f"{path} is not a socket. Remove it, or choose another --socket."
            )
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
                return
        raise SocketInUseError(
            f"Another instance already listens on {path}. Stop it, or choose another --socket."
        )
