"""Name lookups in memory, for tests of the rooms above; keeps the service's contract."""

import asyncio

from appliance.dns.config import DnsConfig
from appliance.protocol.addresses import IPAddress


class FakeDns:
    """Remembers every config that differed from the one before it."""

    def __init__(self) -> None:
        self.applied: list[DnsConfig] = []
        self.problem = ""

    @property
    def config(self) -> DnsConfig | None:
        """The config in force."""
        return self.applied[-1] if self.applied else None

    async def apply(self, config: DnsConfig) -> None:
        """Take the config; an equal one is no work."""
        if config != self.config:
            self.applied.append(config)

    async def look_up(self, host: str, fwmark: int) -> tuple[IPAddress, ...]:
        """Find nothing."""
        return ()

    async def run(self) -> None:
        """Wait for ever: nobody asks."""
        await asyncio.Event().wait()

    async def clean_up(self) -> None:
        """Forget everything."""
        self.applied.clear()
