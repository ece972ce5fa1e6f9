"""What the coordinator needs of an embedded relay.

The two programs do not import each other; whoever starts the coordinator hands in a factory
(docs/decisions has the reasons).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.coordinator.front import RelaySite
from appliance.protocol.addresses import IPAddress
from appliance.protocol.keys import NodePublic

Admission = Callable[[NodePublic, IPAddress | None], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class RelayPlace:
    """What the coordinator offers to the relay that it embeds."""

    state_dir: Path
    """Where the relay keeps its own key."""
    stun_listen: tuple[str, int] | None
    """Address and UDP port for STUN; an empty address is every address."""
    admit: Admission
    """Whether a node may log in."""


class EmbeddedRelay(Protocol):
    """A relay without a TCP listener of its own."""

    site: RelaySite

    async def run(self) -> None:
        """Serve what the site took over, and STUN, until cancelled."""


RelayFactory = Callable[[RelayPlace], EmbeddedRelay]
"""Called once, where the event loop runs."""
