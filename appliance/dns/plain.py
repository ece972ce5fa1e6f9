"""Asking resolvers as RFC 1035 has it: over UDP, and over TCP what does not fit.

Each query goes out of a socket of its own under a number of its own, so that a stranger would have
to guess both to be heard.
"""

import asyncio
import secrets
import socket
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final

from appliance.dns.errors import ForwardError
from appliance.protocol import dns
from appliance.protocol.addresses import AddrPort

OpenSocket = Callable[[int, int], socket.socket]
"""Makes a non-blocking socket of a family and kind, marked or bound as the caller needs."""

TRY_S: Final = 1.5
"""One resolver is given so long before the next; a recursive lookup rarely takes longer."""
TOTAL_S: Final = 5.0
"""Then the asker has given up as well: the default of resolv.conf(5)."""

_LASTING: Final = frozenset({dns.NO_ERROR, dns.NAME_ERROR})
"""Answers that no other resolver is asked after."""


class PlainForwarder:
    """Asks resolvers one after the other, the one that last answered first."""

    def __init__(
        self,
        servers: Sequence[AddrPort],
        open_socket: OpenSocket,
        number: Callable[[int], int] = secrets.randbelow,
    ) -> None:
        self._servers = tuple(servers)
        self._open_socket = open_socket
        self._number = number
        self._first = 0

    async def ask(self, query: dns.Query) -> bytes:
        """Return the first lasting answer, else the last refusal."""
        refusal: bytes | None = None
        try:
            async with asyncio.timeout(TOTAL_S):
                while self._servers and refusal is None:
                    for offset in range(len(self._servers)):
                        number = (self._first + offset) % len(self._servers)
                        reply = await self._try(query, self._servers[number])
                        if reply is not None and dns.rcode_of(reply) in _LASTING:
                            self._first = number
                            return reply
                        refusal = reply or refusal
        except TimeoutError:
            pass
        if refusal is not None:
            return refusal
        if not self._servers:
            raise ForwardError("there is no resolver to ask")
        raise ForwardError(f"{', '.join(str(one.ip) for one in self._servers)} did not answer")

    async def close(self) -> None:
        """Nothing stays open between queries."""

    async def _try(self, query: dns.Query, server: AddrPort) -> bytes | None:
        renamed = query.with_id(self._number(1 << 16))
        try:
            async with asyncio.timeout(TRY_S):
                reply = await self._ask_udp(renamed, server)
                if dns.is_truncated(reply):
                    reply = await self._ask_tcp(renamed, server)
        except TimeoutError:
            return None
        except OSError:
            await asyncio.sleep(TRY_S / 10)  # refused at once: no race against a dead network
            return None
        return dns.renumber(reply, query.id)

    async def _ask_udp(self, query: dns.Query, server: AddrPort) -> bytes:
        loop = asyncio.get_running_loop()
        with closing(self._open_socket(_family(server), socket.SOCK_DGRAM)) as sock:
            await loop.sock_connect(sock, (str(server.ip), server.port))
            await loop.sock_sendall(sock, query.data)
            while True:
                reply = await loop.sock_recv(sock, dns.MAX_MESSAGE)
                if dns.answers(query, reply):
                    return reply

    async def _ask_tcp(self, query: dns.Query, server: AddrPort) -> bytes:
        loop = asyncio.get_running_loop()
        with closing(self._open_socket(_family(server), socket.SOCK_STREAM)) as sock:
            await loop.sock_connect(sock, (str(server.ip), server.port))
            await loop.sock_sendall(sock, len(query.data).to_bytes(2) + query.data)
            size = int.from_bytes(await _receive(sock, 2))
            reply = await _receive(sock, size)
        if not dns.answers(query, reply):
            raise ConnectionError("the resolver answered something else")
        return reply


async def _receive(sock: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = bytearray()
    while len(data) < size:
        chunk = await loop.sock_recv(sock, size - len(data))
        if not chunk:
            raise ConnectionError("the resolver closed the connection")
        data += chunk
    return bytes(data)


def _family(server: AddrPort) -> int:
    return socket.AF_INET if server.ip.version == 4 else socket.AF_INET6
