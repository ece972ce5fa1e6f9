"""A host's resolver in memory, for tests of the rooms above; keeps the driver's contract."""

import asyncio

from appliance.dns.errors import DnsError
from appliance.protocol.addresses import AddrPort, IPAddress


class FakeHostResolver:
    """Remembers whom the host asks."""

    kind = "nothing real"

    def __init__(self, *upstreams: AddrPort) -> None:
        self.asks: IPAddress | None = None
        """None: its own resolvers."""
        self.refuses = ""
        """Set: ``point`` fails with this sentence."""
        self.own = upstreams

    async def point(self, stub: IPAddress) -> None:
        """Take the stub."""
        if self.refuses:
            raise DnsError(self.refuses)
        self.asks = stub

    async def restore(self) -> None:
        """Forget the stub."""
        self.asks = None

    def upstreams(self) -> tuple[AddrPort, ...]:
        """Return what it was made with."""
        return self.own

    async def guard(self) -> None:
        """Wait for ever: nobody takes anything away."""
        await asyncio.Event().wait()
