"""The relay itself: logged-in nodes, and packets between them.

Embeddable: an HTTP front gives it the requests for its paths (``site``) or the connection of an
upgrade (`RelayServer.serve`), and says who may come in (`Admission`).
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Final, cast

from appliance.aio.stream import TcpStream
from appliance.protocol.addresses import IPAddress, parse_ip
from appliance.protocol.derp.frames import PeerGoneReason
from appliance.protocol.derp.login import NONCE_SIZE
from appliance.protocol.derp.server import DerpServerSession, Run
from appliance.protocol.derp.upgrade import Upgrade, encode_upgrade_response
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import NodePrivate, NodePublic
from appliance.relay.connection import READ_BUFFER, RelayConnection
from appliance.relay.counters import RelayCounters
from appliance.relay.ratelimit import TokenBucket
from appliance.relay.registry import Registry

_log = logging.getLogger(__name__)

Admission = Callable[[NodePublic, IPAddress | None], Awaitable[bool]]
"""Whether the node with this key may log in from this address."""

ADMISSION_TIMEOUT_S: Final = 5.0
"""As in the reference; an admission that does not answer refuses."""

MAX_STRANGERS: Final = 1024
"""Connections before login: at 16 KiB each 16 MiB. Above it the oldest is closed: a login takes
milliseconds, so those who wait long are not nodes."""

REST_AFTER_DROPS: Final = 32
"""Packets of one read (of some 180): reading and dropping them costs the others their share."""

REFUSALS_LOGGED_PER_S: Final = 1.0
REFUSALS_LOGGED_BURST: Final = 10
"""So that strangers cannot fill the log."""


class RelayServer:
    """A DERP relay without a listener of its own."""

    def __init__(self, private_key: NodePrivate, admit: Admission) -> None:
        """Make a relay; call it where the event loop runs."""
        self.loop = asyncio.get_running_loop()
        self.public_key = private_key.public()
        self.counters = RelayCounters()
        self.buffer = bytearray(READ_BUFFER)
        self.view = memoryview(self.buffer)
        self._private = private_key
        self._admit = admit
        self._registry: Registry[RelayConnection] = Registry()
        self._strangers: dict[RelayConnection, None] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._refusals = TokenBucket(REFUSALS_LOGGED_PER_S, REFUSALS_LOGGED_BURST, self.loop.time())

    async def run(self) -> None:
        """Serve until cancelled; connections handed over outside of it are closed."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                await asyncio.Event().wait()
        finally:
            self._tasks = None
            for connection in (*self._strangers, *self._registry):
                connection.close("the relay ends")

    # -- what an HTTP front calls

    async def serve(self, stream: TcpStream, plan: Upgrade, leftover: bytes = b"") -> None:
        """Serve the connection of a request for ``/derp`` until it ends.

        ``plan`` is `plan_upgrade` of the request, and not ``REFUSE``. ``leftover`` is what was
        read beyond the request. The relay writes the HTTP answer too, where there is one, and has
        closed the connection when this returns.
        """
        # uvloop's transports have the methods of asyncio.Transport without being one.
        connection = self.connect(cast("asyncio.Transport", stream.transport))
        stream.reader.feed_eof()
        leftover += await stream.reader.read()
        switch = plan is Upgrade.SWITCH
        connection.start(encode_upgrade_response(self.public_key) if switch else b"", leftover)
        await connection.wait_ended()

    def connect(self, transport: asyncio.Transport) -> RelayConnection:
        """Take over a transport: what `serve` does first. `RelayConnection.start` comes next."""
        session = DerpServerSession(self._private)
        connection = RelayConnection(self, session, transport, _peer_address(transport))
        self._strangers[connection] = None
        self.counters.strangers += 1
        if self._tasks is None:
            connection.close("the relay does not run")
        elif len(self._strangers) > MAX_STRANGERS:
            next(iter(self._strangers)).close("too many connections without a login")
        return connection

    def expel(self, node: NodePublic, reason: str) -> None:
        """Close every connection of a node that may no longer be here; a new login is asked about.

        Frames of theirs that are already in our hands may still go out; nothing read later does.
        """
        connections = self._registry.of_key(node.raw)
        for connection in connections:
            connection.close(reason)
        if connections:
            self.counters.expelled += len(connections)
            _log.info("threw node %s off: %s", node, reason)

    # -- what connections call

    def forward(self, source: RelayConnection, runs: list[Run]) -> None:
        """Send the runs in the shared buffer to their destinations, one write for each."""
        registry, counters = self._registry, self.counters
        registry.note_sender(source)
        key = source.key
        for destination, (parts, count) in self._by_destination(runs).items():
            frames = b"".join(parts)
            counters.packets_in += count
            counters.bytes_in += len(frames)
            target = registry.active.get(destination)
            if target is None:
                counters.dropped_unknown += count
                source.send_not_here(destination, frames)
                continue
            if key not in target.heard:
                registry.note_delivery(key, target)
            dropped = target.deliver(key, frames, count)
            counters.packets_out += count - dropped
            counters.dropped_queue += dropped
            if dropped >= REST_AFTER_DROPS:
                source.rest()

    def login_requested(self, connection: RelayConnection, node: NodePublic) -> None:
        """Ask the admission, then let the node in or close."""
        if self._tasks is not None:
            self._tasks.create_task(
                self._decide(connection, node), name=f"relay admission of {node.short}"
            )

    def logged_in(self, connection: RelayConnection) -> None:
        """Let packets reach the connection."""
        self._leave_strangers(connection)
        self.counters.logins += 1
        self.counters.connections += 1
        self._registry.add(connection)

    def connection_ended(self, connection: RelayConnection, exc: Exception | None) -> None:
        """Forget the connection, and tell those who may wait for its node."""
        if not connection.key:
            self._leave_strangers(connection)
            self.counters.strangers_closed += 1
            return
        self.counters.connections -= 1
        self.counters.home_nodes -= connection.preferred
        for listener in self._registry.remove(connection):
            listener.send_peer_gone(connection.key, PeerGoneReason.DISCONNECTED)
        _log.debug("the connection of %s ended: %s", connection.address, exc or "closed")

    @staticmethod
    def draw_jitter_s() -> float:
        """Draw up to 5 s, to spread the keepalives."""
        return secrets.randbelow(5000) / 1000

    # -- the rest

    def _by_destination(self, runs: list[Run]) -> dict[bytes, tuple[list[memoryview], int]]:
        view = self.view
        grouped: dict[bytes, tuple[list[memoryview], int]] = {}
        for destination, start, end, count in runs:
            parts, total = grouped.get(destination, ([], 0))
            parts.append(view[start:end])
            grouped[destination] = (parts, total + count)
        return grouped

    async def _decide(self, connection: RelayConnection, node: NodePublic) -> None:
        try:
            async with asyncio.timeout(ADMISSION_TIMEOUT_S):
                admitted = await self._admit(node, connection.address)
        except Exception as error:  # noqa: BLE001 - whatever failed, the answer is no
            self._refuse(
                connection, node, f"the admission failed ({type(error).__name__}: {error})"
            )
            return
        if admitted:
            connection.admit(secrets.token_bytes(NONCE_SIZE))
        else:
            self._refuse(connection, node, "the coordinator does not know it")

    def _refuse(self, connection: RelayConnection, node: NodePublic, reason: str) -> None:
        self.counters.logins_refused += 1
        if self._refusals.allow(self.loop.time()):
            _log.info("refused node %s from %s: %s", node, connection.address, reason)
        connection.close(reason)

    def _leave_strangers(self, connection: RelayConnection) -> None:
        if connection in self._strangers:
            del self._strangers[connection]
            self.counters.strangers -= 1


def _peer_address(transport: asyncio.BaseTransport) -> IPAddress | None:
    """Return the address of the other end, unmapped; None when the transport has none."""
    name = transport.get_extra_info("peername")
    if not isinstance(name, tuple):
        return None
    try:
        address = parse_ip(str(name[0]).partition("%")[0])
    except ProtocolError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
