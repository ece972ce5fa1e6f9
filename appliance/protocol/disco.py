"""DISCO: the messages two nodes exchange to find a direct UDP path.

Datagram: magic (6 bytes) | sender's disco key (32) | nonce (24) | NaCl box (16 + inner).
Inner:    type (1) | version (1, zero) | payload; bytes after the known payload are ignored.

====  =============  ==================================================  =================
type  message        payload                                             sent
====  =============  ==================================================  =================
01    ping           tx ID (12) | sender's node key (32, optional) |     to every candidate
                     zero padding (probes the path's MTU)                address
02    pong           tx ID (12) | observed source: IP (16) | port (2)    where the ping
                                                                         came from
03    call-me-maybe  N x (IP (16) | port (2)), N may be 0                only over a relay
====  =============  ==================================================  =================

IPv4 addresses travel v4-mapped. Types 04 to 09 belong to peer relays; they are read as
``Unknown`` and may be ignored.

Source: tailscale disco/disco.go, 2026-08. Pure: the caller supplies nonce and transaction ID.
"""

from dataclasses import dataclass
from typing import Final

from nacl.bindings import crypto_box_afternm, crypto_box_beforenm, crypto_box_open_afternm
from nacl.exceptions import CryptoError

from appliance.protocol.addresses import AddrPort, ip_from_16, ip_to_16
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import KEY_SIZE, DiscoPrivate, DiscoPublic, NodePublic

MAGIC: Final = b"TS\xf0\x9f\x92\xac"
TX_ID_SIZE: Final = 12
NONCE_SIZE: Final = 24
_NONCE_START: Final = len(MAGIC) + KEY_SIZE
_BOX_START: Final = _NONCE_START + NONCE_SIZE
_ENDPOINT_SIZE: Final = 18
_PONG_SIZE: Final = TX_ID_SIZE + _ENDPOINT_SIZE

# Ours: a node behind two uplinks and a container host names about a dozen addresses. A peer
# that names more makes us ping that many addresses for it, so the rest is not read.
MAX_ENDPOINTS: Final = 64

_PING: Final = 1
_PONG: Final = 2
_CALL_ME_MAYBE: Final = 3


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a pong by the same path; ``node_key`` is None from clients before 1.18."""

    tx_id: bytes
    node_key: NodePublic | None = None
    padding: int = 0


@dataclass(frozen=True, slots=True)
class Pong:
    """Answers a ping and tells its sender the address it was seen to come from."""

    tx_id: bytes
    source: AddrPort


@dataclass(frozen=True, slots=True)
class CallMeMaybe:
    """Asks the receiver to ping these addresses, and all others it knows of us, now."""

    endpoints: tuple[AddrPort, ...] = ()


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of a type we do not use; valid, to be ignored."""

    kind: int


Message = Ping | Pong | CallMeMaybe | Unknown


def is_disco(datagram: bytes | memoryview) -> bool:
    """Tell DISCO from WireGuard and STUN by magic and length; the box may still not open."""
    return len(datagram) >= _BOX_START and datagram[: len(MAGIC)] == MAGIC


def parse_sender(datagram: bytes | memoryview) -> DiscoPublic:
    """Read the clear-text key of the sender, which is proven only when the box opens."""
    if not is_disco(datagram):
        raise ProtocolError("not a DISCO datagram")
    return DiscoPublic(bytes(datagram[len(MAGIC) : _NONCE_START]))


def parse_message(inner: bytes) -> Message:
    """Read an opened box; a truncated message of a known type is a ``ProtocolError``."""
    if len(inner) < 2:
        raise ProtocolError("a DISCO message has at least a type and a version")
    kind, version, payload = inner[0], inner[1], inner[2:]
    if kind == _PING:
        return _parse_ping(payload)
    if kind == _PONG:
        return _parse_pong(payload)
    if kind == _CALL_ME_MAYBE:
        return _parse_call_me_maybe(version, payload)
    return Unknown(kind)


def encode_message(message: Ping | Pong | CallMeMaybe) -> bytes:
    """Write what goes inside the box."""
    match message:
        case Ping(tx_id, node_key, padding):
            return bytes((_PING, 0)) + tx_id + (node_key.raw if node_key else b"") + bytes(padding)
        case Pong(tx_id, source):
            return bytes((_PONG, 0)) + tx_id + _encode_endpoint(source)
        case CallMeMaybe(endpoints):
            return bytes((_CALL_ME_MAYBE, 0)) + b"".join(map(_encode_endpoint, endpoints))


class DiscoBox:
    """Seals and opens datagrams between one of our keys and one peer's.

    The key agreement is done once, here, so keep a box for as long as both keys last; a
    datagram then costs one pass of XSalsa20-Poly1305.
    """

    __slots__ = ("_header", "_shared", "peer")

    def __init__(self, private: DiscoPrivate, peer: DiscoPublic) -> None:
        """Agree on the key; a peer's key of low order (zero, for one) is a ``ProtocolError``."""
        self.peer = peer
        self._header = MAGIC + private.public().raw
        try:
            self._shared = crypto_box_beforenm(peer.raw, private.raw)
        except (CryptoError, RuntimeError):
            raise ProtocolError(f"not a usable DISCO key: {peer}") from None

    def seal(self, message: Ping | Pong | CallMeMaybe, nonce: bytes) -> bytes:
        """Write the whole datagram; 24 random bytes are the nonce, never used again."""
        box = crypto_box_afternm(encode_message(message), nonce, self._shared)
        return self._header + nonce + box

    def open(self, datagram: bytes | memoryview) -> Message:
        """Read a whole datagram of this peer.

        A ``ProtocolError`` when the box does not open: not for us, not from this key, or
        sealed for a key we had before.
        """
        if not is_disco(datagram):
            raise ProtocolError("not a DISCO datagram")
        nonce = bytes(datagram[_NONCE_START:_BOX_START])
        try:
            inner = crypto_box_open_afternm(bytes(datagram[_BOX_START:]), nonce, self._shared)
        except (CryptoError, ValueError):
            raise ProtocolError("this DISCO datagram is not sealed for us") from None
        return parse_message(inner)


def _parse_ping(payload: bytes) -> Ping:
    if len(payload) < TX_ID_SIZE:
        raise ProtocolError("a DISCO ping has a transaction ID of 12 bytes")
    tx_id, rest = payload[:TX_ID_SIZE], payload[TX_ID_SIZE:]
    if len(rest) >= KEY_SIZE and any(rest[:KEY_SIZE]):
        return Ping(tx_id, NodePublic(rest[:KEY_SIZE]), len(rest) - KEY_SIZE)
    return Ping(tx_id, None, len(rest))


def _parse_pong(payload: bytes) -> Pong:
    if len(payload) < _PONG_SIZE:
        raise ProtocolError("a DISCO pong has a transaction ID and an address: 30 bytes")
    return Pong(payload[:TX_ID_SIZE], _parse_endpoint(payload[TX_ID_SIZE:_PONG_SIZE]))


def _parse_call_me_maybe(version: int, payload: bytes) -> CallMeMaybe:
    # A layout of a later version still means "ping me": at the addresses already known.
    if version != 0 or len(payload) % _ENDPOINT_SIZE:
        return CallMeMaybe()
    end = min(len(payload), MAX_ENDPOINTS * _ENDPOINT_SIZE)
    starts = range(0, end, _ENDPOINT_SIZE)
    return CallMeMaybe(tuple(_parse_endpoint(payload[i : i + _ENDPOINT_SIZE]) for i in starts))


def _parse_endpoint(raw: bytes) -> AddrPort:
    return AddrPort(ip_from_16(raw[:16]), int.from_bytes(raw[16:]))


def _encode_endpoint(endpoint: AddrPort) -> bytes:
    return ip_to_16(endpoint.ip) + endpoint.port.to_bytes(2)
