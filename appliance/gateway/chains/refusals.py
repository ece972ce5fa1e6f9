"""What no chain lets pass, whatever the filter says. Pure."""

from collections.abc import Iterator

from appliance.gateway import ranges
from appliance.gateway.chains.admission import match
from appliance.gateway.config import GatewayConfig
from appliance.gateway.zones import MESH_RANGES


def pretenders(config: GatewayConfig) -> Iterator[str]:
    """Stop those outside the tunnel who pretend to be in it."""
    for network in MESH_RANGES:
        # A provider may use the same range for its customers: those stay our neighbours.
        mesh = ranges.of_networks([network], network.version)
        pretended = ranges.without(mesh, ranges.of_networks(config.local_networks, network.version))
        for one in pretended:  # compared one by one: a set would be empty for a moment when new
            yield f"{match(network.version, 'saddr', (one,))} counter drop"


def strays(related: str) -> Iterator[str]:
    """Drop what would change our routes, and what belongs to no connection.

    ``related`` is the rule for errors about connections that were admitted.
    """
    yield "icmp type redirect drop"
    yield "icmpv6 type { nd-router-advert, nd-redirect } drop"
    yield related
    yield "ct state invalid drop"
