"""A coordinator small enough to read: real HTTP, Noise and HTTP/2, answers set by the test."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import zstandard

from appliance.aio.http1 import Answer, HttpRequest, serve_http1
from appliance.aio.http2 import Http2Exchange, serve_http2
from appliance.aio.listener import serve_connections
from appliance.aio.messages import HttpResponse, json_response, text_response
from appliance.aio.noise_stream import NoiseStream, accept_noise
from appliance.aio.stream import TcpStream
from appliance.protocol.keys import ChallengePublic, MachinePrivate, MachinePublic, NodePublic
from appliance.protocol.tailcfg import (
    Login,
    MapRequest,
    MapResponse,
    Node,
    RegisterRequest,
    RegisterResponse,
    User,
    decode,
    encode,
)

KEY = MachinePrivate.from_seed(b"coordinator key for tests only..")


def map_frame(message: MapResponse) -> bytes:
    """Encode one message of the map stream."""
    body = zstandard.compress(encode(message))
    return len(body).to_bytes(4, "little") + body


def self_node(key: NodePublic, **changes: object) -> Node:
    """The node itself, as the first message must carry it."""
    return Node(id=1, stable_id="1", name="box.tail.test.", user=1, key=key, **changes)


ADMITTED = RegisterResponse(
    user=User(id=1), login=Login(id=1, login_name="alice@tail.test"), machine_authorized=True
)


@dataclass
class FakeCoordinator:
    """Remembers what it was asked; a test may replace any of its answers."""

    challenge: ChallengePublic | None = None
    verdicts: list[RegisterResponse] = field(default_factory=list)
    """Answers to the next registrations, then ``ADMITTED``."""
    messages: list[MapResponse] = field(default_factory=list)
    """What a map stream begins with, after the node itself."""
    map_status: int = 200
    key_answer: HttpResponse | None = None
    date: datetime | None = None
    paths: list[str] = field(default_factory=list)
    registrations: list[RegisterRequest] = field(default_factory=list)
    updates: asyncio.Queue[MapRequest] = field(default_factory=asyncio.Queue)
    polls: asyncio.Queue[MapRequest] = field(default_factory=asyncio.Queue)
    pongs: asyncio.Queue[tuple[str, str, bytes]] = field(default_factory=asyncio.Queue)
    streams: list[Http2Exchange] = field(default_factory=list)
    connections: list[NoiseStream] = field(default_factory=list)
    approved: asyncio.Event = field(default_factory=asyncio.Event)
    """A registration with a followup waits for it."""
    machine: MachinePublic | None = None

    async def serve(self, stream: TcpStream) -> None:
        await serve_http1(stream, self._front)

    async def send(self, message: MapResponse) -> None:
        """Send a message to every open map stream."""
        for exchange in self.streams:
            await exchange.send(map_frame(message))

    async def _front(self, request: HttpRequest) -> Answer:
        self.paths.append(f"{request.method} {request.target}")
        if request.path.endswith("/key"):
            body = f'{{"legacyPublicKey":"mkey:{"0" * 64}","publicKey":"{KEY.public().text()}"}}'
            answer = self.key_answer or json_response(200, body.encode())
            date = (self.date or datetime.now(UTC)).strftime("%a, %d %b %Y %H:%M:%S GMT")
            return HttpResponse(answer.status, (*answer.headers, ("Date", date)), answer.body)
        if request.path == "/ts2021":
            return accept_noise(request, KEY, self._noise, self.challenge)
        return text_response(404, "no such page")

    async def _noise(self, stream: NoiseStream) -> None:
        self.machine = stream.peer
        self.connections.append(stream)
        await serve_http2(stream, self._handle)

    async def _handle(self, exchange: Http2Exchange) -> None:
        self.paths.append(f"{exchange.method} {exchange.path}")
        if exchange.path.endswith("/machine/register"):
            await self._register(exchange)
        elif exchange.path.endswith("/machine/map"):
            await self._map(exchange)
        else:
            await self.pongs.put((exchange.method, exchange.path, await exchange.body()))
            await exchange.respond(200)

    async def _register(self, exchange: Http2Exchange) -> None:
        request = decode(RegisterRequest, await exchange.body())
        self.registrations.append(request)
        if request.followup:
            await self.approved.wait()
        verdict = self.verdicts.pop(0) if self.verdicts else ADMITTED
        await exchange.send_response(json_response(200, encode(verdict)))

    async def _map(self, exchange: Http2Exchange) -> None:
        request = decode(MapRequest, await exchange.body())
        if not request.stream:
            await self.updates.put(request)
            await exchange.respond(200)
            return
        await self.polls.put(request)
        if self.map_status != 200:
            await exchange.respond(self.map_status, (), b"no such node\n")
            return
        await exchange.start(200)
        for message in self.messages or [MapResponse(node=self_node(request.node_key))]:
            await exchange.send(map_frame(message))
        self.streams.append(exchange)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.streams.remove(exchange)


@asynccontextmanager
async def listening(
    serve: Callable[[TcpStream], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serve on a free port of 127.0.0.1 and yield it."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        async with asyncio.TaskGroup() as tasks:
            serving = serve_connections(sock, serve, name="fake coordinator", tls=tls)
            task = tasks.create_task(serving, name="fake coordinator")
            try:
                yield sock.getsockname()[1]
            finally:
                task.cancel()
