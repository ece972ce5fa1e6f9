"""The addresses of this host's interfaces, from the kernel, and the news that they changed.

Netlink messages: length (4) | type (2) | flags (2) | sequence (4) | port (4), then for an address
family (1) | prefix length (1) | flags (1) | scope (1) | interface (4) and attributes of
length (2) | type (2) | value, padded to 4. Native byte order. Source: linux/rtnetlink.h.
"""

import asyncio
import fcntl
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from appliance.protocol.addresses import IPAddress
from appliance.underlay.candidates import is_tailnet
from appliance.underlay.endpoints import InterfaceAddress

_HEADER: Final = struct.Struct("=IHHII")
_ADDRESS: Final = struct.Struct("=BBBBI")
_ATTRIBUTE: Final = struct.Struct("=HH")

_RTM_NEWADDR: Final = 20
_RTM_GETADDR: Final = 22
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_DUMP_REQUEST: Final = 0x301
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_FLAGS: Final = 8
_UNUSABLE: Final = 0x08 | 0x20 | 0x40  # duplicate, deprecated, tentative
_SIOCGIFFLAGS: Final = 0x8913
_IFF_UP: Final = 1
# Ours: addresses of nobody (RFC 5737, RFC 3849); a packet for them would take the default route.
_FAR_V4: Final = IPv4Address("192.0.2.1")
_FAR_V6: Final = IPv6Address("2001:db8::1")
# Ours: links and addresses change in bursts.
SETTLE_S: Final = 0.5

# Link, IPv4 address and route, IPv6 address and route.
_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400


def observe_interfaces() -> tuple[InterfaceAddress, ...]:
    """Return the usable addresses of interfaces that are up; empty when the kernel refuses."""
    try:
        found = list(_dump())
    except OSError:
        return ()
    up = {index: _name_if_up(index) for index in {index for index, _ in found}}
    return tuple(
        InterfaceAddress(ip_address(packed), name) for index, packed in found if (name := up[index])
    )


@dataclass(frozen=True, slots=True)
class NetworkView:
    """What of our place in the network matters to paths."""

    addresses: frozenset[InterfaceAddress]
    uplinks: tuple[IPAddress | None, IPAddress | None]
    """From which own address packets leave for the internet, over IPv4 and IPv6."""

    def holds_paths_of(self, before: "NetworkView") -> bool:
        """Whether paths found before still start from addresses that we have."""
        return before.uplinks == self.uplinks and before.addresses <= self.addresses


def observe_network(source_for: Callable[[IPAddress], IPAddress | None]) -> NetworkView:
    """Look at addresses and uplinks; ``source_for`` asks the routing table."""
    # Link-local addresses and the tunnel's own come and go without meaning anything here.
    addresses = frozenset(
        item
        for item in observe_interfaces()
        if not item.ip.is_loopback and not item.ip.is_link_local and not is_tailnet(item.ip)
    )
    return NetworkView(addresses, (source_for(_FAR_V4), source_for(_FAR_V6)))


async def follow_network(
    observe: Callable[[], NetworkView], on_change: Callable[[NetworkView, NetworkView], None]
) -> None:
    """Call back with the view before and the present one at every change, until cancelled."""
    loop = asyncio.get_running_loop()
    news = asyncio.Event()
    before = observe()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as monitor:
        monitor.bind((0, _GROUPS))
        monitor.setblocking(False)
        loop.add_reader(monitor, _note_news, monitor, news)
        try:
            while True:
                await news.wait()
                await asyncio.sleep(SETTLE_S)
                news.clear()
                present = observe()
                if present != before:
                    on_change(before, present)
                    before = present
        finally:
            loop.remove_reader(monitor)


def _note_news(monitor: socket.socket, news: asyncio.Event) -> None:
    """Read the news away: what counts is how things are now."""
    news.set()
    try:
        while monitor.recv(65_536):
            pass
    except OSError:  # nothing more; or too much at once, which is news as well
        return


def _dump() -> Iterator[tuple[int, bytes]]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.settimeout(2.0)
        body = _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        size = _HEADER.size + len(body)
        sock.send(_HEADER.pack(size, _RTM_GETADDR, _DUMP_REQUEST, 1, 0) + body)
        while True:
            for kind, payload in _messages(sock.recv(65_536)):
                if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                    return
                if kind == _RTM_NEWADDR and (found := _parse_address(payload)) is not None:
                    yield found


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(data):
        size, kind, _, _, _ = _HEADER.unpack_from(data, at)
        if size < _HEADER.size:
            return
        yield kind, data[at + _HEADER.size : at + size]
        at += (size + 3) & ~3


def _parse_address(payload: bytes) -> tuple[int, bytes] | None:
    """Return interface and address; None for one that cannot be used now."""
    _, _, flags, _, index = _ADDRESS.unpack_from(payload)
    address: bytes | None = None
    at = _ADDRESS.size
    while at + _ATTRIBUTE.size <= len(payload):
        size, kind = _ATTRIBUTE.unpack_from(payload, at)
        value = payload[at + _ATTRIBUTE.size : at + size]
        if kind == _IFA_LOCAL or (kind == _IFA_ADDRESS and address is None):
            address = value  # on a point-to-point link only IFA_LOCAL is ours
        elif kind == _IFA_FLAGS:
            flags = struct.unpack("=I", value)[0]
        at += max((size + 3) & ~3, _ATTRIBUTE.size)
    return None if address is None or flags & _UNUSABLE else (index, address)


def _name_if_up(index: int) -> str:
    """Return an interface's name; empty when it is down or gone."""
    try:
        name = socket.if_indextoname(index)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            reply = fcntl.ioctl(sock, _SIOCGIFFLAGS, struct.pack("16s24x", name.encode()))
    except OSError:
        return ""
    return name if struct.unpack_from("=H", reply, 16)[0] & _IFF_UP else ""
