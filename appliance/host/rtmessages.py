"""The messages of rtnetlink: links, addresses, routes and policy rules as values.

Each kind has a fixed header of its own, then attributes (``netlink``):
link     family u8 | pad u8 | type u16 | index i32 | flags u32 | change u32
address  family u8 | prefix length u8 | flags u8 | scope u8 | link index u32
route    family u8 | destination length u8 | source length u8 | tos u8 | table u8 | protocol u8 |
         scope u8 | type u8 | flags u32
rule     family u8 | destination length u8 | source length u8 | tos u8 | table u8 | pad u16 |
         action u8 | flags u32
We use a handful of the many attributes; a row that we cannot read is left out.

Source: linux include/uapi/linux/{rtnetlink,if_link,if_addr,fib_rules}.h, 6.12.
"""

import ipaddress
import socket
import struct
from dataclasses import dataclass
from typing import Final

from appliance.host.netlink import (
    attribute,
    attribute_text,
    attribute_u8,
    attribute_u32,
    nested,
    number,
    parse_attributes,
    text,
)
from appliance.protocol.addresses import IPAddress, IPInterface, IPNetwork

RTM_NEWLINK: Final = 16
RTM_DELLINK: Final = 17
RTM_GETLINK: Final = 18
RTM_NEWADDR: Final = 20
RTM_DELADDR: Final = 21
RTM_GETADDR: Final = 22
RTM_NEWROUTE: Final = 24
RTM_DELROUTE: Final = 25
RTM_GETROUTE: Final = 26
RTM_NEWRULE: Final = 32
RTM_DELRULE: Final = 33
RTM_GETRULE: Final = 34

IFF_UP: Final = 0x1
IFF_LOOPBACK: Final = 0x8
IFF_LOWER_UP: Final = 0x10000

IFLA_IFNAME: Final = 3
IFLA_MTU: Final = 4
IFLA_MASTER: Final = 10
IFLA_LINKINFO: Final = 18
IFLA_IFALIAS: Final = 20
IFLA_INFO_KIND: Final = 1

IFA_ADDRESS: Final = 1
IFA_LOCAL: Final = 2
IFA_FLAGS: Final = 8
IFA_F_TEMPORARY: Final = 0x01
IFA_F_NODAD: Final = 0x02
IFA_F_DEPRECATED: Final = 0x20
IFA_F_TENTATIVE: Final = 0x40

RTA_DST: Final = 1
RTA_OIF: Final = 4
RTA_GATEWAY: Final = 5
RTA_PRIORITY: Final = 6
RTA_MULTIPATH: Final = 9
RTA_TABLE: Final = 15

RTN_UNICAST: Final = 1
RTN_THROW: Final = 9

RT_TABLE_DEFAULT: Final = 253
RT_TABLE_MAIN: Final = 254
RT_SCOPE_UNIVERSE: Final = 0
RT_SCOPE_LINK: Final = 253

FRA_PRIORITY: Final = 6
FRA_FWMARK: Final = 10
FRA_TABLE: Final = 15
FRA_FWMASK: Final = 16
FRA_PROTOCOL: Final = 21
FR_ACT_TO_TBL: Final = 1
FR_ACT_UNREACHABLE: Final = 7

_IFINFOMSG: Final = struct.Struct("=BxHiII")
_IFADDRMSG: Final = struct.Struct("=BBBBI")
_RTMSG: Final = struct.Struct("=BBBBBBBBI")
_RULE_HEADER: Final = struct.Struct("=BBBBBxxBI")

_NEXT_HOP: Final = struct.Struct("=HBBi")

FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface; ``kind`` is the driver's name for virtual ones (``tun``, ``bridge``)."""

    index: int
    name: str
    mtu: int
    flags: int
    kind: str | None = None
    alias: str | None = None
    master: int = 0

    @property
    def is_up(self) -> bool:
        """Whether it is switched on (a cable may still be missing)."""
        return bool(self.flags & IFF_UP)

    @property
    def has_carrier(self) -> bool:
        """Whether it is switched on and connected to something."""
        return self.is_up and bool(self.flags & IFF_LOWER_UP)


@dataclass(frozen=True, slots=True)
class Address:
    """An address of an interface, with the network that it says is attached."""

    link: int
    interface: IPInterface
    flags: int = 0


@dataclass(frozen=True, slots=True)
class Route:
    """A route; a throw route has no link and sends the lookup on to the next rule."""

    destination: IPNetwork
    table: int
    kind: int = RTN_UNICAST
    protocol: int = 0
    link: int = 0
    gateway: IPAddress | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy rule: which table answers for which packets; table 0 with UNREACHABLE."""

    family: int
    priority: int
    action: int
    table: int = 0
    fwmark: int = 0
    fwmask: int = 0
    protocol: int = 0


def encode_link_query() -> bytes:
    """Ask for every link."""
    return _IFINFOMSG.pack(0, 0, 0, 0, 0)


def encode_new_link(name: str, kind: str) -> bytes:
    """Describe a virtual interface to create."""
    return (
        _IFINFOMSG.pack(0, 0, 0, 0, 0)
        + attribute_text(IFLA_IFNAME, name)
        + nested(IFLA_LINKINFO, [attribute_text(IFLA_INFO_KIND, kind)])
    )


def encode_link(
    index: int, *, up: bool | None = None, mtu: int | None = None, alias: str | None = None
) -> bytes:
    """Name a link, and what is to change of it."""
    change = 0 if up is None else IFF_UP
    payload = _IFINFOMSG.pack(0, 0, index, IFF_UP if up else 0, change)
    if mtu is not None:
        payload += attribute_u32(IFLA_MTU, mtu)
    if alias is not None:
        payload += attribute(IFLA_IFALIAS, alias.encode())
    return payload


def parse_link(row: bytes) -> Link:
    """Read a link."""
    _, _, index, flags, _ = _IFINFOMSG.unpack_from(row)
    found = dict(parse_attributes(row, _IFINFOMSG.size))
    info = dict(parse_attributes(found.get(IFLA_LINKINFO, b"")))
    return Link(
        index=index,
        name=text(found.get(IFLA_IFNAME, b"")),
        mtu=number(found.get(IFLA_MTU, b"")),
        flags=flags,
        kind=text(info[IFLA_INFO_KIND]) if IFLA_INFO_KIND in info else None,
        alias=text(found[IFLA_IFALIAS]) if IFLA_IFALIAS in found else None,
        master=number(found.get(IFLA_MASTER, b"")),
    )


def encode_address_query() -> bytes:
    """Ask for every address."""
    return _IFADDRMSG.pack(0, 0, 0, 0, 0)


def encode_address(address: Address) -> bytes:
    """Describe an address to add or to remove."""
    ip = address.interface.ip
    return (
        _IFADDRMSG.pack(_family(ip), address.interface.network.prefixlen, 0, 0, address.link)
        + attribute(IFA_LOCAL, ip.packed)
        + attribute(IFA_ADDRESS, ip.packed)
        + attribute_u32(IFA_FLAGS, address.flags)
    )


def parse_address(row: bytes) -> Address | None:
    """Read an address; None for a family that is not IP."""
    family, length, flags, _, link = _IFADDRMSG.unpack_from(row)
    found = dict(parse_attributes(row, _IFADDRMSG.size))
    raw = found.get(IFA_LOCAL, found.get(IFA_ADDRESS, b""))
    interface = _interface(family, raw, length)
    if interface is None:
        return None
    return Address(link, interface, number(found[IFA_FLAGS]) if IFA_FLAGS in found else flags)


def encode_route_query(family: int, table: int) -> bytes:
    """Ask for one routing table."""
    return _RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0) + attribute_u32(RTA_TABLE, table)


def encode_route(route: Route) -> bytes:
    """Describe a route to add or to remove."""
    network = route.destination
    scope = RT_SCOPE_LINK if route.link and route.gateway is None else RT_SCOPE_UNIVERSE
    if network.version == 6:
        scope = RT_SCOPE_UNIVERSE
    payload = _RTMSG.pack(
        _family(network.network_address),
        network.prefixlen,
        0,
        0,
        0,
        route.protocol,
        scope,
        route.kind,
        0,
    )
    payload += attribute(RTA_DST, network.network_address.packed)
    payload += attribute_u32(RTA_TABLE, route.table)
    if route.link:
        payload += attribute_u32(RTA_OIF, route.link)
    if route.gateway is not None:
        payload += attribute(RTA_GATEWAY, route.gateway.packed)
    if route.priority:
        payload += attribute_u32(RTA_PRIORITY, route.priority)
    return payload


def parse_route(row: bytes) -> Route | None:
    """Read a route; None for a family that is not IP. Of several next hops the first counts."""
    family, length, _, _, table, protocol, _, kind, _ = _RTMSG.unpack_from(row)
    found = dict(parse_attributes(row, _RTMSG.size))
    raw = found.get(RTA_DST, bytes(4 if family == socket.AF_INET else 16))
    destination = _interface(family, raw, length)
    if destination is None:
        return None
    hop = found
    if RTA_MULTIPATH in found and len(found[RTA_MULTIPATH]) >= _NEXT_HOP.size:
        *_, link = _NEXT_HOP.unpack_from(found[RTA_MULTIPATH])
        hop = dict(parse_attributes(found[RTA_MULTIPATH], _NEXT_HOP.size))
    else:
        link = number(found.get(RTA_OIF, b""))
    gateway = _interface(family, hop[RTA_GATEWAY], 0) if RTA_GATEWAY in hop else None
    return Route(
        destination=destination.network,
        table=number(found[RTA_TABLE]) if RTA_TABLE in found else table,
        kind=kind,
        protocol=protocol,
        link=link,
        gateway=gateway.ip if gateway else None,
        priority=number(found.get(RTA_PRIORITY, b"")),
    )


def encode_rule_query(family: int) -> bytes:
    """Ask for the policy rules of one family."""
    return _RULE_HEADER.pack(family, 0, 0, 0, 0, 0, 0)


def encode_rule(rule: Rule) -> bytes:
    """Describe a policy rule to add or to remove."""
    payload = _RULE_HEADER.pack(rule.family, 0, 0, 0, 0, rule.action, 0)
    payload += attribute_u32(FRA_PRIORITY, rule.priority)
    if rule.table:
        payload += attribute_u32(FRA_TABLE, rule.table)
    if rule.fwmask:
        payload += attribute_u32(FRA_FWMARK, rule.fwmark) + attribute_u32(FRA_FWMASK, rule.fwmask)
    if rule.protocol:
        payload += attribute_u8(FRA_PROTOCOL, rule.protocol)
    return payload


def parse_rule(row: bytes) -> Rule | None:
    """Read a policy rule; None for a family that is not IP."""
    family, _, _, _, table, action, _ = _RULE_HEADER.unpack_from(row)
    if family not in FAMILIES:
        return None
    found = dict(parse_attributes(row, _RULE_HEADER.size))
    return Rule(
        family=family,
        priority=number(found.get(FRA_PRIORITY, b"")),
        action=action,
        table=number(found[FRA_TABLE]) if FRA_TABLE in found else table,
        fwmark=number(found.get(FRA_FWMARK, b"")),
        fwmask=number(found.get(FRA_FWMASK, b"")),
        protocol=number(found.get(FRA_PROTOCOL, b"")),
    )


def _family(ip: IPAddress) -> int:
    return socket.AF_INET if ip.version == 4 else socket.AF_INET6


def _interface(family: int, raw: bytes, length: int) -> IPInterface | None:
    if family == socket.AF_INET and len(raw) == 4 and length <= 32:
        return ipaddress.IPv4Interface((raw, length))
    if family == socket.AF_INET6 and len(raw) == 16 and length <= 128:
        return ipaddress.IPv6Interface((raw, length))
    return None
