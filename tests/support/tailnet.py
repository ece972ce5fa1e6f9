"""A coordinator in this process, and nodes that speak its real protocol over streams in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
import zstandard

from appliance.aio.errors import StreamError
from appliance.aio.http1 import Http1Client, HttpRequest, HttpResponse
from appliance.aio.http2 import Http2Client, ResponseStream, open_http2
from appliance.aio.noise_stream import finish_handshake, start_handshake
from appliance.aio.stream import Stream
from appliance.coordinator.model import Snapshot
from appliance.coordinator.server import Coordinator
from appliance.coordinator.settings import Settings, parse_settings
from appliance.protocol.keys import (
    DiscoPrivate,
    MachinePrivate,
    MachinePublic,
    NodePrivate,
    NodePublic,
)
from appliance.protocol.tailcfg import (
    Hostinfo,
    MapRequest,
    MapResponse,
    NetInfo,
    Node,
    RegisterAuth,
    RegisterRequest,
    RegisterResponse,
    decode,
    encode,
)
from appliance.protocol.ts2021 import HANDSHAKE_HEADER, UPGRADE
from tests.support.snapshots import ALICE
from tests.support.streams import MemoryStream, stream_pair

SERVER_KEY = MachinePrivate.from_seed(b"coordinator of tests".ljust(32))
SETTINGS = parse_settings(
    """
    server_url = "https://203.0.113.5"
    base_domain = "mesh.test"
    """
)
VERSION = 131


class NoStore:
    """Keeps nothing."""

    def save(self, snapshot: Snapshot) -> None:
        pass


@dataclass
class Realm:
    """A running coordinator; ``now`` is its wall clock, which a test may set."""

    coordinator: Coordinator
    tasks: asyncio.TaskGroup
    stack: AsyncExitStack
    now: list[datetime]

    async def key(self, **terms: object) -> str:
        """Make a pre-auth key of Alice's."""
        from appliance.adminapi.types import CreatePreAuthKey

        request = CreatePreAuthKey(**{"user": "alice", **terms})
        return (await self.coordinator.admin.create_preauth_key(request)).key

    def stream(self) -> MemoryStream:
        """Open a connection to the coordinator."""
        ours, theirs = stream_pair()

        async def serve() -> None:
            with suppress(StreamError):
                await self.coordinator.serve_stream(theirs)
            await theirs.close()

        task = self.tasks.create_task(serve())
        self.stack.callback(task.cancel)
        return ours

    async def get(self, target: str, method: str = "GET", body: bytes = b"") -> HttpResponse:
        """Ask the plain HTTP side."""
        request = HttpRequest(method, target, (("Host", "203.0.113.5"),), body)
        return await Http1Client(self.stream()).request(request)

    async def node(self, number: int, **fields: object) -> "NodeClient":
        """Connect a node that is not registered yet."""
        node = NodeClient(number, self.stack, **fields)
        await node.connect(self.stream())
        return node

    async def joined(self, number: int, **fields: object) -> "NodeClient":
        """Connect a node of Alice's, registered, with an open map stream."""
        node = await self.node(number, **fields)
        response = await node.register(await self.key())
        assert not response.error
        await node.poll()
        return node


@dataclass
class NodeClient:
    """A node, driven by hand; its keys follow from its number."""

    number: int
    stack: AsyncExitStack
    """Ends with the test, and the connection with it."""
    hostname: str = ""
    node_seed: int = 0
    compress: str = "zstd"
    peers: dict[int, Node] = field(default_factory=dict)
    self_node: Node | None = None
    client: Http2Client = field(init=False)
    stream: ResponseStream = field(init=False)

    def __post_init__(self) -> None:
        self.machine = MachinePrivate.from_seed((b"machine%d" % self.number).ljust(32))
        self.hostname = self.hostname or f"node{self.number}"
        self._buffer = b""

    @property
    def key(self) -> NodePublic:
        seed = b"node%d/%d" % (self.number, self.node_seed)
        return NodePrivate.from_seed(seed.ljust(32)).public()

    @property
    def disco(self) -> object:
        return DiscoPrivate.from_seed((b"disco%d" % self.number).ljust(32)).public()

    async def connect(self, stream: Stream, *, server: MachinePublic | None = None) -> None:
        handshake = start_handshake(self.machine, server or SERVER_KEY.public(), VERSION)
        headers = (
            ("Host", "203.0.113.5"),
            ("Upgrade", UPGRADE),
            ("Connection", "upgrade"),
            (HANDSHAKE_HEADER, handshake.header_value),
        )
        response, leftover = await Http1Client(stream).upgrade(
            HttpRequest("POST", "/ts2021", headers)
        )
        assert response.status == 101, response
        noise = await finish_handshake(stream, leftover, handshake)
        self.client = await self.stack.enter_async_context(open_http2(noise, "unused"))
        self.stack.push_async_callback(noise.close)

    async def post(self, path: str, body: bytes) -> HttpResponse:
        return await self.client.request("POST", path, (), body)

    async def register(self, auth_key: str = "", **fields: object) -> RegisterResponse:
        request = RegisterRequest(
            **{
                "version": VERSION,
                "node_key": self.key,
                "auth": RegisterAuth(auth_key=auth_key) if auth_key else None,
                "hostinfo": Hostinfo(hostname=self.hostname, os="linux"),
                **fields,
            }
        )
        response = await self.post("/machine/register", encode(request))
        assert response.status == 200, response
        return decode(RegisterResponse, response.body)

    def map_request(self, **fields: object) -> MapRequest:
        return MapRequest(
            **{
                "version": VERSION,
                "node_key": self.key,
                "disco_key": self.disco,
                "compress": self.compress,
                "hostinfo": Hostinfo(hostname=self.hostname, os="linux"),
                **fields,
            }
        )

    async def report(self, **fields: object) -> HttpResponse:
        """Send a lite update; ``net_info`` goes into the Hostinfo."""
        net_info: NetInfo | None = fields.pop("net_info", None)
        request = self.map_request(omit_peers=True, **fields)
        if net_info is not None:
            info = msgspec.structs.replace(request.hostinfo, net_info=net_info)
            request = msgspec.structs.replace(request, hostinfo=info)
        return await self.post("/machine/map", encode(request))

    async def poll(self, **fields: object) -> MapResponse:
        """Open the map stream and take its first message."""
        self._buffer = b""
        body = encode(self.map_request(stream=True, keep_alive=True, **fields))
        self.stream = await self.stack.enter_async_context(
            self.client.stream("POST", "/machine/map", (), body)
        )
        assert self.stream.status == 200, await self.stream.read_all(10_000)
        first = await self.next()
        self.peers = {peer.id: peer for peer in first.peers or ()}
        self.self_node = first.node
        return first

    async def next(self, timeout_s: float = 5.0) -> MapResponse:
        """Wait for the next message of the stream."""
        async with asyncio.timeout(timeout_s):
            size = int.from_bytes(await self._take(4), "little")
            body = await self._take(size)
        if self.compress == "zstd":
            body = zstandard.ZstdDecompressor().decompress(body)
        return decode(MapResponse, body)

    async def is_quiet(self, for_s: float = 0.05) -> bool:
        """Whether nothing comes for a moment."""
        try:
            await self.next(for_s)
        except TimeoutError:
            return True
        return False

    async def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = await self.stream.read()
            if not data:
                raise EOFError
            self._buffer += data
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken


async def drain(node: NodeClient) -> None:
    """Pass over what a node has yet to read."""
    while not await node.is_quiet(0.02):
        pass


@asynccontextmanager
async def running_realm(
    settings: Settings = SETTINGS,
    snapshot: Snapshot | None = None,
    store: object = None,
    policy_text: str | None = None,
) -> AsyncIterator[Realm]:
    """Run a coordinator with Alice as its only user."""
    now = [datetime(2026, 5, 2, 12, 0, tzinfo=UTC)]
    start = snapshot if snapshot is not None else Snapshot().with_user(ALICE)
    coordinator = Coordinator(
        settings, store or NoStore(), start, SERVER_KEY, lambda: now[0], policy_text
    )
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(coordinator.run())
        async with AsyncExitStack() as stack:
            yield Realm(coordinator, tasks, stack, now)
        running.cancel()
