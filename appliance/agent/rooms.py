"""The rooms that the agent joins, as it uses them; tests put fakes here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from appliance.aio.latest import Latest
from appliance.dataplane.driver import Dataplane
from appliance.dns.config import DnsConfig
from appliance.gateway.driver import Gateway
from appliance.peerapi.config import PeerApiConfig
from appliance.protocol.addresses import AddrPort, IPAddress
from appliance.protocol.keys import NodePublic
from appliance.underlay.config import PingResult, UnderlayConfig, UnderlayMemory, UnderlayStatus


class Underlay(Protocol):
    """Finds and keeps the best path to each peer."""

    status: Latest[UnderlayStatus]
    memory: Latest[UnderlayMemory]

    def proxy_endpoint(self, peer: NodePublic) -> AddrPort:
        """Return the loopback address that stands for the peer's relay path."""

    async def apply(self, config: UnderlayConfig) -> None:
        """Change only what differs."""

    async def run(self) -> None:
        """Keep the paths until cancelled."""

    async def ping(self, peer: NodePublic, timeout_s: float = 5.0) -> PingResult | None:
        """Ping by the best path."""

    async def netcheck(self) -> UnderlayStatus:
        """Measure the relays and our addresses now."""


class Dns(Protocol):
    """Answers this machine's DNS queries while an exit node is in use."""

    @property
    def problem(self) -> str:
        """Why names are not looked up, as a sentence; empty when they are."""

    async def apply(self, config: DnsConfig) -> None:
        """Change only what differs."""

    async def look_up(self, host: str, fwmark: int) -> tuple[IPAddress, ...]:
        """Return a name's addresses, asked past the tunnel: for the agent's own connections."""

    async def run(self) -> None:
        """Answer, and put back what others take away, until cancelled."""

    async def clean_up(self) -> None:
        """Give the host its resolver back, also after a crash of an earlier run."""


class PeerApi(Protocol):
    """Serves peers over the tunnel."""

    port: Latest[int]
    problem: str

    async def apply(self, config: PeerApiConfig) -> int:
        """Change only what differs; returns the port, 0 when nothing is served."""

    async def run(self) -> None:
        """Serve until cancelled."""

    async def clean_up(self) -> None:
        """Stop listening."""


@dataclass(frozen=True, slots=True)
class Rooms:
    """What touches the machine."""

    dataplane: Dataplane
    gateway: Gateway
    open_underlay: Callable[[Dataplane, UnderlayMemory], Underlay]
    dns: Dns
    peerapi: PeerApi
