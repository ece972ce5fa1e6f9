"""What the WireGuard device must be, and what it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.protocol.addresses import AddrPort, IPInterface, IPNetwork
from appliance.protocol.keys import NodePrivate, NodePublic


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """One peer; ``endpoint`` is only where a new peer starts, the underlay moves it later."""

    key: NodePublic
    allowed_ips: frozenset[IPNetwork]
    endpoint: AddrPort


@dataclass(frozen=True, slots=True)
class DataplaneConfig:
    """The whole desired state of the device.

    Two peers may not hold the same allowed IP: WireGuard gives it to the last one.
    """

    private_key: NodePrivate
    listen_port: int
    fwmark: int
    mtu: int
    addresses: tuple[IPInterface, ...]
    peers: Mapping[NodePublic, PeerConfig] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """One peer as the device has it; ``endpoint`` is where the next packet to it goes."""

    endpoint: AddrPort | None
    rx_bytes: int
    tx_bytes: int
    last_handshake: float | None
    """Seconds since the epoch, by the host's clock; None before the first handshake."""
    allowed_ips: frozenset[IPNetwork] = frozenset()


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """The device as it really is; ``listen_port`` 0 means that it has none yet."""

    listen_port: int
    peers: Mapping[NodePublic, PeerStatus]
