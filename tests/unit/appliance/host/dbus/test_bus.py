import asyncio
import gc
from pathlib import Path

import pytest

from appliance.host.dbus import bus as module
from appliance.host.dbus.bus import BusError, SystemBus
from tests.support.dbus import FakeService, private_bus, require_dbus

NAME = "org.example.Thing"
THING = (NAME, "/org/example/Thing", NAME)


async def test_a_call_reaches_its_service_and_a_refusal_is_told(tmp_path: Path) -> None:
    async with private_bus(tmp_path) as address:
        bus = await SystemBus.open(address)
        assert not await bus.has(NAME)
        thing = FakeService(address, NAME)
        await thing.start()
        assert await bus.has(NAME)
        assert await bus.call(THING, "Do", "is", 7, "x") == []
        assert thing.called("Do") == [7, "x"]
        thing.errors["Do"] = "not today"
        with pytest.raises(BusError, match="refuses Do: not today"):
            await bus.call(THING, "Do")
        await thing.stop()
        bus.close()


async def test_nobody_waits_for_a_silent_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with private_bus(tmp_path) as address:
        bus, thing = await SystemBus.open(address), FakeService(address, NAME)
        await thing.start()
        thing.silent = True
        monkeypatch.setattr(module, "TIMEOUT_S", 0.05)
        with pytest.raises(BusError, match="does not answer"):
            await bus.call(THING, "Do")
        await thing.stop()
        bus.close()


async def test_a_name_that_changes_hands_is_heard(tmp_path: Path) -> None:
    async with private_bus(tmp_path) as address:
        bus, thing = await SystemBus.open(address), FakeService(address, NAME)
        owners: asyncio.Queue[str] = asyncio.Queue()
        await bus.watch_name(NAME, owners.put_nowait)
        await thing.start()
        async with asyncio.timeout(2):
            assert await owners.get()
            await thing.stop()
            assert await owners.get() == ""
        bus.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_bus_that_is_not_there_is_told(tmp_path: Path) -> None:
    require_dbus()
    with pytest.raises(BusError, match="cannot be reached"):
        await SystemBus.open(f"unix:path={tmp_path / 'none'}")
    gc.collect()  # the library leaves the socket that it could not connect to the collector


async def test_a_bus_that_went_away_is_told(tmp_path: Path) -> None:
    async with private_bus(tmp_path) as address:
        bus = await SystemBus.open(address)
    await asyncio.sleep(0.05)
    with pytest.raises(BusError):
        await bus.has(NAME)
    bus.close()
