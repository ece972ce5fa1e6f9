"""The rooms that the agent joins, as it uses them; tests put fakes here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from appliance.aio.latest import Latest
from appliance.dataplane.driver import Dataplane
from appliance.gateway.driver import Gateway
from appliance.protocol.addresses import AddrPort
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


@dataclass(frozen=True, slots=True)
class Rooms:
    """What touches the machine."""

    dataplane: Dataplane
    gateway: Gateway
    open_underlay: Callable[[Dataplane, UnderlayMemory], Underlay]
