"""The asyncio half of the underlay: sockets, timers and the WireGuard device around `Discovery`.

A trusted direct path costs nothing here but a ping every 3 s and a look at the device's counters
every second while they move; at rest no timer runs.
"""

import asyncio
import logging
import random
import secrets
import socket
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from appliance.aio.latest import Latest
from appliance.protocol.addresses import AddrPort, IPAddress
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
from appliance.underlay.interfaces import drain_monitor, observe_interfaces, open_monitor
from appliance.underlay.loopback import Loopback
from appliance.underlay.pathstate import Route
from appliance.underlay.rawsocket import WirePort
from appliance.underlay.relays import Relays
from appliance.underlay.survey import Survey

_log = logging.getLogger(__name__)

# From the reference: between two looks at our network while there is traffic.
RESTUN_S: Final = (20.0, 26.0)

# Ours: how often the device's counters are read. A direct path that carries traffic is watched
# closely, because only its silence tells that it died; one look costs 0.1 to 0.5 ms.
WATCH_CLOSELY_S: Final = 0.5
WATCH_S: Final = 3.0
# Ours: of a device with so many peers that a look costs more, at most this share of a core.
MAX_WATCH_SHARE: Final = 0.003
# Ours: packets that come to a proxy within this time are one sign of life.
WANT_INTERVAL_S: Final = 0.5
# Ours: relayed packets of a peer that is reached directly raise a doubt at most this often.
DOUBT_INTERVAL_S: Final = 0.2
# Ours: how long a call-me-maybe waits for fresh addresses.
CALL_PATIENCE_S: Final = 0.3
# Ours: links and routes change in bursts.
SETTLE_S: Final = 0.5
# Ours: a latency that moved by less is no news.
NEWS_RATIO: Final = 1.25
# From WireGuard: an older session cannot be in use any more.
SESSION_S: Final = 180.0


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
        self._relays = Relays(
            self._open_socket, secrets.token_bytes, self._from_relay, self._publish_soon
        )
        self._survey = Survey(
            self, self._open_socket, secrets.token_bytes, self._relays.heard_at, self._surveyed
        )
        self._wire: WirePort | None = None
        self._routes: dict[NodePublic, Route] = {}
        self._wanted_at: dict[NodePublic, float] = {}
        self._relayed_at: dict[NodePublic, float] = {}
        self._waiters: dict[NodePublic, list[asyncio.Future[PingResult]]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._watch_cost_s = 0.0
        self._publishing = False
        self._traffic = asyncio.Event()
        self._remeasure = asyncio.Event()
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
        known = self.memory.value.disco_keys
        self._loopback.set_peers(set(config.peers), config.listen_port)
        self._discovery.apply(config, self._loop.time())
        self._relays.configure(config.node_key, config.derp_map, config.peers)
        if old is None:
            self._reset_strangers(known)
        if self._survey.configure(config.derp_map, config.listen_port):
            self._remeasure.set()
        if self._wire is not None and old is not None and _moved(old, config):
            self._open_wire(config)
        self._routes = {key: r for key, r in self._routes.items() if key in config.peers}
        for seen_at in (self._wanted_at, self._relayed_at):
            for key in seen_at.keys() - config.peers.keys():
                del seen_at[key]
        disco_keys = {p.key: p.disco_key for p in config.peers.values() if p.disco_key}
        self.memory.set(UnderlayMemory(self._loopback.ports, disco_keys))
        self._settle()
        self._publish_soon()

    async def run(self) -> None:
        """Keep the paths until cancelled; the device must hold its port before."""
        if self._config is None:
            raise UnderlayError("Give the underlay a config before it runs.")
        try:
            self._open_wire(self._config)
            self._loopback.start(self._loop)
            self._take_over()
            async with asyncio.TaskGroup() as self._tasks:
                self._tasks.create_task(self._relays.run(), name="relays")
                self._tasks.create_task(self._measure_for_ever(), name="survey")
                self._tasks.create_task(self._follow_network(), name="network monitor")
                self._relays.set_home(self._survey.home)
                await self._failed
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
        """Forget what an interface or route change made doubtful, and look again."""
        _log.info("The network changed; looking for all paths again.")
        if self._wire is not None:
            self._wire.network_changed()
        self._survey.forget()
        self._remeasure.set()
        self._relays.network_changed()
        self._discovery.forget_paths(self._loop.time())
        self._settle()

    async def netcheck(self) -> UnderlayStatus:
        """Measure the relays and our addresses now; return the status after it."""
        await self._survey.measure(full=True)
        self._publish()
        return self.status.value

    # -- the WireGuard port, as the survey needs it

    @property
    def has_ipv6(self) -> bool:
        """Whether this host knows IPv6 at all."""
        return self._wire is not None and self._wire.has_ipv6

    def send(self, to: AddrPort, payload: bytes) -> bool:
        """Send from the WireGuard port; False when that cannot work now."""
        return self._wire is not None and self._wire.send(to, payload)

    def source_for(self, to: IPAddress) -> IPAddress | None:
        """Return the own address on the way there; None without a route."""
        return self._wire.source_for(to) if self._wire is not None else None

    # -- packets

    def _from_device(self, peer: NodePublic, packets: list[memoryview]) -> None:
        """Relay what WireGuard sent to a peer's proxy; it tells also that the peer is wanted."""
        self._relays.send_packets(peer, self._home_of(peer), packets)
        route = self._routes.get(peer)
        if route is not None and route.copy_to is not None:
            for packet in packets:
                self.send(route.copy_to, bytes(packet))
        now = self._loop.time()
        if now - self._wanted_at.get(peer, float("-inf")) >= WANT_INTERVAL_S:
            self._wanted_at[peer] = now
            self._guarded(self._want, peer, now)

    def _want(self, peer: NodePublic, now: float) -> None:
        self._discovery.want(peer, now)
        self._settle()

    def _from_relay(self, region: int, peer: NodePublic, packets: list[memoryview]) -> None:
        """Give relayed WireGuard packets to the device, DISCO to the paths."""
        disco = [packet for packet in packets if is_disco(packet)]
        if disco:
            packets = [packet for packet in packets if not is_disco(packet)]
            for packet in disco:
                now = self._loop.time()
                self._discovery.receive_relayed(peer, bytes(packet), region, now)
            self._guarded(self._settle)
        if packets:
            self._inject(peer, packets)

    def _inject(self, peer: NodePublic, packets: list[memoryview]) -> None:
        route = self._routes.get(peer)
        direct = route.endpoint if route is not None else None
        local = self.source_for(direct.ip) if direct is not None else None
        if direct is not None and local is not None:
            self._loopback.inject_as(packets, direct, local)
            now = self._loop.time()
            if now - self._relayed_at.get(peer, float("-inf")) >= DOUBT_INTERVAL_S:
                self._relayed_at[peer] = now
                self._guarded(self._note_relayed, peer, now)
        else:
            self._loopback.inject(peer, packets)

    def _note_relayed(self, peer: NodePublic, now: float) -> None:
        self._discovery.note_relayed(peer, now)
        self._settle()

    def _from_wire(self, payload: bytes, source: AddrPort) -> None:
        now = self._loop.time()
        if is_disco(payload):
            self._discovery.receive_datagram(payload, source, now)
            self._guarded(self._settle)
        elif is_stun(payload):
            self._survey.receive(payload, now)

    # -- what the paths want

    def _settle(self) -> None:
        """Do what the paths want, and ask them again when they say."""
        effects = self._discovery.take_effects()
        while effects:
            for effect in effects:
                self._perform(effect)
            effects = self._discovery.take_effects()
        self._arm_timer()
        self._arm_watch()

    def _perform(self, effect: Effect) -> None:
        match effect:
            case SendDatagram(peer, address, data):
                if not self.send(address, data) and self._wire is not None:
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

    async def _call(self, peer: NodePublic) -> None:
        """Ask a peer to ping our addresses, once they are fresh."""
        if not self._survey.is_fresh(self._loop.time()):
            self._spawn(self._survey.measure(), "survey for a call-me-maybe")
            await asyncio.sleep(0)
            await self._survey.first_answer(CALL_PATIENCE_S)
        self._discovery.call_me_maybe(peer, [e.address for e in self._survey.endpoints])
        self._settle()

    # -- timers

    def _arm_timer(self) -> None:
        due = self._discovery.next_timeout()
        if self._timer is not None:
            if due is not None and self._timer.when() == due:
                return
            self._timer.cancel()
            self._timer = None
        if due is not None and self._tasks is not None:
            self._timer = self._loop.call_at(due, self._guarded, self._timeout)

    def _timeout(self) -> None:
        self._timer = None
        self._discovery.handle_timeout(self._loop.time())
        self._settle()

    def _arm_watch(self) -> None:
        """Look at the counters soon while they may tell something; also notice traffic."""
        now = self._loop.time()
        if self._watch is not None or self._tasks is None:
            return
        if self._discovery.wants_counters(now):
            closely = self._discovery.carries_direct_traffic(now)
            pause_s = max(
                WATCH_CLOSELY_S if closely else WATCH_S, self._watch_cost_s / MAX_WATCH_SHARE
            )
            self._watch = self._loop.call_later(pause_s, self._guarded, self._observe)
            self._traffic.set()

    def _observe(self) -> None:
        self._watch = None
        before = self._loop.time()
        device = self._device.observe()
        now = self._loop.time()
        self._watch_cost_s = now - before
        self._discovery.note_counters(device.peers, self._loopback.addresses, now)
        self._settle()

    async def _measure_for_ever(self) -> None:
        """Look at our network at start, on news, and now and then while there is traffic."""
        while True:
            self._remeasure.clear()
            await self._survey.measure()
            pause_s = random.uniform(*RESTUN_S)  # noqa: S311 - spreads load, guards nothing
            try:
                async with asyncio.timeout(pause_s):
                    await self._remeasure.wait()
            except TimeoutError:
                await self._wait_for_traffic()

    async def _wait_for_traffic(self) -> None:
        if self._discovery.is_active(self._loop.time()):
            return
        self._traffic.clear()
        async with asyncio.TaskGroup() as group:
            waits = [
                group.create_task(self._traffic.wait(), name="wait for traffic"),
                group.create_task(self._remeasure.wait(), name="wait for news"),
            ]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    async def _follow_network(self) -> None:
        """Notice when the addresses of our interfaces change."""
        before = observe_interfaces()
        news = asyncio.Event()
        with open_monitor() as monitor:

            def readable() -> None:
                drain_monitor(monitor)
                news.set()

            self._loop.add_reader(monitor, readable)
            try:
                while True:
                    await news.wait()
                    await asyncio.sleep(SETTLE_S)
                    news.clear()
                    present = observe_interfaces()
                    if set(present) != set(before):
                        before = present
                        self.network_changed()
            finally:
                self._loop.remove_reader(monitor)

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
        old, survey = self.status.value, self._survey
        report = survey.report
        self.status.set(
            UnderlayStatus(
                endpoints=survey.endpoints,
                net_info=survey.net_info,
                global_v4=report.mapped_v4[0] if report.mapped_v4 else None,
                global_v6=report.mapped_v6[0] if report.mapped_v6 else None,
                home_relay=survey.home,
                relays=self._relays.states,
                relay_problem=self._relays.home_problem,
                paths={
                    key: _less_nervous(old.paths.get(key), path)
                    for key, path in self._discovery.paths().items()
                },
            )
        )

    # -- inside

    def _open_socket(self, family: socket.AddressFamily) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        if self._config is not None and self._config.fwmark:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, self._config.fwmark)
            except OSError:
                sock.close()
                raise
        return sock

    def _open_wire(self, config: UnderlayConfig) -> None:
        if self._wire is not None:
            self._wire.close()
        self._wire = WirePort(config.listen_port, config.fwmark, self._from_wire)
        self._wire.start(self._loop)

    def _take_over(self) -> None:
        """Take over the endpoints that the device has from an earlier run."""
        assert self._config is not None  # noqa: S101 - `run` has looked
        now, clock = self._loop.time(), datetime.now(UTC).timestamp()
        for key, seen in self._device.observe().peers.items():
            if key not in self._config.peers or seen.endpoint is None:
                continue
            proxy = self._loopback.address_of(key)
            lively = seen.last_handshake is not None and clock - seen.last_handshake < SESSION_S
            if seen.endpoint.ip.is_loopback or not lively:
                if seen.endpoint != proxy:
                    self._device.set_endpoint(key, proxy)
            else:
                self._discovery.adopt(key, seen.endpoint, now)

    def _reset_strangers(self, known: Mapping[NodePublic, DiscoPublic]) -> None:
        """Reset peers that got another DISCO key while this program was down."""
        assert self._config is not None  # noqa: S101 - `apply` has just set it
        for key, peer in self._config.peers.items():
            if key in known and peer.disco_key is not None and known[key] != peer.disco_key:
                self._reset(key)

    def _close(self) -> None:
        for handle in (self._timer, self._watch):
            if handle is not None:
                handle.cancel()
        self._timer = self._watch = self._tasks = None
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        self._loopback.close()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        if self._tasks is None:
            work.close()
        else:
            self._tasks.create_task(work, name=name)

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
        return (config.name if config else "") or str(peer)

    def _answer_waiters(self, peer: NodePublic, result: PingResult) -> None:
        for waiter in self._waiters.pop(peer, []):
            if not waiter.done():
                waiter.set_result(result)

    def _forget_waiter(self, peer: NodePublic, waiter: asyncio.Future[PingResult]) -> None:
        waiters = [other for other in self._waiters.pop(peer, []) if other is not waiter]
        if waiters:
            self._waiters[peer] = waiters


def _moved(old: UnderlayConfig, new: UnderlayConfig) -> bool:
    return (old.listen_port, old.fwmark) != (new.listen_port, new.fwmark)


def _less_nervous(old: Path | None, new: Path) -> Path:
    """Keep the latency that was told before unless it changed by much."""
    if isinstance(old, Direct) and isinstance(new, Direct) and old.address == new.address:
        low, high = sorted((old.latency_s, new.latency_s))
        return old if high <= low * NEWS_RATIO + 0.001 else new
    return new
