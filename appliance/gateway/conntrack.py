"""The kernel's table of connections: which of them peers opened, and which of those are cut.

A connection carries a mark of ours from its first packet on (``marks``: CT_THROUGH and others),
so the kernel picks the rows and we read only ours.

nfnetlink: family u8 | version u8 (0) | resource u16 | attributes (``host.netlink``), numbers in
network order. A tuple is IP {source, destination} and PROTO {number, source port, destination
port}; the *original* one is as the first packet was, the *reply* one as answers are, NAT included.
Source: linux include/uapi/linux/netfilter/nfnetlink_conntrack.h, 6.12.
"""

import errno
import ipaddress
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from appliance.gateway.config import Flow
from appliance.gateway.marks import CT_CUT, CT_ENTERED, CT_THROUGH, CT_TO_US, MARK_MASK
from appliance.host.errors import NetlinkError
from appliance.host.netlink import (
    NETLINK_NETFILTER,
    Message,
    NetlinkSocket,
    attribute,
    nested,
    parse_attributes,
)
from appliance.protocol.addresses import IPAddress

_IPCTNL_MSG_CT_NEW: Final = 1 << 8
_IPCTNL_MSG_CT_GET: Final = 1 << 8 | 1

_CTA_TUPLE_ORIG: Final = 1
_CTA_STATUS: Final = 3
_CTA_MARK: Final = 8
_CTA_ZONE: Final = 18
_CTA_MARK_MASK: Final = 21

_CTA_TUPLE_IP: Final = 1
_CTA_TUPLE_PROTO: Final = 2
_CTA_IP_V4_SRC: Final = 1
_CTA_IP_V6_SRC: Final = 3
_CTA_PROTO_NUM: Final = 1
_CTA_PROTO_DST_PORT: Final = 3

_IPS_SEEN_REPLY: Final = 1 << 1

_PORT: Final = struct.Struct("!H")
_NUMBER: Final = struct.Struct("!I")

KINDS: Final = frozenset({CT_THROUGH, CT_TO_US, CT_ENTERED})
_QUESTIONS: Final = ((CT_THROUGH, CT_THROUGH), (CT_TO_US, CT_ENTERED))
"""Mark and mask: CT_THROUGH and CT_ENTERED share a bit that CT_TO_US has not."""

_NOT_HERE: Final = frozenset({errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EINVAL})
"""The kernel tracks no connections, or has no way to ask it (module nf_conntrack_netlink)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tracked connection, and the bytes by which the kernel finds it again."""

    flow: Flow
    mark: int
    name: bytes
    """The original tuple, as the kernel wrote it."""
    zone: bytes

    @property
    def kind(self) -> int:
        """CT_THROUGH, CT_TO_US or CT_ENTERED, or another number for what is not ours."""
        return self.mark & MARK_MASK & ~CT_CUT

    @property
    def is_cut(self) -> bool:
        """Whether our table drops it."""
        return bool(self.mark & CT_CUT)


def flows() -> tuple[Flow, ...]:
    """Read what peers opened to us or through us; nothing where the kernel cannot say."""
    return tuple(one.flow for one in entries() if one.mark & MARK_MASK in (CT_THROUGH, CT_TO_US))


def entries() -> tuple[Entry, ...]:
    """Read the connections that carry one of our marks, cut or not."""
    found: list[Entry] = []
    try:
        with NetlinkSocket(NETLINK_NETFILTER) as netlink:
            for mark, mask in _QUESTIONS:
                rows = netlink.dump(_IPCTNL_MSG_CT_GET, encode_query(mark, mask))
                found += [entry for row in rows if (entry := parse_entry(row)) is not None]
    except NetlinkError as error:
        if error.errno not in _NOT_HERE:
            raise
    # A kernel that does not know how to filter returns everything.
    return tuple(entry for entry in found if entry.kind in KINDS)


def set_cut(changed: Iterable[Entry], *, cut: bool) -> None:
    """Mark connections so that our table drops them, both ways, or lets them go on."""
    messages = [
        Message(_IPCTNL_MSG_CT_NEW, 0, encode_mark(entry, CT_CUT if cut else 0, CT_CUT))
        for entry in changed
    ]
    if not messages:
        return
    with NetlinkSocket(NETLINK_NETFILTER) as netlink:
        for error in netlink.request_all(messages):
            if error is not None and error.errno != errno.ENOENT:  # else it ended meanwhile
                raise error


def encode_query(mark: int, mask: int) -> bytes:
    """Ask for the connections of both families that carry this mark."""
    return (
        _header(socket.AF_UNSPEC)
        + attribute(_CTA_MARK, _NUMBER.pack(mark))
        + attribute(_CTA_MARK_MASK, _NUMBER.pack(mask))
    )


def encode_name(entry: Entry) -> bytes:
    """Name one connection."""
    family = socket.AF_INET if entry.flow.source.version == 4 else socket.AF_INET6
    zone = attribute(_CTA_ZONE, entry.zone) if entry.zone else b""
    return _header(family) + nested(_CTA_TUPLE_ORIG, [entry.name]) + zone


def encode_mark(entry: Entry, mark: int, mask: int) -> bytes:
    """Change those bits of a connection's mark that are in the mask."""
    return (
        encode_name(entry)
        + attribute(_CTA_MARK, _NUMBER.pack(mark))
        + attribute(_CTA_MARK_MASK, _NUMBER.pack(mask))
    )


def parse_entry(row: bytes) -> Entry | None:
    """Read a connection; None for one that is not IP, or cannot be read."""
    found = dict(parse_attributes(row, 4))
    original = found.get(_CTA_TUPLE_ORIG, b"")
    parts = dict(parse_attributes(original))
    ends = dict(parse_attributes(parts.get(_CTA_TUPLE_IP, b"")))
    protocol = dict(parse_attributes(parts.get(_CTA_TUPLE_PROTO, b"")))
    source, destination = _ends(ends)
    if source is None or destination is None:
        return None
    flow = Flow(
        source=source,
        destination=destination,
        protocol=_big(protocol.get(_CTA_PROTO_NUM, b"")),
        port=_big(protocol.get(_CTA_PROTO_DST_PORT, b"")),
        answered=bool(_big(found.get(_CTA_STATUS, b"")) & _IPS_SEEN_REPLY),
    )
    return Entry(flow, _big(found.get(_CTA_MARK, b"")), original, found.get(_CTA_ZONE, b""))


def _ends(found: dict[int, bytes]) -> Iterator[IPAddress | None]:
    """Read source and destination; each None when it is not there."""
    base = _CTA_IP_V4_SRC if _CTA_IP_V4_SRC in found else _CTA_IP_V6_SRC
    for kind in (base, base + 1):
        raw = found.get(kind, b"")
        yield ipaddress.ip_address(raw) if len(raw) in (4, 16) else None


def _header(family: int) -> bytes:
    return struct.pack("!BBH", family, 0, 0)


def _big(value: bytes) -> int:
    return int.from_bytes(value, "big")
