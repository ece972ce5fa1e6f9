"""What the coordinator needs of an embedded relay.

The two programs do not import each other; whoever starts the coordinator hands in a factory
(docs/decisions/0004-embedded-relay.md).
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from appliance.coordinator.front import RelaySite
from appliance.protocol.addresses import AddrPort, IPAddress
from appliance.protocol.keys import NodePublic

Admission = Callable[[NodePublic, IPAddress | None], Awaitable[bool]]
"""Whether the node with this key may use the relay from this address."""


class EmbeddedRelay(Protocol):
    """A relay that serves what the coordinator's front hands over."""

    @property
    def site(self) -> RelaySite:
        """Answers the relay's own HTTP paths."""

    def answer_stun(self, address: AddrPort) -> None:
        """Answer STUN on a UDP port, too."""

    def listen(self, address: AddrPort, host: str) -> str:
        """Open a TLS port for DERP beside a plain front; return the pin of its certificate."""

    def expel(self, node: NodePublic) -> None:
        """Close the connections of a node that is no longer admitted."""

    def close(self) -> None:
        """Close the ports of a relay that does not run."""

    async def run(self) -> None:
        """Serve until cancelled."""


RelayFactory = Callable[[Path, Admission], EmbeddedRelay]
"""Takes the directory for the relay's key; called once, where the event loop runs.

It and the relay's methods raise ``StartError`` when a port or a file cannot be used.
"""
