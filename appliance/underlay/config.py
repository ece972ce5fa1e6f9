"""What the underlay obeys, what it remembers, and what it tells."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from appliance.protocol.addresses import AddrPort
from appliance.protocol.keys import DiscoPrivate, DiscoPublic, NodePrivate, NodePublic
from appliance.protocol.tailcfg import DerpMap, EndpointType, NetInfo

NO_REGION = 0
"""Stands for "no relay": the relay map's regions are numbered from 1."""


@dataclass(frozen=True, slots=True)
class PeerUnderlay:
    """One peer as the netmap names it; without a ``disco_key`` it is reached by relay only."""

    key: NodePublic
    disco_key: DiscoPublic | None
    endpoints: tuple[AddrPort, ...]
    home_derp: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class UnderlayConfig:
    """The whole desired state.

    ``listen_port`` is the UDP port that the WireGuard device holds; ``fwmark`` goes on every
    packet that must not enter the tunnel, 0 for none.
    """

    node_key: NodePrivate
    disco_key: DiscoPrivate
    listen_port: int
    fwmark: int
    derp_map: DerpMap
    peers: Mapping[NodePublic, PeerUnderlay] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UnderlayMemory:
    """What must survive a restart of the agent while the WireGuard device stays up.

    The device goes on sending to the proxies' ports, so the same ones are bound again; and a
    peer whose DISCO key changed meanwhile has lost its session, so it is reset.
    """

    proxy_ports: Mapping[NodePublic, int] = field(default_factory=lambda: MappingProxyType({}))
    disco_keys: Mapping[NodePublic, DiscoPublic] = field(
        default_factory=lambda: MappingProxyType({})
    )


@dataclass(frozen=True, slots=True)
class OwnEndpoint:
    """An address where peers may reach this node."""

    address: AddrPort
    kind: EndpointType


@dataclass(frozen=True, slots=True)
class Relayed:
    """Packets go through the relay of this region (``NO_REGION``: there is no way at all)."""

    region: int


@dataclass(frozen=True, slots=True)
class Direct:
    """Packets go straight to this address; ``latency_s`` is the round trip."""

    address: AddrPort
    latency_s: float


Path = Relayed | Direct


@dataclass(frozen=True, slots=True)
class UnderlayStatus:
    """The latest of what the underlay knows; late readers lose nothing."""

    endpoints: tuple[OwnEndpoint, ...] = ()
    """For the coordinator, best first; empty until STUN was tried."""
    net_info: NetInfo | None = None
    """For the coordinator; None until the first netcheck is done."""
    global_v4: AddrPort | None = None
    """How a STUN server sees our port; None when it does not."""
    global_v6: AddrPort | None = None
    home_relay: int = NO_REGION
    relays: Mapping[int, bool] = field(default_factory=dict)
    """Regions that we hold or open a connection to, and whether it is logged in."""
    relay_problem: str = ""
    """Why the home relay is not connected, as a sentence; empty when it is."""
    paths: Mapping[NodePublic, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PingResult:
    """A peer answered a DISCO ping by this path after ``latency_s``."""

    path: Path
    latency_s: float
