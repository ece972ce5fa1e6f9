"""Knock on TCP ports and a sample of UDP ports of one address; report whatever answers.

Usage: scan.py ADDRESS FIRST LAST.
Prints one JSON object: {"target", "tcp_probes", "udp_probes", "answers": [...]}.

A SYN to each port from a raw socket, twice, and five kinds of datagram to each sampled UDP port.
An answer is a SYN-ACK, a reset, a datagram or an ICMP error that concerns the target: `no
answer` means that for the whole internet nobody is there.
"""

from __future__ import annotations

import ipaddress
import json
import random
import select
import socket
import struct
import sys
import time
from typing import Final

ROUNDS: Final = 2
BATCH: Final = 256  # SYNs between two looks at what came back
LINGER_S: Final = 1.0  # the longest that an answer may take after the last probe
SOURCE_PORT: Final = 44321
KNOWN_UDP: Final = (
    *(7, 19, 53, 67, 68, 69, 111, 123, 137, 161, 389, 443, 500, 514, 520, 1194, 1434, 1645),
    *(1701, 1812, 1900, 2049, 3478, 4500, 5060, 5349, 5350, 5351, 5353, 5683, 11211, 27015),
    *(33434, 41640, 41641, 41642, 51820, 51821),
)
RANDOM_UDP: Final = 200
PAYLOADS: Final = (
    b"",
    b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12),  # STUN binding request
    b"\x01\x00\x00\x00" + bytes(144),  # WireGuard handshake initiation
    b"TS\xf0\x9f\x92\xac" + bytes(110),  # DISCO
    bytes.fromhex("12340100000100000000000006676f6f676c6503636f6d0000010001"),  # DNS query
)
IPPROTO_ICMPV6: Final = 58
IPV6_CHECKSUM: Final = 7


class Scan:
    """One target, the raw sockets that watch it, and what was heard."""

    def __init__(self, target: str, ports: range) -> None:
        self.target = target
        self.ports = ports
        self.six = ipaddress.ip_address(target).version == 6
        family = socket.AF_INET6 if self.six else socket.AF_INET
        self.tcp = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP)
        icmp = IPPROTO_ICMPV6 if self.six else socket.IPPROTO_ICMP
        self.icmp = socket.socket(family, socket.SOCK_RAW, icmp)
        self.udp = socket.socket(family, socket.SOCK_DGRAM)
        if self.six:
            self.tcp.setsockopt(socket.IPPROTO_IPV6, IPV6_CHECKSUM, 16)
        for sock in (self.tcp, self.icmp, self.udp):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
            sock.setblocking(False)
        self.source = self._own_address(family)
        self.answers: set[str] = set()

    def run(self) -> dict[str, object]:
        """Send everything, listen, and give the report."""
        sampled = sorted({*KNOWN_UDP, *random.Random(1).sample(range(1, 65536), RANDOM_UDP)})
        for _ in range(ROUNDS):
            self._syns()
            self._datagrams(sampled)
        self._listen(LINGER_S)
        return {
            "target": self.target,
            "tcp_probes": len(self.ports),
            "udp_probes": len(sampled),
            "answers": sorted(self.answers),
        }

    def _own_address(self, family: int) -> bytes:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((self.target, 9))
            return ipaddress.ip_address(sock.getsockname()[0]).packed

    def _syns(self) -> None:
        packed = ipaddress.ip_address(self.target).packed
        for port in self.ports:
            self.tcp.sendto(syn(self.source, packed, port), (self.target, 0))
            if port % BATCH == 0:
                self._listen(0)

    def _datagrams(self, ports: list[int]) -> None:
        for port in ports:
            for payload in PAYLOADS:
                self.udp.sendto(payload, (self.target, port))
            self._listen(0)

    def _listen(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        sockets = [self.tcp, self.icmp, self.udp]
        while True:
            ready = select.select(sockets, [], [], max(0, deadline - time.monotonic()))[0]
            if not ready:
                return
            for sock in ready:
                try:
                    data, sender = sock.recvfrom(2048)
                except ConnectionError as error:
                    self.answers.add(f"udp: {error.strerror}")
                    continue
                self._hear(sock, data, sender)

    def _hear(self, sock: socket.socket, data: bytes, sender: tuple[str, int]) -> None:
        body = data if self.six else data[(data[0] & 15) * 4 :]
        if sock is self.icmp:
            self._hear_icmp(body, sender[0])
        elif sender[0] != self.target:
            return
        elif sock is self.udp:
            self.answers.add(f"udp/{sender[1]}: a datagram")
        elif int.from_bytes(body[2:4], "big") == SOURCE_PORT:
            kind = "open" if body[13] & 0x02 else "refused"
            self.answers.add(f"tcp/{int.from_bytes(body[:2], 'big')}: {kind}")

    def _hear_icmp(self, body: bytes, sender: str) -> None:
        """Errors that quote a packet to the target; neighbour discovery is none of ours."""
        is_error = body[0] < 128 if self.six else body[0] in (3, 4, 5, 11, 12)
        quoted = body[8 + 24 : 8 + 40] if self.six else body[8 + 16 : 8 + 20]
        if is_error and quoted == ipaddress.ip_address(self.target).packed:
            self.answers.add(f"icmp type {body[0]} code {body[1]} from {sender}")


def syn(source: bytes, target: bytes, port: int) -> bytes:
    """A TCP SYN; its checksum covers the pseudo header (which is the kernel's work for IPv6)."""
    header = struct.pack(">HHIIBBHHH", SOURCE_PORT, port, 0x1A7C4E1, 0, 5 << 4, 2, 1024, 0, 0)
    pseudo = source + target + struct.pack(">HH", socket.IPPROTO_TCP, len(header))
    total = sum(struct.unpack(f">{(len(pseudo) + len(header)) // 2}H", pseudo + header))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return header[:16] + struct.pack(">H", ~total & 0xFFFF) + header[18:]


if __name__ == "__main__":
    first, last = map(int, sys.argv[2:4])
    print(json.dumps(Scan(sys.argv[1], range(first, last + 1)).run()))
