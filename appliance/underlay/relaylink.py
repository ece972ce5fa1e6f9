"""One connection to one relay: TCP, TLS, then DERP frames.

Bytes come in pieces of up to 256 KiB and leave as one write for each batch of packets; what the
relay or the network does not take in time is dropped and counted, never queued without bound.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Final, cast

from appliance.aio.connect import in_plain_words
from appliance.aio.names import look_up
from appliance.aio.tls import client_context
from appliance.protocol.addresses import IPAddress
from appliance.protocol.derp.client import DerpClientSession, Event, State
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import NodePrivate, NodePublic
from appliance.protocol.tailcfg import DerpNode
from appliance.underlay.errors import RelayError

_log = logging.getLogger(__name__)

# From the reference.
DEFAULT_PORT: Final = 443
CONNECT_S: Final = 10.0
DIAL_S: Final = 1.5
PIN_PREFIX: Final = "sha256-raw:"

READ_SIZE: Final = 256 * 1024

# Ours. What waits for the relay is this much here, 128 KiB more in asyncio's layers, and 128 KiB in
# the kernel (below), 512 KiB in all: 34 ms at 120 Mbit/s, 420 ms at 10 Mbit/s. Less than four
# bursts of 64 KiB here, and one TCP flow loses whole bursts and half its speed.
MAX_UNSENT: Final = 256 * 1024
# Ours: DISCO may pass when data may not: a few hundred datagrams.
MAX_UNSENT_DISCO: Final = MAX_UNSENT + 64 * 1024
# Ours: the kernel takes no more than this before it sends, so a full link shows here at once.
NOT_SENT_LOWAT: Final = 128 * 1024
# Ours: a relay that vanished is noticed after 25 + 3 * 5 s at rest, 10 s while we send.
KEEPALIVE: Final = {
    socket.TCP_KEEPIDLE: 25,
    socket.TCP_KEEPINTVL: 5,
    socket.TCP_KEEPCNT: 3,
    socket.TCP_USER_TIMEOUT: 10_000,
    socket.TCP_NODELAY: 1,
    socket.TCP_NOTSENT_LOWAT: NOT_SENT_LOWAT,
}

OpenSocket = Callable[[socket.AddressFamily], socket.socket]
"""Makes a TCP socket whose packets stay out of the tunnel (SO_MARK)."""

_BUFFER: Final = memoryview(bytearray(READ_SIZE))


class RelayLink(asyncio.BufferedProtocol):
    """The connection as the event loop drives it; ``closed`` tells when and why it ended."""

    def __init__(
        self, session: DerpClientSession, on_events: Callable[[list[Event]], None]
    ) -> None:
        self.session = session
        self.dropped = 0
        """Packets that did not fit."""
        loop = asyncio.get_running_loop()
        self._now = loop.time
        self._on_events = on_events
        self._transport: asyncio.Transport | None = None
        self.closed: asyncio.Future[str] = loop.create_future()
        self.logged_in: asyncio.Future[None] = loop.create_future()

    # -- what goes out

    @property
    def is_open(self) -> bool:
        """Whether packets can be sent."""
        transport = self._transport
        return (
            self.session.state is State.RUNNING
            and transport is not None
            and not transport.is_closing()
        )

    def send_packets(self, to: NodePublic, packets: Sequence[memoryview]) -> None:
        """Send WireGuard packets to a peer; those that find no room are dropped."""
        if self._transport is None or not self.is_open:
            self.dropped += len(packets)
            return
        unsent = self._transport.get_write_buffer_size()
        if unsent:
            fitting = _fitting(packets, MAX_UNSENT - unsent)
            self.dropped += len(packets) - fitting
            packets = packets[:fitting]
        if packets:
            self._transport.write(self.session.encode_packets(to, packets))

    def send_disco(self, to: NodePublic, datagram: bytes) -> None:
        """Send a DISCO message to a peer."""
        if self._transport is not None and self.is_open:
            if self._transport.get_write_buffer_size() <= MAX_UNSENT_DISCO:
                self._transport.write(self.session.encode_packet(to, datagram))
            else:
                self.dropped += 1

    def flush(self) -> None:
        """Send what the session itself wants to send."""
        data = self.session.data_to_send()
        if data and self._transport is not None:
            self._transport.write(data)

    def close(self, reason: str) -> None:
        """End the connection now."""
        if not self.closed.done():
            self.closed.set_result(reason)
        if not self.logged_in.done():
            self.logged_in.cancel()
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    # -- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the login."""
        self._transport = cast("asyncio.Transport", transport)
        self.flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the buffer that all links share: each read is used up at once."""
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Take what the relay sent."""
        try:
            events = self.session.receive_data(bytes(_BUFFER[:nbytes]), self._now())
        except ProtocolError as error:
            self.close(str(error))
            return
        self.flush()
        if self.session.state is State.RUNNING and not self.logged_in.done():
            self.logged_in.set_result(None)
        if events:
            self._on_events(events)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        self._transport = None
        self.close(str(exc) if exc else "the relay closed the connection")


def _fitting(packets: Sequence[memoryview], room: int) -> int:
    """How many of the packets, from the first on, fit into this many bytes."""
    for count, packet in enumerate(packets):
        room -= len(packet)
        if room < 0:
            return count
    return len(packets)


async def open_link(
    node: DerpNode,
    private_key: NodePrivate,
    open_socket: OpenSocket,
    on_events: Callable[[list[Event]], None],
    *,
    nonce: bytes,
    preferred: bool,
) -> RelayLink:
    """Connect to a relay and log in; a ``RelayError`` tells why it did not work."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_S):
            sock = await dial(node, open_socket)
            session = DerpClientSession(
                private_key, node.host_name, nonce=nonce, now=loop.time(), preferred=preferred
            )
            transport, link = await loop.create_connection(
                lambda: RelayLink(session, on_events),
                sock=sock,
                ssl=tls_context(node),
                server_hostname=verified_name(node),
            )
            _check_pin(node, transport)
            await asyncio.wait((link.logged_in, link.closed), return_when=asyncio.FIRST_COMPLETED)
    except TimeoutError:
        raise RelayError(f"Relay {node.host_name} did not answer in {CONNECT_S:.0f} s.") from None
    except (OSError, ProtocolError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RelayError(f"Relay {node.host_name} cannot be reached: {reason}.") from None
    if link.closed.done():
        raise RelayError(f"Relay {node.host_name} refused us: {link.closed.result()}.")
    return link


# -- TCP


async def resolve(node: DerpNode) -> list[IPAddress]:
    """Return a relay's addresses, IPv4 first: those of the relay map, else of DNS."""
    given = [a for a in map(_literal, (node.ipv4, node.ipv6, node.host_name)) if a is not None]
    # "none", or any other text that is no address, switches a family off.
    wanted = [version for version, text in ((4, node.ipv4), (6, node.ipv6)) if not text]
    if given or not wanted:
        return given
    addresses = await look_up(node.host_name)
    return sorted((a for a in addresses if a.version in wanted), key=lambda a: a.version)


def _literal(text: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


async def dial(node: DerpNode, open_socket: OpenSocket) -> socket.socket:
    """Connect TCP to a relay; an ``OSError`` tells why it did not work."""
    failure: OSError = OSError("it has no address")
    for address in await resolve(node):
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        try:
            sock = open_socket(family)
        except OSError as error:
            failure = error
            continue
        try:
            sock.setblocking(False)
            _keep_alive(sock)
            async with asyncio.timeout(DIAL_S):
                loop = asyncio.get_running_loop()
                await loop.sock_connect(sock, (str(address), node.derp_port or DEFAULT_PORT))
        except TimeoutError:
            sock.close()
            failure = OSError(f"no answer from {address}")
        except OSError as error:
            sock.close()
            failure = in_plain_words(error)
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


def _keep_alive(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE.items():
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


# -- TLS


def tls_context(node: DerpNode) -> ssl.SSLContext:
    """Build the trust for one relay, as the relay map asks for it."""
    context = client_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if node.insecure_for_tests or node.cert_name.startswith(PIN_PREFIX):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def verified_name(node: DerpNode) -> str:
    """Return the name that a relay's certificate must have."""
    if node.cert_name and not node.cert_name.startswith(PIN_PREFIX):
        return node.cert_name
    return node.host_name


def _check_pin(node: DerpNode, transport: asyncio.BaseTransport) -> None:
    """Compare the certificate with the pin of the relay map."""
    if not node.cert_name.startswith(PIN_PREFIX) or node.insecure_for_tests:
        return
    tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
    leaf = tls.getpeercert(binary_form=True) or b""
    pin = node.cert_name.removeprefix(PIN_PREFIX).lower()
    if not hmac.compare_digest(hashlib.sha256(leaf).hexdigest(), pin):
        raise RelayError(
            f"Relay {node.host_name} has another certificate than the one the coordinator named."
        )
