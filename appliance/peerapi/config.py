"""Where peers reach us, and who may ask what."""

from dataclasses import dataclass

from appliance.protocol.addresses import IPAddress


@dataclass(frozen=True, slots=True)
class PeerApiConfig:
    """The whole desired state; equal configs mean no work."""

    interface: str
    """The tunnel; connections by another way are not taken."""
    addresses: tuple[IPAddress, ...] = ()
    """Our own in the mesh; none: nothing is served."""
    dns_clients: frozenset[IPAddress] = frozenset()
    """Peers that may leave through this exit node, and so have names looked up."""
    refused_names: tuple[str, ...] = ()
    """Names that an exit node must not look up for others; with a dot in front, all below."""
