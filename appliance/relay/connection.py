"""One node's connection: bytes from its transport, frames to it.

All connections of a relay read into one buffer, because a chunk is worked off before the next is
read; what is left of an incomplete frame is kept aside until the rest of it comes. A chunk holds
up to some 180 packets. They leave in one write a destination.
"""

import asyncio
import logging
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from appliance.protocol.derp.frames import FrameType, PeerGoneReason, encode_frame, encode_peer_gone
from appliance.protocol.derp.server import (
    MAX_HELD_BACK,
    DerpServerSession,
    LoginRequested,
    PreferenceChanged,
    State,
    split_frames,
)
from appliance.protocol.errors import ProtocolError
from appliance.relay.outbox import Outbox
from appliance.relay.ratelimit import TokenBucket

if TYPE_CHECKING:
    from appliance.protocol.addresses import IPAddress
    from appliance.relay.server import RelayServer

_log = logging.getLogger(__name__)

READ_BUFFER: Final = 256 * 1024 + MAX_HELD_BACK
"""What uvloop reads at once, behind the longest incomplete frame."""

LOGIN_BUFFER: Final = 16 * 1024
"""Of a stranger: four times the longest login, for the frames that follow it at once."""

LOGIN_TIMEOUT_S: Final = 10.0
"""From the upgrade to ClientInfo, as in the reference."""

KEEP_ALIVE_S: Final = 60.0
"""From the specification; up to 5 s more are drawn once a connection, to spread them."""

WRITE_HIGH: Final = 64 * 1024
"""Above this the transport is full and packets wait in the outbox, where order can change."""

UNSENT_LOW_WATER: Final = 128 * 1024
"""Bytes not yet on the wire that the kernel takes from us: what a slow link queues unseen."""

USER_TIMEOUT_MS: Final = 15_000
"""A node that acknowledges nothing for this long is gone, as in the reference."""

REST_S: Final = 0.005
"""How long a sender waits whose packets are dropped in numbers: its other peers get what it sends
5 ms later, at 400 Mbit/s at least (one buffer a rest)."""

PEER_GONE_PER_S: Final = 1.0
PEER_GONE_BURST: Final = 3


class RelayConnection(asyncio.BufferedProtocol):
    """One connection from the upgrade to its end."""

    def __init__(
        self,
        server: "RelayServer",
        session: DerpServerSession,
        transport: asyncio.Transport,
        address: "IPAddress | None",
    ) -> None:
        self.key = b""
        self.heard: set[bytes] = set()
        self.address = address
        self.preferred = False
        self._server = server
        self._session = session
        self._transport = transport
        self._loop = server.loop
        self._before = transport.get_protocol()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._partial = b""
        self._writable = True
        self._resting = False
        self._outbox = Outbox()
        self._peer_gone_limit = TokenBucket(PEER_GONE_PER_S, PEER_GONE_BURST, self._loop.time())
        self._timer = self._loop.call_later(LOGIN_TIMEOUT_S, self._login_timed_out)
        transport.set_write_buffer_limits(high=WRITE_HIGH)
        tune_socket(transport.get_extra_info("socket"))
        transport.set_protocol(self)

    # -- what an HTTP front does with it

    def start(self, first_bytes: bytes, leftover: bytes) -> None:
        """Begin to serve.

        ``first_bytes`` go out before the greeting; ``leftover`` was read beyond the upgrade.
        """
        if self._transport.is_closing():
            return
        self._transport.write(first_bytes + self._session.greeting())
        if len(leftover) > LOGIN_BUFFER:
            self.close("it sent too much before its login")
        elif leftover:
            self._server.buffer[: len(leftover)] = leftover
            self._receive(len(leftover))

    async def wait_ended(self) -> None:
        """Wait for the end of the connection; cancelled, end it."""
        try:
            await self._ended
        finally:
            self._transport.abort()

    # -- asyncio.BufferedProtocol

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: D102
        held_back = len(self._partial)
        if held_back:
            self._server.buffer[:held_back] = self._partial
        if self.key:
            return self._server.view[held_back:]
        return self._server.view[held_back : max(LOGIN_BUFFER, held_back + 1)]

    def buffer_updated(self, nbytes: int) -> None:  # noqa: D102
        self._receive(len(self._partial) + nbytes)

    def eof_received(self) -> bool:  # noqa: D102
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        self._timer.cancel()
        self._writable = False
        self._outbox = Outbox()
        if not self._ended.done():
            self._ended.set_result(None)
        if self._before is not None:
            self._before.connection_lost(exc)  # who had the transport before may wait for it
        self._server.connection_ended(self, exc)

    def pause_writing(self) -> None:  # noqa: D102
        self._writable = False

    def resume_writing(self) -> None:  # noqa: D102
        self._writable = True
        while self._writable and not self._transport.is_closing():
            frames = self._outbox.pop()
            if not frames:
                return
            self._transport.write(frames)

    # -- from the node

    def _receive(self, end: int) -> None:
        session, server = self._session, self._server
        try:
            received = session.receive(server.buffer, end)
        except ProtocolError as error:
            self.close(str(error))
            return
        consumed = received.consumed
        self._partial = b"" if consumed == end else bytes(server.view[consumed:end])
        if received.runs:
            server.forward(self, received.runs)
        if received.events:
            self._handle_events(received.events)
        if session.pong:
            self.send_urgent(session.pong)
            session.pong = b""
        if not self.key and len(self._partial) >= LOGIN_BUFFER:
            self.close("it sent too much before its login")

    def _handle_events(self, events: list[LoginRequested | PreferenceChanged]) -> None:
        for event in events:
            match event:
                case LoginRequested(node, _):
                    self._transport.pause_reading()
                    self._server.login_requested(self, node)
                case PreferenceChanged(preferred):
                    self._server.counters.home_nodes += preferred - self.preferred
                    self.preferred = preferred

    # -- to the node

    def admit(self, nonce: bytes) -> None:
        """Let the node in: from now on packets reach it."""
        session = self._session
        if self._transport.is_closing() or session.state is not State.ADMISSION:
            return
        self._timer.cancel()
        self._transport.write(session.admit(nonce))
        assert session.node is not None  # noqa: S101 - ADMISSION implies it
        self.key = session.node.raw
        self._server.logged_in(self)
        period = KEEP_ALIVE_S + self._server.draw_jitter_s()
        self._timer = self._loop.call_later(period, self._keep_alive, period)
        self._resume(self._partial)

    def _resume(self, waiting: bytes) -> None:
        self._server.buffer[: len(waiting)] = waiting
        self._receive(len(waiting))
        if not self._resting and not self._transport.is_closing():
            self._transport.resume_reading()

    def deliver(self, source: bytes, frames: bytes, count: int) -> int:
        """Send so many RecvPacket frames, or queue them while the transport is full.

        Returns how many packets were dropped to make room, or all while the connection ends.
        """
        if self._transport.is_closing():
            return count
        if self._writable:
            self._transport.write(frames)
            return 0
        return self._outbox.push(source, frames)

    def rest(self) -> None:
        """Read nothing for a moment: most of what the node sends has to be dropped."""
        if not self._resting:
            self._resting = True
            self._transport.pause_reading()
            self._loop.call_later(REST_S, self._rested)

    def _rested(self) -> None:
        self._resting = False
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def send_urgent(self, frame: bytes) -> None:
        """Send a frame of the relay's own before any packet that waits."""
        if self._transport.is_closing():
            return
        if self._writable:
            self._transport.write(frame)
        else:
            self._outbox.push_urgent(frame)

    def send_not_here(self, destination: bytes, frames: bytes) -> None:
        """Answer DISCO packets for a node that is not here; others are dropped in silence."""
        if not any(is_disco for _, _, is_disco in split_frames(frames)):
            return
        if self._peer_gone_limit.allow(self._loop.time()):
            self.send_peer_gone(destination, PeerGoneReason.NOT_HERE)

    def send_peer_gone(self, peer: bytes, reason: PeerGoneReason) -> None:
        """Tell the node that a peer cannot be reached here."""
        self._server.counters.peer_gone_sent += 1
        self.send_urgent(encode_peer_gone(peer, reason))

    def close(self, reason: str) -> None:
        """End the connection at once."""
        _log.debug("closing the connection of %s: %s", self.address, reason)
        self._transport.abort()

    # -- time

    def _login_timed_out(self) -> None:
        self.close(f"no login within {LOGIN_TIMEOUT_S:.0f} s")

    def _keep_alive(self, period: float) -> None:
        self.send_urgent(encode_frame(FrameType.KEEP_ALIVE))
        self._timer = self._loop.call_later(period, self._keep_alive, period)


_TCP_OPTIONS: Final = (
    (socket.TCP_NODELAY, 1),
    (socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS),
    (socket.TCP_NOTSENT_LOWAT, UNSENT_LOW_WATER),
)


def tune_socket(sock: socket.socket | None) -> None:
    """Set what a relayed connection needs; does nothing for a transport without a TCP socket."""
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with suppress(OSError):  # the connection may be gone already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _TCP_OPTIONS:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
