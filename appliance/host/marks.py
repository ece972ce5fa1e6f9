"""Sockets whose packets never enter the tunnel.

The gateway's policy rules send marked packets by the machine's ordinary routes, whatever the
routes into the tunnel say: our own WireGuard, relay, control and DNS traffic.
"""

import asyncio
import socket
from typing import Final

FWMARK: Final = 0x80000
FWMARK_MASK: Final = 0xFF0000
"""The byte of the mark that is ours (the reference's too); other bits belong to others."""


def open_marked(family: int, kind: int, mark: int = FWMARK, protocol: int = 0) -> socket.socket:
    """Make a non-blocking socket with the mark; 0 means none.

    Raises ``PermissionError`` without CAP_NET_ADMIN.
    """
    opened = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
    try:
        if mark:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    except OSError:
        opened.close()
        raise
    return opened


async def connect_marked(address: tuple[str, int], mark: int = FWMARK) -> socket.socket:
    """Open a TCP connection to a literal IP address and port; the caller sets the time limit."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    opened = open_marked(family, socket.SOCK_STREAM, mark)
    try:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(opened, address)
    except BaseException:
        opened.close()
        raise
    return opened
