"""IP packets made byte by byte, put onto a cable as they are, and heard by raw sockets.

A raw socket hears what the packet filter of its namespace let in, whatever the protocol.
"""

from __future__ import annotations

import ipaddress
import selectors
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from tests.support.boxes import Box

TCP, UDP, SCTP, GRE = 6, 17, 132, 47
FRAGMENT, DESTINATION_OPTIONS = 44, 60

_RECEIVE_BUFFER: Final = 8 << 20
_ETHERTYPE: Final = {4: 0x0800, 6: 0x86DD}


def packet(
    source: str, destination: str, protocol: int, payload: bytes, *, options: bool = False
) -> bytes:
    """A whole packet; ``options`` puts an extension header before the payload (IPv6)."""
    return _headed(source, destination, protocol, payload, options=options)


def fragments(source: str, destination: str, protocol: int, payload: bytes) -> list[bytes]:
    """The same in two pieces, the second one without ports."""
    number = hash(payload) & 0xFFFF
    first, second = payload[:24], payload[24:]
    if ":" in source:
        return [
            _ipv6(
                source,
                destination,
                FRAGMENT,
                struct.pack("!BBHI", protocol, 0, offset | more, number) + piece,
            )
            for offset, more, piece in ((0, 1, first), (24, 0, second))
        ]
    return [
        _ipv4(source, destination, protocol, first, number, 0x2000),
        _ipv4(source, destination, protocol, second, number, 3),
    ]


def udp(source: str, destination: str, ports: tuple[int, int], data: bytes) -> bytes:
    """A datagram with its checksum."""
    head = struct.pack("!HHHH", *ports, 8 + len(data), 0)
    total = checksum(_pseudo(source, destination, UDP, 8 + len(data)) + head + data)
    return head[:6] + struct.pack("!H", total or 0xFFFF) + data


def tcp(
    source: str, destination: str, ports: tuple[int, int], data: bytes, flags: int = 0x02
) -> bytes:
    """A segment; by default one that opens a connection."""
    head = struct.pack("!HHIIBBHHH", *ports, 1000, 0, 5 << 4, flags, 65535, 0, 0)
    total = checksum(_pseudo(source, destination, TCP, 20 + len(data)) + head + data)
    return head[:16] + struct.pack("!HH", total, 0) + data


def icmp(source: str, destination: str, number: int, data: bytes, kind: int | None = None) -> bytes:
    """An ICMP message; by default an echo request."""
    v6 = ":" in source
    kind = (128 if v6 else 8) if kind is None else kind
    head = struct.pack("!BBHHH", kind, 0, 0, number & 0xFFFF, number >> 16)
    start = _pseudo(source, destination, 58, len(head + data)) if v6 else b""
    return head[:2] + struct.pack("!H", checksum(start + head + data)) + head[4:] + data


def sctp(ports: tuple[int, int], data: bytes) -> bytes:
    """An INIT chunk, with data as a parameter nobody knows."""
    data += bytes(-len(data) % 4)
    parameter = struct.pack("!HH", 0xC0FE, 4 + len(data)) + data
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20 + len(parameter), 7, 65535, 1, 1, 1) + parameter
    head = struct.pack("!HHI", *ports, 0)
    return head + struct.pack("<I", _crc32c(head + bytes(4) + chunk)) + chunk


class Cable:
    """One end of a cable, on which packets are put as they are."""

    def __init__(self, device: str, there: str, here: str) -> None:
        """Take the device and the hardware addresses of the other end and of this one."""
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._socket.bind((device, 0))
        self._head = bytes.fromhex(there.replace(":", "") + here.replace(":", ""))

    def send(self, data: bytes) -> None:
        """Put one packet onto the cable."""
        self._socket.send(self._head + struct.pack("!H", _ETHERTYPE[data[0] >> 4]) + data)

    def close(self) -> None:
        """Unplug."""
        self._socket.close()


class Ears:
    """Hears packets of some protocols in one namespace after its filter."""

    def __init__(self, sockets: Iterable[socket.socket]) -> None:
        self._selector = selectors.DefaultSelector()
        for one in sockets:
            self._selector.register(one, selectors.EVENT_READ)

    def heard(self, timeout_s: float = 0) -> Iterator[bytes]:
        """What has come, headers included where the kernel gives them."""
        while events := self._selector.select(timeout_s):
            for key, _ in events:
                yield key.fileobj.recv(4096)  # type: ignore[union-attr]
            timeout_s = 0


@contextmanager
def ears(box: Box, protocols: Iterable[int]) -> Iterator[Ears]:
    """Listen for these protocols (of IPv4; ICMP means ICMPv6 in IPv6)."""
    with ExitStack() as stack:
        sockets = []
        for protocol in protocols:
            for family in (socket.AF_INET, socket.AF_INET6):
                number = 58 if protocol == 1 and family == socket.AF_INET6 else protocol
                with box.inside():
                    one = stack.enter_context(socket.socket(family, socket.SOCK_RAW, number))
                one.setsockopt(socket.SOL_SOCKET, 33, _RECEIVE_BUFFER)  # SO_RCVBUFFORCE
                one.setblocking(False)
                sockets.append(one)
        yield Ears(sockets)


def collect(all_ears: Iterable[Ears], mark: bytes, wanted: int, patience_s: float) -> set[bytes]:
    """The words that begin with a mark, once so many have come and nothing more does."""
    found: set[bytes] = set()
    deadline = time.monotonic() + patience_s
    quiet_since = time.monotonic()
    while time.monotonic() < deadline:
        before = len(found)
        for one in all_ears:
            for data in one.heard(0.02):
                start = data.find(mark)
                if start >= 0:
                    found.add(data[start : start + len(mark) + 6])
        if len(found) != before:
            quiet_since = time.monotonic()
        elif len(found) >= wanted and time.monotonic() - quiet_since > 0.3:
            break
    return found


def checksum(data: bytes) -> int:
    """The Internet's checksum."""
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _headed(
    source: str, destination: str, protocol: int, payload: bytes, *, options: bool
) -> bytes:
    if ":" not in source:
        return _ipv4(source, destination, protocol, payload, 0, 0)
    if not options:
        return _ipv6(source, destination, protocol, payload)
    padding = bytes([protocol, 0, 1, 4, 0, 0, 0, 0])
    return _ipv6(source, destination, DESTINATION_OPTIONS, padding + payload)


def _ipv4(
    source: str, destination: str, protocol: int, payload: bytes, number: int, offset: int
) -> bytes:
    ends = ipaddress.IPv4Address(source).packed + ipaddress.IPv4Address(destination).packed
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), number, offset, 64, protocol, 0)
    total = checksum(head + ends)
    return head[:10] + struct.pack("!H", total) + ends + payload


def _ipv6(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    ends = ipaddress.IPv6Address(source).packed + ipaddress.IPv6Address(destination).packed
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + ends + payload


def _pseudo(source: str, destination: str, protocol: int, length: int) -> bytes:
    ends = ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed
    return ends + struct.pack("!II", length, protocol)


def _crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 & -(value & 1))
    return value ^ 0xFFFFFFFF
