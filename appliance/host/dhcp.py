"""Asks who hands out addresses in a network: two DHCP servers there break it.

Message: op u8 | htype u8 | hlen u8 | hops u8 | xid u32 | secs u16 | flags u16 | ciaddr, yiaddr,
siaddr, giaddr (4 bytes each) | chaddr (16) | sname (64) | file (128) | cookie (4) | options.
Option: code u8 | length u8 | value; 0 is padding, 255 ends. Only DISCOVER is sent, which leases
nothing.

Source: RFC 2131 sections 2 and 3.1, RFC 2132.
"""

import asyncio
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address
from typing import Final

_HEAD: Final = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
_REQUEST, _REPLY = 1, 2
_ETHERNET: Final = 1
_BROADCAST: Final = 0x8000
_COOKIE: Final = b"\x63\x82\x53\x63"
_PAD, _END = 0, 255
_MESSAGE_TYPE, _SERVER = 53, 54
_DISCOVER, _OFFER = 1, 2
_SERVER_PORT, _CLIENT_PORT = 67, 68

TIMEOUT_S: Final = 2.0
"""A server first tries for a second whether the address that it wants to offer is free."""
MAX_SERVERS: Final = 8
_READ_SIZE: Final = 1500
_SIOCGIFHWADDR: Final = 0x8927


def encode_discover(xid: int, hardware: bytes) -> bytes:
    """Ask all servers for an offer, to be sent to everybody; ``hardware`` is 6 bytes."""
    none = bytes(4)
    head = _HEAD.pack(
        *(_REQUEST, _ETHERNET, len(hardware), 0, xid, 0, _BROADCAST, none, none, none, none),
        *(hardware, b"", b"", _COOKIE),
    )
    return head + bytes((_MESSAGE_TYPE, 1, _DISCOVER, _END))


def parse_offer(data: bytes, xid: int) -> IPv4Address | None:
    """Return the server that made this offer; None when it is none, or somebody else's."""
    if len(data) < _HEAD.size:
        return None
    head = _HEAD.unpack_from(data)
    if (head[0], head[4], head[-1]) != (_REPLY, xid, _COOKIE):
        return None
    options = dict(_options(data[_HEAD.size :]))
    server = options.get(_SERVER, b"")
    if options.get(_MESSAGE_TYPE) != bytes((_OFFER,)) or len(server) != len(bytes(4)):
        return None
    return IPv4Address(server)


def _options(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(data) and data[position] != _END:
        if data[position] == _PAD:
            position += 1
            continue
        if position + 1 >= len(data):
            return
        end = position + 2 + data[position + 1]
        yield data[position], data[position + 2 : end]
        position = end


async def find_servers(interface: str, timeout_s: float = TIMEOUT_S) -> frozenset[IPv4Address]:
    """Return who offers addresses at an interface; ``OSError`` when it cannot be asked.

    Needs root or CAP_NET_BIND_SERVICE, and that a DHCP client here shares its port.
    """
    found: set[IPv4Address] = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        asking.bind(("", _CLIENT_PORT))
        xid = int.from_bytes(os.urandom(4), "big")
        loop = asyncio.get_running_loop()
        question = encode_discover(xid, _hardware(asking, interface))
        await loop.sock_sendto(asking, question, ("255.255.255.255", _SERVER_PORT))
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while len(found) < MAX_SERVERS:
                    server = parse_offer(await loop.sock_recv(asking, _READ_SIZE), xid)
                    found |= {server} if server is not None else set()
    return frozenset(found)


def _hardware(opened: socket.socket, interface: str) -> bytes:
    """Return our own address there, so that no other lease is reserved than the one we have."""
    request = struct.pack("256s", interface.encode())
    return fcntl.ioctl(opened.fileno(), _SIOCGIFHWADDR, request)[18:24]
