"""Reads the words of a policy: people, groups, tags, hosts, networks, ports, protocols. Pure."""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Final, TypeVar

from appliance.coordinator.policy.errors import PolicyError, shown
from appliance.coordinator.policy.selectors import (
    Anyone,
    Auto,
    Network,
    People,
    Selector,
    Tag,
)
from appliance.protocol.addresses import IPNetwork
from appliance.protocol.tailcfg import ANY_PORT, PortRange

T = TypeVar("T")

_PROTOCOLS: Final[Mapping[str, tuple[int, ...]]] = {
    "": (),
    "icmp": (1,),
    "igmp": (2,),
    "ipv4": (4,),
    "ip-in-ip": (4,),
    "tcp": (6,),
    "egp": (8,),
    "igp": (9,),
    "udp": (17,),
    "gre": (47,),
    "esp": (50,),
    "ah": (51,),
    "ipv6-icmp": (58,),
    "sctp": (132,),
    "fc": (133,),
}

WITH_PORTS: Final = frozenset({(), (6,), (17,), (132,)})
"""The protocols, as `parse_protocol` returns them, in whose rules ports mean something."""


class Names:
    """What a policy gives names to."""

    def __init__(
        self,
        groups: Mapping[str, People],
        hosts: Mapping[str, IPNetwork],
        tags: frozenset[str],
    ) -> None:
        self._groups = groups
        self._hosts = hosts
        self._tags = tags

    def selector(self, text: str) -> Selector:
        """Read a selector without ports."""
        if text == "*":
            return Anyone()
        if text.startswith("autogroup:"):
            return _auto(text)
        if text.startswith("group:"):
            return _lookup(self._groups, text, "group")
        if text.startswith("tag:"):
            if text not in self._tags:
                raise PolicyError(f"{shown(text)} is not in tagOwners.")
            return Tag(text)
        if "@" in text:
            return People(frozenset({parse_login(text)}))
        return Network(self._hosts.get(text) or parse_network(text))

    def destination(self, text: str) -> tuple[Selector, tuple[PortRange, ...]]:
        """Read a selector with its ports: the last colon parts them."""
        host, colon, ports = text.rpartition(":")
        if not colon or host in ("autogroup", "group", "tag"):
            cut = text[:40] if text.isprintable() else "HOST"
            raise PolicyError(f"dst={shown(text)} has no ports: write it like {cut}:* or {cut}:22.")
        bare = host.removeprefix("[").removesuffix("]")
        if bare.startswith("[") or "]/" in host:
            bare = host.replace("[", "").replace("]", "")
        return self.selector(bare), tuple(parse_ports(part) for part in ports.split(","))


def parse_ports(text: str) -> PortRange:
    """Read ``*``, one port or a range."""
    if text == "*":
        return ANY_PORT
    first, dash, last = text.partition("-")
    numbers = [first, last if dash else first]
    if not all(n.isascii() and n.isdigit() and len(n) <= 5 and 0 < int(n) < 65536 for n in numbers):
        raise PolicyError(f"port range {shown(text)}: write *, 22, 80,443 or 1000-2000.")
    if int(numbers[0]) > int(numbers[1]):
        raise PolicyError(f"port range {shown(text)} ends before it begins.")
    return PortRange(first=int(numbers[0]), last=int(numbers[1]))


def parse_protocol(text: str) -> tuple[int, ...]:
    """Read a protocol's name or number; none means TCP, UDP and ICMP."""
    known = _PROTOCOLS.get(text)
    if known is not None:
        return known
    if text.isascii() and text.isdigit() and text == str(int(text[:4])) and int(text) < 256:
        return (int(text),)
    raise PolicyError(f"proto {shown(text)} is not a protocol's name or number.")


def parse_login(text: str) -> str:
    """Read ``alice@`` as the local user alice, and any other name with an ``@`` as it stands."""
    if "@" not in text or text.startswith("group:"):
        raise PolicyError(f"{shown(text)} is not a user: write alice@ or alice@example.org.")
    return text.removesuffix("@")


def parse_network(text: str) -> IPNetwork:
    """Read an address or a network."""
    try:
        if "%" not in text:
            return ip_network(text, strict=False)
    except ValueError:
        pass
    raise PolicyError(
        f"{shown(text)} is no host, address or network; users are written with an @, like alice@."
    )


def _auto(text: str) -> Auto:
    try:
        return Auto(text)
    except ValueError:
        known = ", ".join(auto.value for auto in Auto)
        raise PolicyError(f"{shown(text)} is not known; there are {known}.") from None


def _lookup(table: Mapping[str, T], name: str, what: str) -> T:
    if name not in table:
        raise PolicyError(f"there is no {what} {shown(name)} in the policy.")
    return table[name]
