"""Waiting, in tests of what runs in the background."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

_PAUSE_S = 0.01
_TURNS = 300


async def eventually(condition: Callable[[], object]) -> None:
    """Return once the condition holds; fail after three seconds."""
    for _ in range(_TURNS):
        if condition():
            return
        await asyncio.sleep(_PAUSE_S)
    raise AssertionError("waited in vain")


@asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run it as long as the block."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(work)
        try:
            yield
        finally:
            task.cancel()
