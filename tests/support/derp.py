"""DERP in tests: reference vectors, keys, a node that talks to a relay, frames by hand."""

import asyncio
import json
import secrets
import ssl
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from appliance.protocol.derp import client, server
from appliance.protocol.derp.client import DerpClientSession, LoggedIn, Packets
from appliance.protocol.derp.frames import FrameType, encode_frame
from appliance.protocol.derp.server import DerpServerSession
from appliance.protocol.keys import NodePrivate, NodePublic

VECTORS: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "derp.json").read_text()
)
FRAMES: Final = {name: bytes.fromhex(text) for name, text in VECTORS["frames"].items()}
NONCE: Final = bytes.fromhex(VECTORS["nonce"])
NODE: Final = NodePrivate(bytes.fromhex(VECTORS["node_private"]))
RELAY: Final = NodePrivate(bytes.fromhex(VECTORS["relay_private"]))

DISCO: Final = b"TS\xf0\x9f\x92\xac" + bytes(56) + b"box"


def node_key(number: int) -> NodePrivate:
    """A key for the test's node number so-and-so."""
    return NodePrivate.from_seed(bytes([number]) * 32)


def recv_frame(source: bytes, packet: bytes) -> bytes:
    """A RecvPacket frame written out by hand."""
    return encode_frame(FrameType.RECV_PACKET, source + packet)


def send_frame(destination: bytes, packet: bytes) -> bytes:
    """A SendPacket frame written out by hand."""
    return encode_frame(FrameType.SEND_PACKET, destination + packet)


class RelayNode:
    """A node at a real relay: our client session over asyncio streams."""

    def __init__(
        self, session: DerpClientSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.session = session
        self.reader = reader
        self.writer = writer
        self.events: list[client.Event] = []
        self.packets: list[tuple[bytes, bytes]] = []

    async def read_some(self) -> None:
        """Wait for bytes of the relay and take them in."""
        async with asyncio.timeout(5):
            data = await self.reader.read(1 << 16)
        if not data:
            raise ConnectionResetError("the relay closed the connection")
        for event in self.session.receive_data(data, asyncio.get_running_loop().time()):
            if isinstance(event, Packets):
                self.packets += [(source, bytes(packet)) for source, packet in event.packets]
            else:
                self.events.append(event)
        self.flush()

    def flush(self) -> None:
        """Send what the session wants to send."""
        if data := self.session.data_to_send():
            self.writer.write(data)

    def send(self, destination: NodePublic, *packets: bytes) -> None:
        """Send packets to a node."""
        self.writer.write(self.session.encode_packets(destination, packets))

    async def ping(self, data: bytes = b"pingpong") -> None:
        """Wait until the relay has worked off all that was sent before."""
        self.session.ping(data)
        self.flush()
        await self.event(client.PongReceived)

    async def event(self, kind: type[client.Event]) -> Any:
        """Wait for the next event of a kind and take it off the list."""
        while True:
            for event in self.events:
                if isinstance(event, kind):
                    self.events.remove(event)
                    return event
            await self.read_some()

    async def receive(self, count: int) -> list[tuple[bytes, bytes]]:
        """Wait for so many packets: source and content."""
        while len(self.packets) < count:
            await self.read_some()
        taken, self.packets = self.packets[:count], self.packets[count:]
        return taken


@asynccontextmanager
async def relay_node(
    key: NodePrivate,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    relay_key: NodePublic | None = None,
    preferred: bool = False,
    login: bool = True,
):
    """Connect a node to a relay on this host, log in, and disconnect in the end."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=tls, server_hostname="127.0.0.1" if tls else None
    )
    session = DerpClientSession(
        key,
        "127.0.0.1",
        nonce=secrets.token_bytes(24),
        now=asyncio.get_running_loop().time(),
        relay_key=relay_key,
        preferred=preferred,
    )
    node = RelayNode(session, reader, writer)
    try:
        node.flush()
        if login:
            await node.event(LoggedIn)
        yield node
    finally:
        writer.transport.abort()


class ServerWire:
    """Feeds a server session as the relay does: what was not consumed is given again."""

    def __init__(self, session: DerpServerSession) -> None:
        self.session = session
        self.held_back = b""
        self.delivered: dict[bytes, bytes] = {}
        self.packets = 0
        self.events: list[server.Event] = []

    def feed(self, data: bytes) -> list[server.Run]:
        """Take in bytes; `delivered` then holds what went to each destination."""
        end = len(self.held_back) + len(data)
        buffer = bytearray(self.held_back + data + b"what an earlier read has left here")
        received = self.session.receive(buffer, end)
        for destination, start, after, count in received.runs:
            frames = bytes(buffer[start:after])
            self.delivered[destination] = self.delivered.get(destination, b"") + frames
            self.packets += count
        self.events += received.events
        self.held_back = bytes(buffer[received.consumed : end])
        return received.runs


def logged_in_wire() -> ServerWire:
    """A server session with NODE logged in."""
    wire = ServerWire(DerpServerSession(RELAY))
    wire.feed(FRAMES["client_info"])
    wire.session.admit(NONCE)
    wire.events.clear()
    return wire
