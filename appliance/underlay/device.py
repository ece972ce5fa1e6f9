"""The part of the WireGuard device that the underlay reads and moves.

Any ``Dataplane`` of the dataplane room fits; the two rooms do not import each other.
"""

from collections.abc import Mapping
from typing import Protocol

from appliance.protocol.addresses import AddrPort
from appliance.protocol.keys import NodePublic


class PeerCounters(Protocol):
    """One peer as the device has it."""

    @property
    def endpoint(self) -> AddrPort | None:
        """Where the next packet to the peer goes."""

    @property
    def rx_bytes(self) -> int:
        """What came from the peer and was authentic."""

    @property
    def tx_bytes(self) -> int:
        """What went to the peer."""

    @property
    def last_handshake(self) -> float | None:
        """Seconds since the epoch; None before the first handshake."""


class DeviceCounters(Protocol):
    """The device as it is."""

    @property
    def listen_port(self) -> int:
        """The UDP port; 0 means that it has none yet."""

    @property
    def peers(self) -> Mapping[NodePublic, PeerCounters]:
        """All peers of the device."""


class EndpointSink(Protocol):
    """Moves the endpoints of peers; all calls are short and do not wait."""

    def set_endpoint(self, peer: NodePublic, endpoint: AddrPort) -> None:
        """Send to this address from the next packet on; nothing for an unknown peer."""

    def reset_peer(self, peer: NodePublic, endpoint: AddrPort) -> None:
        """Drop the peer's session and start it anew from this endpoint."""

    def observe(self) -> DeviceCounters:
        """Read the device."""
