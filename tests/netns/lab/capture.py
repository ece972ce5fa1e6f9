"""Packets seen on an interface, and what kind each UDP datagram is."""

from __future__ import annotations

import struct
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from tests.netns.lab.errors import LabError
from tests.netns.lab.programs import Program

_PCAP_LITTLE: Final = b"\xd4\xc3\xb2\xa1"
_PCAP_HEADER: Final = 24
_RECORD: Final = struct.Struct("<IIII")
_ETHERNET: Final = 14
_ETHERTYPE_IPV4: Final = 0x0800
_ETHERTYPE_IPV6: Final = 0x86DD
_IPV6_HEADER: Final = 40
_UDP: Final = 17
_SETTLE_S: Final = 0.1  # what tcpdump may still hold when it is told to stop

_DISCO_MAGIC: Final = b"TS\xf0\x9f\x92\xac"
_STUN_COOKIE: Final = b"\x21\x12\xa4\x42"


class Kind(Enum):
    """What a UDP datagram carries."""

    WIREGUARD_INITIATION = "WireGuard handshake initiation"
    WIREGUARD_RESPONSE = "WireGuard handshake response"
    WIREGUARD_COOKIE = "WireGuard cookie reply"
    WIREGUARD_DATA = "WireGuard data"
    DISCO = "DISCO"
    STUN = "STUN"
    OTHER = "other"

    @property
    def is_wireguard(self) -> bool:
        """One of WireGuard's four messages."""
        return self.name.startswith("WIREGUARD")


_WIREGUARD: Final = {
    1: Kind.WIREGUARD_INITIATION,
    2: Kind.WIREGUARD_RESPONSE,
    3: Kind.WIREGUARD_COOKIE,
    4: Kind.WIREGUARD_DATA,
}


@dataclass(frozen=True, slots=True)
class Datagram:
    """One UDP datagram (its payload as far as it was recorded)."""

    time_s: float
    source: tuple[str, int]
    destination: tuple[str, int]
    payload: bytes

    @property
    def kind(self) -> Kind:
        """What it carries."""
        return classify(self.payload)


class Capture:
    """A running tcpdump and what it has recorded."""

    def __init__(self, program: Program, file: Path) -> None:
        self._program = program
        self.file = file

    def stop(self) -> list[Datagram]:
        """End the recording; returns every UDP datagram in it."""
        self.end()
        return self.datagrams()

    def end(self) -> list[bytes]:
        """End the recording; returns what it holds, as it is on that kind of interface."""
        time.sleep(_SETTLE_S)
        self._program.stop()
        return [data for _, data in parse_frames(self.file.read_bytes())]

    def datagrams(self) -> list[Datagram]:
        """What has been written so far."""
        return list(parse_pcap(self.file.read_bytes()))


def classify(payload: bytes) -> Kind:
    """Tell the kind of a datagram by its first bytes, in the reference's order of tests."""
    if payload[:6] == _DISCO_MAGIC:
        return Kind.DISCO
    if payload[4:8] == _STUN_COOKIE and payload[0] < 0x40:
        return Kind.STUN
    if payload[1:4] == bytes(3):
        return _WIREGUARD.get(payload[0], Kind.OTHER)
    return Kind.OTHER


def count(datagrams: list[Datagram]) -> Counter[Kind]:
    """How many of each kind."""
    return Counter(datagram.kind for datagram in datagrams)


def between(datagrams: list[Datagram], one: str, other: str) -> list[Datagram]:
    """Only what passed between these two addresses, in either direction."""
    pair = {one, other}
    return [d for d in datagrams if {d.source[0], d.destination[0]} == pair]


def parse_pcap(data: bytes) -> Iterator[Datagram]:
    """UDP datagrams of a little-endian Ethernet pcap; a half-written last record is left out."""
    for time_s, frame in parse_frames(data):
        datagram = _parse_frame(frame, time_s)
        if datagram is not None:
            yield datagram


def parse_frames(data: bytes) -> Iterator[tuple[float, bytes]]:
    """When each frame of a little-endian Ethernet pcap was seen, and its bytes."""
    if data[:4] != _PCAP_LITTLE:
        raise LabError("not a pcap file with little-endian microsecond stamps")
    offset = _PCAP_HEADER
    while offset + _RECORD.size <= len(data):
        seconds, micros, length, _ = _RECORD.unpack_from(data, offset)
        offset += _RECORD.size
        if offset + length > len(data):
            return
        yield seconds + micros / 1e6, data[offset : offset + length]
        offset += length


def _parse_frame(frame: bytes, time_s: float) -> Datagram | None:
    ethertype = int.from_bytes(frame[12:14], "big")
    packet = frame[_ETHERNET:]
    if ethertype == _ETHERTYPE_IPV4 and packet[9] == _UDP and not _later_fragment(packet):
        return _datagram(packet[12:16], packet[16:20], packet[(packet[0] & 15) * 4 :], time_s)
    if ethertype == _ETHERTYPE_IPV6 and packet[6] == _UDP:
        return _datagram(packet[8:24], packet[24:40], packet[_IPV6_HEADER:], time_s)
    return None


def _later_fragment(packet: bytes) -> bool:
    return int.from_bytes(packet[6:8], "big") & 0x1FFF != 0


def _datagram(source: bytes, destination: bytes, udp: bytes, time_s: float) -> Datagram:
    from_port, to_port, length = struct.unpack_from(">HHH", udp)
    return Datagram(
        time_s,
        (str(ip_address(source)), from_port),
        (str(ip_address(destination)), to_port),
        udp[8:length],
    )
