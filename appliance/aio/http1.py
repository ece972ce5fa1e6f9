"""HTTP/1.1 over any byte stream: a server loop, a client, and upgrades on both sides."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

import h11

from appliance.aio.errors import HttpProtocolError, RequestRefusedError, StreamClosedError
from appliance.aio.messages import (
    Headers,
    HttpRequest,
    HttpResponse,
    StreamingResponse,
    find_header,
    text_response,
)
from appliance.aio.stream import Stream

__all__ = [
    "Http1Client",
    "Http1Limits",
    "HttpRequest",
    "HttpResponse",
    "StreamingResponse",
    "Upgrade",
    "encode_switching_protocols",
    "serve_http1",
]

_log = logging.getLogger(__name__)
_READ_SIZE: Final = 64 * 1024
_HTTP_DATE: Final = "%a, %d %b %Y %H:%M:%S GMT"
_Event = TypeVar("_Event", bound=h11.Event)


@dataclass(frozen=True, slots=True)
class Http1Limits:
    """What one connection may cost us."""

    header_bytes: int = 16 * 1024  # a browser with many cookies stays below 8 KiB
    body_bytes: int = 1024 * 1024  # the largest request of any protocol we serve
    request_timeout_s: float = 15.0  # from its first byte to its last
    idle_timeout_s: float = 60.0  # between two requests


TakeOver = Callable[[Stream, bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A handler's answer that ends HTTP on this connection.

    ``take_over(stream, leftover)`` owns the stream from then on and writes the 101 itself
    (``encode_switching_protocols``), so that it can put its own first bytes into the same
    segment, or write none. ``leftover`` are bytes the client sent after its request.
    """

    take_over: TakeOver


Answer = HttpResponse | StreamingResponse | Upgrade
Handler = Callable[[HttpRequest], Awaitable[Answer]]


def encode_switching_protocols(headers: Headers) -> bytes:
    """Write a 101 with exactly these headers, in this order and spelling."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n".encode()


async def serve_http1(stream: Stream, handler: Handler, limits: Http1Limits | None = None) -> None:
    """Answer requests until the client leaves, breaks HTTP, is idle, or is upgraded.

    Whoever accepted the stream closes it afterwards.
    """
    with suppress(StreamClosedError):
        await _serve(stream, handler, limits or Http1Limits())


async def _serve(stream: Stream, handler: Handler, limits: Http1Limits) -> None:
    connection = _Connection(stream, h11.SERVER, limits)
    while True:
        try:
            request = await connection.receive_request()
        except RequestRefusedError as refusal:
            await connection.send_response(text_response(refusal.status, refusal.text))
            return
        if request is None:
            return
        answer = await _answer(handler, request)
        if isinstance(answer, Upgrade):
            await answer.take_over(stream, connection.leftover)
            return
        await connection.send_response(answer, head_only=request.method == "HEAD")
        if not connection.start_next_cycle():
            return


async def _answer(handler: Handler, request: HttpRequest) -> Answer:
    try:
        return await handler(request)
    except RequestRefusedError as refusal:
        return text_response(refusal.status, refusal.text)
    except Exception:  # noqa: BLE001 - one request is the edge
        _log.exception("the handler of %s %s failed", request.method, request.path)
        return text_response(500, "internal error: see this program's log")


class Http1Client:
    """Requests one after the other over one stream."""

    def __init__(self, stream: Stream, limits: Http1Limits | None = None) -> None:
        self._connection = _Connection(stream, h11.CLIENT, limits or Http1Limits())
        self.reusable = True
        """Whether the server takes another request on this stream."""

    async def request(self, request: HttpRequest) -> HttpResponse:
        """Send a request (with its ``Host`` header) and wait for the whole answer."""
        await self._connection.send_request(request)
        response = await self._connection.receive_response()
        self.reusable = self._connection.start_next_cycle()
        return response

    async def upgrade(self, request: HttpRequest) -> tuple[HttpResponse, bytes]:
        """Send an upgrade request; after a 101 the stream belongs to the new protocol.

        Returns the answer (look at its status) and the bytes that arrived after it.
        """
        await self._connection.send_request(request)
        response = await self._connection.receive_response()
        return response, self._connection.leftover


class _Connection:
    """h11's state machine, fed from and drained to a stream."""

    def __init__(
        self, stream: Stream, role: type[h11.CLIENT] | type[h11.SERVER], limits: Http1Limits
    ) -> None:
        self._stream = stream
        self._limits = limits
        self._ended = False
        self._silent = True
        self._h11 = h11.Connection(role, max_incomplete_event_size=limits.header_bytes)

    @property
    def leftover(self) -> bytes:
        """What arrived after the last message."""
        return self._h11.trailing_data[0]

    async def receive_request(self) -> HttpRequest | None:
        """Wait for a whole request; None when the client left or is idle for too long."""
        try:
            if not self.leftover and not await self._receive_first():
                return None
            async with asyncio.timeout(self._limits.request_timeout_s):
                head = await self._next_event(h11.Request)
                if head is None:
                    return None
                await self._send_continue()
                body = await self._receive_body()
        except TimeoutError:
            raise RequestRefusedError(408, "the request did not arrive in time") from None
        except h11.RemoteProtocolError as error:
            raise RequestRefusedError(error.error_status_hint, str(error)) from None
        except UnicodeDecodeError:
            raise RequestRefusedError(400, "a header is not ASCII") from None
        return HttpRequest(head.method.decode(), head.target.decode(), _headers(head.headers), body)

    async def receive_response(self) -> HttpResponse:
        """Wait for a whole answer, passing over 1xx ones that switch nothing."""
        head: h11.Response | h11.InformationalResponse | None = None
        try:
            head = await self._receive_head()
            body = await self._receive_body() if head.status_code != 101 else b""
            return HttpResponse(head.status_code, _headers(head.headers), body)
        except h11.RemoteProtocolError as error:
            if self._ended and (head or self._silent):
                raise StreamClosedError("the server closed the connection") from None
            raise HttpProtocolError(f"the server does not speak HTTP: {error}") from None
        except UnicodeDecodeError:
            raise HttpProtocolError("the server sent a header that is not ASCII") from None
        except RequestRefusedError:
            raise HttpProtocolError("the server's answer is too long") from None

    async def _receive_head(self) -> h11.Response | h11.InformationalResponse:
        while True:
            event = await self._next_event(h11.Event)
            if isinstance(event, h11.InformationalResponse) and event.status_code != 101:
                continue
            if isinstance(event, h11.Response | h11.InformationalResponse):
                return event
            raise StreamClosedError("the server closed the connection")

    async def send_request(self, request: HttpRequest) -> None:
        """Write a request with its length."""
        headers = (*request.headers, ("Content-Length", str(len(request.body))))
        head = h11.Request(method=request.method, target=request.target, headers=list(headers))
        await self._send(head, request.body)

    async def send_response(
        self, response: HttpResponse | StreamingResponse, *, head_only: bool = False
    ) -> None:
        """Write an answer; one with a whole body leaves in one write."""
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        headers = list(response.headers)
        if find_header(response.headers, "Date") is None:
            headers.append(("Date", f"{datetime.now(UTC):{_HTTP_DATE}}"))
        if isinstance(response, StreamingResponse):
            await self._send_chunks(response, headers)
            return
        if response.status not in (204, 304):
            headers.append(("Content-Length", str(len(response.body))))
        head = h11.Response(status_code=response.status, headers=headers)
        await self._send(head, b"" if head_only else response.body)

    def start_next_cycle(self) -> bool:
        """Make ready for the next request; False when this connection serves no more."""
        if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
            return False
        self._h11.start_next_cycle()
        return True

    async def _send_chunks(
        self, response: StreamingResponse, headers: list[tuple[str, str]]
    ) -> None:
        head = h11.Response(status_code=response.status, headers=headers)
        await self._stream.write(self._h11.send(head) or b"")
        async for chunk in response.chunks:
            await self._stream.write(self._h11.send(h11.Data(data=chunk)) or b"")
        await self._stream.write(self._h11.send(h11.EndOfMessage()) or b"")

    async def _send(self, head: h11.Request | h11.Response, body: bytes) -> None:
        data = self._h11.send(head) or b""
        if body:
            data += self._h11.send(h11.Data(data=body)) or b""
        data += self._h11.send(h11.EndOfMessage()) or b""
        await self._stream.write(data)

    async def _send_continue(self) -> None:
        if self._h11.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            await self._stream.write(self._h11.send(go_on) or b"")

    async def _receive_first(self) -> bool:
        """Wait for the first bytes of a request; False when none come."""
        try:
            async with asyncio.timeout(self._limits.idle_timeout_s):
                data = await self._stream.read(_READ_SIZE)
        except TimeoutError:
            return False
        self._h11.receive_data(data)
        return bool(data)

    async def _receive_body(self) -> bytes:
        body = bytearray()
        while (data := await self._next_event(h11.Data)) is not None:
            body += data.data
            if len(body) > self._limits.body_bytes:
                raise RequestRefusedError(413, "the body is too long")
        return bytes(body)

    async def _next_event(self, kind: type[_Event]) -> _Event | None:
        """Wait for an event of this kind; None for any other (end of message, closed)."""
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            data = await self._stream.read(_READ_SIZE)
            self._ended = not data
            self._silent = self._silent and not data
            self._h11.receive_data(data)
        return event if isinstance(event, kind) else None


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    return tuple((name.decode("ascii"), value.decode("utf-8")) for name, value in raw)
