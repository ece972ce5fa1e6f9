import asyncio
import socket
from ipaddress import ip_address
from pathlib import Path

from appliance.host.dbus import resolve1
from appliance.host.dbus.bus import SystemBus
from tests.support.dbus import FakeService, private_bus

STUB = ip_address("100.100.100.100")


async def test_a_link_takes_everything_and_is_forgotten(tmp_path: Path) -> None:
    async with private_bus(tmp_path) as address:
        bus, resolved = await SystemBus.open(address), FakeService(address, resolve1.NAME)
        await resolved.start()
        assert await resolve1.is_running(bus)
        six = ip_address("fd7a:115c:a1e0::53")
        await resolve1.take_everything(bus, 7, (STUB, six))
        servers = [[socket.AF_INET, STUB.packed], [socket.AF_INET6, six.packed]]
        assert resolved.called("SetLinkDNS") == [7, servers]
        assert resolved.called("SetLinkDomains") == [7, [[".", True]]]
        assert resolved.called("SetLinkDefaultRoute") == [7, True]
        assert resolved.called("SetLinkDNSOverTLS") == [7, "no"]
        await resolve1.revert(bus, 7)
        assert resolved.called("RevertLink") == [7]
        await resolved.stop()
        bus.close()


async def test_a_start_is_heard_and_an_end_is_not(tmp_path: Path) -> None:
    async with private_bus(tmp_path) as address:
        bus, resolved = await SystemBus.open(address), FakeService(address, resolve1.NAME)
        started = asyncio.Event()
        await resolve1.watch(bus, started.set)
        await resolved.start()
        async with asyncio.timeout(2):
            await started.wait()
        started.clear()
        await resolved.stop()
        assert not await resolve1.is_running(bus)
        assert not started.is_set()
        bus.close()
