"""Send forged packets of every kind to a gateway, by hand: addresses that are not ours to use.

Usage: forge.py INTERFACE GATEWAY-MAC, then SOURCE,DESTINATION lines on standard input.
For each pair: UDP, UDP to WireGuard's port, UDP from it, a SYN, an ACK, a SYN-ACK, echo request and
reply, "unreachable", a first fragment, GRE, an unknown protocol, and with IPv6 a packet behind
extension headers. All carry the word `forged`. Prints how many were sent.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
import time
from collections.abc import Iterator
from typing import Final

WORD: Final = b"forged packet"
WIREGUARD_PORT: Final = 41641
PORT: Final = 5353
PACE_S: Final = 0.0005  # whoever records them shall miss none
UDP, TCP, ICMP, ICMPV6, GRE, UNKNOWN = 17, 6, 1, 58, 47, 253
DESTINATION_OPTIONS, HOP_BY_HOP = 60, 0
SYN, ACK, SYN_ACK = 0x02, 0x10, 0x12


def packets(source: str, destination: str) -> Iterator[bytes]:
    """One IP packet of each kind."""
    ends = ipaddress.ip_address(source).packed, ipaddress.ip_address(destination).packed
    six = len(ends[0]) == 16
    for kind, body in bodies(ends, six=six):
        yield ip6(ends, kind, body) if six else ip4(ends, kind, body)
    body = udp(ends, 4444, PORT)
    if six:
        empty = bytes((UDP, 0, 1, 4, 0, 0, 0, 0))
        yield ip6(ends, DESTINATION_OPTIONS, empty + body)
        yield ip6(
            ends, HOP_BY_HOP, bytes((DESTINATION_OPTIONS, 0, 1, 4, 0, 0, 0, 0)) + empty + body
        )
        yield ip6(ends, 44, bytes((UDP, 0, 0, 1, 0, 0, 0, 7)) + body)
    else:
        yield ip4(ends, UDP, body, fragment=0x2000)


def bodies(ends: tuple[bytes, bytes], *, six: bool) -> Iterator[tuple[int, bytes]]:
    """Protocol numbers and what follows the IP header."""
    for from_port, to_port in ((4444, PORT), (4444, WIREGUARD_PORT), (WIREGUARD_PORT, PORT)):
        yield UDP, udp(ends, from_port, to_port)
    for flags in (SYN, ACK, SYN_ACK):
        header = struct.pack(">HHIIBBHHH", 4444, 80, 1, 1, 5 << 4, flags, 1024, 0, 0)
        yield TCP, with_checksum(ends, TCP, header + WORD, 16)
    for kind in (128, 129, 1) if six else (8, 0, 3):
        data = bytes((kind, 0, 0, 0)) + struct.pack(">HH", 7, 7) + WORD
        yield (ICMPV6, with_checksum(ends, ICMPV6, data, 2)) if six else (ICMP, checked(data, 2))
    yield GRE, bytes(4) + WORD
    yield UNKNOWN, WORD


def udp(ends: tuple[bytes, bytes], from_port: int, to_port: int) -> bytes:
    """A datagram."""
    header = struct.pack(">HHHH", from_port, to_port, 8 + len(WORD), 0)
    return with_checksum(ends, UDP, header + WORD, 6)


def with_checksum(ends: tuple[bytes, bytes], protocol: int, data: bytes, at: int) -> bytes:
    """Fill in a checksum that covers the pseudo header."""
    pseudo = ends[0] + ends[1] + struct.pack(">II", len(data), protocol)
    total = checksum(pseudo + data)
    return data[:at] + struct.pack(">H", total or 0xFFFF) + data[at + 2 :]


def checked(data: bytes, at: int) -> bytes:
    """Fill in a checksum of the data alone."""
    return data[:at] + struct.pack(">H", checksum(data)) + data[at + 2 :]


def checksum(data: bytes) -> int:
    """The internet checksum."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip4(ends: tuple[bytes, bytes], protocol: int, body: bytes, fragment: int = 0) -> bytes:
    """An IPv4 packet."""
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 7, fragment, 64, protocol, 0)
    return checked(head + ends[0] + ends[1], 10) + body


def ip6(ends: tuple[bytes, bytes], protocol: int, body: bytes) -> bytes:
    """An IPv6 packet."""
    return struct.pack(">IHBB", 6 << 28, len(body), protocol, 64) + ends[0] + ends[1] + body


def main() -> None:
    """Send everything."""
    interface, gateway = sys.argv[1:3]
    sent = 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((interface, 0))
        hardware = bytes.fromhex(gateway.replace(":", "")) + sock.getsockname()[4]
        for line in sys.stdin:
            source, destination = line.strip().split(",")
            ethertype = b"\x86\xdd" if ":" in source else b"\x08\x00"
            for packet in packets(source, destination):
                sock.send(hardware + ethertype + packet)
                sent += 1
                time.sleep(PACE_S)
    print(sent)


if __name__ == "__main__":
    main()
