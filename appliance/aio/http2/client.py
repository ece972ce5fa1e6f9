"""The client of HTTP/2: concurrent requests over one connection."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Final

from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes

from appliance.aio.errors import HttpProtocolError, StreamClosedError, StreamError
from appliance.aio.http2.connection import Exchange, Http2Connection, refused_as_closed
from appliance.aio.messages import Headers, HttpResponse, find_header
from appliance.aio.stream import Stream

# What a server may send before we read it: a netmap of a thousand nodes, compressed.
_STREAM_WINDOW: Final = 1024 * 1024
_CONNECTION_WINDOW: Final = 4 * _STREAM_WINDOW
_HEADER_BYTES: Final = 16 * 1024
_MAX_BODY: Final = 1024 * 1024
_DEFAULT_WINDOW: Final = 65_535
_RESET_TIMEOUT_S: Final = 1.0


class ResponseStream:
    """An answer whose body is read piece by piece."""

    def __init__(self, client: "Http2Client", stream_id: int) -> None:
        self.stream_id = stream_id
        self.status = 0
        self.headers: Headers = ()
        self.closed = False
        self.window_opened = asyncio.Event()
        self._client = client
        self._pieces: deque[tuple[bytes, int]] = deque()
        self._arrived = asyncio.Event()
        self.ended = False
        self._failure: StreamError | None = None

    async def read(self) -> bytes:
        """Wait for the next piece; ``b""`` is the end.

        A ``StreamClosedError`` when server or connection end it before.
        """
        while not self._pieces and not self.ended:
            if self._failure:
                raise self._failure
            self._arrived.clear()
            await self._arrived.wait()
        if not self._pieces:
            return b""
        data, size = self._pieces.popleft()
        await self._client.acknowledge(self, size)
        return data

    async def read_all(self, max_bytes: int) -> bytes:
        """Read to the end; more than the limit is an ``HttpProtocolError``."""
        body = bytearray()
        while data := await self.read():
            body += data
            if len(body) > max_bytes:
                raise HttpProtocolError(f"the answer is longer than {max_bytes} bytes")
        return bytes(body)

    async def wait_for_head(self) -> None:
        """Wait for status and headers."""
        while not self.status:
            if self._failure:
                raise self._failure
            self._arrived.clear()
            await self._arrived.wait()

    def receive_head(self, headers: Headers) -> None:
        """Take status and headers (called by the connection)."""
        status = find_header(headers, ":status") or ""
        self.headers = tuple(pair for pair in headers if not pair[0].startswith(":"))
        self.status = int(status) if status.isdecimal() and len(status) == 3 else 500
        self._arrived.set()

    def receive_data(self, data: bytes, size: int) -> None:
        """Take a piece that counts ``size`` in the window (called by the connection)."""
        if data:
            self._pieces.append((data, size))
            self._arrived.set()

    def finish(self) -> None:
        """Note the end of the body (called by the connection)."""
        self.ended = True
        self._arrived.set()

    def fail(self, failure: StreamError) -> None:
        """Note that nothing more comes (called by the connection)."""
        self.closed = True
        self._failure = failure
        self._arrived.set()
        self.window_opened.set()


class Http2Client(Http2Connection):
    """Requests over one connection; ``run`` must be running (see ``open_http2``)."""

    def __init__(self, stream: Stream, authority: str = "") -> None:
        settings = {
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
            SettingCodes.MAX_HEADER_LIST_SIZE: _HEADER_BYTES,
        }
        super().__init__(stream, client=True, settings=settings)
        self._h2.increment_flow_control_window(_CONNECTION_WINDOW - _DEFAULT_WINDOW)
        self._authority = authority
        self._responses: dict[int, ResponseStream] = {}
        self._lost: StreamError | None = None

    async def run(self) -> None:
        """Read until the connection ends; then every request fails."""
        lost: StreamError = StreamClosedError("the server closed the connection")
        try:
            await self._pump()
        except StreamError as error:
            lost = error
        finally:
            self._lost = lost
            for response in self._responses.values():
                response.fail(lost)

    async def request(
        self,
        method: str,
        path: str,
        headers: Headers = (),
        body: bytes = b"",
        max_body: int = _MAX_BODY,
    ) -> HttpResponse:
        """Send a request and wait for the whole answer."""
        async with self.stream(method, path, headers, body) as response:
            data = await response.read_all(max_body)
            return HttpResponse(response.status, response.headers, data)

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, headers: Headers = (), body: bytes = b""
    ) -> AsyncIterator[ResponseStream]:
        """Send a request and wait for the head of the answer.

        Leaving the block before the end of the body resets the stream.
        """
        response = self._begin(method, path, headers, end=not body)
        try:
            if body:
                await self._send_body(response, body, end=True)
            else:
                await self._flush()
            await response.wait_for_head()
            yield response
        finally:
            del self._responses[response.stream_id]
            if not response.ended and not response.closed:
                self._abandon(response, ErrorCodes.CANCEL)
                with suppress(StreamError, TimeoutError):
                    async with asyncio.timeout(_RESET_TIMEOUT_S):
                        await self._flush()

    async def acknowledge(self, response: ResponseStream, size: int) -> None:
        """Let the server send as much again (called by the response)."""
        if self._lost is None:
            self._h2.acknowledge_received_data(size, response.stream_id)
            await self._flush()

    def _begin(self, method: str, path: str, headers: Headers, *, end: bool) -> ResponseStream:
        if self._lost:
            raise self._lost
        fields = [
            (":method", method),
            (":scheme", "https"),
            (":authority", self._authority),
            (":path", path),
            *((name.lower(), value) for name, value in headers),
        ]
        with refused_as_closed():
            stream_id = self._h2.get_next_available_stream_id()
            self._h2.send_headers(stream_id, fields, end_stream=end)
        response = self._responses[stream_id] = ResponseStream(self, stream_id)
        return response

    def _exchange(self, stream_id: int) -> Exchange | None:
        return self._responses.get(stream_id)

    def _wake_all(self) -> None:
        for response in self._responses.values():
            response.window_opened.set()

    def _dispatch(self, event: Event) -> None:
        stream_id = getattr(event, "stream_id", None) or 0
        response = self._responses.get(stream_id)
        match event:
            case DataReceived() if response is None:
                self._h2.acknowledge_received_data(event.flow_controlled_length or 0, stream_id)
            case _ if response is None:
                pass
            case ResponseReceived():
                response.receive_head(_pairs(event.headers or []))
            case DataReceived():
                response.receive_data(event.data or b"", event.flow_controlled_length or 0)
            case StreamEnded():
                response.finish()
            case StreamReset():
                response.fail(StreamClosedError("the server has reset this HTTP/2 stream"))
            case _:
                pass


@asynccontextmanager
async def open_http2(stream: Stream, authority: str = "") -> AsyncIterator[Http2Client]:
    """Run a client over a stream for as long as the block lasts."""
    client = Http2Client(stream, authority)
    failure: Exception | None = None
    async with asyncio.TaskGroup() as tasks:
        reader = tasks.create_task(client.run(), name="http2 reader")
        try:
            yield client
        except Exception as error:  # noqa: BLE001 - raised below, outside of the group's own
            failure = error
        finally:
            reader.cancel()
    if failure:
        raise failure


def _pairs(headers: Iterable[tuple[str | bytes, str | bytes]]) -> Headers:
    return tuple((str(name), str(value)) for name, value in headers)
