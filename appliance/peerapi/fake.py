"""A port for peers in memory, for tests of the rooms above; keeps the service's contract."""

import asyncio

from appliance.aio.latest import Latest
from appliance.peerapi.config import PeerApiConfig

PORT = 58_436
"""What 100.64.0.1 would get."""


class FakePeerApi:
    """Says that it listens when it should."""

    def __init__(self) -> None:
        self.port: Latest[int] = Latest(0)
        self.problem = ""
        self.config: PeerApiConfig | None = None

    async def apply(self, config: PeerApiConfig) -> int:
        """Take the config."""
        self.config = config
        self.port.set(PORT if config.addresses else 0)
        return self.port.value

    async def run(self) -> None:
        """Wait for ever: nobody asks."""
        await asyncio.Event().wait()

    async def clean_up(self) -> None:
        """Forget everything."""
        self.config = None
        self.port.set(0)
