"""Byte streams: what HTTP, TS2021 and DERP run over."""

import asyncio
import socket
from contextlib import suppress
from ipaddress import ip_address
from typing import Final, Protocol

from appliance.aio.errors import StreamClosedError
from appliance.protocol.addresses import AddrPort

# A peer that takes none of our bytes for this long is gone: stock nodes give up after the
# same time, and a living but slow link drains the last 64 KiB in less.
WRITE_TIMEOUT_S: Final = 30.0
# The goodbye of TLS needs one round trip; beyond it the peer is not worth waiting for.
_CLOSE_TIMEOUT_S: Final = 2.0
# A peer that vanished is noticed after 30 + 3 x 10 s, before the 120 s watchdog of a map poll.
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
_USER_TIMEOUT_MS: Final = 60_000


class Stream(Protocol):
    """A connection that carries bytes in order, both ways."""

    async def read(self, max_bytes: int) -> bytes:
        """Wait for at least one byte; ``b""`` is the end. Cancelling loses no bytes."""

    async def write(self, data: bytes) -> None:
        """Hand over bytes, in the order of the calls; waits while the other side is slow.

        A ``StreamClosedError`` when the connection is lost.
        """

    async def close(self) -> None:
        """Release the connection; repeating it does no harm."""


class TcpStream:
    """A ``Stream`` over asyncio's reader and writer, with or without TLS."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        write_timeout_s: float = WRITE_TIMEOUT_S,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._write_timeout_s = write_timeout_s
        self.peer = _peer(writer)
        _tune(writer.get_extra_info("socket"))

    @property
    def transport(self) -> asyncio.WriteTransport:
        """The transport beneath, for a protocol that takes the connection over."""
        return self._writer.transport

    @property
    def reader(self) -> asyncio.StreamReader:
        """The reader beneath, for a protocol that takes the connection over."""
        return self._reader

    @property
    def writer(self) -> asyncio.StreamWriter:
        """The writer beneath, for a protocol that takes the connection over."""
        return self._writer

    async def read(self, max_bytes: int) -> bytes:
        """Wait for at least one byte; a lost connection reads as the end."""
        try:
            return await self._reader.read(max_bytes)
        except OSError:
            return b""

    async def write(self, data: bytes) -> None:
        """Hand over bytes; a peer that reads nothing for the timeout is given up."""
        try:
            self._writer.write(data)
            async with asyncio.timeout(self._write_timeout_s):
                await self._writer.drain()
        except TimeoutError:
            self._writer.transport.abort()
            raise StreamClosedError("the other side has stopped reading") from None
        except (OSError, RuntimeError) as error:
            raise StreamClosedError(f"the connection is lost: {error}") from None

    async def close(self) -> None:
        """Close, politely for a moment, then at once."""
        # Python 3.11.2 forgets a TLS connection that is closed twice, and cannot abort it then.
        if not self._writer.is_closing():
            self._writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._writer.wait_closed()
            return
        self._writer.transport.abort()


class PrefixedStream:
    """A ``Stream`` that first yields bytes which were read too far."""

    def __init__(self, prefix: bytes, stream: Stream) -> None:
        self._prefix = prefix
        self._stream = stream

    async def read(self, max_bytes: int) -> bytes:
        """Yield the prefix, then what arrives."""
        if self._prefix:
            data, self._prefix = self._prefix[:max_bytes], self._prefix[max_bytes:]
            return data
        return await self._stream.read(max_bytes)

    async def write(self, data: bytes) -> None:
        """Hand over bytes to the stream beneath."""
        await self._stream.write(data)

    async def close(self) -> None:
        """Close the stream beneath."""
        await self._stream.close()


async def read_exactly(stream: Stream, size: int) -> bytes:
    """Read that many bytes; a ``StreamClosedError`` when the stream ends before."""
    data = bytearray()
    while len(data) < size:
        chunk = await stream.read(size - len(data))
        if not chunk:
            raise StreamClosedError("the other side closed the connection")
        data += chunk
    return bytes(data)


def _peer(writer: asyncio.StreamWriter) -> AddrPort | None:
    name = writer.get_extra_info("peername")
    if not isinstance(name, tuple) or len(name) < 2:
        return None  # a unix socket
    address = ip_address(str(name[0]).partition("%")[0])
    if address.version == 6 and address.ipv4_mapped:
        address = address.ipv4_mapped
    return AddrPort(address, int(name[1]))


def _tune(sock: socket.socket | None) -> None:
    """Send small writes at once, and notice a peer that vanished without a word.

    asyncio turns Nagle off itself only where a socket was made with its protocol named.
    """
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with suppress(OSError):  # the connection may be gone already
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
        for option, value in _KEEPALIVE:
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
