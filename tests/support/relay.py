"""A relay in tests: one that listens on this host, or one on transports in memory."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

from appliance.protocol.addresses import AddrPort, IPAddress
from appliance.protocol.derp.client import DerpClientSession, Event
from appliance.protocol.keys import NodePrivate, NodePublic
from appliance.relay.admission import admit_anyone
from appliance.relay.connection import RelayConnection
from appliance.relay.listener import Listener
from appliance.relay.server import RelayServer
from appliance.relay.site import RelaySite
from appliance.relay.sockets import listen_tcp
from tests.support.derp import NONCE, RELAY

Admit = Callable[[NodePublic, IPAddress | None], Awaitable[bool]]
LOOPBACK = ipaddress.IPv4Address("127.0.0.1")


@dataclass
class RunningRelay:
    """A relay that listens on this host."""

    server: RelayServer
    listener: Listener

    @property
    def port(self) -> int:
        return self.listener.address.port


@asynccontextmanager
async def running_relay(
    admit: Admit = admit_anyone,
    tls: SSLContext | None = None,
    *,
    max_strangers: int = 1024,
    moment_s: float = 0.05,
) -> AsyncIterator[RunningRelay]:
    """Run a relay on a free port for the length of the block."""
    server = RelayServer(RELAY, admit)
    sock = listen_tcp(AddrPort(LOOPBACK, 0))
    listener = Listener(sock, RelaySite(server).handle, tls, max_strangers, moment_s)
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(server.run(), name="relay"),
            tasks.create_task(listener.run(), name="listener"),
        ]
        await asyncio.sleep(0)
        try:
            yield RunningRelay(server, listener)
        finally:
            for task in running:
                task.cancel()


class FakeTransport(asyncio.Transport):
    """A transport that keeps what is written, and can be full."""

    def __init__(self, address: str = "192.0.2.7") -> None:
        super().__init__({"peername": (address, 4242)})
        self.written = b""
        self.writes = 0
        self.on_write: Callable[[], None] | None = None
        self.reading = True
        self.closing = False
        self.limits: tuple[int | None, int | None] = (None, None)
        self.protocol: asyncio.BaseProtocol = asyncio.Protocol()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limits = (high, low)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closing, "asyncio's TLS transport fails when it is written to now"
        self.written += bytes(data)
        self.writes += 1
        if self.on_write:
            self.on_write()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    close = abort


class FakeNode:
    """A node whose connection to the relay is in memory; its transport can be made full."""

    def __init__(
        self, server: RelayServer, key: NodePrivate, before: asyncio.BaseProtocol | None = None
    ) -> None:
        self.key = key
        self.transport = FakeTransport()
        if before is not None:
            self.transport.set_protocol(before)
        self.session = DerpClientSession(
            key, "relay", nonce=NONCE, now=0.0, relay_key=RELAY.public()
        )
        self.connection: RelayConnection = server.connect(self.transport)
        self.connection.start(b"", b"")
        request_and_login = self.session.data_to_send()
        self.login = request_and_login.partition(b"\r\n\r\n")[2]

    def send(self, data: bytes) -> None:
        """Let the relay read these bytes, as a transport does."""
        while data and self.transport.reading and not self.transport.closing:
            buffer = self.connection.get_buffer(len(data))
            taken = min(len(buffer), len(data))
            buffer[:taken] = data[:taken]
            self.connection.buffer_updated(taken)
            data = data[taken:]

    def send_packets(self, destination: NodePublic, *packets: bytes) -> None:
        self.send(self.session.encode_packets(destination, packets))

    def take(self) -> bytes:
        """The bytes that the relay wrote since the last time."""
        written, self.transport.written = self.transport.written, b""
        return written

    def events(self) -> list[Event]:
        """What the relay wrote, as the node's session reads it."""
        return self.session.receive_data(self.take(), now=0.0)


async def log_in(server: RelayServer, key: NodePrivate) -> FakeNode:
    """Connect a node in memory and wait until it is admitted."""
    node = FakeNode(server, key)
    node.send(node.login)
    for _ in range(10):
        await asyncio.sleep(0)
    assert node.connection.key
    node.events()
    return node


class _JumpingLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._really_select = self._selector.select
        self._selector.select = self._select

    def time(self) -> float:
        return self._now

    def _select(self, timeout: float | None = None) -> Any:
        self._now += timeout or 0.0
        return self._really_select(0 if timeout is not None else None)


def run_with_jumping_clock(main: Coroutine[Any, Any, None]) -> None:
    """Run a test in a loop that never waits."""
    with asyncio.Runner(loop_factory=_JumpingLoop) as runner:
        runner.run(main)


@asynccontextmanager
async def memory_relay(admit: Admit = admit_anyone) -> AsyncIterator[RelayServer]:
    """Run a relay without listeners for the length of the block."""
    server = RelayServer(RELAY, admit)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(server.run(), name="relay")
        await asyncio.sleep(0)
        try:
            yield server
        finally:
            running.cancel()
