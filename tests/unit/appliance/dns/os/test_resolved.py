import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.dns.config import STUB_V4
from appliance.dns.errors import DnsError
from appliance.dns.os import resolved as module
from appliance.dns.os.resolved import Resolved, resolv_conf_leads_to_it, was_started
from appliance.host.dbus import resolve1
from appliance.host.dbus.bus import SystemBus
from tests.support.dbus import FakeService, private_bus
from tests.support.patience import eventually, in_background

LINK = 7


@dataclass
class World:
    service: FakeService
    driver: Resolved


@asynccontextmanager
async def world(directory: Path) -> AsyncIterator[World]:
    async with private_bus(directory) as address:
        service = FakeService(address, resolve1.NAME)
        await service.start()

        async def open_bus() -> SystemBus:
            return await SystemBus.open(address)

        driver = Resolved(
            await open_bus(), "latchkey0", directory, lambda _: LINK, open_bus=open_bus
        )
        yield World(service, driver)
        await driver.restore()
        await service.stop()


def was_told(service: FakeService) -> bool:
    return bool(service.calls) and service.calls[-1][0] == "FlushCaches"


async def test_our_link_takes_every_query_and_gives_it_back(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.driver.point(STUB_V4)
        assert here.service.called("SetLinkDomains") == [LINK, [[".", True]]]
        await here.driver.restore()
        assert here.service.called("RevertLink") == [LINK]
        here.service.calls.clear()
        await here.driver.point(STUB_V4)
        assert was_told(here.service)


async def test_a_resolved_that_starts_anew_is_told_again(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.driver.point(STUB_V4)
        async with in_background(here.driver.guard()):
            await asyncio.sleep(0.05)
            await here.service.stop()
            here.service.calls.clear()
            await here.service.start()
            await eventually(lambda: was_told(here.service))
        assert here.service.called("SetLinkDomains") == [LINK, [[".", True]]]


async def test_a_refusal_is_told(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.service.errors["SetLinkDNS"] = "Link latchkey0 is managed."
        with pytest.raises(DnsError, match="Link latchkey0 is managed"):
            await here.driver.point(STUB_V4)


async def test_a_bus_that_comes_back_is_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    async with world(tmp_path) as here:
        await here.driver.point(STUB_V4)
        assert here.driver._bus is not None
        here.driver._bus.close()
        await asyncio.sleep(0.05)
        here.service.calls.clear()
        async with in_background(here.driver.guard()):
            await eventually(lambda: was_told(here.service))


async def test_the_hosts_own_servers_are_those_of_the_uplinks(tmp_path: Path) -> None:
    text = "nameserver 192.168.1.1\nnameserver 100.100.100.100\n"
    (tmp_path / "resolv.conf").write_text(text)
    assert [str(one.ip) for one in module.read_upstreams(tmp_path)] == ["192.168.1.1"]
    assert module.read_upstreams(tmp_path / "none") == ()


def test_resolv_conf_leads_to_resolved_only_by_its_stub(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    for text, leads in (
        ("nameserver 127.0.0.53\noptions edns0\n", True),
        ("nameserver 127.0.0.53\nnameserver 9.9.9.9\n", False),
        ("nameserver 192.168.1.1\n", False),
        ("", False),
    ):
        file.write_text(text)
        assert resolv_conf_leads_to_it(file) is leads
    assert not resolv_conf_leads_to_it(tmp_path / "none")


async def test_a_machine_that_never_ran_resolved_opens_no_bus(tmp_path: Path) -> None:
    assert not was_started(tmp_path / "none")
    assert await Resolved.find("latchkey0", tmp_path / "none") is None
