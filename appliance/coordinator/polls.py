"""Which map streams are open, and what each has yet to hear.

A poll's queue is a ``Change``: however much happens while a slow viewer's message is on its way,
what waits for it is a set of node IDs, never larger than the tailnet, and becomes one message. So
nothing can overflow, and a viewer that is free hears of a change at once.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from typing import Final

from appliance.coordinator.change import NOTHING, Change
from appliance.coordinator.mapper.session import MapSession
from appliance.coordinator.mapper.view import View
from appliance.protocol.tailcfg import PingRequest

_log = logging.getLogger(__name__)

MAX_PINGS: Final = 16
"""Questions that wait for one viewer's stream; an admin asks one at a time."""


class Poll:
    """One open map stream."""

    def __init__(self, node_id: int) -> None:
        self.node_id = node_id
        self.session = MapSession(node_id)
        self.replaced = False
        self._change = NOTHING
        self._pings: deque[PingRequest] = deque(maxlen=MAX_PINGS)
        self._wake = asyncio.Event()

    def notify(self, change: Change) -> None:
        """Note what changed; the stream's task will look at it."""
        self._change = self._change | change if self._change else change
        self._wake.set()

    def ask(self, ping: PingRequest) -> None:
        """Send a question down the stream."""
        self._pings.append(ping)
        self._wake.set()

    def replace(self) -> None:
        """End this stream: the node has opened a newer one."""
        self.replaced = True
        self._wake.set()

    async def wait(self, timeout_s: float) -> bool:
        """Wait for news; False when there was none in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            return False
        self._wake.clear()
        return True

    def take(self) -> tuple[Change, Iterable[PingRequest]]:
        """Return what there is to tell, and forget it."""
        change, self._change = self._change, NOTHING
        pings = tuple(self._pings)
        self._pings.clear()
        return change, pings


class Polls:
    """The open polls, one a node."""

    def __init__(self) -> None:
        self._open: dict[int, Poll] = {}

    def open(self, node_id: int) -> Poll:
        """Register a new stream; an older one of the same node ends."""
        older = self._open.get(node_id)
        if older is not None:
            older.replace()
        poll = self._open[node_id] = Poll(node_id)
        return poll

    def close(self, poll: Poll) -> bool:
        """Forget a stream; False when a newer one of the same node is open."""
        if self._open.get(poll.node_id) is not poll:
            return False
        del self._open[poll.node_id]
        return True

    def of_node(self, node_id: int) -> Poll | None:
        """Return the node's open stream."""
        return self._open.get(node_id)

    def on_change(self, _view: View, change: Change) -> None:
        """Tell every stream: each decides for itself whether its viewer may know."""
        for poll in self._open.values():
            poll.notify(change)

    def __len__(self) -> int:
        return len(self._open)
