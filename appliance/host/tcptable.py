"""The TCP connections of this machine that have been answered, as /proc/net/tcp and tcp6 list them.

A line: number: local remote state ..., where an address is hexadecimal in the machine's byte order,
in words of 32 bits, and a port is hexadecimal. States 1 (established) to 6 (time wait) but for 2
and 3 (the handshake) mean that both sides have spoken.

Source: linux Documentation/networking/proc_net_tcp.rst, 6.12.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

from appliance.protocol.addresses import IPAddress

TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
MAX_CONNECTIONS: Final = 5_000
"""A server may hold many; the first ones prove as much as all."""

_ANSWERED: Final = frozenset({1, 4, 5, 6})
"""Established, both ways of closing it, and the time after it."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection that both sides have spoken on."""

    local: IPAddress
    remote: IPAddress
    port: int
    """The remote one."""


def read_connections(tables: tuple[Path, ...] = TABLES) -> list[Connection]:
    """Read the answered connections; a family that is off has none."""
    found: list[Connection] = []
    for table in tables:
        try:
            with table.open(encoding="ascii", errors="replace") as lines:
                found += _parse(lines, MAX_CONNECTIONS - len(found))
        except OSError:
            continue
    return found


def _parse(lines: Iterator[str], room: int) -> Iterator[Connection]:
    for line in lines:
        parsed = parse_line(line)
        if parsed is not None:
            if room <= 0:
                return
            room -= 1
            yield parsed


def parse_line(line: str) -> Connection | None:
    """Read a line; None for the headline and for what has not been answered."""
    fields = line.split(maxsplit=4)
    try:
        if int(fields[3], 16) not in _ANSWERED:
            return None
        local, remote = fields[1].partition(":"), fields[2].partition(":")
        return Connection(_address(local[0]), _address(remote[0]), int(remote[2], 16))
    except (IndexError, ValueError):
        return None


def _address(text: str) -> IPAddress:
    raw = bytes.fromhex(text)
    if sys.byteorder == "little":
        raw = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    if len(raw) == 4:
        return IPv4Address(raw)
    address = IPv6Address(raw)
    return address.ipv4_mapped or address
