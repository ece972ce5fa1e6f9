"""The coordinator's packet filter in a form that nftables can be written from.

Whatever a rule holds, the outcome allows no more than the rule says: an entry that cannot be read
is left out, a rule without readable sources or destinations allows nothing. Capabilities
(``cap:`` sources, grants) are not network access.

Source: tailscale wgengine/filter/{tailcfg,filter,match}.go, 2026-08.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from appliance.gateway import ranges
from appliance.gateway.ranges import Ranges
from appliance.protocol.errors import ProtocolError
from appliance.protocol.tailcfg import FilterRule, NetPortRange

TCP: Final = 6
UDP: Final = 17
ICMP: Final = 1
ICMPV6: Final = 58
SCTP: Final = 132
TSMP: Final = 99
"""Messages between nodes inside the tunnel."""
DEFAULT_PROTOCOLS: Final = frozenset({TCP, UDP, ICMP, ICMPV6})
PORT_PROTOCOLS: Final = frozenset({TCP, UDP, SCTP})

MAX_ELEMENTS: Final = 50_000
"""Sources and destinations of all rules together: nft loads as many in about a second. What
comes after them is left out, so nobody gets more than the coordinator gave."""


class Ports(NamedTuple):
    """Ports from the first to the last, both included."""

    first: int
    last: int


ALL_PORTS: Final = Ports(0, 65535)


@dataclass(frozen=True, slots=True)
class Allow:
    """One family's part of a rule: these sources may reach these destinations."""

    version: int
    sources: Ranges
    destinations: dict[Ports, Ranges]
    protocols: frozenset[int]


class ParsedFilter(NamedTuple):
    """What is allowed, and how many entries could not be read or were too many."""

    allows: tuple[Allow, ...]
    ignored: int


def parse_filter(rules: Iterable[FilterRule]) -> ParsedFilter:
    """Read all rules, in their order."""
    allows: list[Allow] = []
    ignored = 0
    room = MAX_ELEMENTS
    for rule in rules:
        room -= len(rule.src_ips or ()) + len(rule.dst_ports or ())
        if room < 0:
            ignored += 1
            continue
        found, unread = _parse_rule(rule)
        allows += found
        ignored += unread
    return ParsedFilter(tuple(allows), ignored)


def _parse_rule(rule: FilterRule) -> tuple[list[Allow], int]:
    sources, unread_sources = _parse_sources(rule.src_ips or ())
    destinations, unread_destinations = _parse_destinations(rule.dst_ports or ())
    protocols = frozenset(p for p in rule.ip_proto or () if 0 <= p <= 255)
    found = [
        Allow(
            version,
            sources[version],
            destinations[version],
            protocols if rule.ip_proto else DEFAULT_PROTOCOLS,
        )
        for version in (4, 6)
        if sources[version] and destinations[version]
    ]
    return found, unread_sources + unread_destinations


def _parse_sources(texts: Iterable[str]) -> tuple[dict[int, Ranges], int]:
    found: dict[int, list[ranges.Range]] = {4: [], 6: []}
    unread = 0
    for text in texts:
        if text.startswith("cap:"):
            continue
        try:
            for version, parsed in _parse_addresses(text):
                found[version] += parsed
        except ProtocolError:
            unread += 1
    return {version: ranges.merged(parsed) for version, parsed in found.items()}, unread


def _parse_destinations(
    entries: Iterable[NetPortRange],
) -> tuple[dict[int, dict[Ports, Ranges]], int]:
    found: dict[int, dict[Ports, list[ranges.Range]]] = {4: {}, 6: {}}
    unread = 0
    for entry in entries:
        try:
            ports = _parse_ports(entry)
            for version, parsed in _parse_addresses(entry.ip):
                found[version].setdefault(ports, []).extend(parsed)
        except ProtocolError:
            unread += 1
    by_version = {
        version: {ports: ranges.merged(parsed) for ports, parsed in by_ports.items()}
        for version, by_ports in found.items()
    }
    return by_version, unread


def _parse_ports(entry: NetPortRange) -> Ports:
    ports = Ports(entry.ports.first, entry.ports.last)
    if not 0 <= ports.first <= ports.last <= 65535:
        raise ProtocolError("not a range of ports")
    return ports


def _parse_addresses(text: str) -> Iterator[tuple[int, Ranges]]:
    if text == "*":
        yield 4, ranges.everything(4)
        yield 6, ranges.everything(6)
    else:
        yield ranges.parse(text)
