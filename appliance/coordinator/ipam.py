"""Which tailnet addresses a new node gets. Pure.

A node's IPv4 and IPv6 address have the same offset in their prefix (100.64.0.7 is
fd7a:115c:a1e0::7), so one number names both. Numbers are given out in order and only reused after
the whole range has been passed, so that a freed address does not soon mean another machine.
"""

from collections.abc import Container
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from appliance.coordinator.errors import RefusedError

TAILNET_V4: Final = IPv4Network("100.64.0.0/10")
TAILNET_V6: Final = IPv6Network("fd7a:115c:a1e0::/48")

RESERVED_V4: Final = (
    IPv4Network("100.100.0.0/24"),  # kept by Tailscale for its own services
    IPv4Network("100.100.100.0/24"),  # 100.100.100.100 is MagicDNS in every client
    IPv4Network("100.115.92.0/23"),  # ChromeOS numbers its own containers from it
)
RESERVED_V6: Final = (
    IPv6Network("fd7a:115c:a1e0::53/128"),  # MagicDNS
    IPv6Network("fd7a:115c:a1e0:b1a::/64"),  # 4via6
    IPv6Network("fd7a:115c:a1e0:ab12::/64"),  # older automatic addresses
)


@dataclass(frozen=True, slots=True)
class Pool:
    """The prefixes that nodes' addresses come from."""

    v4: IPv4Network = TAILNET_V4
    v6: IPv6Network = TAILNET_V6

    @property
    def size(self) -> int:
        """How many offsets there are, reserved ones included."""
        return min(self.v4.num_addresses, self.v6.num_addresses)

    def pair(self, offset: int) -> tuple[IPv4Address, IPv6Address]:
        """Return the two addresses with this offset."""
        return (self.v4.network_address + offset, self.v6.network_address + offset)


def next_offset(pool: Pool, last: int, taken: Container[IPv4Address]) -> int:
    """Return the first free offset after ``last``, wrapping around once."""
    for step in range(1, pool.size + 1):
        offset = (last + step) % pool.size
        v4, v6 = pool.pair(offset)
        if v4 not in taken and not _is_reserved(pool, v4, v6):
            return offset
    raise RefusedError(
        f"All addresses of {pool.v4} are in use. Delete nodes that are gone, "
        "or set a larger prefixes.v4."
    )


def _is_reserved(pool: Pool, v4: IPv4Address, v6: IPv6Address) -> bool:
    if v4 in (pool.v4.network_address, pool.v4.broadcast_address):
        return True
    if v6 == pool.v6.network_address:
        return True
    return any(v4 in net for net in RESERVED_V4) or any(v6 in net for net in RESERVED_V6)
