"""All our connections to relays: the home relay always, others while they are used.

A peer is reached through the region where it was last heard, as long as that connection lives,
else through its home region. Connections other than home close after 60 s without a packet.

Source of the numbers: tailscale wgengine/magicsock/derp.go, 2026-08.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from appliance.aio.backoff import Backoff
from appliance.protocol.derp.client import (
    Event,
    HealthChanged,
    Packets,
    PeerGone,
    PongReceived,
    Restarting,
)
from appliance.protocol.derp.login import NONCE_SIZE
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import NodePrivate, NodePublic
from appliance.protocol.tailcfg import DerpMap, DerpRegion
from appliance.underlay.config import NO_REGION
from appliance.underlay.errors import RelayError
from appliance.underlay.relaylink import OpenSocket, RelayLink, open_link

_log = logging.getLogger(__name__)

# From the reference.
IDLE_S: Final = 60.0
IDLE_CHECK_S: Final = 15.0
MAX_BACKOFF_S: Final = 5.0
MAX_WAITING: Final = 32  # packets that wait for a connection
PONG_S: Final = 3.0

# Ours: the first retry after 10 to 30 ms, for a relay that only restarts.
MIN_BACKOFF_S: Final = 0.02

OnPackets = Callable[[int, NodePublic, list[memoryview]], None]
"""Gets the region, the peer, and packets of it that came one after another."""


class Region:
    """One region and the connection to it, if there is one."""

    def __init__(self, config: DerpRegion, owner: "Relays") -> None:
        self.config = config
        self.number = config.region_id
        self.link: RelayLink | None = None
        self.problem = ""
        self.is_home = False
        self.is_running = False
        self.last_frame_at = float("-inf")
        self._owner = owner
        self._used_at = float("-inf")
        self._backoff = Backoff(MIN_BACKOFF_S, MAX_BACKOFF_S)
        self._waiting: deque[tuple[NodePublic, bytes, bool]] = deque(maxlen=MAX_WAITING)
        self._hurry = asyncio.Event()
        self._reconnect_in_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether packets can be sent now."""
        return self.link is not None and self.link.is_open

    def send_packets(self, to: NodePublic, packets: Sequence[memoryview], now: float) -> None:
        """Send WireGuard packets; the newest few wait when there is no connection yet."""
        self._used_at = now
        if self.link is not None:
            self.link.send_packets(to, packets)
        else:
            self._waiting.extend((to, bytes(packet), False) for packet in packets[-MAX_WAITING:])

    def send_disco(self, to: NodePublic, datagram: bytes, now: float) -> None:
        """Send a DISCO message, or keep it until there is a connection."""
        self._used_at = now
        if self.link is not None:
            self.link.send_disco(to, datagram)
        else:
            self._waiting.append((to, datagram, True))

    def set_home(self, *, is_home: bool, now: float) -> None:
        """Make this the home relay, or an ordinary one that closes when it is idle."""
        self.is_home = is_home
        self._used_at = now
        self._hurry.set()
        if self.link is not None:
            self.link.session.note_preferred(preferred=is_home)
            self.link.flush()

    def close(self, reason: str) -> None:
        """Close the connection; `run` opens another one if one is wanted."""
        if self.link is not None:
            self.link.close(reason)
        self._backoff.reset()
        self._hurry.set()

    def is_wanted(self) -> bool:
        """Whether there should be a connection: it is home's, or was used lately."""
        now = asyncio.get_running_loop().time()
        return self.is_home or now - self._used_at < IDLE_S

    def retire(self) -> None:
        """Close for good: the relay map names another region by this number, or none."""
        self.is_home = False
        self._used_at = float("-inf")
        self.close("the relay map changed")

    async def probe(self, data: bytes) -> None:
        """Close the connection unless the relay answers a ping soon."""
        link = self.link
        if link is None:
            self._hurry.set()
            return
        heard_at = self.last_frame_at
        link.session.ping(data)
        link.flush()
        await asyncio.wait((link.closed,), timeout=PONG_S)
        if link is self.link and self.last_frame_at == heard_at:
            self.close("the relay did not answer after the network changed")

    async def run(self) -> None:
        """Keep the connection while it is wanted, opening it again when it breaks."""
        try:
            while self.is_wanted():
                await self._connect_once()
        finally:
            self.is_running = False
            self.close("it is no longer needed")
            self.link, self.problem = None, ""
            self._owner.changed()

    async def _connect_once(self) -> None:
        try:
            self.link = await self._open()
            self.link.session.note_preferred(preferred=self.is_home)
            self.link.flush()
        except RelayError as error:
            self._note_problem(str(error))
            await self._pause(self._backoff.next(random.random()))  # noqa: S311 - spreads load
            return
        self._backoff.reset()
        self._note_problem("")
        self._send_waiting(self.link)
        try:
            reason = await self._watch(self.link)
        finally:
            self.link.close("the connection is given up")
            self.link = None
        self._owner.lost(self)
        self._note_problem(f"Relay {self.config.region_code} is lost: {reason}.")
        await self._pause(self._reconnect_in_s or self._backoff.next(random.random()))  # noqa: S311
        self._reconnect_in_s = 0.0

    async def _open(self) -> RelayLink:
        """Try the region's relays in order."""
        failure = RelayError(f"Region {self.number} has no relay.")
        for node in self.config.nodes or ():
            if node.stun_only:
                continue
            try:
                return await open_link(
                    node,
                    self._owner.private_key,
                    self._owner.open_socket,
                    self._take,
                    nonce=self._owner.random_bytes(NONCE_SIZE),
                    preferred=self.is_home,
                )
            except RelayError as error:
                failure = error
        raise failure

    async def _watch(self, link: RelayLink) -> str:
        """Wait until the connection ends, is idle, or the relay falls silent."""
        loop = asyncio.get_running_loop()
        while not link.closed.done():
            if not self.is_wanted():
                link.close("it is no longer used")
                break
            wait_s = link.session.next_timeout() - loop.time()
            if not self.is_home:
                wait_s = min(wait_s, IDLE_CHECK_S)
            await asyncio.wait((link.closed,), timeout=max(wait_s, 0.0))
            try:
                link.session.handle_timeout(loop.time())
            except ProtocolError as error:
                link.close(str(error))
        return link.closed.result()

    async def _pause(self, seconds: float) -> None:
        self._hurry.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            pass

    def _send_waiting(self, link: RelayLink) -> None:
        while self._waiting:
            to, packet, is_disco = self._waiting.popleft()
            if is_disco:
                link.send_disco(to, packet)
            else:
                link.send_packets(to, (memoryview(packet),))

    def _note_problem(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            if problem and self.is_wanted():
                _log.warning("%s Trying again.", problem)
            elif not problem:
                _log.info("Relay %s is connected.", self.config.region_code or self.number)
        self._owner.changed()

    def _take(self, events: list[Event]) -> None:
        self.last_frame_at = asyncio.get_running_loop().time()
        for event in events:
            match event:
                case Packets(packets):
                    self._owner.take_packets(self, packets)
                case PeerGone(peer):
                    self._owner.forget_route(peer, self)
                case HealthChanged(problem) if problem:
                    _log.warning("Relay %s complains: %s", self.config.region_code, problem)
                case Restarting(reconnect_in_s):
                    self._reconnect_in_s = min(reconnect_in_s, MAX_BACKOFF_S)
                case PongReceived() | _:
                    pass


class Relays:
    """Sends to and receives from peers through whatever relays they use."""

    def __init__(
        self,
        open_socket: OpenSocket,
        random_bytes: Callable[[int], bytes],
        on_packets: OnPackets,
        on_change: Callable[[], None],
    ) -> None:
        """``on_change`` is called when a connection comes or goes."""
        self.open_socket = open_socket
        self.random_bytes = random_bytes
        self.changed = on_change
        self.home = NO_REGION
        self._on_packets = on_packets
        self._private_key: NodePrivate | None = None
        self._regions: dict[int, Region] = {}
        self._peers: dict[bytes, NodePublic] = {}
        self._learned: dict[NodePublic, Region] = {}
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def private_key(self) -> NodePrivate:
        """The node's key, with which it logs in."""
        assert self._private_key is not None  # noqa: S101 - `configure` comes first
        return self._private_key

    @property
    def states(self) -> dict[int, bool]:
        """The regions that we hold or open a connection to, and whether it is open."""
        return {n: r.is_open for n, r in self._regions.items() if r.is_running}

    @property
    def home_problem(self) -> str:
        """Why the home relay is not connected; empty when it is, or when there is none."""
        region = self._regions.get(self.home)
        return region.problem if region is not None and not region.is_open else ""

    def heard_at(self, number: int) -> float:
        """When a region's relay last sent us anything."""
        region = self._regions.get(number)
        return region.last_frame_at if region else float("-inf")

    def configure(
        self, private_key: NodePrivate, derp_map: DerpMap, peers: Iterable[NodePublic]
    ) -> None:
        """Follow a new netmap; regions that stay the same keep their connection."""
        self._peers = {peer.raw: peer for peer in peers}
        known = set(self._peers.values())
        self._learned = {p: region for p, region in self._learned.items() if p in known}
        wanted = {number: r for number, r in (derp_map.regions or {}).items() if r is not None}
        for number, region in list(self._regions.items()):
            if region.config != wanted.get(number) or private_key != self._private_key:
                self._drop(region)
        self._private_key = private_key
        for number, config in wanted.items():
            if number not in self._regions:
                self._regions[number] = Region(config, self)
        self.set_home(self.home if self.home in self._regions else NO_REGION)

    def set_home(self, number: int) -> None:
        """Keep a connection to this region from now on."""
        now = asyncio.get_running_loop().time()
        self.home = number
        for region in self._regions.values():
            if region.is_home != (region.number == number):
                region.set_home(is_home=region.number == number, now=now)
        if number in self._regions:
            self._ensure_running(self._regions[number])

    def region_for(self, peer: NodePublic, home: int) -> int:
        """Return the region through which a peer is reached now."""
        region = self._region_for(peer, home)
        return region.number if region else NO_REGION

    def send_packets(self, peer: NodePublic, home: int, packets: Sequence[memoryview]) -> None:
        """Send WireGuard packets to a peer whose home region is ``home``."""
        region = self._region_for(peer, home)
        if region is not None:
            region.send_packets(peer, packets, asyncio.get_running_loop().time())
            self._ensure_running(region)

    def send_disco(self, peer: NodePublic, home: int, datagram: bytes) -> None:
        """Send a DISCO message to a peer whose home region is ``home``."""
        region = self._region_for(peer, home)
        if region is not None:
            region.send_disco(peer, datagram, asyncio.get_running_loop().time())
            self._ensure_running(region)

    def network_changed(self) -> None:
        """Try every connection: its address may be gone."""
        for region in self._regions.values():
            if region.is_running and self._tasks is not None:
                self._tasks.create_task(
                    region.probe(self.random_bytes(8)), name=f"probe relay {region.number}"
                )

    async def run(self) -> None:
        """Keep the connections until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            for region in self._regions.values():
                if region.is_wanted():
                    self._ensure_running(region)
            await asyncio.Event().wait()

    # -- what regions tell

    def take_packets(self, region: Region, packets: list[tuple[bytes, memoryview]]) -> None:
        """Sort packets by peer; strangers' are dropped."""
        start, count = 0, len(packets)
        while start < count:
            raw = packets[start][0]
            end = start + 1
            while end < count and packets[end][0] == raw:
                end += 1
            peer = self._peers.get(raw)
            if peer is not None:
                self._learned[peer] = region
                self._on_packets(region.number, peer, [packet for _, packet in packets[start:end]])
            start = end

    def forget_route(self, peer: NodePublic, region: Region) -> None:
        """Stop reaching a peer through a region that no longer sees it."""
        if self._learned.get(peer) is region:
            del self._learned[peer]

    def lost(self, region: Region) -> None:
        """Forget every peer that was heard through a broken connection."""
        self._learned = {peer: r for peer, r in self._learned.items() if r is not region}

    # -- inside

    def _region_for(self, peer: NodePublic, home: int) -> Region | None:
        learned = self._learned.get(peer)
        if learned is not None and learned.is_open:
            return learned
        return self._regions.get(home)

    def _ensure_running(self, region: Region) -> None:
        if not region.is_running and self._tasks is not None:
            region.is_running = True
            self._tasks.create_task(region.run(), name=f"relay {region.number}")

    def _drop(self, region: Region) -> None:
        del self._regions[region.number]
        self.lost(region)
        region.retire()
