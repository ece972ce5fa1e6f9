"""Accepting connections: one task each, and a limit on how many."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from appliance.aio.errors import StreamError
from appliance.aio.stream import TcpStream

if TYPE_CHECKING:
    import ssl

_log = logging.getLogger(__name__)

# Half of the 8192 file descriptors our units allow; each connection costs one.
MAX_CONNECTIONS: Final = 4096
_TLS_HANDSHAKE_TIMEOUT_S: Final = 10.0


async def serve_connections(
    sock: socket.socket,
    on_stream: Callable[[TcpStream], Awaitable[None]],
    *,
    name: str,
    tls: "ssl.SSLContext | None" = None,
    max_connections: int = MAX_CONNECTIONS,
) -> None:
    """Serve a bound socket until cancelled; closes each stream when its handler returns.

    A connection beyond the limit is closed at once. An error ends its own connection only.
    """
    open_connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_connections
        stream = TcpStream(reader, writer)
        open_connections += 1
        try:
            if open_connections <= max_connections:
                await on_stream(stream)
        except (StreamError, TimeoutError) as error:
            _log.debug("%s: connection from %s ended: %s", name, stream.peer, error)
        except Exception:  # noqa: BLE001 - one connection is the edge
            _log.exception("%s: connection from %s failed", name, stream.peer)
        finally:
            open_connections -= 1
            await stream.close()

    async with asyncio.TaskGroup() as tasks:

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.create_task(serve(reader, writer), name=f"{name} connection")

        timeout_s = _TLS_HANDSHAKE_TIMEOUT_S if tls else None
        server = await asyncio.start_server(
            accept, sock=sock, ssl=tls, ssl_handshake_timeout=timeout_s
        )
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            server.close()
