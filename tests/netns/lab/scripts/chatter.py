"""A machine that never stops talking: everything that must leave through an exit node, or not.

Usage: chatter.py INTERFACE WEB4 WEB6 RESOLVER4 RESOLVER6 ROUTER.

Ten times a second, by IPv4 and IPv6: a UDP datagram, a TCP connection, an echo request and a DNS
question to the internet; DNS to the router of the LAN, which is what DHCP hands out; and datagrams
of programs that know better than the routing: bound to the interface, or to its own address.
Prints every 0.4 s how many page connections succeeded, by family. An error is no reason to stop.
"""

from __future__ import annotations

import errno
import itertools
import select
import socket
import struct
import sys
import time
from contextlib import suppress
from typing import Final

PACE_S: Final = 0.1
REPORT_ROUNDS: Final = 4
PATIENCE_S: Final = 1.5
WEB_PORT: Final = 80
UDP_PORT: Final = 9999
SO_BINDTODEVICE: Final = 25
WORDS: Final = b"this is clear text, whoever reads it on the cable has found a leak"
QUESTION: Final = bytes.fromhex("4c4b0100000100000000000004686f6d65077072697661746500") + bytes(
    (0, 1, 0, 1)
)

Connecting = dict[socket.socket, float]


class Chatter:
    """All that it says in one round."""

    def __init__(self, interface: str, targets: list[str], router: str) -> None:
        self.interface = interface
        self.web = targets[:2]
        self.resolvers = [*targets[2:], router]
        self.connecting: Connecting = {}
        self.connected = {4: 0, 6: 0}

    def round(self, number: int) -> None:
        """Say everything once."""
        for address in self.web:
            self._datagram(address, UDP_PORT, WORDS)
            self._datagram(address, UDP_PORT, WORDS, device=self.interface)
            self._datagram(address, UDP_PORT, WORDS, own_address=True)
            self._echo(address, number)
            self._connect(address)
        for address in self.resolvers:
            self._datagram(address, 53, QUESTION)

    def listen(self, until: float) -> None:
        """Take note of connections that came about; give up those that take too long."""
        while (left := until - time.monotonic()) > 0:
            waiting = list(self.connecting)
            _, ready, _ = select.select([], waiting, [], left)
            for sock in ready:
                if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    self.connected[6 if sock.family == socket.AF_INET6 else 4] += 1
                self._forget(sock)
            now = time.monotonic()
            for sock in [s for s, began in self.connecting.items() if now - began > PATIENCE_S]:
                self._forget(sock)

    def _datagram(
        self, address: str, port: int, data: bytes, *, device: str = "", own_address: bool = False
    ) -> None:
        with suppress(OSError), socket.socket(_family(address), socket.SOCK_DGRAM) as sock:
            if device:
                sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, device.encode())
            if own_address:
                sock.bind((self._own_address(address), 0))
            sock.setblocking(False)
            sock.sendto(data, (address, port))

    def _own_address(self, target: str) -> str:
        """The address of the interface, which is not what the routing would choose now."""
        with socket.socket(_family(target), socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, self.interface.encode())
            sock.connect((target, 9))
            return str(sock.getsockname()[0])

    def _connect(self, address: str) -> None:
        sock = socket.socket(_family(address), socket.SOCK_STREAM)
        sock.setblocking(False)
        if sock.connect_ex((address, WEB_PORT)) == errno.EINPROGRESS:
            self.connecting[sock] = time.monotonic()
        else:
            sock.close()

    def _echo(self, address: str, number: int) -> None:
        six = ":" in address
        protocol = 58 if six else socket.IPPROTO_ICMP
        body = struct.pack(">HH", 0x4C4B, number & 0xFFFF) + WORDS
        head = bytes((128, 0, 0, 0)) if six else bytes((8, 0)) + _checksum(b"\x08\0\0\0" + body)
        with suppress(OSError), socket.socket(_family(address), socket.SOCK_RAW, protocol) as sock:
            sock.setblocking(False)
            sock.sendto(head + body, (address, 0))

    def _forget(self, sock: socket.socket) -> None:
        del self.connecting[sock]
        sock.close()


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _checksum(data: bytes) -> bytes:
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">H", ~(total + (total >> 16)) & 0xFFFF)


def main() -> None:
    """Talk until killed."""
    chatter = Chatter(sys.argv[1], sys.argv[2:6], sys.argv[6])
    due = time.monotonic()
    for number in itertools.count():
        chatter.round(number)
        due = max(due + PACE_S, time.monotonic())
        chatter.listen(due)
        if number % REPORT_ROUNDS == 0:
            print("connected", chatter.connected[4], chatter.connected[6], flush=True)


if __name__ == "__main__":
    main()
