"""The asyncio half of the underlay."""

from appliance.aio.latest import Latest
from appliance.protocol.addresses import AddrPort
from appliance.protocol.keys import NodePublic
from appliance.underlay.config import (
    PingResult,
    UnderlayConfig,
    UnderlayMemory,
    UnderlayStatus,
)
from appliance.underlay.device import EndpointSink


class UnderlayService:
    """Finds and keeps the best path to each peer.

    Order at start: ``apply`` (binds the proxies' sockets, sends nothing), then the dataplane's
    ``apply`` with ``proxy_endpoint`` as each new peer's endpoint, then ``run``. On a new netmap:
    ``apply`` here first, the dataplane's after it.
    """

    def __init__(self, device: EndpointSink, memory: UnderlayMemory | None = None) -> None:
        """``memory`` is what the last run left in ``self.memory``."""
        self.status: Latest[UnderlayStatus] = Latest(UnderlayStatus())
        self.memory: Latest[UnderlayMemory] = Latest(memory or UnderlayMemory())

    def proxy_endpoint(self, peer: NodePublic) -> AddrPort:
        """Return the loopback address that stands for the peer's relay path.

        This is where a new peer of the device starts. ``UnknownPeerError`` before ``apply`` has
        named the peer.
        """
        raise NotImplementedError

    async def apply(self, config: UnderlayConfig) -> None:
        """Change only what differs; safe to call again, before and while ``run`` runs.

        A peer whose DISCO key changed is reset in the device.
        """
        raise NotImplementedError

    async def run(self) -> None:
        """Keep the paths until cancelled; the device must hold its port before."""
        raise NotImplementedError

    async def ping(self, peer: NodePublic, timeout_s: float = 5.0) -> PingResult | None:
        """Ping by the best path, and look for a better one; None when nobody answered."""
        raise NotImplementedError

    def network_changed(self) -> None:
        """Forget what an interface or route change made doubtful, and look again."""
        raise NotImplementedError

    async def netcheck(self) -> UnderlayStatus:
        """Measure the relays and our addresses now; return the status after it."""
        raise NotImplementedError
