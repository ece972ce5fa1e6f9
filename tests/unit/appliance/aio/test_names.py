import asyncio
import socket
from ipaddress import ip_address

import pytest

from appliance.aio import names
from appliance.protocol.addresses import IPAddress

FOUND = (ip_address("192.0.2.7"),)


async def spare(host: str) -> tuple[IPAddress, ...]:
    return FOUND if host == "mesh.invalid" else ()


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(host: str) -> tuple[IPAddress, ...]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(names, "_ask_resolver", refuse)


async def test_the_resolver_is_asked_first() -> None:
    names.SPARE.set(spare)
    assert ip_address("127.0.0.1") in await names.look_up("localhost")


@pytest.mark.usefixtures("unknown")
async def test_without_a_spare_an_unknown_name_is_an_error() -> None:
    with pytest.raises(socket.gaierror):
        await names.look_up("mesh.invalid")


@pytest.mark.usefixtures("unknown")
async def test_the_spare_finds_what_the_resolver_does_not() -> None:
    names.SPARE.set(spare)
    assert await names.look_up("mesh.invalid") == FOUND
    with pytest.raises(socket.gaierror, match="unknown"):
        await names.look_up("other.invalid")


async def test_a_silent_resolver_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(host: str) -> tuple[IPAddress, ...]:
        await asyncio.Event().wait()
        return ()

    monkeypatch.setattr(names, "_ask_resolver", silent)
    monkeypatch.setattr(names, "PATIENCE_S", 0.01)
    names.SPARE.set(spare)
    assert await names.look_up("mesh.invalid") == FOUND
    with pytest.raises(socket.gaierror, match="does not answer"):
        await names.look_up("other.invalid")


async def test_tasks_inherit_the_spare_and_strangers_do_not() -> None:
    async def inside() -> bool:
        return names.SPARE.get() is spare

    async def owner() -> bool:
        names.SPARE.set(spare)
        async with asyncio.TaskGroup() as tasks:
            return await tasks.create_task(inside())

    async with asyncio.TaskGroup() as tasks:
        owning = tasks.create_task(owner())
    assert owning.result()
    assert names.SPARE.get() is None
