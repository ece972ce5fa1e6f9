"""The latest value of a thing: written by one, read by many, never queued."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """A cell that wakes its readers when its value changes.

    A reader who is late gets the present value at once and misses those in between.
    """

    def __init__(self, value: T) -> None:
        self._value = value
        self._version = 0
        self._changed = asyncio.Event()

    @property
    def value(self) -> T:
        """The present value."""
        return self._value

    def set(self, value: T) -> None:
        """Replace the value; nobody wakes up for an equal one."""
        if value == self._value:
            return
        self._value = value
        self._version += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def changes(self) -> AsyncIterator[T]:
        """Yield the present value at once, then the newest after each change, for ever."""
        seen = -1
        while True:
            while seen == self._version:
                await self._changed.wait()
            seen = self._version
            yield self._value

    async def wait_for(self, accept: Callable[[T], bool]) -> T:
        """Wait until the present value is accepted, and return it."""
        while not accept(self._value):
            await self._changed.wait()
        return self._value
