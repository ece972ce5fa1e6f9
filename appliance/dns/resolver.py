"""Answers one query at a time as ``answer`` decides, and remembers when nobody could."""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final, Protocol

from appliance.aio.stream import Stream
from appliance.dns.answer import Answered, AskedDirectly, Forwarded, decide
from appliance.dns.config import DnsConfig, ExitNode, HostResolvers, Nobody, Resolvers
from appliance.dns.doh import DohForwarder, open_stream
from appliance.dns.errors import ForwardError
from appliance.dns.plain import OpenSocket, PlainForwarder
from appliance.host.marks import open_marked
from appliance.protocol import dns
from appliance.protocol.addresses import AddrPort, IPAddress, IPNetwork
from appliance.protocol.errors import ProtocolError

_log = logging.getLogger(__name__)

OwnServers = Callable[[], tuple[AddrPort, ...]]
"""The resolvers that the host has of its own."""

_NOBODY_ELSE: Final = "Nobody else is asked while an exit node is in use."


class Forwarder(Protocol):
    """Has a query answered by somebody else."""

    async def ask(self, query: dns.Query) -> bytes:
        """Return the answer, or raise a ``ForwardError``."""

    async def close(self) -> None:
        """Close what is open."""


class Resolver:
    """Follows a ``DnsConfig``; ``resolve`` never raises."""

    def __init__(self, own_servers: OwnServers) -> None:
        self._own_servers = own_servers
        self._config: DnsConfig | None = None
        self._forwarder: Forwarder | None = None
        self._failure = ""

    @property
    def problem(self) -> str:
        """Why names are not looked up; empty as long as the last query was answered."""
        config = self._config
        if config is not None and isinstance(config.upstream, Nobody):
            return f"{config.upstream.reason} {_NOBODY_ELSE}"
        return self._failure

    def is_client(self, address: IPAddress) -> bool:
        """Whether queries from this address are answered."""
        config = self._config
        return config is not None and any(
            one.version == address.version and address in one for one in config.clients
        )

    async def apply(self, config: DnsConfig) -> None:
        """Ask whom the config says, from the next query on."""
        before, self._config = self._config, config
        if before is None or (before.upstream, before.interface) != (
            config.upstream,
            config.interface,
        ):
            await self.close()
            self._failure = ""
            self._forwarder = _make_forwarder(config)
            if isinstance(config.upstream, Nobody):
                _log.warning("%s", self.problem)

    async def close(self) -> None:
        """Close what is open."""
        forwarder, self._forwarder = self._forwarder, None
        if forwarder is not None:
            await forwarder.close()

    async def resolve(self, query: dns.Query) -> bytes:
        """Answer a query, with a failure when nobody else did."""
        config = self._config
        if config is None:
            return dns.encode_failure(query, dns.SERVER_FAILURE)
        try:
            match decide(config, query):
                case Answered(reply):
                    return reply
                case AskedDirectly():
                    return await self._past_the_tunnel(config).ask(query)
                case Forwarded():
                    return await self._forward(config, query)
        except ForwardError:
            return dns.encode_failure(query, dns.SERVER_FAILURE)

    async def _forward(self, config: DnsConfig, query: dns.Query) -> bytes:
        try:
            forwarder = self._forwarder or self._host_forwarder(config)
            reply = await forwarder.ask(query)
        except ForwardError as error:
            self._failed(f"Names are not looked up: {error}. {_NOBODY_ELSE}")
            raise
        if self._failure:
            _log.info("Names are looked up again")
            self._failure = ""
        return reply

    def _host_forwarder(self, config: DnsConfig) -> Forwarder:
        local: frozenset[IPNetwork] = frozenset()
        if isinstance(config.upstream, HostResolvers):
            local = config.upstream.local_networks
        servers = [one for one in self._own_servers() if _is_out_in_the_world(one, local)]
        if not servers:
            raise ForwardError(
                "the exit node offers no DNS, the coordinator names no resolver, and those of "
                "this machine are on its own network"
            )
        return PlainForwarder(servers, bound_to(config.interface))

    def _past_the_tunnel(self, config: DnsConfig) -> Forwarder:
        def open_socket(family: int, kind: int) -> socket.socket:
            return open_marked(family, kind, config.fwmark)

        return PlainForwarder(self._own_servers(), open_socket)

    def _failed(self, sentence: str) -> None:
        if sentence != self._failure:
            _log.warning("%s", sentence)
        self._failure = sentence


async def look_up_past_the_tunnel(
    host: str, servers: tuple[AddrPort, ...], fwmark: int
) -> tuple[IPAddress, ...]:
    """Return a name's addresses, asked of the host's own resolvers with marked packets."""

    def open_socket(family: int, kind: int) -> socket.socket:
        return open_marked(family, kind, fwmark)

    async def ask(kind: int) -> tuple[IPAddress, ...]:
        try:
            query = dns.encode_query(0, host, kind)
            reply = await PlainForwarder(servers, open_socket).ask(query)
            return dns.parse_addresses(query, reply)
        except (ForwardError, ProtocolError):
            return ()

    four, six = await asyncio.gather(ask(dns.TYPE_A), ask(dns.TYPE_AAAA))
    return four + six


def bound_to(interface: str) -> OpenSocket:
    """Make sockets whose packets leave by the interface or not at all; "" binds nothing."""

    def open_socket(family: int, kind: int) -> socket.socket:
        sock = socket.socket(family, kind | socket.SOCK_NONBLOCK)
        try:
            if interface:
                device = interface.encode() + b"\0"
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
        except OSError:
            sock.close()
            raise
        return sock

    return open_socket


def _make_forwarder(config: DnsConfig) -> Forwarder | None:
    """Make what is asked; None where that depends on the host's servers of the moment."""
    open_socket = bound_to(config.interface)
    match config.upstream:
        case ExitNode(name, addresses):

            async def connect(address: AddrPort) -> Stream:
                family = socket.AF_INET if address.ip.version == 4 else socket.AF_INET6
                return await open_stream(address, open_socket(family, socket.SOCK_STREAM))

            return DohForwarder(f"the exit node {name}", addresses, connect)
        case Resolvers(addresses):
            return PlainForwarder(addresses, open_socket)
        case HostResolvers() | Nobody():
            return None


def _is_out_in_the_world(server: AddrPort, local: frozenset[IPNetwork]) -> bool:
    address = server.ip
    return not (
        address.is_loopback
        or address.is_link_local
        or any(address.version == one.version and address in one for one in local)
    )


class HostAnswers:
    """Answers queries of others by this host's own resolvers, for those who leave through it."""

    def __init__(self, own_servers: OwnServers, open_socket: OpenSocket | None = None) -> None:
        self._own_servers = own_servers
        self._open_socket = open_socket or bound_to("")
        self._servers: tuple[AddrPort, ...] = ()
        self._forwarder = PlainForwarder((), self._open_socket)

    async def resolve(self, query: dns.Query) -> bytes:
        """Answer a query, with a failure when nobody else did."""
        servers = self._own_servers()
        if servers != self._servers:
            self._servers = servers
            self._forwarder = PlainForwarder(servers, self._open_socket)
        try:
            return await self._forwarder.ask(query)
        except ForwardError as error:
            _log.debug("A query of a peer went unanswered: %s", error)
            return dns.encode_failure(query, dns.SERVER_FAILURE)
