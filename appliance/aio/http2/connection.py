"""What client and server of HTTP/2 have in common: h2's state machine over a stream.

One task reads (``_pump``); any number of tasks send. Bytes leave in the order h2 made them,
and no task holds more than one burst of them, so a slow reader costs little memory.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, Protocol

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, Event, RemoteSettingsChanged, WindowUpdated
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

from appliance.aio.errors import HttpProtocolError, StreamClosedError
from appliance.aio.http2.framing import PREFACE_SIZE, FrameGuard
from appliance.aio.stream import WRITE_TIMEOUT_S, Stream

# At DEBUG hpack writes ten lines a request, header values included: never with our own.
logging.getLogger("hpack").setLevel(logging.INFO)

_READ_SIZE: Final = 64 * 1024
# Sent between two waits for the stream: four frames, so that other exchanges get their turn.
_BURST_SIZE: Final = 64 * 1024


class _Machine(H2Connection):
    # h2 remembers how each stream ended, to judge late frames; a stranger who opens and
    # resets streams without end fills this, and late frames are a few streams old.
    MAX_CLOSED_STREAMS = 512


class Exchange(Protocol):
    """What the common half needs to know of one request and its answer."""

    stream_id: int
    closed: bool
    window_opened: asyncio.Event


class Http2Connection:
    """One connection; a subclass says what each event means."""

    def __init__(self, stream: Stream, *, client: bool, settings: dict[SettingCodes, int]) -> None:
        self._stream = stream
        self._write_lock = asyncio.Lock()
        self._guard = FrameGuard(skip=0 if client else PREFACE_SIZE)
        self._h2 = _Machine(H2Configuration(client_side=client, header_encoding="utf-8"))
        self._h2.local_settings = Settings(client=client, initial_values=settings)
        header_bytes = settings[SettingCodes.MAX_HEADER_LIST_SIZE]
        self._h2.decoder.max_header_list_size = header_bytes
        self._h2.initiate_connection()

    def _dispatch(self, event: Event) -> None:
        """Act on what the other side sent."""
        raise NotImplementedError

    def _exchange(self, stream_id: int) -> Exchange | None:
        """Return an open exchange."""
        raise NotImplementedError

    def _wake_all(self) -> None:
        """Let every exchange that waits to send look again."""
        raise NotImplementedError

    async def _read(self) -> bytes:
        return await self._stream.read(_READ_SIZE)

    async def _pump(self) -> None:
        """Read and dispatch until the other side closes.

        An ``HttpProtocolError`` when it breaks HTTP/2 (it has been told so).
        """
        await self._flush()
        while await self._receive():
            await self._flush()

    async def _receive(self) -> bool:
        """Take what arrives next; False at the end.

        A call of its own for each piece, so that nothing of it is held during the next wait:
        with a thousand connections that would be a hundred megabytes.
        """
        data = await self._read()
        self._guard.check(data)
        try:
            events = self._h2.receive_data(data) if data else []
        except (H2Error, UnicodeDecodeError) as error:
            await self._flush()
            raise HttpProtocolError(f"the other side breaks HTTP/2: {error}") from None
        for event in events:
            if isinstance(event, ConnectionTerminated):
                raise StreamClosedError("the other side ends this HTTP/2 connection")
            self._wake_senders(event)
            self._dispatch(event)
        return bool(data)

    async def _flush(self) -> None:
        """Write what h2 has ready; only one task writes at a time."""
        async with self._write_lock:
            while data := self._h2.data_to_send():
                await self._stream.write(data)

    async def _send_body(self, exchange: Exchange, data: bytes, *, end: bool) -> None:
        """Send under flow control; a ``StreamClosedError`` when nobody reads any more."""
        rest = memoryview(data)
        while rest:
            burst = min(await self._window(exchange), _BURST_SIZE)
            chunk, rest = rest[:burst], rest[burst:]
            size = self._h2.max_outbound_frame_size
            with refused_as_closed():
                for at in range(0, len(chunk), size):
                    frame = bytes(chunk[at : at + size])
                    last = end and not rest and at + size >= len(chunk)
                    self._h2.send_data(exchange.stream_id, frame, end_stream=last)
            await self._flush()
        if end and not data:
            self._check_open(exchange)
            with refused_as_closed():
                self._h2.end_stream(exchange.stream_id)
            await self._flush()

    async def _window(self, exchange: Exchange) -> int:
        """Wait until the other side lets us send, and say how much."""
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                while True:
                    self._check_open(exchange)
                    with refused_as_closed():
                        size = self._h2.local_flow_control_window(exchange.stream_id)
                    if size > 0:
                        return size
                    exchange.window_opened.clear()
                    await self._flush()  # the other side may be waiting for it
                    await exchange.window_opened.wait()
        except TimeoutError:
            self._abandon(exchange, ErrorCodes.CANCEL)
            raise StreamClosedError("the other side has stopped reading") from None

    def _check_open(self, exchange: Exchange) -> None:
        if exchange.closed:
            raise StreamClosedError("this HTTP/2 stream is closed")

    def _wake_senders(self, event: Event) -> None:
        if isinstance(event, WindowUpdated) and event.stream_id:
            exchange = self._exchange(event.stream_id)
            if exchange:
                exchange.window_opened.set()
        elif isinstance(event, WindowUpdated | RemoteSettingsChanged):
            self._wake_all()

    def _abandon(self, exchange: Exchange, code: ErrorCodes) -> None:
        """Tell the other side that an exchange is over; leaves with the next flush."""
        exchange.closed = True
        with suppress(H2Error):  # it may be over for the other side, too
            self._h2.reset_stream(exchange.stream_id, code)


@contextmanager
def refused_as_closed() -> Iterator[None]:
    """Turn h2's refusal to send into a ``StreamClosedError``."""
    try:
        yield
    except H2Error as error:
        raise StreamClosedError(f"this HTTP/2 stream is closed: {error}") from None
