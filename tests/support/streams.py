"""Streams in memory: two ends of one connection, without sockets."""

import asyncio

from appliance.aio.errors import StreamClosedError


class MemoryStream:
    """One end; what it writes the other reads. Writing waits beyond ``capacity`` bytes."""

    def __init__(self, capacity: int) -> None:
        self.other: MemoryStream
        self.closed = False
        self.capacity = capacity
        self._arrived = bytearray()
        self._ended = False
        self._changed = asyncio.Event()

    async def read(self, max_bytes: int) -> bytes:
        while not self._arrived and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        data = bytes(self._arrived[:max_bytes])
        del self._arrived[:max_bytes]
        self.other._changed.set()
        return data

    async def write(self, data: bytes) -> None:
        if self.closed or self.other.closed:
            raise StreamClosedError("the connection is lost")
        self.other._arrived += data
        self.other._changed.set()
        while len(self.other._arrived) > self.capacity and not self.other.closed:
            self._changed.clear()
            await self._changed.wait()

    async def end(self) -> None:
        """Send no more, but go on reading."""
        self.other._ended = True
        self.other._changed.set()

    async def close(self) -> None:
        self.closed = True
        for end in (self, self.other):
            end._ended = True
            end._changed.set()

    @property
    def unread(self) -> int:
        """How many bytes wait for this end to read them."""
        return len(self._arrived)


def stream_pair(capacity: int = 256 * 1024) -> tuple[MemoryStream, MemoryStream]:
    """Make both ends of a connection."""
    left, right = MemoryStream(capacity), MemoryStream(capacity)
    left.other, right.other = right, left
    return left, right
