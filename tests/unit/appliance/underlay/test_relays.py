import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from appliance.protocol.keys import NodePublic
from appliance.protocol.tailcfg import DerpMap, DerpNode, DerpRegion
from appliance.underlay import relays as relays_module
from appliance.underlay.config import NO_REGION
from appliance.underlay.relays import MAX_WAITING, Region, Relays
from tests.support.underlay import (
    TlsRelay,
    counting_bytes,
    derp_map,
    node_key,
    open_socket,
    tls_relay,
)

HOME, LAPTOP = node_key("home"), node_key("laptop")


class Client:
    """Our connections to relays, and what came through them."""

    def __init__(self, name: str, relay_map: DerpMap, *peers: str) -> None:
        self.name = name
        self.received: list[tuple[int, NodePublic, bytes]] = []
        self.changed = asyncio.Event()
        self.relays = Relays(open_socket, counting_bytes(), self.take, self.changed.set)
        self.peers = [node_key(peer).public() for peer in peers]
        self.configure(relay_map)

    def configure(self, relay_map: DerpMap) -> None:
        self.relays.configure(node_key(self.name), relay_map, self.peers)

    def take(self, region: int, peer: NodePublic, packets: list[memoryview]) -> None:
        self.received += [(region, peer, bytes(packet)) for packet in packets]
        self.changed.set()

    async def wait(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def running(*clients: Client) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        work = [tasks.create_task(client.relays.run(), name=client.name) for client in clients]
        try:
            yield
        finally:
            for task in work:
                task.cancel()


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[TlsRelay]:
    async with tls_relay(tmp_path) as running_relay:
        yield running_relay


async def test_the_home_relay_is_connected_and_stays_so(relay: TlsRelay) -> None:
    client = Client("laptop", relay.map())
    client.relays.set_home(1)
    async with running(client):
        await client.wait(lambda: client.relays.states == {1: True})
        assert client.relays.home_problem == ""


async def test_packets_sent_before_the_connection_is_up_are_delivered(relay: TlsRelay) -> None:
    laptop, home = Client("laptop", relay.map(), "home"), Client("home", relay.map(), "laptop")
    home.relays.set_home(1)
    async with running(laptop, home):
        await home.wait(lambda: home.relays.states == {1: True})
        laptop.relays.send_packets(HOME.public(), 1, [memoryview(b"first")])
        laptop.relays.send_disco(HOME.public(), 1, b"disco")
        await home.wait(lambda: len(home.received) == 2)
    assert home.received == [(1, LAPTOP.public(), b"first"), (1, LAPTOP.public(), b"disco")]


async def test_only_the_newest_packets_wait_for_a_connection(relay: TlsRelay) -> None:
    laptop, home = Client("laptop", relay.map(), "home"), Client("home", relay.map(), "laptop")
    home.relays.set_home(1)
    async with running(laptop, home):
        await home.wait(lambda: home.relays.states == {1: True})
        for i in range(200):
            laptop.relays.send_packets(HOME.public(), 1, [memoryview(i.to_bytes(2))])
        await home.wait(lambda: len(home.received) == MAX_WAITING)
    newest = [i.to_bytes(2) for i in range(200 - MAX_WAITING, 200)]
    assert [packet for _, _, packet in home.received] == newest


async def test_packets_of_strangers_are_dropped(relay: TlsRelay) -> None:
    stranger, home = Client("stranger", relay.map(), "home"), Client("home", relay.map(), "laptop")
    laptop = Client("laptop", relay.map(), "home")
    home.relays.set_home(1)
    async with running(stranger, home, laptop):
        await home.wait(lambda: home.relays.states == {1: True})
        stranger.relays.send_packets(HOME.public(), 1, [memoryview(b"strange")])
        await stranger.wait(lambda: stranger.relays.states == {1: True})
        laptop.relays.send_packets(HOME.public(), 1, [memoryview(b"known")])
        await home.wait(lambda: bool(home.received))
    assert home.received == [(1, LAPTOP.public(), b"known")]


async def test_a_peer_is_answered_where_it_was_heard(tmp_path: Path) -> None:
    async with tls_relay(tmp_path) as one:
        second = msgspec.structs.replace(one.node, region_id=2)
        both = derp_map(
            DerpRegion(region_id=1, region_code="r1", nodes=(one.node,)),
            DerpRegion(region_id=2, region_code="r2", nodes=(second,)),
        )
        laptop, home = Client("laptop", both, "home"), Client("home", both, "laptop")
        home.relays.set_home(1)
        async with running(laptop, home):
            await home.wait(lambda: home.relays.states == {1: True})
            laptop.relays.send_packets(HOME.public(), 1, [memoryview(b"hello")])
            await home.wait(lambda: bool(home.received))
            assert home.relays.region_for(LAPTOP.public(), 2) == 1
            home.relays._regions[1].close("test")
            assert home.relays.region_for(LAPTOP.public(), 2) == 2


async def test_a_lost_connection_comes_back(tmp_path: Path) -> None:
    async with tls_relay(tmp_path) as relay:
        client = Client("laptop", relay.map())
        client.relays.set_home(1)
        async with running(client):
            await client.wait(lambda: client.relays.states == {1: True})
            client.relays._regions[1].close("a cable was pulled")
            await client.wait(lambda: client.relays.states == {1: False})
            await client.wait(lambda: client.relays.states == {1: True})


async def test_an_unreachable_home_relay_is_a_problem_in_a_sentence() -> None:
    node = DerpNode(host_name="127.0.0.1", derp_port=1)
    relay_map = derp_map(DerpRegion(region_id=1, nodes=(node,)))
    client = Client("laptop", relay_map)
    client.relays.set_home(1)
    async with running(client):
        await client.wait(lambda: bool(client.relays.home_problem))
        assert client.relays.home_problem.startswith("Relay 127.0.0.1 cannot be reached")


async def test_a_region_without_relays_is_a_problem_too() -> None:
    client = Client("laptop", DerpMap(regions={1: DerpRegion(region_id=1)}))
    client.relays.set_home(1)
    async with running(client):
        await client.wait(lambda: bool(client.relays.home_problem))
        assert client.relays.home_problem == "Region 1 has no relay."


async def test_an_idle_connection_is_closed_but_home_is_not(
    relay: TlsRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays_module, "IDLE_S", 0.5)
    monkeypatch.setattr(relays_module, "IDLE_CHECK_S", 0.1)
    client = Client("laptop", relay.map(), "home")
    async with running(client):
        client.relays.send_disco(HOME.public(), 1, b"disco")
        await client.wait(lambda: client.relays.states == {1: True})
        await client.wait(lambda: client.relays.states == {})
        client.relays.set_home(1)
        await client.wait(lambda: client.relays.states == {1: True})
        await asyncio.sleep(0.7)
        assert client.relays.states == {1: True}


async def test_a_region_that_changed_is_connected_anew(relay: TlsRelay) -> None:
    client = Client("laptop", relay.map())
    client.relays.set_home(1)
    async with running(client):
        await client.wait(lambda: client.relays.states == {1: True})
        before = client.relays._regions[1].link
        renamed = DerpRegion(region_id=1, region_code="new", nodes=(relay.node,))
        client.configure(derp_map(renamed))
        client.relays.set_home(1)
        await client.wait(lambda: client.relays.states == {1: True})
        assert before is not None
        assert client.relays._regions[1].link is not before
        assert not before.is_open


async def test_the_same_map_again_keeps_the_connection(relay: TlsRelay) -> None:
    client = Client("laptop", relay.map())
    client.relays.set_home(1)
    async with running(client):
        await client.wait(lambda: client.relays.states == {1: True})
        before = client.relays._regions[1].link
        client.configure(relay.map())
        assert client.relays._regions[1].link is before


async def test_a_home_that_left_the_map_is_no_home() -> None:
    client = Client("laptop", derp_map())
    client.relays.set_home(7)
    client.configure(derp_map())
    assert client.relays.home == NO_REGION
    client.relays.send_packets(HOME.public(), 7, [memoryview(b"nowhere")])
    assert client.relays.region_for(HOME.public(), 7) == NO_REGION


async def test_a_relay_that_does_not_answer_after_a_network_change_is_left(
    relay: TlsRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays_module, "PONG_S", 0.05)
    client = Client("laptop", relay.map())
    client.relays.set_home(1)
    async with running(client):
        await client.wait(lambda: client.relays.states == {1: True})
        region: Region = client.relays._regions[1]
        before = region.link
        client.relays.network_changed()
        await asyncio.sleep(0.1)
        assert region.link is before  # it answered
        assert before is not None
        monkeypatch.setattr(before.session, "ping", lambda _: None)
        client.relays.network_changed()
        await client.wait(lambda: region.link not in (before, None))
