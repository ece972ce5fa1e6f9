"""The plan of a lab: segments, machines and the links between them, and the `ip` text for it.

A segment is one Ethernet: a bridge in a namespace of its own. On a public segment the machine
`internet`, which routes between all of them, has number 1. Pure: nothing here touches the
machine that builds it.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Final

from tests.netns.lab.errors import LabError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

INTERNET: Final = "internet"
GATEWAY_NUMBER: Final = 1
# Unlike numbers at the two ends of a cable: equal ones make the kernel report the carrier up to
# a second late, and until then IPv6 is deaf.
_FIRST_PORT_INDEX: Final = 1001
_MAX_NAME: Final = 15  # a machine's name is also its port's name on the bridge (IFNAMSIZ - 1)


@dataclass(frozen=True, slots=True)
class Link:
    """One interface of a machine, plugged into a segment."""

    interface: str
    segment: str
    addresses: tuple[Interface, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """To reach the destination, go through the gateway."""

    destination: Network
    gateway: Address


@dataclass(slots=True)
class MachinePlan:
    """One namespace with its links, routes, sysctls and nftables text."""

    name: str
    links: list[Link] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    sysctls: dict[str, str] = field(default_factory=dict)
    rules: str = ""

    def addresses(self) -> list[Address]:
        """All addresses, in the order of the links."""
        return [address.ip for link in self.links for address in link.addresses]


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """One Ethernet and the subnets on it."""

    name: str
    subnets: tuple[Network, ...]

    def at(self, number: int) -> tuple[Interface, ...]:
        """The machine with this number: 192.168.1.20 and fd00:1::20 (the decimal digits)."""
        return tuple(_numbered(subnet, number) for subnet in self.subnets)


@dataclass(slots=True)
class Plan:
    """A whole lab on paper."""

    segments: dict[str, SegmentPlan] = field(default_factory=dict)
    machines: dict[str, MachinePlan] = field(default_factory=dict)

    def add_segment(self, segment: SegmentPlan) -> None:
        """Refuses a name that is taken or does not fit an interface."""
        self._check(segment.name)
        self.segments[segment.name] = segment

    def add_machine(self, machine: MachinePlan) -> None:
        """Refuses a name that is taken or does not fit an interface."""
        self._check(machine.name)
        self.machines[machine.name] = machine

    def render_segment(self, segment: SegmentPlan, prefix: str) -> str:
        """`ip -batch` text inside the segment's namespace: its bridge and the cables from it."""
        lines = ["link add br0 type bridge mcast_snooping 0", "link set br0 up"]
        index = _FIRST_PORT_INDEX
        for machine in self.machines.values():
            for link in machine.links:
                if link.segment == segment.name:
                    peer = f"peer name {link.interface} netns {prefix}{machine.name}"
                    lines += [f"link add {machine.name} index {index} type veth {peer}"]
                    lines += [f"link set {machine.name} master br0 up"]
                    index += 1
        return _batch(lines)

    def render_machine(self, machine: MachinePlan) -> str:
        """`ip -batch` text inside the machine: addresses, links up, routes."""
        lines = ["link set lo up"]
        for link in machine.links:
            lines += [f"addr add {a} dev {link.interface}{_nodad(a.ip)}" for a in link.addresses]
            lines += [f"link set {link.interface} up"]
        lines += [f"route add {r.destination} via {r.gateway}" for r in machine.routes]
        return _batch(lines)

    def hosts_file(self) -> str:
        """/etc/hosts with every machine of the lab."""
        lines = ["127.0.0.1 localhost", "::1 localhost"]
        for machine in self.machines.values():
            lines += [f"{address} {machine.name}" for address in machine.addresses()]
        return _batch(lines)

    def _check(self, name: str) -> None:
        if len(name) > _MAX_NAME:
            raise LabError(f"{name!r} is no name for a machine: at most {_MAX_NAME} characters")
        if name in self.segments or name in self.machines:
            raise LabError(f"the lab already has a {name!r}")


def gateways(machine: tuple[Interface, ...], number: int = GATEWAY_NUMBER) -> list[Route]:
    """Default routes, one a family, through the machine with this number on the same subnets."""
    defaults: dict[int, Network] = {
        4: ipaddress.ip_network("0.0.0.0/0"),
        6: ipaddress.ip_network("::/0"),
    }
    first = {a.version: a for a in reversed(machine)}
    return [Route(defaults[v], _numbered(first[v].network, number).ip) for v in sorted(first)]


def _numbered(subnet: Network, number: int) -> Interface:
    offset = number if subnet.version == 4 else int(str(number), 16)
    return ipaddress.ip_interface(f"{subnet[offset]}/{subnet.prefixlen}")


def _nodad(address: Address) -> str:
    return " nodad" if address.version == 6 else ""


def _batch(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
