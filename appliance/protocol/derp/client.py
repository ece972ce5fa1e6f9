"""One connection to a relay as the node sees it.

The node sends the upgrade request, learns the relay's key (ServerKey), logs in (ClientInfo) and is
logged in when ServerInfo arrives. With fast start, the key is known and request and login leave
together. From then on packets flow both ways; any frame is a sign of life, the relay sends
KeepAlive at least every 65 s.

Source: tailscale derp/derp_client.go, derp/derphttp/derphttp_client.go, 2026-08.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from appliance.protocol.derp.frames import (
    HEADER,
    MAX_PACKET,
    PING_SIZE,
    FrameReader,
    FrameType,
    PeerGoneReason,
    encode_frame,
    encode_note_preferred,
    encode_send_packet,
    parse_peer_gone,
    parse_ping,
    parse_restarting,
    parse_server_key,
)
from appliance.protocol.derp.login import ClientInfo, encode_client_info, parse_server_info
from appliance.protocol.derp.upgrade import encode_upgrade_request, split_upgrade_response
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import KEY_SIZE, NodePrivate, NodePublic

# From the specification: twice the relay's keepalive.
SILENCE_S: Final = 120.0

# Ours: from the first byte we send to ServerInfo; the relay allows 10 s a step.
LOGIN_S: Final = 10.0

# Ours: answers to Pings that wait to be taken; a relay that asks more is not answered.
MAX_QUEUED_PONGS: Final = 16

# Ours: what a page or log shows of a relay's complaint.
MAX_HEALTH_TEXT: Final = 500


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The relay took our login; a rate above 0 is its wish for our sending rate."""

    relay: NodePublic
    rate_bytes_per_s: int
    burst_bytes: int


@dataclass(frozen=True, slots=True)
class Packets:
    """Packets in the order of their arrival: raw key of the source, packet.

    The views point into the bytes given to ``receive_data`` and stay valid.
    """

    packets: list[tuple[bytes, memoryview]]


@dataclass(frozen=True, slots=True)
class PeerGone:
    """A peer is no longer reachable through this relay."""

    peer: NodePublic
    reason: PeerGoneReason


@dataclass(frozen=True, slots=True)
class PongReceived:
    """The answer to ``ping``."""

    data: bytes


@dataclass(frozen=True, slots=True)
class HealthChanged:
    """The relay's complaint about this connection; empty when it is content again."""

    problem: str


@dataclass(frozen=True, slots=True)
class Restarting:
    """The relay is about to restart: reconnect after a while, and insist for a while."""

    reconnect_in_s: float
    try_for_s: float


Event = LoggedIn | Packets | PeerGone | PongReceived | HealthChanged | Restarting


class State(Enum):
    """Where the connection stands."""

    UPGRADING = "waits for the HTTP answer"
    GREETING = "waits for ServerKey"
    LOGGING_IN = "waits for ServerInfo"
    RUNNING = "packets flow"


class DerpClientSession:
    """One connection to a relay, from the HTTP upgrade on.

    Driven by bytes from the relay (`receive_data`), packets for it (`encode_packet`) and time
    (`handle_timeout`). After a ``ProtocolError`` close the connection and drop the session.
    """

    def __init__(
        self,
        private_key: NodePrivate,
        host: str,
        *,
        nonce: bytes,
        now: float,
        relay_key: NodePublic | None = None,
        preferred: bool = False,
        ideal_node: str = "",
        info: ClientInfo | None = None,
    ) -> None:
        """Begin a connection to ``host``.

        ``nonce`` is 24 random bytes. ``relay_key`` is the relay's key when TLS 1.3 told it
        (`upgrade.relay_key_from_certificate`), for a fast start. ``preferred`` says that this is
        the node's home relay.
        """
        self.state = State.UPGRADING
        self.relay_key = relay_key
        self._private = private_key
        self._nonce = nonce
        self._info = info or ClientInfo()
        self._preferred = preferred
        self._head = b""
        self._reader = FrameReader()
        self._pongs_queued = 0
        self._timeout = now + LOGIN_S
        self._out = bytearray(
            encode_upgrade_request(host, fast_start=relay_key is not None, ideal_node=ideal_node)
        )
        if relay_key is not None:
            self._log_in(relay_key)

    # -- what the relay sent

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the relay; bytes to send may follow (`data_to_send`)."""
        if self.state is State.UPGRADING:
            rest = split_upgrade_response(self._head + data)
            if rest is None:
                self._head += data
                return []
            self._head, data, self.state = b"", rest, State.GREETING
        events: list[Event] = []
        packets: list[tuple[bytes, memoryview]] = []
        for kind, payload in self._reader.feed(data):
            if kind == _RECV_PACKET and self.state is State.RUNNING:
                if len(payload) >= KEY_SIZE:
                    packets.append((bytes(payload[:KEY_SIZE]), payload[KEY_SIZE:]))
            elif (event := self._receive_control(kind, payload)) is not None:
                if packets:
                    events.append(Packets(packets))
                    packets = []
                events.append(event)
        if packets:
            events.append(Packets(packets))
        if self.state is State.RUNNING:
            self._timeout = now + SILENCE_S
        return events

    def _receive_control(self, kind: int, payload: memoryview) -> Event | None:
        if self.state is State.RUNNING:
            return self._receive_running(kind, payload)
        if kind == FrameType.SERVER_KEY and self.state is State.GREETING:
            self._log_in(parse_server_key(payload))
        elif kind == FrameType.SERVER_INFO and self.state is State.LOGGING_IN:
            return self._logged_in(payload)
        elif self.state is State.GREETING:
            raise ProtocolError("the other side is not a DERP relay: it sent no greeting")
        return None

    def _receive_running(self, kind: int, payload: memoryview) -> Event | None:
        match kind:
            case FrameType.PEER_GONE:
                return PeerGone(*parse_peer_gone(payload))
            case FrameType.PING:
                self._queue_pong(parse_ping(payload))
            case FrameType.PONG:
                return PongReceived(parse_ping(payload))
            case FrameType.HEALTH:
                return HealthChanged(_printable(payload))
            case FrameType.RESTARTING:
                return Restarting(*parse_restarting(payload))
            case _:
                pass  # KeepAlive is a sign of life only; what is for a mesh is not for us
        return None

    def _log_in(self, relay: NodePublic) -> None:
        """Send the login, and NotePreferred with it: the relay reads them one after another."""
        self.relay_key = relay
        self.state = State.LOGGING_IN
        self._out += encode_client_info(self._info, self._private, relay, self._nonce)
        if self._preferred:
            self._out += encode_note_preferred(preferred=True)

    def _logged_in(self, payload: memoryview) -> LoggedIn:
        assert self.relay_key is not None  # noqa: S101 - LOGGING_IN implies it
        info = parse_server_info(payload, self._private, self.relay_key)
        self.state = State.RUNNING
        return LoggedIn(self.relay_key, info.rate_bytes_per_s, info.burst_bytes)

    def _queue_pong(self, data: bytes) -> None:
        if self._pongs_queued < MAX_QUEUED_PONGS:
            self._pongs_queued += 1
            self._out += encode_frame(FrameType.PONG, data)

    # -- what goes to the relay

    def data_to_send(self) -> bytes:
        """Take the bytes that the session itself wants to send (upgrade, login, answers)."""
        data = bytes(self._out)
        self._out.clear()
        self._pongs_queued = 0
        return data

    @staticmethod
    def encode_packet(destination: NodePublic, packet: bytes | memoryview) -> bytes:
        """Encode one packet of at most 64 KiB; send it only once logged in."""
        return encode_send_packet(destination.raw, packet)

    @staticmethod
    def encode_packets(destination: NodePublic, packets: Iterable[bytes | memoryview]) -> bytes:
        """Encode many packets for one peer, to be sent in one write."""
        key, pack = destination.raw, HEADER.pack
        parts: list[bytes | memoryview] = []
        for packet in packets:
            if len(packet) > MAX_PACKET:
                raise ProtocolError(f"a relayed packet has at most {MAX_PACKET} bytes")
            parts += (pack(_SEND_PACKET, KEY_SIZE + len(packet)), key, packet)
        return b"".join(parts)

    def note_preferred(self, *, preferred: bool) -> None:
        """Tell the relay whether it is our home; said at login when it is."""
        if preferred == self._preferred:
            return
        self._preferred = preferred
        if self.state in (State.LOGGING_IN, State.RUNNING):
            self._out += encode_note_preferred(preferred=preferred)

    def ping(self, data: bytes) -> None:
        """Ask for a sign of life: 8 bytes that the relay echoes (`PongReceived`)."""
        if len(data) != PING_SIZE:
            raise ProtocolError(f"Ping carries {PING_SIZE} bytes, not {len(data)}")
        self._out += encode_frame(FrameType.PING, data)

    # -- time

    def next_timeout(self) -> float:
        """When `handle_timeout` is due."""
        return self._timeout

    def handle_timeout(self, now: float) -> None:
        """Raise ``ProtocolError`` when the relay has been silent too long."""
        if now < self._timeout:
            return
        if self.state is State.RUNNING:
            raise ProtocolError(f"the relay has been silent for {SILENCE_S:.0f} s")
        raise ProtocolError(f"the relay did not finish the login within {LOGIN_S:.0f} s")


_RECV_PACKET: Final = int(FrameType.RECV_PACKET)
_SEND_PACKET: Final = int(FrameType.SEND_PACKET)


def _printable(payload: memoryview) -> str:
    text = bytes(payload[: 4 * MAX_HEALTH_TEXT]).decode("utf-8", "replace")
    return "".join(character for character in text if character.isprintable())[:MAX_HEALTH_TEXT]
