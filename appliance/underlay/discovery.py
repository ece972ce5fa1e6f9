"""All peers' paths together: which DISCO message belongs to whom, and what follows.

Driven by datagrams (from the WireGuard port, or from a relay), packets that the proxies saw, what
the device counted, and time. Queues effects for the asyncio half. Pure: time and random bytes
come from the caller.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from appliance.protocol.addresses import AddrPort
from appliance.protocol.disco import (
    NONCE_SIZE,
    TX_ID_SIZE,
    CallMeMaybe,
    DiscoBox,
    Message,
    Ping,
    Pong,
    parse_sender,
)
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import DiscoPrivate, DiscoPublic, NodePublic
from appliance.underlay.config import (
    NO_REGION,
    Path,
    PeerUnderlay,
    Relayed,
    UnderlayConfig,
)
from appliance.underlay.device import PeerCounters
from appliance.underlay.path import PING_TIMEOUT_S, PeerPath
from appliance.underlay.pathstate import (
    Action,
    PathState,
    Route,
    SendCallMeMaybe,
    SendPing,
    SetRoute,
)

# From the reference: a relay's region as an address, where a message has room for one only.
RELAY_ADDRESS: Final = IPv4Address("127.3.3.40")

# Ours: pings through the relay are for people who wait for them; more at once is an error.
MAX_RELAY_PINGS: Final = 64


@dataclass(frozen=True, slots=True)
class SendDatagram:
    """Send this from the WireGuard port; on failure tell `Discovery.send_failed`."""

    peer: NodePublic
    address: AddrPort
    data: bytes


@dataclass(frozen=True, slots=True)
class SendRelayed:
    """Send this through the peer's relay, or through ``region`` when it is not 0."""

    peer: NodePublic
    data: bytes
    region: int = NO_REGION


@dataclass(frozen=True, slots=True)
class CallWanted:
    """Call `Discovery.call_me_maybe` for this peer once our endpoints are fresh."""

    peer: NodePublic


@dataclass(frozen=True, slots=True)
class RouteChanged:
    """Make the device and the peer's proxy send like this."""

    peer: NodePublic
    route: Route


@dataclass(frozen=True, slots=True)
class PeerRestarted:
    """The peer's DISCO key is another one: its WireGuard session is gone too."""

    peer: NodePublic


@dataclass(frozen=True, slots=True)
class PingAnswered:
    """A pong came from the peer by this path."""

    peer: NodePublic
    path: Path
    latency_s: float


Effect = SendDatagram | SendRelayed | CallWanted | RouteChanged | PeerRestarted | PingAnswered


class _Peer:
    """One peer: what the netmap says, its path, and the box between us (made when needed)."""

    __slots__ = ("_box", "_private", "config", "path")

    def __init__(self, config: PeerUnderlay, private: DiscoPrivate, path: PeerPath) -> None:
        self.config = config
        self.path = path
        self._private = private
        self._box: DiscoBox | None = None

    def box(self) -> DiscoBox:
        """Return the box; a ``ProtocolError`` when the peer has no usable DISCO key."""
        if self._box is None:
            if self.config.disco_key is None:
                raise ProtocolError(f"{self.config.name} has no DISCO key")
            self._box = DiscoBox(self._private, self.config.disco_key)
        return self._box


class Discovery:
    """Every peer's `PeerPath`, and the sealing, opening and sorting of DISCO messages."""

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._peers: dict[NodePublic, _Peer] = {}
        self._by_disco: dict[DiscoPublic, list[_Peer]] = {}
        self._own_disco: DiscoPrivate | None = None
        self._own_node: NodePublic | None = None
        self._due: dict[NodePublic, float] = {}
        self._relay_pings: dict[bytes, tuple[NodePublic, float]] = {}
        self._effects: list[Effect] = []

    # -- what the caller asks

    def take_effects(self) -> list[Effect]:
        """Take what is to be done, in order."""
        effects, self._effects = self._effects, []
        return effects

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is due; None while every path is at rest."""
        return min(self._due.values(), default=None)

    def paths(self) -> dict[NodePublic, Path]:
        """Return how each peer is reached now."""
        return {key: self._path_of(peer) for key, peer in self._peers.items()}

    def path_of(self, key: NodePublic) -> Path | None:
        """Return how one peer is reached now; None for a stranger."""
        peer = self._peers.get(key)
        return self._path_of(peer) if peer else None

    def is_active(self, now: float) -> bool:
        """Whether there was traffic with any peer lately."""
        return any(peer.path.is_active(now) for peer in self._peers.values())

    def wants_counters(self, now: float) -> bool:
        """Whether `note_counters` has something to learn."""
        return any(peer.path.wants_counters(now) for peer in self._peers.values())

    def carries_direct_traffic(self, now: float) -> bool:
        """Whether a direct path is in use, so that its death should be noticed soon."""
        return any(
            peer.path.state is PathState.DIRECT and peer.path.is_active(now)
            for peer in self._peers.values()
        )

    # -- what happened

    def apply(self, config: UnderlayConfig, now: float) -> None:
        """Take a new netmap; paths of peers that stay the same go on undisturbed."""
        if config.disco_key != self._own_disco:
            self._effects += [RouteChanged(key, Route()) for key in self._peers]
            self._peers.clear()
            self._due.clear()
        self._own_disco, self._own_node = config.disco_key, config.node_key.public()
        for key in self._peers.keys() - config.peers.keys():
            del self._peers[key]
            self._due.pop(key, None)
        for key, wanted in config.peers.items():
            self._apply_peer(key, wanted, config.disco_key, now)
        self._by_disco = {}
        for peer in self._peers.values():
            if peer.config.disco_key is not None:
                self._by_disco.setdefault(peer.config.disco_key, []).append(peer)

    def want(self, key: NodePublic, now: float) -> None:
        """Note a packet for this peer that came to its proxy."""
        peer = self._peers.get(key)
        if peer is not None and peer.config.disco_key is not None:
            peer.path.want(now)
            self._follow(peer, now)

    def note_relayed(self, key: NodePublic, now: float) -> None:
        """Note WireGuard packets of a peer that came through a relay though we send directly."""
        peer = self._peers.get(key)
        if peer is not None:
            peer.path.note_relayed(now)
            self._follow(peer, now)

    def ping(self, key: NodePublic, now: float) -> None:
        """Ping a peer for somebody who waits: by its path, and by the relay if that is it."""
        peer = self._peers[key]
        peer.path.ping_now(now)
        if peer.path.state is not PathState.DIRECT:
            self._ping_by_relay(peer, now)
        self._follow(peer, now)

    def adopt(self, key: NodePublic, address: AddrPort, now: float) -> None:
        """Take over an endpoint that an earlier run of this program found."""
        peer = self._peers.get(key)
        if peer is not None and peer.config.disco_key is not None:
            peer.path.adopt(address, now)
            self._follow(peer, now)

    def receive_datagram(self, data: bytes, source: AddrPort, now: float) -> None:
        """Take a DISCO datagram that came straight from ``source``; strangers get no answer."""
        try:
            peers = self._by_disco.get(parse_sender(data), [])
            message = peers[0].box().open(data) if peers else None
        except ProtocolError:
            return
        match message:
            case Ping():
                self._receive_ping(peers, message, source, now)
            case Pong():
                self._receive_pong(peers, message, now)
            case _:
                pass  # a call-me-maybe is believed only when a relay vouches for its sender

    def receive_relayed(self, key: NodePublic, data: bytes, region: int, now: float) -> None:
        """Take a DISCO datagram that a relay says is from this node."""
        peer = self._peers.get(key)
        if peer is None:
            return
        try:
            if parse_sender(data) != peer.config.disco_key:
                return
            message = peer.box().open(data)
        except ProtocolError:
            return
        self._receive_relayed(peer, message, region, now)

    def note_counters(
        self,
        counters: Mapping[NodePublic, PeerCounters],
        proxies: Mapping[NodePublic, AddrPort],
        now: float,
    ) -> None:
        """Take what the device counted; ``proxies`` are the addresses of the relay paths."""
        for key, peer in self._peers.items():
            seen = counters.get(key)
            if seen is not None and peer.path.wants_counters(now):
                endpoint = None if seen.endpoint == proxies.get(key) else seen.endpoint
                peer.path.note_counters(seen.rx_bytes, seen.tx_bytes, endpoint, now)
                self._follow(peer, now)

    def send_failed(self, key: NodePublic, address: AddrPort, now: float) -> None:
        """Take the news that the kernel refused to send there."""
        peer = self._peers.get(key)
        if peer is not None:
            peer.path.send_failed(address, now)
            self._follow(peer, now)

    def forget_paths(self, now: float) -> None:
        """Start all searches anew: the network is another one."""
        for peer in self._peers.values():
            peer.path.forget(now)
            self._follow(peer, now)

    def call_me_maybe(self, key: NodePublic, endpoints: Iterable[AddrPort]) -> None:
        """Ask a peer through its relay to ping these addresses of ours."""
        peer = self._peers.get(key)
        if peer is not None:
            self._send_relayed(peer, CallMeMaybe(tuple(endpoints)))

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        for key, due in list(self._due.items()):
            if due <= now:
                peer = self._peers[key]
                peer.path.handle_timeout(now)
                self._follow(peer, now)

    # -- peers

    def _apply_peer(
        self, key: NodePublic, wanted: PeerUnderlay, private: DiscoPrivate, now: float
    ) -> None:
        peer = self._peers.get(key)
        if peer is None or peer.config.disco_key != wanted.disco_key:
            if peer is not None:
                self._effects.append(RouteChanged(key, Route()))
                if None not in (peer.config.disco_key, wanted.disco_key):
                    self._effects.append(PeerRestarted(key))  # a key that becomes known is none
                self._due.pop(key, None)
            peer = _Peer(wanted, private, PeerPath(self._new_tx_id))
            peer.path.watch(now)
            self._peers[key] = peer
        peer.config = wanted
        peer.path.set_netmap_endpoints(wanted.endpoints, now)
        self._follow(peer, now)

    def _path_of(self, peer: _Peer) -> Path:
        path = peer.path
        if path.state is PathState.DIRECT and path.best is not None:
            return path.best
        return Relayed(peer.config.home_derp)

    def _follow(self, peer: _Peer, now: float) -> None:
        """Turn what a path wants into effects, and note when it wants to be asked again."""
        for action in peer.path.take_actions():
            self._effects += self._effects_of(peer, action)
        due = peer.path.next_timeout()
        if due is None:
            self._due.pop(peer.config.key, None)
        else:
            self._due[peer.config.key] = max(due, now)

    def _effects_of(self, peer: _Peer, action: Action) -> Iterable[Effect]:
        key = peer.config.key
        match action:
            case SetRoute(route):
                yield RouteChanged(key, route)
            case SendCallMeMaybe():
                yield CallWanted(key)
            case SendPing(address, tx_id):
                data = self._seal(peer, Ping(tx_id, self._own_node))
                if data is not None:
                    yield SendDatagram(key, address, data)

    # -- messages

    def _new_tx_id(self) -> bytes:
        return self._random_bytes(TX_ID_SIZE)

    def _seal(self, peer: _Peer, message: Ping | Pong | CallMeMaybe) -> bytes | None:
        try:
            return peer.box().seal(message, self._random_bytes(NONCE_SIZE))
        except ProtocolError:
            return None  # the peer has no usable DISCO key, so it has no direct path

    def _send_relayed(
        self, peer: _Peer, message: Ping | Pong | CallMeMaybe, region: int = NO_REGION
    ) -> None:
        data = self._seal(peer, message)
        if data is not None:
            self._effects.append(SendRelayed(peer.config.key, data, region))

    def _receive_ping(self, peers: list[_Peer], ping: Ping, source: AddrPort, now: float) -> None:
        """Learn the source for the peer that the ping names, or for all that share the key."""
        named = [peer for peer in peers if peer.config.key == ping.node_key]
        answer = False
        for peer in named or peers:
            answer |= peer.path.receive_ping(ping.tx_id, source, now)
        if answer:
            data = self._seal(peers[0], Pong(ping.tx_id, source))
            if data is not None:
                key = (named or peers)[0].config.key
                self._effects.append(SendDatagram(key, source, data))
        for peer in named or peers:
            self._follow(peer, now)

    def _receive_pong(self, peers: list[_Peer], pong: Pong, now: float) -> None:
        for peer in peers:
            proven = peer.path.receive_pong(pong.tx_id, now)
            if proven is not None:
                self._effects.append(PingAnswered(peer.config.key, proven, proven.latency_s))
                self._follow(peer, now)
                return

    def _receive_relayed(self, peer: _Peer, message: Message, region: int, now: float) -> None:
        match message:
            case Ping(tx_id):
                self._send_relayed(peer, Pong(tx_id, AddrPort(RELAY_ADDRESS, region)), region)
            case Pong(tx_id):
                key, sent_at = self._relay_pings.pop(tx_id, (None, now))
                if key == peer.config.key:
                    answer = PingAnswered(peer.config.key, Relayed(region), now - sent_at)
                    self._effects.append(answer)
            case CallMeMaybe(endpoints):
                peer.path.receive_call_me_maybe(endpoints, now)
                self._follow(peer, now)
            case _:
                pass

    def _ping_by_relay(self, peer: _Peer, now: float) -> None:
        self._relay_pings = {
            tx_id: sent
            for tx_id, sent in self._relay_pings.items()
            if now - sent[1] < PING_TIMEOUT_S
        }
        if len(self._relay_pings) < MAX_RELAY_PINGS:
            tx_id = self._new_tx_id()
            self._relay_pings[tx_id] = (peer.config.key, now)
            self._send_relayed(peer, Ping(tx_id, self._own_node))
