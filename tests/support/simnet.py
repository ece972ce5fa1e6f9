"""A small internet in virtual time: hosts, NATs, loss, blocked UDP and one relay.

Each host runs the real ``Discovery`` with all its path machines. What WireGuard would do is
reduced to what the underlay sees of it: it sends to one endpoint a peer, counts, and follows the
peer's source address. ``World.draw`` shows the packets that flew, for the message of an assertion.
"""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address

from appliance.protocol.addresses import AddrPort
from appliance.protocol.disco import CallMeMaybe, DiscoBox, Ping, Pong, is_disco
from appliance.protocol.keys import DiscoPrivate, NodePrivate, NodePublic
from appliance.protocol.tailcfg import DerpMap
from appliance.underlay.config import Path, PeerUnderlay, UnderlayConfig
from appliance.underlay.discovery import (
    CallWanted,
    Discovery,
    PeerRestarted,
    PingAnswered,
    RouteChanged,
    SendDatagram,
    SendRelayed,
)
from appliance.underlay.pathstate import Route

PORT = 41641
STUN_SERVER = AddrPort(IPv4Address("198.51.100.1"), 3478)
UDP_DELAY_S = 0.010
LAN_DELAY_S = 0.001
RELAY_DELAY_S = 0.030
STUN_DELAY_S = 0.020
POLL_S = 0.5


class Mapping(Enum):
    """How a NAT chooses the outside port."""

    CONE = "one outside port for each inside port; lets in whose address was written to"
    EASY = "one outside port for each inside port; lets in whose address and port was written to"
    HARD = "another outside port for each destination; lets in only that one"


class Nat:
    """A home router: maps, and lets in only who was written to."""

    def __init__(self, public: str, mapping: Mapping, lifetime_s: float = 30.0) -> None:
        self.public = IPv4Address(public)
        self.mapping = mapping
        self.lifetime_s = lifetime_s
        self._ports = itertools.count(20_000)
        self._out: dict[tuple[AddrPort, AddrPort | None], tuple[int, float]] = {}
        self._in: dict[int, AddrPort] = {}
        self._allowed: dict[tuple[int, AddrPort], float] = {}

    def _filter(self, port: int, remote: AddrPort) -> tuple[int, AddrPort]:
        return port, AddrPort(remote.ip, 0) if self.mapping is Mapping.CONE else remote

    def outbound(self, inside: AddrPort, to: AddrPort, now: float) -> AddrPort:
        key = (inside, to if self.mapping is Mapping.HARD else None)
        port, used_at = self._out.get(key, (0, -1e9))
        if now - used_at > self.lifetime_s:
            keep = not port and self.mapping is not Mapping.HARD and inside.port not in self._in
            port = inside.port if keep else next(self._ports)
            self._in[port] = inside
        self._out[key] = (port, now)
        self._allowed[self._filter(port, to)] = now
        return AddrPort(self.public, port)

    def inbound(self, to: AddrPort, source: AddrPort, now: float) -> AddrPort | None:
        allowed_at = self._allowed.get(self._filter(to.port, source))
        if allowed_at is None or now - allowed_at > self.lifetime_s:
            return None
        self._allowed[self._filter(to.port, source)] = now
        return self._in.get(to.port)


@dataclass
class SimPeer:
    """What the device of a host knows of one peer."""

    key: NodePublic
    endpoint: AddrPort | None = None  # None: the proxy
    rx_bytes: int = 0
    tx_bytes: int = 0
    last_handshake: float | None = None


@dataclass
class Host:
    """A node with its path machines."""

    world: "World"
    name: str
    address: AddrPort
    nat: Nat | None
    node_key: NodePrivate
    disco_key: DiscoPrivate
    discovery: Discovery
    udp_blocked: bool = False
    device: dict[NodePublic, SimPeer] = field(default_factory=dict)
    routes: dict[NodePublic, Route] = field(default_factory=dict)
    route_log: list[tuple[float, Route]] = field(default_factory=list)
    received: list[tuple[float, int]] = field(default_factory=list)
    pings_answered: list[PingAnswered] = field(default_factory=list)

    @property
    def key(self) -> NodePublic:
        return self.node_key.public()

    def path_to(self, other: "Host") -> Path:
        return self.discovery.paths()[other.key]

    def send(self, other: "Host", number: int = 0, size: int = 100) -> None:
        """Send one WireGuard packet, wherever the device sends it now."""
        now, peer = self.world.now, self.device[other.key]
        peer.tx_bytes += size
        data = b"\x04\0\0\0" + number.to_bytes(4) + bytes(size)
        if peer.endpoint is not None:
            self.world.transmit(self, peer.endpoint, data)
            return
        self.discovery.want(other.key, now)
        self.world.relay(self, other.key, data)
        copy_to = self.routes.get(other.key, Route()).copy_to
        if copy_to is not None:
            self.world.transmit(self, copy_to, data)
        self.world.settle(self)

    def take_wireguard(self, sender: "Host", data: bytes, source: AddrPort | None) -> None:
        """Count a packet once and follow its source, as WireGuard does."""
        number = int.from_bytes(data[4:8])
        if any(number == seen for _, seen in self.received) and number:
            return  # the replay window
        peer = self.device[sender.key]
        peer.rx_bytes += len(data)
        if source is None:  # relayed: injected as the direct path, if there is one
            source = self.routes.get(sender.key, Route()).endpoint
        peer.endpoint = source
        self.received.append((self.world.now, number))


class World:
    """The clock, the wires, and everybody on them."""

    def __init__(self, seed: int = 1) -> None:
        self.now = 100.0
        self.loss = 0.0
        self.hosts: list[Host] = []
        self.random = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._log: list[str] = []

    # -- building

    def host(self, name: str, address: str, nat: Nat | None = None) -> Host:
        host = Host(
            self,
            name,
            AddrPort(IPv4Address(address), PORT),
            nat,
            NodePrivate.from_seed(self.random.randbytes(32)),
            DiscoPrivate.from_seed(self.random.randbytes(32)),
            Discovery(self.random.randbytes),
        )
        self.hosts.append(host)
        self._poll(host)
        return host

    def join(self, *, endpoints_known: bool = True) -> None:
        """Give every host a netmap with all the others."""
        for host in self.hosts:
            self.apply(host, endpoints_known=endpoints_known)

    def apply(self, host: Host, *, endpoints_known: bool = True) -> None:
        others = [other for other in self.hosts if other is not host]
        peers = {
            other.key: PeerUnderlay(
                other.key,
                other.disco_key.public(),
                self.endpoints_of(other) if endpoints_known else (),
                1,
                other.name,
            )
            for other in others
        }
        for other in others:
            host.device.setdefault(other.key, SimPeer(other.key))
        config = UnderlayConfig(host.node_key, host.disco_key, PORT, 0, DerpMap(), peers)
        host.discovery.apply(config, self.now)
        self.settle(host)

    def endpoints_of(self, host: Host) -> tuple[AddrPort, ...]:
        """Return what STUN and the interfaces would say."""
        if host.udp_blocked or host.nat is None:
            return (host.address,)
        return (host.nat.outbound(host.address, STUN_SERVER, self.now), host.address)

    # -- time

    def at(self, delay_s: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + delay_s, next(self._order), what))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while True:
            timers = [(h.discovery.next_timeout(), h) for h in self.hosts]
            due = [(at, h) for at, h in timers if at is not None]
            timer_at, host = min(due, key=lambda item: item[0], default=(float("inf"), None))
            event_at = self._events[0][0] if self._events else float("inf")
            if min(timer_at, event_at) > end:
                break
            self.now = max(self.now, min(timer_at, event_at))
            if event_at <= timer_at:
                heapq.heappop(self._events)[2]()
            elif host is not None:
                host.discovery.handle_timeout(self.now)
                self.settle(host)
        self.now = end

    def run_until(self, condition: Callable[[], bool], limit_s: float) -> float:
        """Let time pass until the condition holds; return how long it took."""
        start = self.now
        while not condition():
            if self.now - start > limit_s:
                raise AssertionError(f"not within {limit_s} s\n{self.draw()}")
            self.run(0.005)
        return self.now - start

    def stream(self, sender: Host, receiver: Host, seconds: float, every_s: float = 0.1) -> None:
        """Send a numbered packet from time to time, and get an answer to each."""
        count = round(seconds / every_s)
        for i in range(count):
            number = round(self.now * 1000) * 1000 + i + 1
            self.at(i * every_s, lambda n=number: sender.send(receiver, n))
            self.at(
                i * every_s + 0.080,
                lambda n=number: receiver.send(sender, n) if self._has(receiver, n) else None,
            )

    @staticmethod
    def _has(host: Host, number: int) -> bool:
        return any(number == seen for _, seen in host.received)

    # -- wires

    def transmit(self, sender: Host, to: AddrPort, data: bytes) -> None:
        source, delay_s = sender.address, UDP_DELAY_S
        on_lan = any(to == host.address and host.nat is sender.nat for host in self.hosts)
        if sender.udp_blocked:
            self._note(sender.name, str(to), data, "blocked at the sender")
            return
        if sender.nat is not None and on_lan:
            delay_s = LAN_DELAY_S
        elif sender.nat is not None:
            source = sender.nat.outbound(sender.address, to, self.now)
        if self.random.random() < self.loss:
            self._note(sender.name, str(to), data, "lost")
            return
        self.at(delay_s, lambda: self._arrive(sender, source, to, data))

    def _arrive(self, sender: Host, source: AddrPort, to: AddrPort, data: bytes) -> None:
        for host in self.hosts:
            inside: AddrPort | None = to
            if host.nat is not None and to.ip == host.nat.public:
                inside = host.nat.inbound(to, source, self.now)
                if inside is None:
                    self._note(str(source), str(to), data, f"dropped by {host.name}'s NAT")
                    return
            elif host.nat is not None and (sender.nat is not host.nat or sender is host):
                continue  # a private address of another network
            if inside == host.address:
                if host.udp_blocked:
                    self._note(str(source), host.name, data, "blocked at the receiver")
                    return
                self._note(str(source), host.name, data, "")
                if is_disco(data):
                    host.discovery.receive_datagram(data, source, self.now)
                    self.settle(host)
                else:
                    host.take_wireguard(sender, data, source)
                return
        self._note(str(source), str(to), data, "nobody there")

    def relay(self, sender: Host, to: NodePublic, data: bytes) -> None:
        self.at(RELAY_DELAY_S, lambda: self._arrive_relayed(sender, to, data))

    def _arrive_relayed(self, sender: Host, to: NodePublic, data: bytes) -> None:
        host = next(host for host in self.hosts if host.key == to)
        self._note(f"{sender.name} (relay)", host.name, data, "")
        if is_disco(data):
            host.discovery.receive_relayed(sender.key, data, 1, self.now)
            self.settle(host)
        else:
            host.take_wireguard(sender, data, None)

    def settle(self, host: Host) -> None:
        """Do what a host's machines want."""
        for effect in host.discovery.take_effects():
            match effect:
                case SendDatagram(_, address, data):
                    self.transmit(host, address, data)
                case SendRelayed(peer, data):
                    self.relay(host, peer, data)
                case CallWanted(peer):
                    self.at(STUN_DELAY_S, lambda p=peer: self._call(host, p))
                case RouteChanged(peer, route):
                    host.routes[peer] = route
                    host.route_log.append((self.now, route))
                    host.device[peer].endpoint = route.endpoint
                    self._log.append(f"{self.now:9.3f}   {host.name}: {route}")
                case PeerRestarted(peer):
                    host.device[peer] = SimPeer(peer)
                case PingAnswered():
                    host.pings_answered.append(effect)

    def _call(self, host: Host, peer: NodePublic) -> None:
        host.discovery.call_me_maybe(peer, self.endpoints_of(host))
        self.settle(host)

    def _poll(self, host: Host) -> None:
        if host.discovery.wants_counters(self.now):
            proxies: dict[NodePublic, AddrPort] = {}
            host.discovery.note_counters(host.device, proxies, self.now)
            self.settle(host)
        self.at(POLL_S, lambda: self._poll(host))

    # -- drawing

    def _note(self, source: str, to: str, data: bytes, fate: str) -> None:
        arrow = "--x" if fate else "-->"
        text = f"{self.now:9.3f}   {source:>24} {arrow} {to:<24} {self._label(data)}"
        self._log.append(text + (f"   ({fate})" if fate else ""))

    def _label(self, data: bytes) -> str:
        if not is_disco(data):
            return f"wireguard {int.from_bytes(data[4:8])}"
        for one, other in itertools.permutations(self.hosts, 2):
            if data[6:38] != one.disco_key.public().raw:
                continue
            try:
                message = DiscoBox(other.disco_key, one.disco_key.public()).open(data)
            except Exception:
                continue
            match message:
                case Ping(tx_id):
                    return f"ping {tx_id.hex()[:4]}"
                case Pong(tx_id, source):
                    return f"pong {tx_id.hex()[:4]} saw {source}"
                case CallMeMaybe(endpoints):
                    return "call-me-maybe " + " ".join(map(str, endpoints))
        return "disco"

    def draw(self, last: int = 80) -> str:
        """Return the latest packets, one a line."""
        legend = ", ".join(f"{h.name} {h.address} {h.nat and h.nat.public}" for h in self.hosts)
        return "\n".join([legend, *self._log[-last:]])
