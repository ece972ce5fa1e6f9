"""The relay path's end at WireGuard: one UDP socket on the loopback for each peer.

The device takes the socket's address for the peer. What it sends there goes to the relay; what
the relay brings is sent from there to the device's port. The sockets' ports are remembered, for
the device goes on sending to them while the agent restarts.

While a direct path is in use, packets that still come through the relay are sent to the device
with the direct address as forged source (a raw socket, straight onto the loopback): else
WireGuard would take the proxy for the peer's new place and leave the direct path.
"""

import asyncio
import errno
import logging
import socket
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address
from typing import Final

from appliance.protocol.addresses import AddrPort, IPAddress
from appliance.protocol.keys import NodePublic
from appliance.underlay.bursts import MAX_BURST, Burst, plan_bursts, split_burst
from appliance.underlay.errors import UnderlayError, UnknownPeerError
from appliance.underlay.rawsocket import encode_segment

_log = logging.getLogger(__name__)

LOOPBACK: Final = IPv4Address("127.0.0.1")

# From linux: linux/udp.h, asm-generic/socket.h, linux/in.h, linux/in6.h.
_SOL_UDP: Final = 17
_UDP_SEGMENT: Final = 103
_UDP_GRO: Final = 104
_SO_RCVBUFFORCE: Final = 33
_SO_SNDBUFFORCE: Final = 32
_IPV6_HDRINCL: Final = 36

# Ours: while the agent restarts (1 s) or is busy, packets wait here. At 120 Mbit/s, 1 s is 15 MB;
# 2 MiB is 140 ms of it, which one TCP flow survives, and all that a peer's socket may hold.
RECEIVE_BUFFER: Final = 2 << 20
SEND_BUFFER: Final = 1 << 20
# Ours: what is taken of one peer before others get their turn: 4 full reads of 64 KiB, or some 150
# packets one by one, which is what the kernel's WireGuard sends.
READ_SIZE: Final = 65_536
READ_BUDGET: Final = 4 * READ_SIZE

# The device refuses segments: an old kernel, or one without offloads on the loopback.
_NO_OFFLOAD: Final = frozenset({errno.EIO, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOPROTOOPT})

FromDevice = Callable[[NodePublic, list[memoryview]], None]
"""Gets the packets of one peer that WireGuard wants sent; they are valid during the call."""


class PeerProxy:
    """One peer's socket, and the way back to the device."""

    def __init__(self, key: NodePublic, sock: socket.socket) -> None:
        self.key = key
        self.sock = sock
        self.address = AddrPort(LOOPBACK, sock.getsockname()[1])
        self.dropped = 0
        """Packets that the kernel did not take."""
        self._segments = True

    def inject(self, packets: Sequence[memoryview]) -> None:
        """Send packets to the device as coming from here."""
        for burst in plan_bursts(packets):
            if len(burst.packets) > 1 and self._segments and self._send_burst(burst):
                continue
            for packet in burst.packets:
                self._send_one(packet)

    def _send_burst(self, burst: Burst) -> bool:
        """Send many with one call; False when the kernel cannot."""
        size = (_SOL_UDP, _UDP_SEGMENT, struct.pack("=H", burst.size))
        try:
            self.sock.sendmsg(burst.packets, [size])
        except OSError as error:
            if error.errno in _NO_OFFLOAD:
                _log.info("UDP segmentation is refused on the loopback; relaying is slower.")
                self._segments = False
                return False
            self.dropped += len(burst.packets)
        return True

    def _send_one(self, packet: memoryview) -> None:
        try:
            self.sock.send(packet)
        except OSError:
            self.dropped += 1  # the device is down or its queue full: it sends again


class Loopback:
    """All proxies, and the forged way to the device."""

    def __init__(self, from_device: FromDevice, remembered: Mapping[NodePublic, int]) -> None:
        """``remembered`` are the ports that an earlier run used."""
        self._from_device = from_device
        self._remembered = dict(remembered)
        self._proxies: dict[NodePublic, PeerProxy] = {}
        self._port = 0
        self._view = memoryview(bytearray(READ_BUDGET))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._forger: Forger | None = None

    @property
    def ports(self) -> dict[NodePublic, int]:
        """The ports in use, to be remembered."""
        return {key: proxy.address.port for key, proxy in self._proxies.items()}

    @property
    def addresses(self) -> dict[NodePublic, AddrPort]:
        """Where the device sends each peer's packets for the relay."""
        return {key: proxy.address for key, proxy in self._proxies.items()}

    def address_of(self, key: NodePublic) -> AddrPort:
        """Return one peer's address; ``UnknownPeerError`` when there is none."""
        return self._proxy(key).address

    def set_peers(self, keys: set[NodePublic], device_port: int) -> None:
        """Open sockets for new peers, close those of others, follow the device's port."""
        for key in self._proxies.keys() - keys:
            self._close(self._proxies.pop(key))
        if device_port != self._port:
            self._port = device_port
            for proxy in self._proxies.values():
                proxy.sock.connect((str(LOOPBACK), device_port))
        for key in keys - self._proxies.keys():
            self._proxies[key] = PeerProxy(key, self._open(self._remembered.get(key, 0)))
            if self._loop is not None:
                self._loop.add_reader(self._proxies[key].sock, self._readable, self._proxies[key])

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to take packets from the device."""
        self._loop = loop
        for proxy in self._proxies.values():
            loop.add_reader(proxy.sock, self._readable, proxy)

    def close(self) -> None:
        """Close all sockets."""
        for proxy in self._proxies.values():
            self._close(proxy)
        self._proxies.clear()
        if self._forger is not None:
            self._forger.close()
            self._forger = None

    def inject(self, key: NodePublic, packets: Sequence[memoryview]) -> None:
        """Give relayed packets to the device, as coming from the peer's proxy."""
        proxy = self._proxies.get(key)
        if proxy is not None:
            proxy.inject(packets)

    def inject_as(self, packets: Sequence[memoryview], source: AddrPort, local: IPAddress) -> None:
        """Give relayed packets to the device, as coming from a direct address to ``local``."""
        if self._forger is None:
            self._forger = Forger()
        for packet in packets:
            self._forger.send(source, AddrPort(local, self._port), packet)

    def _proxy(self, key: NodePublic) -> PeerProxy:
        proxy = self._proxies.get(key)
        if proxy is None:
            raise UnknownPeerError(f"The netmap has no peer {key}.")
        return proxy

    def _open(self, port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.bind((str(LOOPBACK), port))
        except OSError:  # another program took the port while we were away
            sock.bind((str(LOOPBACK), 0))
        try:
            sock.connect((str(LOOPBACK), self._port))
        except OSError as error:
            sock.close()
            raise UnderlayError(f"The loopback interface is unusable: {error}.") from None
        sock.setblocking(False)
        _set_option(sock, socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
        _set_option(sock, socket.SOL_SOCKET, _SO_SNDBUFFORCE, SEND_BUFFER)
        _set_option(sock, _SOL_UDP, _UDP_GRO, 1)
        return sock

    def _close(self, proxy: PeerProxy) -> None:
        if self._loop is not None:
            self._loop.remove_reader(proxy.sock)
        proxy.sock.close()

    def _readable(self, proxy: PeerProxy) -> None:
        """Take what is there, up to the budget; the loop calls again for the rest."""
        packets: list[memoryview] = []
        end = 0
        while end <= READ_BUDGET - READ_SIZE:
            room = self._view[end:]
            try:
                size, control, _, _ = proxy.sock.recvmsg_into((room,), 32)
            except OSError:  # nothing more, or the device was away when we last sent
                break
            packets += split_burst(room[:size], _segment_size(control))
            end += size
        if packets:
            self._from_device(proxy.key, packets)


class Forger:
    """Sends UDP datagrams with any source to an address of this host."""

    def __init__(self) -> None:
        self._v4 = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._v4.setblocking(False)
        self._v6: socket.socket | None = None

    def send(self, source: AddrPort, to: AddrPort, payload: memoryview) -> None:
        """Send one datagram; losses are as silent as on any network."""
        if len(payload) > MAX_BURST - 20 or source.ip.version != to.ip.version:
            return
        try:
            if source.ip.version == 4:
                self._v4.sendto(_ipv4_packet(source, to, payload), (str(to.ip), 0))
            else:
                self._open_v6().sendto(_ipv6_packet(source, to, payload), (str(to.ip), 0, 0, 0))
        except OSError as error:
            _log.debug("Not injected: %s.", error.strerror)

    def close(self) -> None:
        """Close the sockets."""
        self._v4.close()
        if self._v6 is not None:
            self._v6.close()

    def _open_v6(self) -> socket.socket:
        if self._v6 is None:
            self._v6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
            self._v6.setblocking(False)
            self._v6.setsockopt(socket.IPPROTO_IPV6, _IPV6_HDRINCL, 1)
        return self._v6


def _ipv4_packet(source: AddrPort, to: AddrPort, payload: memoryview) -> bytes:
    """Write IPv4 and UDP header; the kernel fills the lengths and the header's checksum."""
    length = 8 + len(payload)
    head = struct.pack(
        ">BBHHHBBH4s4sHHHH",
        *(0x45, 0, 20 + length, 0, 0, 64, socket.IPPROTO_UDP, 0),
        *(source.ip.packed, to.ip.packed, source.port, to.port, length, 0),
    )
    return head + payload


def _ipv6_packet(source: AddrPort, to: AddrPort, payload: memoryview) -> bytes:
    """Write IPv6 and UDP header; here the UDP checksum must be right."""
    segment = encode_segment(source, to, bytes(payload))
    head = struct.pack(
        ">IHBB16s16s",
        *(0x60000000, len(segment), socket.IPPROTO_UDP, 64, source.ip.packed, to.ip.packed),
    )
    return head + segment


def _segment_size(control: list[tuple[int, int, bytes]]) -> int:
    for level, kind, value in control:
        if (level, kind) == (_SOL_UDP, _UDP_GRO):
            return int.from_bytes(value[:4], sys.byteorder)
    return 0


def _set_option(sock: socket.socket, level: int, option: int, value: int) -> None:
    try:
        sock.setsockopt(level, option, value)
    except OSError as error:  # slower, not wrong
        _log.info("Socket option %d is refused: %s.", option, error.strerror)
