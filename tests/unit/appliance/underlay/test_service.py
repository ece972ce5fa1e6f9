"""Two services on this host, with plain UDP sockets in the place of WireGuard.

device A ── proxies ── service A ══ relay ══ service B ── proxies ── device B
    └────────── raw sockets on the devices' ports: DISCO over the loopback ──────┘
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from types import MappingProxyType

import pytest

from appliance.dataplane.config import DataplaneConfig, PeerConfig
from appliance.dataplane.errors import DeviceGoneError
from appliance.dataplane.fake import FakeDataplane
from appliance.protocol.addresses import AddrPort
from appliance.protocol.tailcfg import DerpMap
from appliance.underlay.config import (
    Direct,
    PeerUnderlay,
    Relayed,
    UnderlayConfig,
    UnderlayMemory,
    UnderlayStatus,
)
from appliance.underlay.errors import UnderlayError, UnknownPeerError
from appliance.underlay.pathstate import Route
from appliance.underlay.service import UnderlayService
from tests.support.underlay import (
    address,
    config,
    derp_map,
    disco_key,
    needs_root,
    node_key,
    peer,
    region,
    tls_relay,
)

ROUTE = Route(endpoint=address("203.0.113.1"))
DATA = b"\x04\0\0\0" + bytes(92)


class Node:
    """A service, its device, and a UDP socket where the device's would be."""

    def __init__(self, name: str, memory: UnderlayMemory | None = None) -> None:
        self.name = name
        self.key = node_key(name).public()
        self.wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.wire.bind(("127.0.0.1", 0))
        self.wire.setblocking(False)
        self.port: int = self.wire.getsockname()[1]
        self.device = FakeDataplane()
        self.service = UnderlayService(self.device, memory)

    def as_peer(self, *, with_endpoint: bool = True) -> PeerUnderlay:
        at = (f"127.0.0.1:{self.port}",) if with_endpoint else ()
        return peer(self.name, *at)

    async def apply(self, relay_map: DerpMap, *peers: PeerUnderlay, **changes: object) -> None:
        wanted: UnderlayConfig = config(
            self.name, *peers, derp_map=relay_map, listen_port=self.port, **changes
        )
        await self.device.open()
        await self.service.apply(wanted)
        allowed = frozenset({ip_network("100.64.0.2/32")})
        await self.device.apply(
            DataplaneConfig(
                wanted.node_key,
                self.port,
                0,
                1280,
                (),
                {
                    key: PeerConfig(key, allowed, self.service.proxy_endpoint(key))
                    for key in wanted.peers
                },
            )
        )

    def send(self, other: "Node", data: bytes = DATA) -> None:
        """Send as WireGuard would: where the device has the peer."""
        endpoint = self.device.observe().peers[other.key].endpoint
        assert endpoint is not None
        self.device.pretend(other.key, tx_bytes=len(data))
        self.wire.sendto(data, (str(endpoint.ip), endpoint.port))

    async def receive(self) -> tuple[bytes, AddrPort]:
        """Receive the next WireGuard packet: DISCO reaches the device's socket as well."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(5):
            while True:
                data, name = await loop.sock_recvfrom(self.wire, 65535)
                if data[:1] == b"\x04":
                    return data, AddrPort.parse(f"{name[0]}:{name[1]}")

    async def told(self, **wanted: object) -> UnderlayStatus:
        def fits(status: UnderlayStatus) -> bool:
            return all(getattr(status, name) == value for name, value in wanted.items())

        async with asyncio.timeout(5):
            return await self.service.status.wait_for(fits)

    async def direct_to(self, other: "Node") -> Direct:
        async with asyncio.timeout(5):
            status = await self.service.status.wait_for(
                lambda status: isinstance(status.paths.get(other.key), Direct)
            )
        path = status.paths[other.key]
        assert isinstance(path, Direct)
        return path


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        work = [tasks.create_task(node.service.run(), name=node.name) for node in nodes]
        try:
            await asyncio.sleep(0)
            yield
        finally:
            for task in work:
                task.cancel()
            for node in nodes:
                node.wire.close()


@needs_root
async def test_packets_go_through_the_relay_until_the_direct_path_is_found(tmp_path: Path) -> None:
    async with tls_relay(tmp_path) as relay:
        laptop, home = Node("laptop"), Node("home")
        await laptop.apply(relay.map(), home.as_peer())
        await home.apply(relay.map(), laptop.as_peer())
        async with running(laptop, home):
            await laptop.told(relays={1: True})
            await home.told(relays={1: True})
            laptop.send(home)
            data, source = await home.receive()
            assert (data, source) == (DATA, home.service.proxy_endpoint(laptop.key))
            path = await laptop.direct_to(home)
            assert path.address == address(f"127.0.0.1:{home.port}")
            endpoint = laptop.device.observe().peers[home.key].endpoint
            assert endpoint == path.address
            assert (await home.direct_to(laptop)).address.port == laptop.port


@needs_root
async def test_relayed_packets_arrive_as_from_the_direct_address_while_it_is_trusted(
    tmp_path: Path,
) -> None:
    async with tls_relay(tmp_path) as relay:
        laptop, home = Node("laptop"), Node("home")
        await laptop.apply(relay.map(), home.as_peer())
        await home.apply(relay.map(), laptop.as_peer())
        async with running(laptop, home):
            await home.told(relays={1: True})
            assert await home.service.ping(laptop.key) is not None
            direct = (await home.direct_to(laptop)).address
            proxy = laptop.service.proxy_endpoint(home.key)
            laptop.wire.sendto(DATA, (str(proxy.ip), proxy.port))
            assert await home.receive() == (DATA, direct)


@needs_root
async def test_a_ping_tells_path_and_latency(tmp_path: Path) -> None:
    async with tls_relay(tmp_path) as relay:
        laptop, home = Node("laptop"), Node("home")
        await laptop.apply(relay.map(), home.as_peer())
        await home.apply(relay.map(), laptop.as_peer())
        async with running(laptop, home):
            answer = await laptop.service.ping(home.key)
            assert answer is not None
            assert isinstance(answer.path, Direct)
            assert 0 < answer.latency_s < 1


@needs_root
async def test_a_ping_goes_through_the_relay_where_udp_does_not(tmp_path: Path) -> None:
    async with tls_relay(tmp_path) as relay:
        laptop, home = Node("laptop"), Node("home")
        deaf = replace(home.as_peer(), endpoints=(address("203.0.113.1:9"),))
        await laptop.apply(relay.map(), deaf)
        await home.apply(relay.map(), laptop.as_peer(with_endpoint=False))
        async with running(laptop, home):
            await home.told(relays={1: True})
            answer = await laptop.service.ping(home.key)
            assert answer is not None
            assert answer.path == Relayed(1)


@needs_root
async def test_a_silent_peer_does_not_answer_a_ping() -> None:
    laptop = Node("laptop")
    await laptop.apply(derp_map(), peer("home"))
    async with running(laptop):
        assert await laptop.service.ping(peer("home").key, timeout_s=0.05) is None
        with pytest.raises(UnknownPeerError):
            await laptop.service.ping(peer("stranger").key)


@needs_root
async def test_a_restarted_peer_loses_its_session() -> None:
    laptop, home = Node("laptop"), peer("home")
    await laptop.apply(derp_map(), home)
    async with running(laptop):
        laptop.device.changes.clear()
        restarted = replace(home, disco_key=disco_key("again").public())
        await laptop.apply(derp_map(), restarted)
        proxy = laptop.service.proxy_endpoint(home.key)
        assert ("reset", home.key, proxy) in laptop.device.changes


@needs_root
async def test_the_same_netmap_again_touches_nothing() -> None:
    laptop, home = Node("laptop"), peer("home")
    await laptop.apply(derp_map(), home)
    async with running(laptop):
        laptop.device.changes.clear()
        await laptop.apply(derp_map(), home)
        assert laptop.device.changes == []


async def test_memory_holds_ports_and_disco_keys_for_the_next_run() -> None:
    laptop, home = Node("laptop"), peer("home")
    await laptop.apply(derp_map(), home)
    memory = laptop.service.memory.value
    assert memory.proxy_ports == {home.key: laptop.service.proxy_endpoint(home.key).port}
    assert memory.disco_keys == {home.key: home.disco_key}
    laptop.service._close()
    laptop.wire.close()
    again = Node("laptop", memory)
    await again.apply(derp_map(), home)
    assert again.service.memory.value == memory
    assert "reset" not in [change for change, _, _ in again.device.changes]
    again.service._close()
    again.wire.close()


async def test_a_peer_that_restarted_while_we_were_away_is_reset() -> None:
    home = peer("home")
    old = UnderlayMemory(disco_keys=MappingProxyType({home.key: disco_key("old").public()}))
    laptop = Node("laptop", old)
    await laptop.device.open()
    proxies = {home.key: PeerConfig(home.key, frozenset(), address("203.0.113.1"))}
    await laptop.device.apply(
        DataplaneConfig(node_key("laptop"), laptop.port, 0, 1280, (), proxies)
    )
    await laptop.apply(derp_map(), home)
    proxy = laptop.service.proxy_endpoint(home.key)
    assert ("reset", home.key, proxy) in laptop.device.changes
    laptop.service._close()
    laptop.wire.close()


async def test_it_does_not_run_without_a_config() -> None:
    with pytest.raises(UnderlayError, match="config"):
        await UnderlayService(FakeDataplane()).run()


@needs_root
async def test_a_device_that_is_gone_ends_the_run() -> None:
    laptop, home = Node("laptop"), peer("home", "127.0.0.1:9")
    await laptop.apply(derp_map(region(1)), home)
    loop = asyncio.get_running_loop()
    loop.call_later(0.02, setattr, laptop.device, "is_open", False)
    loop.call_later(0.03, laptop.service._guarded, laptop.service._set_route, home.key, ROUTE)
    with pytest.raises(DeviceGoneError):
        await laptop.service.run()
    laptop.wire.close()


@needs_root
async def test_status_tells_our_endpoints_and_no_udp(tmp_path: Path) -> None:
    async with tls_relay(tmp_path) as relay:
        laptop = Node("laptop")
        await laptop.apply(relay.map())
        async with running(laptop):
            status = await laptop.service.netcheck()
            assert status.home_relay == 1
            assert status.net_info is not None
            assert status.net_info.working_udp is False
            assert all(e.address.port == laptop.port for e in status.endpoints)
