"""The asyncio half of the underlay: sockets, timers and the WireGuard device around `Discovery`.

A trusted direct path costs nothing here but a ping every 3 s and a look at the device's counters
twice a second while they move; at rest no timer runs.
"""

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from appliance.aio.latest import Latest
from appliance.protocol.addresses import AddrPort
from appliance.protocol.disco import is_disco
from appliance.protocol.keys import DiscoPublic, NodePublic
from appliance.protocol.stun import is_stun
from appliance.underlay.config import (
    NO_REGION,
    Direct,
    Path,
    PingResult,
    UnderlayConfig,
    UnderlayMemory,
    UnderlayStatus,
)
from appliance.underlay.device import EndpointSink
from appliance.underlay.devicewatch import DeviceWatch
from appliance.underlay.discovery import (
    CallWanted,
    Discovery,
    Effect,
    PeerRestarted,
    PingAnswered,
    RouteChanged,
    SendDatagram,
    SendRelayed,
)
from appliance.underlay.errors import UnderlayError, UnknownPeerError
from appliance.underlay.interfaces import NetworkView, follow_network, observe_network
from appliance.underlay.loopback import Loopback
from appliance.underlay.pathstate import Route
from appliance.underlay.rawsocket import WirePort
from appliance.underlay.relays import Relays
from appliance.underlay.survey import Survey

_log = logging.getLogger(__name__)

# Ours: packets that come to a proxy within this time are one sign of life.
WANT_INTERVAL_S: Final = 0.5
# Ours: relayed packets of a peer that is reached directly raise a doubt at most this often.
DOUBT_INTERVAL_S: Final = 0.2
# Ours: how long a call-me-maybe waits for fresh addresses.
CALL_PATIENCE_S: Final = 0.3
# From DNS: a peer's name in a log is no longer than a label.
MAX_NAME: Final = 63
# Ours: a latency that moved by less is no news.
NEWS_RATIO: Final = 1.25
NEWS_S: Final = 0.001


class UnderlayService:
    """Finds and keeps the best path to each peer.

    Order at start: ``apply`` (binds the proxies' sockets, sends nothing), then the dataplane's
    ``apply`` with ``proxy_endpoint`` as each new peer's endpoint, then ``run``. On a new netmap:
    ``apply`` here first, the dataplane's after it.
    """

    def __init__(self, device: EndpointSink, memory: UnderlayMemory | None = None) -> None:
        """``memory`` is what the last run left in ``self.memory``; needs a running loop."""
        self.status: Latest[UnderlayStatus] = Latest(UnderlayStatus())
        self.memory: Latest[UnderlayMemory] = Latest(memory or UnderlayMemory())
        self._device = device
        self._loop = asyncio.get_running_loop()
        self._config: UnderlayConfig | None = None
        self._discovery = Discovery(secrets.token_bytes)
        self._loopback = Loopback(self._from_device, self.memory.value.proxy_ports)
        self._wire = WirePort(self._from_wire)
        self._relays = Relays(
            self._open_socket, secrets.token_bytes, self._from_relay, self._publish_soon
        )
        self._survey = Survey(
            self._wire,
            self._open_socket,
            secrets.token_bytes,
            self._relays.heard_at,
            self._surveyed,
        )
        self._watch = DeviceWatch(device, self._discovery, self._loopback, self._call_later)
        self._routes: dict[NodePublic, Route] = {}
        self._wanted_at: dict[NodePublic, float] = {}
        self._relayed_at: dict[NodePublic, float] = {}
        self._waiters: dict[NodePublic, list[asyncio.Future[PingResult]]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._publishing = False
        self._failed: asyncio.Future[None] = self._loop.create_future()

    # -- what the agent calls

    def proxy_endpoint(self, peer: NodePublic) -> AddrPort:
        """Return the loopback address that stands for the peer's relay path.

        This is where a new peer of the device starts. ``UnknownPeerError`` before ``apply`` has
        named the peer.
        """
        return self._loopback.address_of(peer)

    async def apply(self, config: UnderlayConfig) -> None:
        """Change only what differs; safe to call again, before and while ``run`` runs.

        A peer whose DISCO key changed is reset in the device.
        """
        old, self._config = self._config, config
        self._loopback.set_peers(set(config.peers), config.listen_port)
        self._discovery.apply(config, self._loop.time())
        self._relays.configure(config.node_key, config.derp_map, config.peers)
        self._survey.configure(config.derp_map, config.listen_port)
        if old is None:
            self._reset_restarted(self.memory.value.disco_keys)
        if self._wire.is_open and old is not None and _socket_of(old) != _socket_of(config):
            self._wire.open(*_socket_of(config))
        for of_peer in (self._routes, self._wanted_at, self._relayed_at):
            for key in of_peer.keys() - config.peers.keys():
                del of_peer[key]
        disco_keys = {p.key: p.disco_key for p in config.peers.values() if p.disco_key}
        self.memory.set(UnderlayMemory(self._loopback.ports, disco_keys))
        self._settle()
        self._publish_soon()

    async def run(self) -> None:
        """Keep the paths until cancelled; the device must hold its port before.

        Raises what the device raised when it could not be moved or read.
        """
        if self._config is None:
            raise UnderlayError("Give the underlay a config before it runs.")
        try:
            self._wire.open(*_socket_of(self._config))
            self._loopback.start(self._loop)
            self._watch.take_over(self._config)
            async with asyncio.TaskGroup() as self._tasks:
                self._tasks.create_task(self._relays.run(), name="relays")
                self._tasks.create_task(self._survey.run(self._is_active), name="survey")
                self._tasks.create_task(self._follow_network(), name="network monitor")
                self._settle()
                await self._failed
        except BaseExceptionGroup:
            if self._failed.done():
                self._failed.result()
            raise
        finally:
            self._close()

    async def ping(self, peer: NodePublic, timeout_s: float = 5.0) -> PingResult | None:
        """Ping by the best path, and look for a better one; None when nobody answered."""
        if self._config is None or peer not in self._config.peers:
            raise UnknownPeerError(f"The netmap has no peer {peer}.")
        waiter: asyncio.Future[PingResult] = self._loop.create_future()
        self._waiters.setdefault(peer, []).append(waiter)
        self._discovery.ping(peer, self._loop.time())
        self._settle()
        try:
            async with asyncio.timeout(timeout_s):
                return await waiter
        except TimeoutError:
            return None
        finally:
            self._forget_waiter(peer, waiter)

    def network_changed(self) -> None:
        """Forget what an interface or route change made doubtful, and look again.

        While it runs, the service calls this by itself when our addresses or uplinks change.
        """
        _log.info("The network changed; looking for all paths again.")
        self._wire.network_changed()
        self._survey.forget()
        self._relays.network_changed()
        self._discovery.forget_paths(self._loop.time())
        self._settle()

    async def netcheck(self) -> UnderlayStatus:
        """Measure the relays and our addresses now; return the status after it."""
        await self._survey.measure(full=True)
        self._publish()
        return self.status.value

    async def _follow_network(self) -> None:
        def changed(before: NetworkView, present: NetworkView) -> None:
            if present.holds_paths_of(before):
                self._survey.look_again()
            else:
                self.network_changed()

        await follow_network(lambda: observe_network(self._wire.ask_route), changed)

    # -- packets

    def _from_device(self, peer: NodePublic, packets: list[memoryview]) -> None:
        """Relay what WireGuard sent to a peer's proxy; it tells also that the peer is wanted."""
        self._relays.send_packets(peer, self._home_of(peer), packets)
        route = self._routes.get(peer)
        if route is not None and route.copy_to is not None:
            for packet in packets:
                self._wire.send(route.copy_to, bytes(packet))
        now = self._loop.time()
        if now - self._wanted_at.get(peer, float("-inf")) >= WANT_INTERVAL_S:
            self._wanted_at[peer] = now
            self._survey.note_traffic(now)
            self._guarded(self._then_settle, self._discovery.want, peer, now)

    def _from_relay(self, region: int, peer: NodePublic, packets: list[memoryview]) -> None:
        """Give relayed WireGuard packets to the device, DISCO to the paths."""
        disco = [packet for packet in packets if is_disco(packet)]
        if disco:
            packets = [packet for packet in packets if not is_disco(packet)]
            receive, now = self._discovery.receive_relayed, self._loop.time()
            for packet in disco:
                self._guarded(self._then_settle, receive, peer, bytes(packet), region, now)
        if packets:
            self._inject(peer, packets)

    def _inject(self, peer: NodePublic, packets: list[memoryview]) -> None:
        route = self._routes.get(peer)
        direct = route.endpoint if route is not None else None
        local = self._wire.source_for(direct.ip) if direct is not None else None
        if direct is None or local is None:
            self._loopback.inject(peer, packets)
            return
        self._loopback.inject_as(packets, direct, local)
        now = self._loop.time()
        if now - self._relayed_at.get(peer, float("-inf")) >= DOUBT_INTERVAL_S:
            self._relayed_at[peer] = now
            self._guarded(self._then_settle, self._discovery.note_relayed, peer, now)

    def _from_wire(self, payload: bytes, source: AddrPort) -> None:
        now = self._loop.time()
        if is_disco(payload):
            receive = self._discovery.receive_datagram
            self._guarded(self._then_settle, receive, payload, source, now)
        elif is_stun(payload):
            self._survey.receive(payload, now)

    # -- what the paths want

    def _then_settle(self, tell: Callable[..., None], *args: Any) -> None:
        tell(*args)
        self._settle()

    def _settle(self) -> None:
        """Do what the paths want, and ask them again when they say."""
        while effects := self._discovery.take_effects():
            for effect in effects:
                self._perform(effect)
        if self._tasks is not None:
            self._arm_timer()
            self._watch.arm(self._looked)

    def _looked(self) -> None:
        """Follow a look at the device's counters."""
        if self._is_active():
            self._survey.note_traffic(self._loop.time())
        self._settle()

    def _perform(self, effect: Effect) -> None:
        match effect:
            case SendDatagram(peer, address, data):
                if self._wire.is_open and not self._wire.send(address, data):
                    self._discovery.send_failed(peer, address, self._loop.time())
            case SendRelayed(peer, data, region):
                self._relays.send_disco(peer, region or self._home_of(peer), data)
            case CallWanted(peer):
                self._spawn(self._call(peer), f"call-me-maybe to {peer}")
            case RouteChanged(peer, route):
                self._set_route(peer, route)
            case PeerRestarted(peer):
                self._reset(peer)
            case PingAnswered(peer, path, latency_s):
                self._answer_waiters(peer, PingResult(path, latency_s))
                self._publish_soon()

    def _set_route(self, peer: NodePublic, route: Route) -> None:
        old = self._routes.get(peer, Route())
        self._routes[peer] = route
        self._device.set_endpoint(peer, route.endpoint or self._loopback.address_of(peer))
        if (old.endpoint is None) != (route.endpoint is None):
            way = f"directly at {route.endpoint}" if route.endpoint else "through the relay"
            _log.info("%s is now reached %s.", self._name_of(peer), way)
        self._publish_soon()

    def _reset(self, peer: NodePublic) -> None:
        _log.info("%s restarted; its session begins anew.", self._name_of(peer))
        self._device.reset_peer(peer, self._loopback.address_of(peer))

    def _reset_restarted(self, known: Mapping[NodePublic, DiscoPublic]) -> None:
        """Reset peers that got another DISCO key while this program was down."""
        for key, peer in self._config.peers.items() if self._config else ():
            if key in known and peer.disco_key is not None and known[key] != peer.disco_key:
                self._reset(key)

    async def _call(self, peer: NodePublic) -> None:
        """Ask a peer to ping our addresses, once they are fresh."""
        if not self._survey.is_fresh(self._loop.time()):
            self._spawn(self._survey.measure(), "survey for a call-me-maybe")
            await asyncio.sleep(0)
            await self._survey.first_answer(CALL_PATIENCE_S)
        self._discovery.call_me_maybe(peer, [e.address for e in self._survey.endpoints])
        self._settle()

    def _arm_timer(self) -> None:
        due = self._discovery.next_timeout()
        if self._timer is not None:
            if due is not None and self._timer.when() == due:
                return
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = self._loop.call_at(due, self._guarded, self._timeout)

    def _timeout(self) -> None:
        self._timer = None
        self._discovery.handle_timeout(self._loop.time())
        self._settle()

    # -- status

    def _surveyed(self) -> None:
        self._relays.set_home(self._survey.home)
        self._publish_soon()

    def _publish_soon(self) -> None:
        if not self._publishing:
            self._publishing = True
            self._loop.call_soon(self._publish)

    def _publish(self) -> None:
        self._publishing = False
        told, survey = self.status.value.paths, self._survey
        mapped_v4, mapped_v6 = survey.report.mapped_v4, survey.report.mapped_v6
        paths = self._discovery.paths()
        self.status.set(
            UnderlayStatus(
                endpoints=survey.endpoints,
                net_info=survey.net_info,
                global_v4=mapped_v4[0] if mapped_v4 else None,
                global_v6=mapped_v6[0] if mapped_v6 else None,
                home_relay=survey.home,
                relays=self._relays.states,
                relay_problem=self._relays.home_problem,
                paths={key: _calmer(told.get(key), path) for key, path in paths.items()},
            )
        )

    # -- inside

    def _is_active(self) -> bool:
        return self._discovery.is_active(self._loop.time())

    def _open_socket(self, family: socket.AddressFamily) -> socket.socket:
        """Make a TCP socket whose packets stay out of the tunnel."""
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            if self._config is not None and self._config.fwmark:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, self._config.fwmark)
        except OSError:
            sock.close()
            raise
        return sock

    def _close(self) -> None:
        self._tasks = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._watch.stop()
        self._wire.close()
        self._loopback.close()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        if self._tasks is None:
            work.close()
        else:
            self._tasks.create_task(work, name=name)

    def _call_later(self, delay_s: float, work: Callable[[], None]) -> asyncio.TimerHandle:
        return self._loop.call_later(delay_s, self._guarded, work)

    def _guarded(self, work: Callable[..., None], *args: Any) -> None:
        """Run a callback of the event loop; its failure ends `run`."""
        try:
            work(*args)
        except Exception as error:  # noqa: BLE001 - raised again by `run`
            if not self._failed.done():
                self._failed.set_exception(error)

    def _home_of(self, peer: NodePublic) -> int:
        config = self._config.peers.get(peer) if self._config else None
        return config.home_derp if config else NO_REGION

    def _name_of(self, peer: NodePublic) -> str:
        config = self._config.peers.get(peer) if self._config else None
        name = config.name[:MAX_NAME] if config else ""
        return "".join(character for character in name if character.isprintable()) or str(peer)

    def _answer_waiters(self, peer: NodePublic, result: PingResult) -> None:
        for waiter in self._waiters.pop(peer, []):
            if not waiter.done():
                waiter.set_result(result)

    def _forget_waiter(self, peer: NodePublic, waiter: asyncio.Future[PingResult]) -> None:
        waiters = [other for other in self._waiters.pop(peer, []) if other is not waiter]
        if waiters:
            self._waiters[peer] = waiters


def _socket_of(config: UnderlayConfig) -> tuple[int, int]:
    return config.listen_port, config.fwmark


def _calmer(told: Path | None, path: Path) -> Path:
    """Keep the latency that was told before unless it changed by much."""
    if isinstance(told, Direct) and isinstance(path, Direct) and told.address == path.address:
        low, high = sorted((told.latency_s, path.latency_s))
        return told if high <= low * NEWS_RATIO + NEWS_S else path
    return path
