"""The messages of rtnetlink: links, addresses, routes and policy rules as values.

pyroute2 knows the bytes (``pyroute2_light``); here its dictionaries become values and back. What is
encoded and parsed is what follows netlink's own header. We use a handful of the many attributes; a
row that we cannot read is left out.

Source: linux include/uapi/linux/{rtnetlink,if_link,if_addr,fib_rules}.h, 6.12.
"""

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from appliance.host.pyroute2_light import AddressMessage, LinkMessage, RouteMessage, RuleMessage
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

IFA_F_NODAD: Final = 0x02
IFA_F_DEPRECATED: Final = 0x20
IFA_F_TENTATIVE: Final = 0x40

RTN_UNICAST: Final = 1
RTN_UNREACHABLE: Final = 7
RTN_THROW: Final = 9

RT_TABLE_DEFAULT: Final = 253
RT_TABLE_MAIN: Final = 254
RT_SCOPE_UNIVERSE: Final = 0
RT_SCOPE_LINK: Final = 253

FR_ACT_TO_TBL: Final = 1
FR_ACT_UNREACHABLE: Final = 7

FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)

_UNSPECIFIED: Final = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


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
    """A route; one to nowhere has no link, a throw route sends the lookup on to the next rule."""

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
    destination: IPNetwork | None = None
    """Only packets to this network; None for all."""
    suppress: int | None = None
    """Routes with a prefix of this length or shorter do not count; None when all count."""
    invert: bool = False
    """For the packets that do not match."""


_NO_SUPPRESSION: Final = 0xFFFFFFFF
_FIB_RULE_INVERT: Final = 0x2


def encode_link_query() -> bytes:
    """Ask for every link."""
    return _encode(LinkMessage, {}, {})


def encode_new_link(name: str, kind: str) -> bytes:
    """Describe a virtual interface to create."""
    info = {"attrs": [("IFLA_INFO_KIND", kind)]}
    return _encode(LinkMessage, {}, {"IFLA_IFNAME": name, "IFLA_LINKINFO": info})


def encode_link(
    index: int, *, up: bool | None = None, mtu: int | None = None, alias: str | None = None
) -> bytes:
    """Name a link, and what is to change of it."""
    fields = {"index": index}
    if up is not None:
        fields |= {"flags": IFF_UP if up else 0, "change": IFF_UP}
    return _encode(LinkMessage, fields, {"IFLA_MTU": mtu, "IFLA_IFALIAS": alias})


def parse_link(row: bytes) -> Link:
    """Read a link."""
    message, found = _decode(LinkMessage, row)
    info = _value(found, "IFLA_LINKINFO")
    return Link(
        index=message["index"],
        name=_text(found, "IFLA_IFNAME") or "",
        mtu=_number(found, "IFLA_MTU"),
        flags=message["flags"],
        kind=_text(_attributes(info), "IFLA_INFO_KIND") if isinstance(info, dict) else None,
        alias=_text(found, "IFLA_IFALIAS"),
        master=_number(found, "IFLA_MASTER"),
    )


def encode_address_query() -> bytes:
    """Ask for every address."""
    return _encode(AddressMessage, {}, {})


def encode_address(address: Address) -> bytes:
    """Describe an address to add or to remove."""
    ip = address.interface.ip
    fields = {
        "family": _family(ip),
        "prefixlen": address.interface.network.prefixlen,
        "index": address.link,
    }
    attributes: dict[str, object] = {
        "IFA_LOCAL": str(ip),
        "IFA_ADDRESS": str(ip),
        "IFA_FLAGS": address.flags,
    }
    if address.flags & IFA_F_DEPRECATED:
        # The kernel goes by the lifetimes; the flag alone does not last.
        attributes["IFA_CACHEINFO"] = {"ifa_preferred": 0, "ifa_valid": _FOR_EVER}
    return _encode(AddressMessage, fields, attributes)


_FOR_EVER: Final = 0xFFFFFFFF


def parse_address(row: bytes) -> Address | None:
    """Read an address; None for a family that is not IP."""
    message, found = _decode(AddressMessage, row)
    text = _text(found, "IFA_LOCAL") or _text(found, "IFA_ADDRESS")
    interface = _interface(message["family"], text, message["prefixlen"])
    if interface is None:
        return None
    return Address(message["index"], interface, _number(found, "IFA_FLAGS", message["flags"]))


def encode_route_query(family: int, table: int) -> bytes:
    """Ask for one routing table."""
    return _encode(RouteMessage, {"family": family}, {"RTA_TABLE": table})


def encode_route(route: Route) -> bytes:
    """Describe a route to add or to remove."""
    network = route.destination
    on_link = network.version == 4 and route.link and route.gateway is None
    fields = {
        "family": _family(network.network_address),
        "dst_len": network.prefixlen,
        "proto": route.protocol,
        "scope": RT_SCOPE_LINK if on_link else RT_SCOPE_UNIVERSE,
        "type": route.kind,
    }
    attributes = {
        "RTA_DST": str(network.network_address),
        "RTA_TABLE": route.table,
        "RTA_OIF": route.link or None,
        "RTA_GATEWAY": str(route.gateway) if route.gateway is not None else None,
        "RTA_PRIORITY": route.priority or None,
    }
    return _encode(RouteMessage, fields, attributes)


def parse_route(row: bytes) -> Route | None:
    """Read a route; None for a family that is not IP. Of several next hops the first counts."""
    message, found = _decode(RouteMessage, row)
    family = message["family"]
    text = _text(found, "RTA_DST") or _UNSPECIFIED.get(family)
    destination = _interface(family, text, message["dst_len"])
    if destination is None:
        return None
    link, next_hop = _number(found, "RTA_OIF"), found
    hops = _value(found, "RTA_MULTIPATH")
    if isinstance(hops, list) and hops:
        link, next_hop = hops[0]["oif"], _attributes(hops[0])
    gateway = _interface(family, _text(next_hop, "RTA_GATEWAY"), 0)
    return Route(
        destination=destination.network,
        table=_number(found, "RTA_TABLE", message["table"]),
        kind=message["type"],
        protocol=message["proto"],
        link=link,
        gateway=gateway.ip if gateway else None,
        priority=_number(found, "RTA_PRIORITY"),
    )


def encode_rule_query(family: int) -> bytes:
    """Ask for the policy rules of one family."""
    return _encode(RuleMessage, {"family": family}, {})


def encode_rule(rule: Rule) -> bytes:
    """Describe a policy rule to add or to remove."""
    attributes: dict[str, object] = {
        "FRA_PRIORITY": rule.priority,
        "FRA_TABLE": rule.table or None,
        "FRA_FWMARK": rule.fwmark if rule.fwmask else None,
        "FRA_FWMASK": rule.fwmask or None,
        "FRA_PROTOCOL": rule.protocol or None,
        "FRA_SUPPRESS_PREFIXLEN": rule.suppress,
    }
    flags = _FIB_RULE_INVERT if rule.invert else 0
    fields = {"family": rule.family, "action": rule.action, "flags": flags}
    if rule.destination is not None:
        fields["dst_len"] = rule.destination.prefixlen
        attributes["FRA_DST"] = str(rule.destination.network_address)
    return _encode(RuleMessage, fields, attributes)


def parse_rule(row: bytes) -> Rule | None:
    """Read a policy rule; None for a family that is not IP."""
    message, found = _decode(RuleMessage, row)
    if message["family"] not in FAMILIES:
        return None
    return Rule(
        family=message["family"],
        priority=_number(found, "FRA_PRIORITY"),
        action=message["action"],
        table=_number(found, "FRA_TABLE", message["table"]),
        fwmark=_number(found, "FRA_FWMARK"),
        fwmask=_number(found, "FRA_FWMASK"),
        protocol=_number(found, "FRA_PROTOCOL"),
        destination=_rule_network(message["family"], found, message["dst_len"]),
        suppress=_suppression(found),
        invert=bool(message["flags"] & _FIB_RULE_INVERT),
    )


def _rule_network(family: int, found: dict[str, Any], length: int) -> IPNetwork | None:
    interface = _interface(family, _text(found, "FRA_DST"), length)
    return interface.network if interface is not None else None


def _suppression(found: dict[str, Any]) -> int | None:
    length = _number(found, "FRA_SUPPRESS_PREFIXLEN", _NO_SUPPRESSION)
    return None if length == _NO_SUPPRESSION else length


def _encode(kind: Any, fields: Mapping[str, int], attributes: Mapping[str, object]) -> bytes:
    """Write a message; an attribute that is None is left out."""
    message = kind()
    message.update(fields)
    message["attrs"] = [pair for pair in attributes.items() if pair[1] is not None]
    message.encode()
    return bytes(message.data)


def _decode(kind: Any, row: bytes) -> tuple[Any, dict[str, Any]]:
    """Read a message's fields, and where its attributes are; they live as long as it does."""
    message = kind(row, length=len(row))
    message.decode()
    return message, _attributes(message)


def _attributes(message: Any) -> dict[str, Any]:
    """Name the attributes; each is decoded when its value is asked for."""
    return {slot.name: slot for slot in message["attrs"]}


def _value(found: dict[str, Any], name: str) -> Any:
    """Decode an attribute; None where there is none, bytes where pyroute2 cannot read it."""
    return found[name].value if name in found else None


def _number(found: dict[str, Any], name: str, default: int = 0) -> int:
    value = _value(found, name)
    return value if isinstance(value, int) else default


def _text(found: dict[str, Any], name: str) -> str | None:
    value = _value(found, name)
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _family(ip: IPAddress) -> int:
    return socket.AF_INET if ip.version == 4 else socket.AF_INET6


def _interface(family: int, text: str | None, length: int) -> IPInterface | None:
    try:
        if text is not None and family == socket.AF_INET:
            return ipaddress.IPv4Interface((text, length))
        if text is not None and family == socket.AF_INET6:
            return ipaddress.IPv6Interface((text, length))
    except ValueError:
        pass  # a length that the family does not have, or no address
    return None
