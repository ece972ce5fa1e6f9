"""DISCO and STUN on the UDP port that the WireGuard device holds.

A raw socket gets a copy of every UDP datagram of the host; a classic BPF filter lets through only
those for our port that are DISCO or a STUN answer, so WireGuard traffic never wakes us. Sending
writes the UDP header by hand, with the device's port as source: NATs and peers then see one flow.

What a raw socket delivers: IPv4 header | UDP header | payload (AF_INET), or UDP header | payload
(AF_INET6). UDP header: source port (2) | destination port (2) | length (2) | checksum (2).

The WireGuard device must hold the port first, else the host answers peers with ICMP errors.
"""

import asyncio
import ctypes
import errno
import logging
import socket
import struct
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from appliance.protocol.addresses import AddrPort, IPAddress
from appliance.underlay.candidates import is_tailnet
from appliance.underlay.errors import NotPermittedError

_log = logging.getLogger(__name__)

# From linux: asm-generic/socket.h, linux/in.h, linux/in6.h.
_SO_ATTACH_FILTER: Final = 26
_SO_RCVBUFFORCE: Final = 33
_IP_PKTINFO: Final = 8
_IPV6_PKTINFO: Final = 50
_IPV6_CHECKSUM: Final = 7

_UDP_HEADER: Final = struct.Struct(">HHHH")
_UDP_HEADER_SIZE: Final = 8
_UDP_CHECKSUM_OFFSET: Final = 6

# Ours: a flood of 2,000 DISCO datagrams is charged about 800 bytes of buffer each.
RECEIVE_BUFFER: Final = 2 << 20
# Ours: datagrams taken in one go before other tasks get their turn.
READS_AT_ONCE: Final = 64
# Ours: a host talks to some dozens of addresses; strangers can add to them with forged pings.
MAX_CACHED_SOURCES: Final = 1024

# Nobody can use these for us: they tell of a full queue, not of a bad address.
_TRANSIENT: Final = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.EINTR})

Receiver = Callable[[bytes, AddrPort], None]


def disco_and_stun_filter(port: int, *, ipv6: bool) -> list[tuple[int, int, int, int]]:
    """Build the filter: instructions of (code, jump if true, jump if false, constant).

    X is where the UDP header begins. STUN answers are told by type and cookie: in a WireGuard
    message the four bytes of the cookie are a random index.
    """
    return [
        (0x01 if ipv6 else 0xB1, 0, 0, 0),  # X = 0, or the length of the IPv4 header
        (0x48, 0, 0, 2),  # destination port
        (0x15, 0, 8, port),  # another: drop
        (0x40, 0, 0, 8),  # first four bytes of the payload
        (0x15, 0, 2, 0x5453F09F),  # not DISCO's: go on at the cookie
        (0x48, 0, 0, 12),
        (0x15, 5, 4, 0x92AC),  # the rest of the magic: accept or drop
        (0x40, 0, 0, 12),
        (0x15, 0, 2, 0x2112A442),  # no cookie: drop
        (0x48, 0, 0, 8),
        (0x15, 1, 0, 0x0101),  # success response: accept
        (0x06, 0, 0, 0),
        (0x06, 0, 0, 0x40000),
    ]


def ones_complement(data: bytes) -> int:
    """Return the internet checksum of some bytes (RFC 1071), never 0."""
    padded = data + b"\0" if len(data) % 2 else data
    return 0xFFFF - int.from_bytes(padded) % 0xFFFF


def udp_checksum(source: IPAddress, to: IPAddress, segment: bytes) -> int:
    """Return the checksum of a UDP segment whose checksum field is zero."""
    if source.version == 4:
        tail = struct.pack(">BBH", 0, socket.IPPROTO_UDP, len(segment))
    else:
        tail = struct.pack(">II", len(segment), socket.IPPROTO_UDP)
    return ones_complement(source.packed + to.packed + tail + segment)


def encode_segment(source: AddrPort, to: AddrPort, payload: bytes) -> bytes:
    """Write UDP header and payload, with checksum."""
    length = _UDP_HEADER_SIZE + len(payload)
    blank = _UDP_HEADER.pack(source.port, to.port, length, 0) + payload
    checksum = udp_checksum(source.ip, to.ip, blank)
    return _UDP_HEADER.pack(source.port, to.port, length, checksum) + payload


def parse_datagram(data: bytes, *, ipv6: bool) -> tuple[int, bytes] | None:
    """Return source port and payload of what a raw socket delivered; None when it is cut."""
    start = 0 if ipv6 else (data[0] & 15) * 4 if data else 0
    if len(data) < start + _UDP_HEADER_SIZE:
        return None
    source_port, _, length, _ = _UDP_HEADER.unpack_from(data, start)
    if length < _UDP_HEADER_SIZE:
        return None
    return source_port, data[start + _UDP_HEADER_SIZE : start + length]


def attach_filter(sock: socket.socket, port: int) -> None:
    """Let only DISCO and STUN answers for this port into a raw socket."""
    program = disco_and_stun_filter(port, ipv6=sock.family == socket.AF_INET6)
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    pointer = struct.pack("HL", len(program), ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)


class WirePort:
    """Sends and receives DISCO and STUN on the WireGuard device's port, over both families."""

    def __init__(self, receive: Receiver) -> None:
        """``receive`` gets payload and source of each datagram, once `open` was called."""
        self.port = 0
        self._fwmark = 0
        self._receive = receive
        self._sources: dict[IPAddress, IPAddress] = {}
        self._sockets: dict[int, socket.socket] = {}

    def open(self, port: int, fwmark: int) -> None:
        """Open the sockets for this port and mark, in place of those that are open.

        ``NotPermittedError`` without CAP_NET_RAW (and CAP_NET_ADMIN for the mark). A host
        without IPv6 gets along with IPv4.
        """
        self.close()
        self.port, self._fwmark = port, fwmark
        loop = asyncio.get_running_loop()
        for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
            sock = self._open(family)
            if sock is not None:
                self._sockets[version] = sock
                loop.add_reader(sock, self._readable, sock)

    @property
    def has_ipv6(self) -> bool:
        """Whether this host knows IPv6 at all."""
        return 6 in self._sockets

    @property
    def is_open(self) -> bool:
        """Whether anything can be sent."""
        return bool(self._sockets)

    def close(self) -> None:
        """Close the sockets; safe to call again."""
        for sock in self._sockets.values():
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
        self._sockets.clear()
        self._sources.clear()

    def network_changed(self) -> None:
        """Forget which of our addresses leads where."""
        self._sources.clear()

    def source_for(self, to: IPAddress) -> IPAddress | None:
        """Return the own address from which packets to there leave; None without a route."""
        source = self._sources.get(to)
        if source is None:
            source = self.ask_route(to)
            if source is not None:
                self._remember(to, source)
        return source

    def send(self, to: AddrPort, payload: bytes) -> bool:
        """Send a datagram; False when this host cannot send there now."""
        sock = self._sockets.get(to.ip.version)
        source = self.source_for(to.ip) if sock is not None and not is_tailnet(to.ip) else None
        if sock is None or source is None:
            return False
        if self._send_from(sock, source, to, payload):
            return True
        self._sources.pop(to.ip, None)  # the address may be gone: ask for the route again
        again = self.source_for(to.ip)
        return again not in (None, source) and self._send_from(sock, again, to, payload)

    # -- sending

    def _send_from(
        self, sock: socket.socket, source: IPAddress, to: AddrPort, payload: bytes
    ) -> bool:
        segment = encode_segment(AddrPort(source, self.port), to, payload)
        pin: tuple[int, int, bytes]
        name: tuple[str, int] | tuple[str, int, int, int]
        if source.version == 4:
            pin = (socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("=I4s4x", 0, source.packed))
            name = (str(to.ip), 0)
        else:
            pin = (socket.IPPROTO_IPV6, _IPV6_PKTINFO, struct.pack("=16sI", source.packed, 0))
            name = (str(to.ip), 0, 0, 0)
        try:
            sock.sendmsg([segment], [pin], 0, name)
        except OSError as error:
            return error.errno in _TRANSIENT
        return True

    def ask_route(self, to: IPAddress) -> IPAddress | None:
        """Let the kernel choose the source, as it would for a socket with our mark."""
        family = socket.AF_INET if to.version == 4 else socket.AF_INET6
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                if self._fwmark:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, self._fwmark)
                probe.connect((str(to), 9))
                text = probe.getsockname()[0]
        except OSError:
            return None
        return IPv4Address(text) if to.version == 4 else IPv6Address(text.partition("%")[0])

    def _remember(self, to: IPAddress, source: IPAddress) -> None:
        if len(self._sources) >= MAX_CACHED_SOURCES:
            self._sources.clear()
        self._sources[to] = source

    # -- receiving

    def _open(self, family: socket.AddressFamily) -> socket.socket | None:
        try:
            sock = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_UDP)
        except PermissionError:
            raise NotPermittedError(
                "Raw sockets are refused: run the agent as root or give it CAP_NET_RAW."
            ) from None
        except OSError as error:
            _log.warning("No direct paths over %s: %s.", family.name, error.strerror)
            return None
        try:
            attach_filter(sock, self.port)
            if self._fwmark:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, self._fwmark)
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
        except PermissionError:
            sock.close()
            raise NotPermittedError(
                "Packet marks are refused: run the agent as root or give it CAP_NET_ADMIN."
            ) from None
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_CHECKSUM, _UDP_CHECKSUM_OFFSET)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        sock.setblocking(False)
        _drain(sock)
        return sock

    def _readable(self, sock: socket.socket) -> None:
        for data, source, local in _read(sock, READS_AT_ONCE):
            parsed = parse_datagram(data, ipv6=source.version == 6)
            if parsed is not None:
                if local is not None:
                    self._remember(source, local)  # answer from the address that was asked
                self._receive(parsed[1], AddrPort(source, parsed[0]))


def _drain(sock: socket.socket) -> None:
    """Drop what came before the filter was in place."""
    try:
        while True:
            sock.recv(65535)
    except OSError:
        return


def _read(sock: socket.socket, limit: int) -> Iterator[tuple[bytes, IPAddress, IPAddress | None]]:
    """Read datagrams with their source and the own address that they came to."""
    for _ in range(limit):
        try:
            data, control, _, name = sock.recvmsg(65535, 64)
        except OSError:
            return
        text = name[0].partition("%")[0]
        if sock.family == socket.AF_INET:
            yield data, IPv4Address(text), _own_v4(control)
        else:
            yield data, IPv6Address(text), _own_v6(control)


def _own_v4(control: list[tuple[int, int, bytes]]) -> IPAddress | None:
    for level, kind, value in control:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO) and len(value) >= 12:
            return IPv4Address(value[4:8])  # the address to answer from (ipi_spec_dst)
    return None


def _own_v6(control: list[tuple[int, int, bytes]]) -> IPAddress | None:
    for level, kind, value in control:
        if (level, kind) == (socket.IPPROTO_IPV6, _IPV6_PKTINFO) and len(value) >= 16:
            address = IPv6Address(value[:16])
            return None if address.is_multicast else address
    return None
