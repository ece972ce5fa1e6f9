import asyncio
from contextlib import aclosing

from appliance.aio.latest import Latest


async def test_a_late_reader_gets_the_present_value_at_once() -> None:
    latest = Latest("old")
    latest.set("new")
    async with aclosing(latest.changes()) as changes:
        assert await anext(changes) == "new"
    assert latest.value == "new"


async def test_a_reader_wakes_up_for_a_change() -> None:
    latest = Latest(1)
    async with aclosing(latest.changes()) as changes, asyncio.TaskGroup() as tasks:
        assert await anext(changes) == 1
        following = tasks.create_task(anext(changes), name="reader")
        await asyncio.sleep(0)
        assert not following.done()
        latest.set(2)
        await following
    assert following.result() == 2


async def test_nobody_wakes_up_for_an_equal_value() -> None:
    latest = Latest((1, 2))
    async with aclosing(latest.changes()) as changes, asyncio.TaskGroup() as tasks:
        await anext(changes)
        following = tasks.create_task(anext(changes), name="reader")
        await asyncio.sleep(0)
        latest.set((1, 2))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not following.done()
        latest.set((3,))
        await following
    assert following.result() == (3,)


async def test_a_slow_reader_misses_what_was_in_between() -> None:
    latest = Latest(0)
    async with aclosing(latest.changes()) as changes:
        assert await anext(changes) == 0
        for value in range(1, 10):
            latest.set(value)
        assert await anext(changes) == 9


async def test_several_readers_all_get_the_change() -> None:
    latest = Latest("a")

    async def second() -> str:
        changes = latest.changes()
        await anext(changes)
        return await anext(changes)

    async with asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(second(), name=f"reader {n}") for n in range(3)]
        await asyncio.sleep(0)
        latest.set("b")
    assert [reader.result() for reader in readers] == ["b", "b", "b"]


async def test_waiting_ends_with_the_first_accepted_value() -> None:
    latest = Latest(1)
    assert await latest.wait_for(lambda value: value == 1) == 1
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(latest.wait_for(lambda value: value > 2), name="reader")
        for value in (2, 3):
            await asyncio.sleep(0)
            latest.set(value)
    assert waiting.result() == 3
