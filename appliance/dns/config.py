"""Who answers this machine's DNS queries."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from appliance.protocol.addresses import AddrPort, IPAddress, IPNetwork

STUB_V4: Final = ip_address("100.100.100.100")
STUB_V6: Final = ip_address("fd7a:115c:a1e0::53")
"""Where nodes of a mesh expect their own resolver; the reference's addresses."""


@dataclass(frozen=True, slots=True)
class ExitNode:
    """Ask the exit node, by DNS over HTTP inside the tunnel."""

    name: str
    """For people."""
    addresses: tuple[AddrPort, ...]
    """Its PeerAPI, best first."""


@dataclass(frozen=True, slots=True)
class Resolvers:
    """Ask these resolvers through the tunnel."""

    addresses: tuple[AddrPort, ...]


@dataclass(frozen=True, slots=True)
class HostResolvers:
    """Ask those of the host's own resolvers through the tunnel that are out in the world."""

    local_networks: frozenset[IPNetwork] = frozenset()
    """What the tunnel does not reach."""


@dataclass(frozen=True, slots=True)
class Nobody:
    """Answer nothing."""

    reason: str
    """A sentence for people."""


Upstream = ExitNode | Resolvers | HostResolvers | Nobody


@dataclass(frozen=True, slots=True)
class DnsConfig:
    """The whole desired state; equal configs mean no work."""

    interface: str
    """The tunnel; its queries are bound to it, so that they leave by it or not at all."""
    fwmark: int
    """The mark of what must stay out of the tunnel: queries for ``direct_names``."""
    stub: tuple[IPAddress, ...] = ()
    """Where we answer; none: we do not, and the host's resolver is its own again."""
    clients: frozenset[IPNetwork] = frozenset()
    """Whose queries are answered: this machine's own addresses, and its containers."""
    point_host: bool = True
    """The host's resolver asks the stub alone."""
    upstream: Upstream = Nobody("No exit node is in use.")
    direct_names: frozenset[str] = frozenset()
    """The coordinator and the relays, in lower case: without them there is no tunnel, so their
    addresses are asked of the host's own resolvers past it."""
