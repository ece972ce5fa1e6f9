"""The server of HTTP/2: one handler task for each request."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, RequestReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes

from appliance.aio.errors import (
    HttpProtocolError,
    RequestRefusedError,
    StreamClosedError,
    StreamError,
)
from appliance.aio.http2.body import RequestBody
from appliance.aio.http2.budget import Allowance, ByteBudget
from appliance.aio.http2.connection import Exchange, Http2Connection, refused_as_closed
from appliance.aio.messages import Headers, HttpResponse, find_header, text_response
from appliance.aio.stream import Stream

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Http2Limits:
    """What one connection may cost us.

    Make one value and give it to every connection: they share its ``budget``.
    """

    header_bytes: int = 16 * 1024  # stock nodes send less than 1 KiB
    body_bytes: int = 1024 * 1024  # as the reference server
    concurrent_streams: int = 128  # stock clients assume 100 until told
    body_timeout_s: float = 30.0  # from the handler's question to the end of the body
    idle_timeout_s: float = 120.0  # without any exchange; a node's map poll is one
    budget: ByteBudget = field(default_factory=ByteBudget)


class Http2Exchange:
    """One request and the answer to it.

    The handler's task is cancelled when the client resets the stream or goes away.
    """

    def __init__(
        self, server: "_Server", stream_id: int, headers: Headers, incoming: RequestBody
    ) -> None:
        self.stream_id = stream_id
        self.method = find_header(headers, ":method") or ""
        self.path = find_header(headers, ":path") or ""
        self.headers = tuple(pair for pair in headers if not pair[0].startswith(":"))
        self.incoming = incoming
        self.started = False
        self.closed = False
        self.window_opened = asyncio.Event()
        self._server = server

    def header(self, name: str) -> str | None:
        """Return the first value of a request header, by its name in any case."""
        return find_header(self.headers, name)

    async def body(self) -> bytes:
        """Wait for the whole request body.

        A ``RequestRefusedError`` when it is too long, too slow or we are too busy; unless the
        handler catches it, it becomes the answer.
        """
        return await self.incoming.wait(self._server.limits.body_timeout_s)

    async def respond(self, status: int, headers: Headers = (), body: bytes = b"") -> None:
        """Send a whole answer."""
        await self._server.send_whole(self, status, headers, body)

    async def send_response(self, response: HttpResponse) -> None:
        """Send a whole answer that is a value."""
        await self.respond(response.status, response.headers, response.body)

    async def start(self, status: int, headers: Headers = ()) -> None:
        """Send the head of an answer at once; ``send`` and ``end`` follow."""
        await self._server.send_head(self, status, headers)

    async def send(self, data: bytes) -> None:
        """Send a piece of the body at once, as fast as the client takes it.

        A ``StreamClosedError`` when it takes no more.
        """
        await self._server.send_data(self, data, end=False)

    async def end(self) -> None:
        """Finish an answer that was begun with ``start``."""
        await self._server.send_data(self, b"", end=True)


Handler = Callable[[Http2Exchange], Awaitable[None]]


async def serve_http2(stream: Stream, handler: Handler, limits: Http2Limits | None = None) -> None:
    """Answer requests until the client closes, is idle for too long or breaks HTTP/2.

    Whoever accepted the stream closes it afterwards. A failing handler costs its own exchange
    only: 500, or a reset when the answer has begun.
    """
    await _Server(stream, handler, limits or Http2Limits()).run()


class _Server(Http2Connection):
    """Serves one connection; ``Http2Exchange`` sends through it."""

    def __init__(self, stream: Stream, handler: Handler, limits: Http2Limits) -> None:
        settings = {
            SettingCodes.MAX_CONCURRENT_STREAMS: limits.concurrent_streams,
            SettingCodes.MAX_HEADER_LIST_SIZE: limits.header_bytes,
        }
        super().__init__(stream, client=False, settings=settings)
        self.limits = limits
        self._handler = handler
        self._allowance = Allowance(limits.budget)
        self._exchanges: dict[int, Http2Exchange] = {}
        self._handlers: dict[int, asyncio.Task[None]] = {}
        self._group = asyncio.TaskGroup()
        self._idle_since = asyncio.get_running_loop().time()

    async def run(self) -> None:
        """Serve until the connection ends; no handler outlives it."""
        async with self._group:
            try:
                await self._pump()
            except StreamError as error:
                _log.debug("an HTTP/2 connection ended: %s", error)
            finally:
                for stream_id in list(self._handlers):
                    self._cancel(stream_id)

    async def send_whole(
        self, exchange: Http2Exchange, status: int, headers: Headers, body: bytes
    ) -> None:
        """Send head and body; a short answer leaves in one write."""
        self._put_head(exchange, status, headers)
        await self.send_data(exchange, body, end=True)

    async def send_head(self, exchange: Http2Exchange, status: int, headers: Headers) -> None:
        """Send the head at once."""
        self._put_head(exchange, status, headers)
        await self._flush()

    async def send_data(self, exchange: Http2Exchange, data: bytes, *, end: bool) -> None:
        """Send a piece of the body at once."""
        await self._send_body(exchange, data, end=end)
        exchange.closed = exchange.closed or end

    def _put_head(self, exchange: Http2Exchange, status: int, headers: Headers) -> None:
        self._check_open(exchange)
        exchange.started = True
        fields = [(":status", str(status)), *((name.lower(), value) for name, value in headers)]
        with refused_as_closed():
            self._h2.send_headers(exchange.stream_id, fields)

    async def _read(self) -> bytes:
        """Read, but not for ever while no exchange is open."""
        loop = asyncio.get_running_loop()
        while True:
            since = loop.time() if self._handlers else self._idle_since
            idle_at = since + self.limits.idle_timeout_s
            if idle_at <= loop.time():
                raise HttpProtocolError("the client asks for nothing")
            with suppress(TimeoutError):
                async with asyncio.timeout_at(idle_at):
                    return await super()._read()

    def _exchange(self, stream_id: int) -> Exchange | None:
        return self._exchanges.get(stream_id)

    def _wake_all(self) -> None:
        for exchange in self._exchanges.values():
            exchange.window_opened.set()

    def _dispatch(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=int(stream_id)):
                self._begin(stream_id, event.headers or [])
            case DataReceived(stream_id=int(stream_id)):
                if stream_id in self._exchanges:
                    self._exchanges[stream_id].incoming.receive(event.data or b"")
                self._h2.acknowledge_received_data(event.flow_controlled_length or 0, stream_id)
            case StreamEnded(stream_id=int(stream_id)) if stream_id in self._exchanges:
                self._exchanges[stream_id].incoming.finish()
            case StreamReset(stream_id=int(stream_id)):
                self._cancel(stream_id)
            case _:
                pass

    def _begin(self, stream_id: int, headers: Iterable[tuple[str | bytes, str | bytes]]) -> None:
        body = RequestBody(self.limits.body_bytes, self._allowance)
        pairs = tuple((str(name), str(value)) for name, value in headers)
        exchange = Http2Exchange(self, stream_id, pairs, body)
        if len(self._handlers) >= self.limits.concurrent_streams:
            # h2 counts open streams only; the handlers of reset ones may still be busy.
            self._abandon(exchange, ErrorCodes.REFUSED_STREAM)
            return
        self._exchanges[stream_id] = exchange
        name = f"http2 {exchange.method} {exchange.path.partition('?')[0][:60]}"
        self._handlers[stream_id] = self._group.create_task(self._serve(exchange), name=name)

    def _cancel(self, stream_id: int) -> None:
        if stream_id in self._exchanges:
            self._exchanges[stream_id].closed = True
            self._handlers[stream_id].cancel()

    async def _serve(self, exchange: Http2Exchange) -> None:
        """Run the handler, and finish what it left unfinished."""
        try:
            await self._answer(exchange)
            if not exchange.incoming.complete:
                self._abandon(exchange, ErrorCodes.NO_ERROR)  # need not send the rest
            await self._flush()
        except StreamClosedError as error:
            _log.debug("%s %s: %s", exchange.method, exchange.path, error)
        finally:
            exchange.incoming.release()
            del self._exchanges[exchange.stream_id]
            del self._handlers[exchange.stream_id]
            self._idle_since = asyncio.get_running_loop().time()

    async def _answer(self, exchange: Http2Exchange) -> None:
        try:
            await self._handler(exchange)
        except StreamClosedError:
            raise
        except RequestRefusedError as refusal:
            await self._apologize(exchange, text_response(refusal.status, refusal.text))
        except Exception:  # noqa: BLE001 - one request is the edge
            _log.exception("the handler of %s %s failed", exchange.method, exchange.path)
            await self._apologize(exchange, text_response(500, "internal error"))
        else:
            if not exchange.started:
                await exchange.respond(500)
            elif not exchange.closed:
                await exchange.end()

    async def _apologize(self, exchange: Http2Exchange, response: HttpResponse) -> None:
        if exchange.started:
            self._abandon(exchange, ErrorCodes.INTERNAL_ERROR)
        else:
            await exchange.send_response(response)
