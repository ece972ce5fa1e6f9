"""DERP frames: the byte stream between a node and its relay.

Header:  type (1) | payload length (4, big-endian, without the header).
Payload, by type (C: node, S: relay):

    01 ServerKey      S>C  magic (8) | relay's key (32) | future bytes
    02 ClientInfo     C>S  node's key (32) | nonce (24) | NaCl box of JSON
    03 ServerInfo     S>C  nonce (24) | NaCl box of JSON
    04 SendPacket     C>S  destination key (32) | packet
    05 RecvPacket     S>C  source key (32) | packet
    06 KeepAlive      S>C  empty
    07 NotePreferred  C>S  1 when this relay is the node's home, else 0
    08 PeerGone       S>C  key (32) | reason (1, absent from old relays)
    12 Ping, 13 Pong       8 opaque bytes (a Ping may carry more; they are not echoed)
    14 Health         S>C  UTF-8 text of a problem; empty: healthy again
    15 Restarting     S>C  reconnect in (4, ms) | try for (4, ms)

09 PeerPresent, 0a ForwardPacket, 10 WatchConns and 11 ClosePeer serve a mesh of relays only.
A frame of an unknown type is skipped.

Source: tailscale derp/derp.go, derp/derp_client.go, derp/derpserver/derpserver.go, 2026-08.
"""

from enum import IntEnum
from struct import Struct
from typing import Final

from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import KEY_SIZE, NodePublic


class FrameType(IntEnum):
    """The first byte of a frame."""

    SERVER_KEY = 0x01
    CLIENT_INFO = 0x02
    SERVER_INFO = 0x03
    SEND_PACKET = 0x04
    RECV_PACKET = 0x05
    KEEP_ALIVE = 0x06
    NOTE_PREFERRED = 0x07
    PEER_GONE = 0x08
    PEER_PRESENT = 0x09
    FORWARD_PACKET = 0x0A
    WATCH_CONNS = 0x10
    CLOSE_PEER = 0x11
    PING = 0x12
    PONG = 0x13
    HEALTH = 0x14
    RESTARTING = 0x15


class PeerGoneReason(IntEnum):
    """Why the relay says that a peer cannot be reached through it."""

    DISCONNECTED = 0x00
    """The peer's last connection has ended."""
    NOT_HERE = 0x01
    """The peer was not connected when a DISCO packet for it arrived."""


# From the specification.
MAGIC: Final = b"DERP\xf0\x9f\x94\x91"
PROTOCOL_VERSION: Final = 2
HEADER: Final = Struct(">BI")
HEADER_SIZE: Final = 5
MAX_PACKET: Final = 64 * 1024
MAX_PACKET_PAYLOAD: Final = KEY_SIZE + MAX_PACKET
MAX_CLIENT_FRAME: Final = 1 << 20  # a node gives up on a relay that sends a longer frame
PING_SIZE: Final = 8
MAX_PING: Final = 1000
SERVER_KEY_SIZE: Final = len(MAGIC) + KEY_SIZE
DISCO_MAGIC: Final = b"TS\xf0\x9f\x92\xac"
MIN_DISCO: Final = 6 + KEY_SIZE + 24

_KNOWN: Final = frozenset(int(kind) for kind in FrameType)
_TWO_U32: Final = Struct(">II")


def encode_frame(kind: FrameType, payload: bytes = b"") -> bytes:
    """Put the header before a payload."""
    return HEADER.pack(kind, len(payload)) + payload


def encode_server_key(key: NodePublic) -> bytes:
    """Encode the relay's greeting."""
    return encode_frame(FrameType.SERVER_KEY, MAGIC + key.raw)


def parse_server_key(payload: bytes | memoryview) -> NodePublic:
    """Read the relay's key from its greeting; bytes after it are ignored."""
    if len(payload) < SERVER_KEY_SIZE or payload[: len(MAGIC)] != MAGIC:
        raise ProtocolError("the other side is not a DERP relay: its greeting has no magic")
    return NodePublic(bytes(payload[len(MAGIC) : SERVER_KEY_SIZE]))


def encode_send_packet(destination: bytes, packet: bytes | memoryview) -> bytes:
    """Encode one packet for the node with this raw key."""
    return b"".join(_packet(FrameType.SEND_PACKET, destination, packet))


def encode_recv_packet(source: bytes, packet: bytes | memoryview) -> bytes:
    """Encode one packet as its destination gets it."""
    return b"".join(_packet(FrameType.RECV_PACKET, source, packet))


def _packet(
    kind: FrameType, key: bytes, packet: bytes | memoryview
) -> tuple[bytes, bytes, bytes | memoryview]:
    if len(packet) > MAX_PACKET:
        raise ProtocolError(f"a relayed packet has at most {MAX_PACKET} bytes, not {len(packet)}")
    return HEADER.pack(kind, KEY_SIZE + len(packet)), key, packet


def encode_note_preferred(*, preferred: bool) -> bytes:
    """Say whether this relay is the node's home."""
    return encode_frame(FrameType.NOTE_PREFERRED, b"\x01" if preferred else b"\x00")


def encode_peer_gone(peer: bytes, reason: PeerGoneReason) -> bytes:
    """Say that the node with this raw key cannot be reached here."""
    return encode_frame(FrameType.PEER_GONE, peer + bytes((reason,)))


def parse_peer_gone(payload: bytes | memoryview) -> tuple[NodePublic, PeerGoneReason]:
    """Read key and reason; an absent or unknown reason counts as a disconnect."""
    if len(payload) < KEY_SIZE:
        raise ProtocolError(f"PeerGone has at least {KEY_SIZE} bytes, not {len(payload)}")
    code = payload[KEY_SIZE] if len(payload) > KEY_SIZE else PeerGoneReason.DISCONNECTED
    reason = PeerGoneReason(code) if code in _REASONS else PeerGoneReason.DISCONNECTED
    return NodePublic(bytes(payload[:KEY_SIZE])), reason


_REASONS: Final = frozenset(int(reason) for reason in PeerGoneReason)


def parse_ping(payload: bytes | memoryview) -> bytes:
    """Read the 8 bytes of a Ping or Pong that are echoed."""
    if not PING_SIZE <= len(payload) <= MAX_PING:
        raise ProtocolError(f"Ping has {PING_SIZE} to {MAX_PING} bytes, not {len(payload)}")
    return bytes(payload[:PING_SIZE])


def encode_restarting(reconnect_in_ms: int, try_for_ms: int) -> bytes:
    """Announce a restart of the relay."""
    return encode_frame(FrameType.RESTARTING, _TWO_U32.pack(reconnect_in_ms, try_for_ms))


def parse_restarting(payload: bytes | memoryview) -> tuple[float, float]:
    """Read after how many seconds to reconnect, and for how many to keep trying."""
    if len(payload) < _TWO_U32.size:
        raise ProtocolError(f"Restarting has {_TWO_U32.size} bytes, not {len(payload)}")
    reconnect_in_ms, try_for_ms = _TWO_U32.unpack_from(payload)
    return reconnect_in_ms / 1000, try_for_ms / 1000


def looks_like_disco(packet: bytes | bytearray | memoryview) -> bool:
    """Whether a relayed packet is a DISCO message, judged by magic and length."""
    return len(packet) >= MIN_DISCO and packet[: len(DISCO_MAGIC)] == DISCO_MAGIC


class FrameReader:
    """Cuts a byte stream into frames, whatever the pieces it arrives in.

    Holds back at most one incomplete frame of a known type. A frame of an unknown type is dropped
    as it arrives, so its length needs no limit.
    """

    __slots__ = ("_max_payload", "_needed", "_pending", "_skip")

    def __init__(self, max_payload: int = MAX_CLIENT_FRAME) -> None:
        self._max_payload = max_payload
        self._pending = bytearray()
        self._needed = HEADER_SIZE
        self._skip = 0

    @property
    def held_back(self) -> int:
        """How many bytes wait for the rest of their frame."""
        return len(self._pending)

    def feed(self, data: bytes) -> list[tuple[int, memoryview]]:
        """Return the type and payload of every frame that is complete now.

        A known frame above the limit is a ``ProtocolError``; the reader is useless after it.
        """
        if self._pending:
            self._pending += data
            if len(self._pending) < self._needed:
                return []
            data = bytes(self._pending)
            self._pending.clear()
        frames, position = self._cut(memoryview(data))
        self._pending += data[position:]
        return frames

    def _cut(self, data: memoryview) -> tuple[list[tuple[int, memoryview]], int]:
        """Cut all complete frames; also return where the incomplete one begins."""
        frames: list[tuple[int, memoryview]] = []
        end = len(data)
        position = min(self._skip, end)
        self._skip -= position
        unpack_from = HEADER.unpack_from
        while end - position >= HEADER_SIZE:
            kind, length = unpack_from(data, position)
            after = position + HEADER_SIZE + length
            if kind not in _KNOWN:
                position = min(after, end)
                self._skip = after - position
                continue
            if length > self._max_payload:
                raise ProtocolError(
                    f"a frame of {length} bytes (type {kind:#04x}) is above the limit"
                    f" of {self._max_payload}"
                )
            if after > end:
                self._needed = after - position
                return frames, position
            frames.append((kind, data[position + HEADER_SIZE : after]))
            position = after
        self._needed = HEADER_SIZE
        return frames, position
