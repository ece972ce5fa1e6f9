"""What happens by time alone: ephemeral nodes that stayed away are deleted."""

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Final

from appliance.coordinator.model import Snapshot
from appliance.coordinator.state import State

_log = logging.getLogger(__name__)

INTERVAL_S: Final = 10.0


class Housekeeping:
    """Looks at the state now and then."""

    def __init__(self, state: State, ephemeral_timeout_s: float) -> None:
        self._state = state
        self._timeout = timedelta(seconds=ephemeral_timeout_s)

    async def run(self) -> None:
        """Tidy up until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            await self.turn()

    async def turn(self) -> None:
        """Delete the ephemeral nodes that have been away for too long."""

        def delete(snapshot: Snapshot, now: datetime) -> tuple[Snapshot, list[str]]:
            gone = absent_ephemerals(snapshot, now, self._timeout)
            names = [snapshot.nodes[n].name for n in gone]
            return (snapshot.without_nodes(gone) if gone else snapshot, names)

        if any(node.ephemeral for node in self._state.snapshot.nodes.values()):
            for name in await self._state.write(delete):
                _log.info("%s was ephemeral and stayed away: deleted.", name)


def absent_ephemerals(snapshot: Snapshot, now: datetime, timeout: timedelta) -> list[int]:
    """Return the ephemeral nodes that nobody has seen for the timeout."""
    return [
        node.id
        for node in snapshot.nodes.values()
        if node.ephemeral and not node.online and (node.last_seen or node.created) + timeout < now
    ]
