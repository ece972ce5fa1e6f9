"""Accepting connections for a port that anybody can reach.

A connection is a stranger until its node asks for the upgrade to DERP: during the TLS handshake
and the HTTP request. Strangers are limited in number and time. Above the limit the oldest gives
way, but not before it has had a moment: that keeps those out who open connections and do nothing,
and does not disturb a thousand nodes that come back at once.
"""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from appliance.aio.errors import StreamError
from appliance.aio.http1 import Http1Limits, HttpRequest, HttpResponse, Upgrade, serve_http1
from appliance.aio.stream import TcpStream
from appliance.protocol.addresses import AddrPort, parse_ip

_log = logging.getLogger(__name__)

MAX_STRANGERS: Final = 1024
"""At about 100 KiB each (TLS buffers, request head) 100 MiB at worst."""

MOMENT_S: Final = 2.0
"""A handshake and a request take five round trips, a second on the worst of links."""

HANDSHAKE_TIMEOUT_S: Final = 10.0
STREAM_LIMIT: Final = 16 * 1024
LIMITS: Final = Http1Limits(
    header_bytes=8 * 1024, body_bytes=1024, request_timeout_s=10.0, idle_timeout_s=10.0
)

Answer = HttpResponse | Upgrade
Handler = Callable[[HttpRequest], Awaitable[Answer]]


class Listener:
    """Serves HTTP on one listening socket until cancelled."""

    def __init__(
        self,
        sock: socket.socket,
        handler: Handler,
        tls: ssl.SSLContext | None,
        max_strangers: int = MAX_STRANGERS,
        moment_s: float = MOMENT_S,
    ) -> None:
        """Take a listening, non-blocking socket, which `run` closes; ``tls`` None is plain HTTP."""
        self._socket = sock
        self._handler = handler
        self._tls = tls
        self._max_strangers = max_strangers
        self._moment_s = moment_s
        self._strangers: dict[asyncio.Task[None], float] = {}

    @property
    def address(self) -> AddrPort:
        """Where it listens."""
        name = self._socket.getsockname()
        return AddrPort(parse_ip(name[0]), name[1])

    def close(self) -> None:
        """Close a listener that does not run."""
        self._socket.close()

    @property
    def strangers(self) -> int:
        """How many connections have not asked for an upgrade yet."""
        return len(self._strangers)

    async def run(self) -> None:
        """Accept and serve; an error ends its own connection only."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    sock = await self._accept(loop)
                    if sock is not None:
                        task = tasks.create_task(self._serve(sock, loop), name="relay connection")
                        self._strangers[task] = loop.time()
                        task.add_done_callback(self._forget)
        finally:
            self._socket.close()

    async def _accept(self, loop: asyncio.AbstractEventLoop) -> socket.socket | None:
        await self._make_room(loop)
        try:
            sock, _ = await loop.sock_accept(self._socket)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                _log.warning("no more connections can be accepted: %s", error.strerror)
                await asyncio.sleep(1.0)
            return None
        return sock

    async def _make_room(self, loop: asyncio.AbstractEventLoop) -> None:
        while len(self._strangers) >= self._max_strangers:
            oldest, since = next(iter(self._strangers.items()))
            if (wait_s := since + self._moment_s - loop.time()) > 0:
                await asyncio.wait(self._strangers, timeout=wait_s, return_when="FIRST_COMPLETED")
            else:
                oldest.cancel()
                self._forget(oldest)

    async def _serve(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        stream: TcpStream | None = None
        try:
            stream = await self._open(sock, loop)
            await serve_http1(stream, self._handle, LIMITS)
        except (OSError, StreamError, TimeoutError) as error:
            _log.debug("a connection ended: %s", error)
        except Exception:  # noqa: BLE001 - and logged
            _log.exception("a connection failed")
        finally:
            if stream is not None:
                await stream.close()
            else:
                sock.close()

    async def _open(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> TcpStream:
        reader = asyncio.StreamReader(STREAM_LIMIT, loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        timeout = HANDSHAKE_TIMEOUT_S if self._tls else None
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, sock, ssl=self._tls, ssl_handshake_timeout=timeout
        )
        return TcpStream(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    async def _handle(self, request: HttpRequest) -> Answer:
        answer = await self._handler(request)
        if isinstance(answer, Upgrade) and (task := asyncio.current_task()):
            self._forget(task)
        return answer

    def _forget(self, task: asyncio.Task[None]) -> None:
        with suppress(KeyError):
            del self._strangers[task]
