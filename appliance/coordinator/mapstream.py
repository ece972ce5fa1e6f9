"""The map stream as bytes, and the task that keeps one going.

Each message: length (4, little-endian) | body. The body is JSON, or one zstd frame of it when the
client asked for that. Source: tailscale control/controlclient/direct.go, 2026-08.
"""

import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

import zstandard

from appliance.aio.http2.server import Http2Exchange
from appliance.coordinator.polls import Poll
from appliance.coordinator.presence import Presence
from appliance.coordinator.state import State
from appliance.protocol.tailcfg import MapRequest, MapResponse, encode

KEEPALIVE_MIN_S: Final = 50.0
KEEPALIVE_SPREAD_S: Final = 9.0
"""Stock clients give up after 120 s of silence; the spread keeps many nodes from coming at once."""

_LEVEL: Final = 1
"""Deltas are too small for more to matter; a first map of 50 nodes shrinks to a tenth anyway."""

_COMPRESSOR: Final = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True)

Send = Callable[[bytes], Awaitable[None]]


def frame(message: MapResponse, *, compress: bool) -> bytes:
    """Encode one message with its length."""
    body = encode(message)
    if compress:
        body = _COMPRESSOR.compress(body)
    return len(body).to_bytes(4, "little") + body


# Byte-identical each time: newer clients learn the compressed bytes and skip decoding them.
_KEEPALIVE: Final = {
    compress: frame(MapResponse(keep_alive=True), compress=compress) for compress in (True, False)
}


class MapStreams:
    """Serves map streams until their viewers leave."""

    def __init__(self, state: State, presence: Presence, clock: Callable[[], datetime]) -> None:
        self._state = state
        self._presence = presence
        self._clock = clock

    async def serve(self, exchange: Http2Exchange, node_id: int, request: MapRequest) -> None:
        """Send the whole netmap, then every change, until the client or the node goes."""
        compress = request.compress == "zstd"
        poll = await self._presence.open(node_id)
        try:
            await exchange.start(200)
            first = poll.session.first(self._state.view, self._clock())
            await exchange.send(frame(first, compress=compress))
            while await self._turn(poll, exchange.send, compress=compress):
                pass
        finally:
            self._presence.close(poll)

    async def _turn(self, poll: Poll, send: Send, *, compress: bool) -> bool:
        """Wait for news and send them; False when the stream is over."""
        if not await poll.wait(_keepalive_s()):
            await send(_KEEPALIVE[compress])
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
            await send(b"".join(frame(message, compress=compress) for message in messages))
        return not deleted


def _keepalive_s() -> float:
    return KEEPALIVE_MIN_S + KEEPALIVE_SPREAD_S * random.random()  # noqa: S311 - spreads load
