"""Sets of addresses as sorted, merged ranges: what nftables' interval sets want.

One family each; an address is its number. Source: the forms of tailcfg's FilterRule.SrcIPs.
"""

import ipaddress
from bisect import bisect_right
from collections.abc import Iterable
from typing import Final, NamedTuple

from appliance.protocol.addresses import IPNetwork
from appliance.protocol.errors import ProtocolError

BITS: Final = {4: 32, 6: 128}


LAST: Final = (1 << 128) - 1
"""No address has a greater number."""


class Range(NamedTuple):
    """Addresses from the first to the last, both included."""

    first: int
    last: int


Ranges = tuple[Range, ...]
"""Sorted, without overlap, with a gap between any two."""

EMPTY: Final[Ranges] = ()


def everything(version: int) -> Ranges:
    """All addresses of a family."""
    return (Range(0, (1 << BITS[version]) - 1),)


def merged(ranges: Iterable[Range]) -> Ranges:
    """Sort ranges and join those that overlap or touch."""
    result: list[Range] = []
    for one in sorted(ranges):
        if result and one.first <= result[-1].last + 1:
            result[-1] = Range(result[-1].first, max(result[-1].last, one.last))
        else:
            result.append(one)
    return tuple(result)


def of_networks(networks: Iterable[IPNetwork], version: int) -> Ranges:
    """Return the addresses of those networks that are of this family."""
    return merged(
        Range(int(network.network_address), int(network.broadcast_address))
        for network in networks
        if network.version == version
    )


def without(ranges: Ranges, taken: Ranges) -> Ranges:
    """Return what is left when ``taken`` is cut out."""
    result: list[Range] = []
    hole = 0
    for first, last in ranges:
        while hole < len(taken) and taken[hole].last < first:
            hole += 1
        start, here = first, hole
        while here < len(taken) and taken[here].first <= last:
            if taken[here].first > start:
                result.append(Range(start, taken[here].first - 1))
            start = taken[here].last + 1
            here += 1
        if start <= last:
            result.append(Range(start, last))
    return tuple(result)


def has(ranges: Ranges, number: int) -> bool:
    """Whether one address is among them."""
    index = bisect_right(ranges, Range(number, LAST)) - 1
    return index >= 0 and ranges[index].last >= number


def contain(ranges: Ranges, wanted: Ranges) -> bool:
    """Whether all of ``wanted`` is among them."""
    return not without(wanted, ranges)


def parse(text: str) -> tuple[int, Ranges]:
    """Read one address, a network without host bits, or ``first-last``: (version, ranges).

    Anything else is a ``ProtocolError``; ``*`` and ``cap:`` are for the caller.
    """
    if "%" in text:  # an interface's scope has no meaning in a rule
        raise _unread(text)
    try:
        first, dash, last = text.partition("-")
        if dash:
            return _parse_range(first, last)
        network = ipaddress.ip_network(text, strict=True)
    except ValueError:
        raise _unread(text) from None
    return network.version, of_networks([network], network.version)


def render(ranges: Ranges, version: int) -> str:
    """Write the elements of an nftables set."""
    address = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    return ", ".join(
        str(address(first)) if first == last else f"{address(first)}-{address(last)}"
        for first, last in ranges
    )


def _parse_range(first_text: str, last_text: str) -> tuple[int, Ranges]:
    first, last = ipaddress.ip_address(first_text), ipaddress.ip_address(last_text)
    if first.version != last.version or int(first) > int(last):
        raise ValueError(first_text)
    return first.version, (Range(int(first), int(last)),)


def _unread(text: str) -> ProtocolError:
    return ProtocolError(f"not an address, network or range: {text[:60]!r}")
