"""The task that keeps one map stream going."""

import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from appliance.aio.http2.server import Http2Exchange
from appliance.coordinator.change import Change
from appliance.coordinator.frames import Framer
from appliance.coordinator.mapper.session import MapSession
from appliance.coordinator.mapper.view import View
from appliance.coordinator.polls import Poll
from appliance.coordinator.presence import Presence
from appliance.coordinator.state import State
from appliance.protocol.tailcfg import MapRequest, MapResponse

KEEPALIVE_MIN_S: Final = 50.0
KEEPALIVE_SPREAD_S: Final = 9.0
"""Stock clients give up after 120 s of silence; the spread keeps many nodes from coming at once."""

Send = Callable[[bytes], Awaitable[None]]


class MapStreams:
    """Serves map streams until their viewers leave."""

    def __init__(self, state: State, presence: Presence, clock: Callable[[], datetime]) -> None:
        self._state = state
        self._presence = presence
        self._clock = clock
        self._framer = Framer()
        state.subscribe(self._on_change)
        # Byte-identical each time: newer clients learn the compressed bytes and skip decoding.
        keepalive = MapResponse(keep_alive=True)
        self._keepalive = {c: self._framer.frame(keepalive, compress=c) for c in (True, False)}

    async def serve(self, exchange: Http2Exchange, node_id: int, request: MapRequest) -> None:
        """Send the whole netmap, then every change, until the client or the node goes."""
        compress = request.compress == "zstd"
        poll = await self._presence.open(node_id)
        try:
            await exchange.start(200)
            first = poll.session.first(self._state.view, self._clock())
            await exchange.send(self._framer.frame(first, compress=compress))
            while await self._turn(poll, exchange.send, compress=compress):
                pass
        finally:
            self._presence.close(poll)

    async def serve_once(self, exchange: Http2Exchange, node_id: int, request: MapRequest) -> None:
        """Send the whole netmap and end."""
        message = MapSession(node_id).first(self._state.view, self._clock())
        compress = request.compress == "zstd"
        await exchange.respond(200, body=self._framer.frame(message, compress=compress))

    def _on_change(self, _view: View, change: Change) -> None:
        self._framer.forget(change.nodes)

    async def _turn(self, poll: Poll, send: Send, *, compress: bool) -> bool:
        """Wait for news and send them; False when the stream is over."""
        if not await poll.wait(_keepalive_s()):
            await send(self._keepalive[compress])
            return True
        if poll.replaced:
            return False
        change, pings = poll.take()
        view = self._state.view
        deleted = poll.node_id not in view.snapshot.nodes
        if deleted:
            messages = poll.session.farewell(self._clock())
        else:
            messages = poll.session.next(view, change) if change else []
            messages += [MapResponse(ping_request=ping) for ping in pings]
        if messages:
            framed = (self._framer.frame(message, compress=compress) for message in messages)
            await send(b"".join(framed))
        return not deleted


def _keepalive_s() -> float:
    return KEEPALIVE_MIN_S + KEEPALIVE_SPREAD_S * random.random()  # noqa: S311 - spreads load
