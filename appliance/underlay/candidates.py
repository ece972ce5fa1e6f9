"""The addresses where a peer may be, and which of two that answered is better.

A candidate comes from the netmap, from a call-me-maybe (each list replaces the one before), or
from the air: a ping, or WireGuard data, came from there. The last kind dies 45 s after it was
last heard, as in the reference.

Source of the points in ``is_better``: tailscale wgengine/magicsock/endpoint.go, 2026-08.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from appliance.protocol.addresses import AddrPort, IPAddress
from appliance.underlay.config import Direct

# From the reference.
HEARD_LIFETIME_S: Final = 45.0
MAX_CANDIDATES: Final = 100

_TAILNET_V4: Final = IPv4Network("100.64.0.0/10")
_TAILNET_V6: Final = IPv6Network("fd7a:115c:a1e0::/48")
_PRIVATE: Final = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv6Network("fc00::/7"),
)


@dataclass(slots=True)
class Candidate:
    """One address and what we know of it; it stays while any source still names it."""

    address: AddrPort
    in_netmap: bool = False
    was_called: bool = False
    heard_at: float | None = None
    pinged_at: float | None = None
    pinged_back_at: float = float("-inf")
    last_ping_tx: bytes = b""
    """The transaction of the last ping that came from here, to tell duplicates."""


class Candidates:
    """One peer's candidates."""

    def __init__(self) -> None:
        self._by_address: dict[AddrPort, Candidate] = {}

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self._by_address.values())

    def __len__(self) -> int:
        return len(self._by_address)

    def get(self, address: AddrPort) -> Candidate | None:
        """Return the candidate with this address."""
        return self._by_address.get(address)

    def set_netmap(self, addresses: Iterable[AddrPort]) -> None:
        """Take what the netmap names now in place of what it named before."""
        for candidate in self:
            candidate.in_netmap = False
        for candidate in self._add(addresses):
            candidate.in_netmap = True
        self._drop_unnamed()

    def set_called(self, addresses: Iterable[AddrPort]) -> None:
        """Take what a call-me-maybe names in place of what the last one named."""
        for candidate in self:
            candidate.was_called = False
        for candidate in self._add(addresses):
            candidate.was_called = True
        self._drop_unnamed()

    def hear(self, address: AddrPort, now: float) -> Candidate | None:
        """Take an address from which the peer sent; None when it cannot be a candidate."""
        for candidate in self._add((address,)):
            candidate.heard_at = now
            return candidate
        return None

    def prune(self, now: float, keep: AddrPort | None) -> None:
        """Forget what was only heard, too long ago; ``keep`` is in use."""
        for candidate in self:
            heard = candidate.heard_at
            if heard is not None and now - heard > HEARD_LIFETIME_S and candidate.address != keep:
                candidate.heard_at = None
        self._drop_unnamed()

    def _add(self, addresses: Iterable[AddrPort]) -> Iterator[Candidate]:
        for address in addresses:
            if not is_usable(address):
                continue
            candidate = self._by_address.get(address)
            if candidate is None:
                if len(self) >= MAX_CANDIDATES and not self._make_room():
                    continue
                candidate = self._by_address[address] = Candidate(address)
            yield candidate

    def _make_room(self) -> bool:
        """Drop what was heard longest ago and is named by nobody."""
        heard = [c for c in self if not c.in_netmap and not c.was_called]
        if not heard:
            return False
        oldest = min(heard, key=lambda candidate: candidate.heard_at or 0.0)
        del self._by_address[oldest.address]
        return True

    def _drop_unnamed(self) -> None:
        for candidate in list(self):
            if not candidate.in_netmap and not candidate.was_called and candidate.heard_at is None:
                del self._by_address[candidate.address]


def is_tailnet(ip: IPAddress) -> bool:
    """Whether this address is inside the tunnel: no packet of the underlay may go there."""
    return ip in (_TAILNET_V4 if ip.version == 4 else _TAILNET_V6)


def is_usable(address: AddrPort) -> bool:
    """Whether a peer can be at this address at all.

    IPv6 link-local addresses do not say on which link, so they cannot be used, as in the
    reference.
    """
    ip = address.ip
    if address.port == 0 or ip.is_unspecified or ip.is_multicast or is_tailnet(ip):
        return False
    return not (ip.version == 6 and ip.is_link_local)


def is_better(one: Direct, other: Direct) -> bool:
    """Whether to move to ``one`` from ``other``.

    The faster one gets its lead in percent as points; what is nearer by its kind of address, or
    is IPv6, gets some more. Less than 2 points move nothing.
    """
    if one.address == other.address:
        return False
    one_lead, other_lead = _leads(_ns(one), _ns(other))
    one_points = one_lead + _bonus(one.address.ip)
    other_points = other_lead + _bonus(other.address.ip)
    if one_points <= 1 and other_points == 0:
        return False
    return one_points > other_points


def _ns(path: Direct) -> int:
    return round(path.latency_s * 1e9)


def _leads(one_ns: int, other_ns: int) -> tuple[int, int]:
    if one_ns > other_ns:
        return 0, 100 - other_ns * 100 // one_ns
    return (100 - one_ns * 100 // other_ns if other_ns > 0 else 0), 0


def _bonus(ip: IPAddress) -> int:
    points = 10 if ip.version == 6 else 0
    if ip.is_loopback:
        return points + 50
    if ip.is_link_local:
        return points + 30
    return points + (20 if any(ip in network for network in _PRIVATE) else 0)
