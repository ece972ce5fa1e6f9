"""Every frame that a machine sent, told apart by what an eavesdropper on its cable learns.

A leak test must know all of them: whatever has no name here is OTHER, and that is a leak.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from tests.netns.lab.capture import Kind, classify, parse_frames

_ETHERNET: Final = 14
_ARP: Final = 0x0806
_IPV4: Final = 0x0800
_IPV6: Final = 0x86DD
_HOP_BY_HOP: Final = 0
_ICMP, _TCP, _UDP, _ICMPV6 = 1, 6, 17, 58
_NEIGHBOUR_TYPES: Final = frozenset({130, 131, 132, 133, 134, 135, 136, 143})
_UNREACHABLE: Final = frozenset({(_ICMP, b"\x03"), (_ICMPV6, b"\x01")})
_DHCP_PORTS: Final = frozenset({(68, 67), (67, 68), (546, 547), (547, 546)})


class Sort(Enum):
    """What a frame is to somebody who listens."""

    ARP = "ARP"
    NEIGHBOUR = "IPv6 neighbour, router and listener discovery"
    DHCP = "DHCP"
    WIREGUARD = "WireGuard"
    DISCO = "DISCO"
    STUN = "STUN"
    TUNNEL_ERROR = "an ICMP error about one of the three before"
    TCP = "TCP"
    UDP = "UDP"
    OTHER = "other"


_TUNNEL: Final = frozenset({Sort.WIREGUARD, Sort.DISCO, Sort.STUN})
_TUNNEL_SORTS: Final = {Kind.DISCO: Sort.DISCO, Kind.STUN: Sort.STUN, Kind.OTHER: Sort.UDP}


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; ports are 0 where there are none, addresses empty where it is no IP."""

    time_s: float
    hardware: str
    """The sender's hardware address."""
    sort: Sort
    source: str
    source_port: int
    destination: str
    destination_port: int
    protocol: int
    payload: bytes

    def __str__(self) -> str:
        ends = f"{self.source}.{self.source_port} > {self.destination}.{self.destination_port}"
        return f"{self.time_s:.3f} {self.sort.name} protocol {self.protocol} {ends}"


def read_frames(file: Path) -> Iterator[Frame]:
    """All frames of a pcap file."""
    for time_s, data in parse_frames(file.read_bytes()):
        yield parse_frame(data, time_s)


def parse_packet(data: bytes, time_s: float = 0.0) -> Frame:
    """One IP packet of an interface without hardware addresses, such as a tunnel."""
    ethertype = _IPV6 if data[0] >> 4 == 6 else _IPV4
    return parse_frame(bytes(12) + ethertype.to_bytes(2, "big") + data, time_s)


def parse_frame(data: bytes, time_s: float = 0.0) -> Frame:
    """One Ethernet frame."""
    hardware = data[6:12].hex(":")
    ethertype = int.from_bytes(data[12:14], "big")
    packet = data[_ETHERNET:]
    if ethertype == _IPV4:
        header = (packet[0] & 15) * 4
        ends, protocol, body = (packet[12:16], packet[16:20]), packet[9], packet[header:]
        if int.from_bytes(packet[6:8], "big") & 0x1FFF:
            body, protocol = b"", 256 + protocol  # a later fragment has no ports
    elif ethertype == _IPV6:
        ends, protocol, body = (packet[8:24], packet[24:40]), packet[6], packet[40:]
        if protocol == _HOP_BY_HOP and len(body) > 1:
            protocol, body = body[0], body[8 + body[1] * 8 :]
    else:
        sort = Sort.ARP if ethertype == _ARP else Sort.OTHER
        return Frame(time_s, hardware, sort, "", 0, "", 0, 0, packet)
    source, destination = (str(ip_address(end)) for end in ends)
    ports = (0, 0)
    if protocol in (_TCP, _UDP):
        ports = int.from_bytes(body[:2], "big"), int.from_bytes(body[2:4], "big")
    return Frame(
        time_s,
        hardware,
        _sort(protocol, ports, body),
        source,
        ports[0],
        destination,
        ports[1],
        protocol,
        body,
    )


def _sort(protocol: int, ports: tuple[int, int], body: bytes) -> Sort:
    if protocol == _TCP:
        return Sort.TCP
    if protocol == _UDP:
        if ports in _DHCP_PORTS:
            return Sort.DHCP
        kind = classify(body[8:]) if len(body) > 8 else Kind.OTHER
        return Sort.WIREGUARD if kind.is_wireguard else _TUNNEL_SORTS[kind]
    if protocol == _ICMPV6 and body[:1] and body[0] in _NEIGHBOUR_TYPES:
        return Sort.NEIGHBOUR
    if (protocol, body[:1]) in _UNREACHABLE and _quoted(protocol, body[8:]) in _TUNNEL:
        return Sort.TUNNEL_ERROR
    return Sort.OTHER


def _quoted(protocol: int, packet: bytes) -> Sort:
    """What the packet in an ICMP error is; forged errors may quote anything."""
    version, shortest = (6, 40) if protocol == _ICMPV6 else (4, 20)
    if len(packet) < shortest or packet[0] >> 4 != version:
        return Sort.OTHER
    return parse_packet(packet).sort
