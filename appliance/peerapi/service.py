"""The port for peers: who may connect, and what is answered.

A peer is known by the address it connects from, which the tunnel vouches for: the sockets are bound
to it. Requests from a web page are refused, for its server may have chosen our address as its own.
"""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from operator import ne
from typing import Final
from zlib import crc32

from appliance.aio.errors import RequestRefusedError
from appliance.aio.http1 import Http1Limits, HttpRequest, HttpResponse, serve_http1
from appliance.aio.latest import Latest
from appliance.aio.listener import serve_connections
from appliance.aio.stream import TcpStream
from appliance.peerapi import exitdns
from appliance.peerapi.config import PeerApiConfig
from appliance.peerapi.errors import PeerApiError
from appliance.protocol import dns
from appliance.protocol.addresses import AddrPort, IPAddress
from appliance.protocol.errors import ProtocolError

_log = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 512
"""All peers together: a family's nodes with what they ask at once."""
MAX_CONNECTIONS_OF_ONE: Final = 128
"""The reference opens one for each query that is under way."""
MAX_QUERIES: Final = 256
"""Under way to our own resolver at the same time; what comes beyond is refused."""

_LIMITS: Final = Http1Limits(
    header_bytes=8 * 1024,  # a GET with the longest query that we take
    body_bytes=exitdns.MAX_QUERY,
    request_timeout_s=5.0,
    idle_timeout_s=30.0,
)
_TRIES: Final = 5

Resolve = Callable[[dns.Query], Awaitable[bytes]]
"""Answers a query; never raises."""


class PeerApiService:
    """Serves peers as a ``PeerApiConfig`` says (the ``PeerApi`` of the agent's rooms)."""

    def __init__(self, resolve: Resolve) -> None:
        self.port: Latest[int] = Latest(0)
        """The port at all our addresses; 0: nothing is served."""
        self.problem = ""
        """Why nothing is served although it should be, as a sentence."""
        self._resolve = resolve
        self._openings = Latest(0)
        self._config: PeerApiConfig | None = None
        self._sockets: list[socket.socket] = []
        self._connections: Counter[IPAddress] = Counter()
        self._asked = 0

    async def apply(self, config: PeerApiConfig) -> int:
        """Listen where the config says, and return the port; 0 when there is none to be had."""
        before, self._config = self._config, config
        moved = before is None or (before.interface, before.addresses) != (
            config.interface,
            config.addresses,
        )
        if moved or (config.addresses and not self._sockets):
            self._close()
            self._open(config)
        return self.port.value

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            before = self._openings.value
            # Serving closes what it is given; ours stay for the next run.
            sockets = [one.dup() for one in self._sockets]
            try:
                async with asyncio.TaskGroup() as tasks:
                    serving = [
                        tasks.create_task(self._serve(sock), name="peer api") for sock in sockets
                    ]
                    await self._openings.wait_for(partial(ne, before))
                    for task in serving:
                        task.cancel()
            finally:
                for sock in sockets:
                    sock.close()

    async def clean_up(self) -> None:
        """Stop listening."""
        self._close()
        self._config = None

    def _open(self, config: PeerApiConfig) -> None:
        if not config.addresses:
            self.problem = ""
            return
        try:
            self._sockets = listen(config.addresses, config.interface)
        except PeerApiError as error:
            if str(error) != self.problem:
                _log.warning("%s", error)
            self.problem = str(error)
            return
        self.problem = ""
        self.port.set(int(self._sockets[0].getsockname()[1]))
        self._openings.set(self._openings.value + 1)

    def _close(self) -> None:
        for sock in self._sockets:
            sock.close()
        self._sockets = []
        self.port.set(0)
        self._openings.set(self._openings.value + 1)

    async def _serve(self, sock: socket.socket) -> None:
        await serve_connections(
            sock, self._serve_peer, name="peer api", max_connections=MAX_CONNECTIONS
        )

    async def _serve_peer(self, stream: TcpStream) -> None:
        peer = stream.peer
        if peer is None or not self._is_client(peer.ip):
            return
        if self._connections[peer.ip] >= MAX_CONNECTIONS_OF_ONE:
            return
        self._connections[peer.ip] += 1

        async def handle(request: HttpRequest) -> HttpResponse:
            return await self._handle(peer.ip, request)

        try:
            await serve_http1(stream, handle, _LIMITS)
        finally:
            self._connections[peer.ip] -= 1
            if not self._connections[peer.ip]:
                del self._connections[peer.ip]

    async def _handle(self, peer: IPAddress, request: HttpRequest) -> HttpResponse:
        config = self._config
        if config is None or not self._is_client(peer):  # it may have been taken off meanwhile
            raise RequestRefusedError(403, "you may not use this exit node")
        check_origin(request, config.addresses)
        if request.path != exitdns.PATH:
            raise RequestRefusedError(404, "there is nothing of that name")
        query = exitdns.parse_request(request)
        if exitdns.is_refused(query.name, config.refused_names):
            return exitdns.render_reply(dns.encode_failure(query, dns.REFUSED))
        if self._asked >= MAX_QUERIES:
            raise RequestRefusedError(503, "too many queries at once")
        self._asked += 1
        try:
            return exitdns.render_reply(await self._resolve(query))
        finally:
            self._asked -= 1

    def _is_client(self, peer: IPAddress) -> bool:
        return self._config is not None and peer in self._config.dns_clients


def check_origin(request: HttpRequest, addresses: tuple[IPAddress, ...]) -> None:
    """Refuse what a browser sends for a web page, and what is meant for another host."""
    if request.header("Referer") or request.header("Origin"):
        raise RequestRefusedError(403, "this is not for web pages")
    host = request.header("Host") or ""
    if host == "peer":
        return
    with suppress(ProtocolError):
        if AddrPort.parse(host).ip in addresses:
            return
    raise RequestRefusedError(403, "this is not the host you look for")


def likely_ports(address: IPAddress) -> tuple[int, ...]:
    """Return the ports to try in turn: the same ones at each start, as the reference has them."""
    tail = address.packed[-3:]
    return tuple(
        0x8000 | crc32(bytes([(tail[0] + number) & 0xFF, *tail[1:]])) & 0xFFFF
        for number in range(_TRIES)
    )


def listen(addresses: tuple[IPAddress, ...], interface: str) -> list[socket.socket]:
    """Listen on one port at all addresses."""
    reason = ""
    for port in (*likely_ports(addresses[0]), 0):
        sockets: list[socket.socket] = []
        try:
            for address in addresses:
                chosen = port or (sockets[0].getsockname()[1] if sockets else 0)
                sockets.append(_bind(address, chosen, interface))
        except OSError as error:
            for sock in sockets:
                sock.close()
            reason = error.strerror or str(error)
            continue
        return sockets
    raise PeerApiError(
        f"No port for peers can be had at {addresses[0]} ({reason}), so this exit node offers no "
        "DNS. Another program may hold them all; it is tried again."
    )


def _bind(address: IPAddress, port: int, interface: str) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if interface:
            device = interface.encode() + b"\0"
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
        sock.bind((str(address), port))
        sock.listen(MAX_CONNECTIONS_OF_ONE)
    except OSError:
        sock.close()
        raise
    return sock
