"""What waits for a node that reads more slowly than others send to it.

Used only while the node's transport is full. Small messages (DISCO, answers of the relay itself)
go first. Packets wait in one queue a source, served in turn, so that one busy peer cannot push
out the others; above the limit the oldest packets of the longest queue are dropped.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from appliance.protocol.derp.server import split_frames

LIMIT_BYTES: Final = 384 * 1024
"""Of packets: with the transport's own 128 KiB, 40 ms at 100 Mbit/s. The reference holds 32."""

URGENT_LIMIT_BYTES: Final = 32 * 1024
"""Of DISCO and the relay's own frames: over 150 of the usual 170 bytes."""

PIECE_BYTES: Final = 16 * 1024
"""Packets are queued, served and dropped in pieces of about one TLS record."""


@dataclass(slots=True)
class _Flow:
    """The pieces that wait from one source: bytes and packet counts."""

    pieces: deque[tuple[bytes, int]] = field(default_factory=deque)
    size: int = 0


class Outbox:
    """The bounded, fair queue of one destination."""

    __slots__ = ("_flows", "_size", "_urgent", "_urgent_size", "limit_bytes")

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self._flows: dict[bytes, _Flow] = {}
        self._size = 0
        self._urgent: deque[bytes] = deque()
        self._urgent_size = 0

    @property
    def queued_bytes(self) -> int:
        """How much waits."""
        return self._size + self._urgent_size

    def push_urgent(self, frame: bytes) -> int:
        """Queue a frame before all packets; returns how many were dropped (0 or 1)."""
        if self._urgent_size + len(frame) > URGENT_LIMIT_BYTES:
            return 1
        self._urgent.append(frame)
        self._urgent_size += len(frame)
        return 0

    def push(self, source: bytes, frames: bytes) -> int:
        """Queue a run of RecvPacket frames; returns how many packets were dropped for it."""
        dropped = 0
        start = position = count = 0
        for begin, position, is_disco in split_frames(frames):
            if is_disco:
                self._add(source, frames[start:begin], count)
                dropped += self.push_urgent(frames[begin:position])
                start, count = position, 0
                continue
            count += 1
            if position - start >= PIECE_BYTES:
                self._add(source, frames[start:position], count)
                start, count = position, 0
        self._add(source, frames[start:position], count)
        while self._size > self.limit_bytes:
            dropped += self._drop_oldest()
        return dropped

    def pop(self) -> bytes:
        """Take what goes next, about one TLS record; empty when nothing waits."""
        if self._urgent:
            urgent = b"".join(self._urgent)
            self._urgent.clear()
            self._urgent_size = 0
            return urgent
        if not self._flows:
            return b""
        source = next(iter(self._flows))
        flow = self._flows.pop(source)
        piece, _ = self._take(flow)
        if flow.pieces:
            self._flows[source] = flow  # to the end of the line
        return piece

    def _add(self, source: bytes, piece: bytes, count: int) -> None:
        if not piece:
            return
        flow = self._flows.setdefault(source, _Flow())
        flow.pieces.append((piece, count))
        flow.size += len(piece)
        self._size += len(piece)

    def _take(self, flow: _Flow) -> tuple[bytes, int]:
        piece, count = flow.pieces.popleft()
        flow.size -= len(piece)
        self._size -= len(piece)
        return piece, count

    def _drop_oldest(self) -> int:
        source, flow = max(self._flows.items(), key=lambda item: item[1].size)
        _, count = self._take(flow)
        if not flow.pieces:
            del self._flows[source]
        return count
