import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from appliance.dns import service as module
from appliance.dns.config import STUB_V4, STUB_V6, DnsConfig, Nobody
from appliance.dns.errors import DnsError
from appliance.dns.os.driver import HostResolver
from appliance.dns.os.fake import FakeHostResolver
from appliance.dns.resolver import Resolver
from appliance.dns.server import StubServer
from appliance.dns.service import DnsService
from appliance.protocol.addresses import IPAddress
from tests.support.patience import eventually

IDLE = DnsConfig("latchkey0", 0x80000)
USED = replace(IDLE, stub=(STUB_V4,), upstream=Nobody("The exit node is gone."))


@dataclass
class World:
    record: Path
    host: FakeHostResolver = field(default_factory=FakeHostResolver)
    stubs: list[StubServer] = field(default_factory=list)
    chosen: list[str] = field(default_factory=list)
    port_taken: bool = False

    async def choose(self, interface: str) -> tuple[HostResolver, ...]:
        self.chosen.append(interface)
        return (self.host,)

    def open_stub(self, addresses: tuple[IPAddress, ...], resolver: Resolver) -> StubServer:
        if self.port_taken:
            raise DnsError("Port 53 cannot be had.")
        here = [ip_address("127.0.0.1")] * len(addresses)
        stub = StubServer(here, resolver.resolve, resolver.is_client, port=0)
        self.stubs.append(stub)
        return stub

    @asynccontextmanager
    async def service(self) -> AsyncIterator[DnsService]:
        service = DnsService(self.record, self.choose, self.open_stub)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(service.run())
            try:
                yield service
                await asyncio.sleep(0)
            finally:
                running.cancel()
                await service.clean_up()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "record.json")


async def test_without_an_exit_node_nothing_is_looked_at(world: World) -> None:
    async with world.service() as service:
        await service.apply(IDLE)
        assert (world.chosen, world.stubs, service.problem) == ([], [], "")


async def test_the_host_is_pointed_at_the_stub_and_back(world: World) -> None:
    async with world.service() as service:
        await service.apply(USED)
        assert world.host.asks == STUB_V4
        assert service.problem.startswith("The exit node is gone.")
        await service.apply(IDLE)
        assert world.host.asks is None
        assert service.problem == ""


async def test_an_equal_config_is_no_work(world: World) -> None:
    async with world.service() as service:
        await service.apply(USED)
        world.host.asks = None
        await service.apply(USED)
        assert world.host.asks is None
        assert len(world.stubs) == 1


async def test_the_stub_stays_while_only_the_upstream_changes(world: World) -> None:
    async with world.service() as service:
        await service.apply(USED)
        await service.apply(replace(USED, upstream=Nobody("Another one is gone.")))
        assert len(world.stubs) == 1
        assert service.problem.startswith("Another")
        await service.apply(replace(USED, stub=(STUB_V4, STUB_V6)))
        assert len(world.stubs) == 2


async def test_the_host_is_left_alone_on_demand(world: World) -> None:
    async with world.service() as service:
        await service.apply(replace(USED, point_host=False))
        assert world.host.asks is None
        assert len(world.stubs) == 1


async def test_a_host_that_refuses_is_told_and_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    world.host.refuses = "resolv.conf cannot be changed."
    async with world.service() as service:
        await service.apply(USED)
        assert service.problem == "resolv.conf cannot be changed."
        world.host.refuses = ""
        await eventually(lambda: world.host.asks is not None)
        assert "resolv.conf" not in service.problem


async def test_a_port_that_is_taken_is_told_and_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    world.port_taken = True
    async with world.service() as service:
        await service.apply(USED)
        assert service.problem == "Port 53 cannot be had."
        assert world.host.asks == STUB_V4, "nobody else is asked meanwhile"
        world.port_taken = False
        await eventually(lambda: world.stubs)


async def test_what_a_crashed_run_left_is_given_back(world: World) -> None:
    world.record.write_text("{}")
    world.host.asks = STUB_V4
    service = DnsService(world.record, world.choose, world.open_stub)
    await service.apply(IDLE)
    assert world.host.asks is None


async def test_configs_in_quick_succession_end_with_the_last(world: World) -> None:
    async with world.service() as service:
        for _ in range(5):
            await asyncio.gather(service.apply(USED), service.apply(IDLE))
        await service.apply(USED)
        assert world.host.asks == STUB_V4
