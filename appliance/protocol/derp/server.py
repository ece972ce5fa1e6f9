"""One connection to a relay as the relay sees it.

The relay greets (ServerKey), the node logs in (ClientInfo), the embedding program admits it and
the relay answers (ServerInfo). From then on SendPacket frames come in and leave as RecvPacket
frames of the same length at their destination: only the first byte and the 32 key bytes differ.
So they are rewritten where they lie, and frames for one destination that follow each other leave
as one run of bytes. That is what makes a relay in Python fast; see docs/decisions.

Source: tailscale derp/derpserver/derpserver.go, 2026-08.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from appliance.protocol.derp.frames import (
    HEADER,
    HEADER_SIZE,
    MAX_PACKET_PAYLOAD,
    FrameType,
    encode_frame,
    encode_server_key,
    looks_like_disco,
    parse_ping,
)
from appliance.protocol.derp.login import (
    NONCE_SIZE,
    ClientInfo,
    ServerInfo,
    encode_server_info,
    parse_client_info,
)
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import KEY_SIZE, NodePrivate, NodePublic

# Ours: a stock login has 104 bytes, one of a mesh about 200; the reference allows 256 KiB.
MAX_CLIENT_INFO: Final = 4 * 1024

# What a receiver must be able to hold so that the longest allowed frame fits.
MAX_HELD_BACK: Final = HEADER_SIZE + MAX_PACKET_PAYLOAD

Run = tuple[bytes, int, int, int]
"""Consecutive frames for one node: its raw key, where they begin and end, how many they are."""


@dataclass(frozen=True, slots=True)
class LoginRequested:
    """A node has proved that it holds this key; admit it (`DerpServerSession.admit`) or close."""

    node: NodePublic
    info: ClientInfo


@dataclass(frozen=True, slots=True)
class PreferenceChanged:
    """The node says whether this relay is its home."""

    preferred: bool


Event = LoginRequested | PreferenceChanged


class State(Enum):
    """Where the connection stands."""

    LOGIN = "waits for ClientInfo"
    ADMISSION = "waits for the embedding program; reads nothing"
    RUNNING = "packets flow"


@dataclass(slots=True)
class Received:
    """What one call of `DerpServerSession.receive` found."""

    consumed: int
    """Bytes after this one wait for the rest of their frame, or for the admission."""
    runs: list[Run]
    events: list[Event]


class DerpServerSession:
    """One node's connection to this relay, from the ServerKey frame on.

    Keeps no bytes: what `receive` did not consume is given again, with more behind it. After a
    ``ProtocolError`` close the connection.
    """

    __slots__ = ("_private", "_skip", "_source", "node", "pong", "state")

    def __init__(self, private_key: NodePrivate) -> None:
        self.state = State.LOGIN
        self.node: NodePublic | None = None
        self.pong = b""
        """The answer to a Ping, to be sent and emptied; while it waits, Pings are ignored."""
        self._private = private_key
        self._source = b""
        self._skip = 0

    def greeting(self) -> bytes:
        """Encode what the relay says first."""
        return encode_server_key(self._private.public())

    def admit(self, nonce: bytes) -> bytes:
        """Let the node in; returns the frame that tells it so. ``nonce`` is 24 random bytes."""
        if self.state is not State.ADMISSION or self.node is None or len(nonce) != NONCE_SIZE:
            raise ProtocolError("a node is admitted once, after its login")
        self.state = State.RUNNING
        return encode_server_info(ServerInfo(), self._private, self.node, nonce)

    def receive(self, buffer: bytearray, end: int) -> Received:
        """Read the frames in ``buffer[:end]``, rewriting packets in place.

        The runs found are ready to be sent to their destinations.
        """
        if self.state is State.RUNNING:
            return self._receive_frames(buffer, end)
        if self.state is State.LOGIN:
            return self._receive_login(buffer, end)
        return Received(0, [], [])

    def _receive_login(self, buffer: bytearray, end: int) -> Received:
        if end < HEADER_SIZE:
            return Received(0, [], [])
        kind, length = HEADER.unpack_from(buffer)
        if kind != FrameType.CLIENT_INFO or not KEY_SIZE + NONCE_SIZE <= length <= MAX_CLIENT_INFO:
            raise ProtocolError("the node did not log in: ClientInfo must be its first frame")
        after = HEADER_SIZE + length
        if after > end:
            return Received(0, [], [])
        self.node, info = parse_client_info(bytes(buffer[HEADER_SIZE:after]), self._private)
        self._source = self.node.raw
        self.state = State.ADMISSION
        return Received(after, [], [LoginRequested(self.node, info)])

    def _receive_frames(self, buffer: bytearray, end: int) -> Received:
        """Walk the buffer: packets become part of a run, other frames are read."""
        runs: list[Run] = []
        events: list[Event] = []
        position = min(self._skip, end)
        self._skip -= position
        unpack_from = HEADER.unpack_from
        while end - position >= HEADER_SIZE:
            kind, length = unpack_from(buffer, position)
            if kind == _SEND_PACKET:
                after = self._receive_packets(buffer, position, end, runs)
                if after == position:
                    break
                position = after
                continue
            after = position + HEADER_SIZE + length
            if length <= _MAX_CONTROL and after <= end:
                self._receive_control(kind, bytes(buffer[position + HEADER_SIZE : after]), events)
            elif self._skip_long(kind, length):
                self._skip = max(0, after - end)
            else:
                break
            position = min(after, end)
        return Received(position, runs, events)

    def _receive_packets(self, buffer: bytearray, start: int, end: int, runs: list[Run]) -> int:
        """Rewrite a run of packets for one destination; returns where it ends.

        The relay's hottest code. When a frame begins with the same 37 bytes as the one before
        (type, length, destination), each further one like it is taken by one comparison and one
        replacement.
        """
        unpack_from, source = HEADER.unpack_from, self._source
        destination = bytes(buffer[start + HEADER_SIZE : start + _PACKET_HEAD])
        position, count, last_length = start, 0, -1
        while end - position >= HEADER_SIZE:
            kind, length = unpack_from(buffer, position)
            if kind != _SEND_PACKET:
                break
            if not KEY_SIZE <= length <= MAX_PACKET_PAYLOAD:
                raise ProtocolError(f"SendPacket has {length} bytes, at most {MAX_PACKET_PAYLOAD}")
            size = HEADER_SIZE + length
            key = position + HEADER_SIZE
            if position + size > end or not buffer.startswith(destination, key):
                break
            if length != last_length:
                last_length = length
                buffer[position] = _RECV_PACKET
                buffer[key : key + KEY_SIZE] = source
                position += size
                count += 1
                continue
            head = bytes(buffer[position : position + _PACKET_HEAD])
            replacement = HEADER.pack(_RECV_PACKET, length) + source
            last = end - size
            while position <= last and buffer.startswith(head, position):
                buffer[position : position + _PACKET_HEAD] = replacement
                position += size
                count += 1
        if count:
            runs.append((destination, start, position, count))
        return position

    def _skip_long(self, kind: int, length: int) -> bool:
        """Whether an incomplete or long frame is skipped; False: wait for the rest of it."""
        if kind not in _CONTROL:
            return True
        if length > _MAX_CONTROL:
            raise ProtocolError(f"a frame of type {kind:#04x} has {length} bytes")
        return False

    def _receive_control(self, kind: int, payload: bytes, events: list[Event]) -> None:
        match kind:
            case FrameType.NOTE_PREFERRED:
                if len(payload) != 1:
                    raise ProtocolError(f"NotePreferred has 1 byte, not {len(payload)}")
                events.append(PreferenceChanged(payload != b"\x00"))
            case FrameType.PING:
                data = parse_ping(payload)
                self.pong = self.pong or encode_frame(FrameType.PONG, data)
            case FrameType.WATCH_CONNS | FrameType.CLOSE_PEER | FrameType.FORWARD_PACKET:
                raise ProtocolError("only a relay of the same mesh may send this frame")
            case _:
                pass  # unknown, or for nodes only: skipped, as the reference does


_SEND_PACKET: Final = int(FrameType.SEND_PACKET)
_RECV_PACKET: Final = int(FrameType.RECV_PACKET)
_PACKET_HEAD: Final = HEADER_SIZE + KEY_SIZE
_MAX_CONTROL: Final = 1000  # the longest frame that is read rather than relayed: a Ping
_CONTROL: Final = frozenset(
    int(kind)
    for kind in (
        FrameType.NOTE_PREFERRED,
        FrameType.PING,
        FrameType.WATCH_CONNS,
        FrameType.CLOSE_PEER,
        FrameType.FORWARD_PACKET,
    )
)


def split_frames(frames: bytes) -> Iterator[tuple[int, int, bool]]:
    """Walk a run: where each packet's frame begins and ends, and whether it is DISCO."""
    view = memoryview(frames)
    position = 0
    while position < len(view):
        after = position + HEADER_SIZE + HEADER.unpack_from(view, position)[1]
        packet = view[position + _PACKET_HEAD : after]
        yield position, after, looks_like_disco(packet)
        position = after
