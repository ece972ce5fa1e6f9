"""Asking an exit node: DNS over HTTP inside the tunnel.

POST /dns-query with the query as ``application/dns-message``; the answer comes back the same way.
Source: RFC 8484 without its TLS, which the tunnel replaces; tailscale ipn/ipnlocal/peerapi.go
(handleDNSQuery), 2026-08.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from appliance.aio.errors import StreamClosedError, StreamError
from appliance.aio.http1 import Http1Client, Http1Limits, HttpRequest
from appliance.aio.stream import Stream, TcpStream
from appliance.dns.errors import ForwardError
from appliance.protocol import dns
from appliance.protocol.addresses import AddrPort

PATH: Final = "/dns-query"
CONTENT_TYPE: Final = "application/dns-message"

TOTAL_S: Final = 5.0
"""The exit node gives up after as long; so has the asker."""
MAX_CONNECTIONS: Final = 8
"""A page with many names asks as much at once; queries beyond wait for their turn."""
MAX_IDLE_S: Final = 20.0
"""Exit nodes close idle connections after 30 s or more: ours, and the reference."""

_LIMITS: Final = Http1Limits(header_bytes=8 * 1024, body_bytes=dns.MAX_MESSAGE)

OpenStream = Callable[[AddrPort], Awaitable[Stream]]


@dataclass(frozen=True, slots=True)
class _Connection:
    client: Http1Client
    stream: Stream
    host: str
    idle_since: float


class DohForwarder:
    """Asks one exit node, over a few connections that stay open."""

    def __init__(self, name: str, addresses: tuple[AddrPort, ...], open_stream: OpenStream) -> None:
        self._name = name
        self._addresses = addresses
        self._open_stream = open_stream
        self._idle: list[_Connection] = []
        self._free = asyncio.Semaphore(MAX_CONNECTIONS)

    async def ask(self, query: dns.Query) -> bytes:
        """Return the exit node's answer."""
        try:
            async with asyncio.timeout(TOTAL_S), self._free:
                return await self._ask(query)
        except TimeoutError:
            raise ForwardError(f"{self._name} does not answer") from None
        except (OSError, StreamError) as error:
            raise ForwardError(f"{self._name} cannot be asked ({error})") from None

    async def close(self) -> None:
        """Close what is open."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.stream.close()

    async def _ask(self, query: dns.Query) -> bytes:
        """Ask over an open connection; one that the exit node closed meanwhile is replaced."""
        while (connection := await self._reuse()) is not None:
            with suppress(StreamClosedError):
                return await self._exchange(connection, query)
        return await self._exchange(await self._connect(), query)

    async def _exchange(self, connection: _Connection, query: dns.Query) -> bytes:
        try:
            response = await connection.client.request(_request(connection.host, query))
            kept = connection.client.reusable
        except BaseException:
            await connection.stream.close()
            raise
        if kept:
            now = asyncio.get_running_loop().time()
            self._idle.append(replace(connection, idle_since=now))
        else:
            await connection.stream.close()
        if response.status == 403:
            raise ForwardError(f"{self._name} does not let us use it as exit node")
        if response.status != 200 or not dns.answers(query, response.body):
            raise ForwardError(f"{self._name} refuses to answer (status {response.status})")
        return response.body

    async def _reuse(self) -> _Connection | None:
        oldest = asyncio.get_running_loop().time() - MAX_IDLE_S
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_since > oldest:
                return connection
            await connection.stream.close()
        return None

    async def _connect(self) -> _Connection:
        failure: Exception = ForwardError(f"{self._name} has no address to ask")
        for address in self._addresses:
            try:
                stream = await self._open_stream(address)
            except OSError as error:
                failure = error
                continue
            return _Connection(Http1Client(stream, _LIMITS), stream, str(address), 0.0)
        raise failure


async def open_stream(address: AddrPort, sock: socket.socket) -> Stream:
    """Connect a socket, which is closed when that fails."""
    try:
        await asyncio.get_running_loop().sock_connect(sock, (str(address.ip), address.port))
        return TcpStream(*await asyncio.open_connection(sock=sock))
    except BaseException:
        sock.close()
        raise


def _request(host: str, query: dns.Query) -> HttpRequest:
    headers = (("Host", host), ("Content-Type", CONTENT_TYPE), ("Accept", CONTENT_TYPE))
    return HttpRequest("POST", PATH, headers, query.data)
