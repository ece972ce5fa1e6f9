"""Keeps looking at our network: our addresses, the relays' distances, the home relay.

The asyncio half of ``netcheck``, ``home`` and ``endpoints``. STUN goes out through the WireGuard
port; where no answer comes back, the relays are measured over HTTPS.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from appliance.protocol.addresses import AddrPort, IPAddress
from appliance.protocol.errors import ProtocolError
from appliance.protocol.stun import TX_ID_SIZE, parse_response
from appliance.protocol.tailcfg import DerpMap, DerpNode, NetInfo
from appliance.underlay.config import NO_REGION, OwnEndpoint
from appliance.underlay.endpoints import EndpointTracker, plan_endpoints
from appliance.underlay.home import HomeChoice, candidate_regions
from appliance.underlay.interfaces import observe_interfaces
from appliance.underlay.netcheck import (
    FULL_INTERVAL_S,
    Netcheck,
    Report,
    Target,
    is_same_network,
    net_info,
)
from appliance.underlay.relaylink import OpenSocket, dial, resolve, tls_context, verified_name

_log = logging.getLogger(__name__)

# From the reference.
STUN_PORT: Final = 3478
MAX_PORT: Final = 65_535
FRESH_S: Final = 27.0
RESTUN_S: Final = (20.0, 26.0)
NEAREST: Final = 3  # regions that a short report asks besides home
HTTPS_S: Final = 3.0

# Ours: with no STUN answer by then, HTTPS is measured as well; three tries have gone out.
HTTPS_AFTER_S: Final = 0.5
# Ours: HTTPS measurements at a time; each is a TLS handshake.
HTTPS_AT_ONCE: Final = 4


class Wire(Protocol):
    """The WireGuard port, as far as STUN needs it."""

    @property
    def has_ipv6(self) -> bool:
        """Whether this host knows IPv6 at all."""

    def send(self, to: AddrPort, payload: bytes) -> bool:
        """Send from the port; False when that cannot work."""

    def source_for(self, to: IPAddress) -> IPAddress | None:
        """Return the own address on the way there; None without a route."""


class Survey:
    """What we know of our own network, and the measurements that keep it up to date."""

    def __init__(
        self,
        wire: Wire,
        open_socket: OpenSocket,
        random_bytes: Callable[[int], bytes],
        heard_at: Callable[[int], float],
        on_change: Callable[[], None],
    ) -> None:
        """``heard_at`` tells when a region's relay last sent us a frame."""
        self.report = Report()
        self.endpoints: tuple[OwnEndpoint, ...] = ()
        self.net_info: NetInfo | None = None
        self.home = NO_REGION
        self._wire = wire
        self._open_socket = open_socket
        self._random_bytes = random_bytes
        self._heard_at = heard_at
        self._on_change = on_change
        self._derp_map = DerpMap()
        self._port = 0
        self._choice = HomeChoice(random.random())  # noqa: S311 - spreads load, guards nothing
        self._tracker = EndpointTracker()
        self._check: Netcheck | None = None
        self._news = asyncio.Event()
        self._answer = asyncio.Event()
        self._answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._measured_at = float("-inf")
        self._full_at = float("-inf")
        self._running: asyncio.Future[None] | None = None
        self._resolved: dict[tuple[str, str, str], list[IPAddress]] = {}

    async def run(self, is_active: Callable[[], bool]) -> None:
        """Measure at start, on news, and every 20 to 26 s while ``is_active``, until cancelled."""
        while True:
            self._news.clear()
            await self.measure()
            pause_s = random.uniform(*RESTUN_S)  # noqa: S311 - spreads load, guards nothing
            try:
                async with asyncio.timeout(pause_s):
                    await self._news.wait()
            except TimeoutError:
                if not is_active():
                    await self._news.wait()

    def note_traffic(self, now: float) -> None:
        """Look again when a rest is over."""
        if now - self._measured_at > RESTUN_S[1]:
            self._news.set()

    def look_again(self) -> None:
        """Measure soon: there may be more ways to us than before."""
        self._news.set()

    def configure(self, derp_map: DerpMap, port: int) -> None:
        """Follow a new netmap; another relay map is measured at once."""
        changed = derp_map != self._derp_map or port != self._port
        self._derp_map, self._port = derp_map, port
        if changed:
            self._full_at = float("-inf")
            self._resolved.clear()
            only = candidate_regions(derp_map, self.home)
            if len(only) == 1 or self.home not in only:
                self._set_home(only[0] if len(only) == 1 else NO_REGION)
            self._news.set()

    def forget(self) -> None:
        """Start anew: the network is another one."""
        self._choice.forget()
        self._tracker.forget()
        self._resolved.clear()
        self._measured_at = self._full_at = float("-inf")
        self._news.set()

    def is_fresh(self, now: float) -> bool:
        """Whether our endpoints are recent enough to be told to a peer."""
        return now - self._measured_at < FRESH_S

    def receive(self, datagram: bytes, now: float) -> None:
        """Take a STUN answer that came to the WireGuard port."""
        try:
            response = parse_response(datagram)
        except ProtocolError:
            return
        if self._check is not None and self._check.receive(response, now):
            self._measured_at = now
            self._use_early(self._check.report(), now)
            self._answer.set()
            if not self._answered.done():
                self._answered.set_result(None)

    async def first_answer(self, patience_s: float) -> None:
        """Wait for the first answer of the measurement that runs, but no longer than this."""
        if self._running is not None:
            await asyncio.wait((self._answered,), timeout=patience_s)

    async def measure(self, *, full: bool = False) -> None:
        """Look at our network now; one measurement at a time, a second caller shares it."""
        if self._running is None:
            loop = asyncio.get_running_loop()
            self._running, self._answered = loop.create_future(), loop.create_future()
            try:
                await self._measure(full=full)
            finally:
                self._running.set_result(None)
                self._running = None
        else:
            await asyncio.shield(self._running)

    # -- measuring

    async def _measure(self, *, full: bool) -> None:
        loop = asyncio.get_running_loop()
        full = full or loop.time() - self._full_at >= FULL_INTERVAL_S
        targets = await self._targets(self._regions(full=full))
        check = self._check = Netcheck(targets, lambda: self._random_bytes(TX_ID_SIZE), loop.time())
        over_https: dict[int, float] = {}
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(self._ask(check), name="STUN")
            await asyncio.wait((asking,), timeout=HTTPS_AFTER_S)
            if not check.report().udp and (full or self.home == NO_REGION):
                over_https = await self._measure_https()
                if self.home == NO_REGION:
                    self._choose_home(over_https)
        self._check = None
        report = check.report()
        if full:
            self._full_at = loop.time()
        self._measured_at = loop.time()
        if not report.udp:
            report = Report({(region, 4): s for region, s in over_https.items()})
            self._use(Report(), loop.time())
        else:
            self._use(report, loop.time())
        self._choose_home(report.region_latency_s())
        self._describe(report, udp=bool(report.mapped_v4 or report.mapped_v6))
        self._on_change()

    async def _ask(self, check: Netcheck) -> None:
        loop = asyncio.get_running_loop()
        while not check.is_done(loop.time()):
            for server, request in check.requests_due(loop.time()):
                self._wire.send(server, request)
            self._answer.clear()
            try:
                async with asyncio.timeout_at(check.next_timeout()):
                    await self._answer.wait()
            except TimeoutError:
                pass

    def _regions(self, *, full: bool) -> list[int]:
        """Choose the regions to ask: all, or home and the nearest."""
        usable = [
            number
            for number, region in sorted((self._derp_map.regions or {}).items())
            if region is not None and not region.no_measure_no_home
        ]
        if full:
            return usable
        latency_s = self.report.region_latency_s()
        nearest = sorted((r for r in usable if r in latency_s), key=lambda r: latency_s[r])
        return list(dict.fromkeys([*nearest[:NEAREST], *(r for r in usable if r == self.home)]))

    async def _targets(self, regions: list[int]) -> list[Target]:
        nodes = [
            (number, node)
            for number in regions
            if (region := (self._derp_map.regions or {}).get(number)) is not None
            for node in region.nodes or ()
            if 0 <= node.stun_port <= MAX_PORT
        ]
        addresses = await asyncio.gather(*(self._resolve(node) for _, node in nodes))
        return [
            Target(number, AddrPort(ip, node.stun_port or STUN_PORT))
            for (number, node), ips in zip(nodes, addresses, strict=True)
            for ip in ips
            if self._wire.source_for(ip) is not None
        ]

    async def _resolve(self, node: DerpNode) -> list[IPAddress]:
        key = (node.host_name, node.ipv4, node.ipv6)
        if key not in self._resolved:
            try:
                async with asyncio.timeout(HTTPS_S):
                    self._resolved[key] = await resolve(node)
            except (OSError, TimeoutError, ValueError):
                return []
        return self._resolved[key]

    async def _measure_https(self) -> dict[int, float]:
        """Measure every region's first relay by a request over TLS."""
        turn = asyncio.Semaphore(HTTPS_AT_ONCE)
        found: dict[int, float] = {}

        async def measure(number: int, node: DerpNode) -> None:
            async with turn:
                latency_s = await https_latency_s(node, self._open_socket)
            if latency_s is not None:
                found[number] = latency_s

        async with asyncio.TaskGroup() as group:
            for number in candidate_regions(self._derp_map, self.home):
                region = (self._derp_map.regions or {})[number]
                nodes = [n for n in (region.nodes if region else None) or () if not n.stun_only]
                group.create_task(measure(number, nodes[0]), name=f"HTTPS to relay {number}")
        return found

    # -- using what was measured

    def _use(self, report: Report, now: float) -> None:
        """Derive our endpoints from a finished report."""
        self.report = report
        self._offer(self._plan(report, now))

    def _use_early(self, report: Report, now: float) -> None:
        """Offer at once what a running measurement found, but withdraw nothing yet."""
        found = {endpoint.address: endpoint for endpoint in self._plan(report, now)}
        for endpoint in self.endpoints:
            found.setdefault(endpoint.address, endpoint)
        self._offer(tuple(found.values()))

    def _plan(self, report: Report, now: float) -> tuple[OwnEndpoint, ...]:
        remembered = self._tracker.update((*report.mapped_v4, *report.mapped_v6), now)
        return plan_endpoints(report, remembered, observe_interfaces(), self._port)

    def _offer(self, endpoints: tuple[OwnEndpoint, ...]) -> None:
        if {e.address for e in endpoints} != {e.address for e in self.endpoints}:
            self.endpoints = endpoints
            _log.info("Our addresses are %s.", ", ".join(str(e.address) for e in endpoints))
            self._on_change()

    def _choose_home(self, latency_s: dict[int, float]) -> None:
        now = asyncio.get_running_loop().time()
        heard_at = self._heard_at(self.home)
        self._set_home(
            self._choice.choose(latency_s, self._derp_map, self.home, now, old_heard_at=heard_at)
        )

    def _set_home(self, home: int) -> None:
        if home != self.home:
            self.home = home
            if self.net_info is not None:
                self.net_info = msgspec.structs.replace(self.net_info, preferred_derp=home)
            if home != NO_REGION:
                _log.info("Our home relay is in region %d.", home)
            self._on_change()

    def _describe(self, report: Report, *, udp: bool) -> None:
        info = net_info(report, self.home, os_has_ipv6=self._wire.has_ipv6, udp=udp)
        if not is_same_network(self.net_info, info):
            self.net_info = info


async def https_latency_s(node: DerpNode, open_socket: OpenSocket) -> float | None:
    """Return how long a small request takes once TLS is up; None when it fails."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(HTTPS_S):
            sock = await dial(node, open_socket)
            reader, writer = await asyncio.open_connection(
                sock=sock, ssl=tls_context(node), server_hostname=verified_name(node)
            )
            try:
                start = loop.time()
                writer.write(
                    f"GET /derp/latency-check HTTP/1.1\r\nHost: {node.host_name}\r\n"
                    "Connection: close\r\n\r\n".encode()
                )
                await reader.readuntil(b"\r\n")
                return loop.time() - start
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError, EOFError, ValueError, OverflowError):
        return None
