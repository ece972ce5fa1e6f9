"""The stub resolver: this machine's own queries in, over UDP and TCP, and their answers out.

A machine takes packets for any of its addresses by any of its interfaces, so a neighbour on the
LAN or a peer may well get here. Who is not a client gets no answer.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import ip_address
from typing import Any, Final

from appliance.aio.listener import serve_connections
from appliance.aio.stream import TcpStream, read_exactly
from appliance.dns.errors import DnsError
from appliance.protocol import dns
from appliance.protocol.addresses import IPAddress
from appliance.protocol.errors import ProtocolError

MAX_QUERIES: Final = 256
"""Asked at the same time, as in the reference; more are answered with a failure at once."""
MAX_CONNECTIONS: Final = 64
"""Over TCP come only answers too long for UDP."""
IDLE_S: Final = 10.0
"""A TCP connection without a query; RFC 7766 asks for a few seconds."""
MAX_QUERY: Final = 4096
"""A question with its options stays below 512."""

Resolve = Callable[[dns.Query], Awaitable[bytes]]
"""Answers a query; never raises."""
IsClient = Callable[[IPAddress], bool]


class StubServer:
    """Listens from the moment it is made; ``run`` answers."""

    def __init__(
        self,
        addresses: Iterable[IPAddress],
        resolve: Resolve,
        is_client: IsClient,
        port: int = dns.PORT,
    ) -> None:
        """Take the addresses, or raise a ``DnsError``."""
        self._resolve = resolve
        self._is_client = is_client
        self._asked = 0
        self._udp: list[socket.socket] = []
        self._tcp: list[socket.socket] = []
        for address in addresses:
            try:
                self._udp.append(_bind(address, port, socket.SOCK_DGRAM))
                self._tcp.append(_bind(address, port, socket.SOCK_STREAM))
            except OSError as error:
                self.close()
                raise DnsError(
                    f"Port {port} of {address} cannot be had ({error.strerror}). Stop the program "
                    f"that holds it (`ss -lnp 'sport = :{port}'`), or let that one listen on its "
                    "own addresses only."
                ) from None

    @property
    def port(self) -> int:
        """The UDP port of the first address."""
        return int(self._udp[0].getsockname()[1])

    @property
    def tcp_port(self) -> int:
        """The TCP port of the first address."""
        return int(self._tcp[0].getsockname()[1])

    async def run(self) -> None:
        """Answer queries until cancelled."""
        # Serving closes what it is given; ours stay for the next run.
        udp, tcp = [one.dup() for one in self._udp], [one.dup() for one in self._tcp]
        try:
            async with asyncio.TaskGroup() as tasks:
                for sock in udp:
                    tasks.create_task(self._serve_udp(sock), name="dns over UDP")
                for sock in tcp:
                    tasks.create_task(self._serve_tcp(sock), name="dns over TCP")
        finally:
            for sock in (*udp, *tcp):
                sock.close()

    def close(self) -> None:
        """Give the addresses up."""
        for sock in (*self._udp, *self._tcp):
            sock.close()
        self._udp, self._tcp = [], []

    async def _serve_udp(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(lambda d, a: tasks.create_task(answer(d, a), name="dns query")),
                sock=sock,
            )

            async def answer(data: bytes, address: Any) -> None:
                if not self._is_client(ip_address(str(address[0]).partition("%")[0])):
                    return
                reply = await self._answer(data, over_udp=True)
                if reply is not None:
                    transport.sendto(reply, address)

            try:
                await loop.create_future()
            finally:
                transport.close()

    async def _serve_tcp(self, sock: socket.socket) -> None:
        await serve_connections(
            sock, self._serve_stream, name="dns", max_connections=MAX_CONNECTIONS
        )

    async def _serve_stream(self, stream: TcpStream) -> None:
        if stream.peer is None or not self._is_client(stream.peer.ip):
            return
        while True:
            async with asyncio.timeout(IDLE_S):
                size = int.from_bytes(await read_exactly(stream, 2))
                if size > MAX_QUERY:
                    return
                data = await read_exactly(stream, size)
            reply = await self._answer(data, over_udp=False)
            if reply is None:
                return
            await stream.write(len(reply).to_bytes(2) + reply)

    async def _answer(self, data: bytes, *, over_udp: bool) -> bytes | None:
        try:
            query = dns.parse_query(data[: MAX_QUERY + 1], MAX_QUERY)
        except ProtocolError:
            return dns.encode_unreadable(data)
        if self._asked >= MAX_QUERIES:
            return dns.encode_failure(query, dns.SERVER_FAILURE)
        self._asked += 1
        try:
            reply = await self._resolve(query)
        finally:
            self._asked -= 1
        return dns.fit_udp(query, reply) if over_udp else reply


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, receive: Callable[[bytes, Any], object]) -> None:
        self._receive = receive

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._receive(data, addr)

    def error_received(self, exc: Exception) -> None:
        """Pass over it: an asker that left before its answer came."""


def _bind(address: IPAddress, port: int, kind: int) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((str(address), port))
        if kind == socket.SOCK_STREAM:
            sock.listen(MAX_CONNECTIONS)
    except OSError:
        sock.close()
        raise
    return sock
