"""A request's body as it arrives at the server."""

import asyncio
from typing import Final

from appliance.aio.errors import RequestRefusedError
from appliance.aio.http2.budget import Allowance

_TOO_LONG: Final = "the body is too long"
_TOO_BUSY: Final = "too many long requests at once: try again later"
_TOO_SLOW: Final = "the request did not arrive in time"


class RequestBody:
    """Collects a body up to a length, and as far as the connection's allowance goes."""

    def __init__(self, limit: int, allowance: Allowance) -> None:
        self._limit = limit
        self._allowance = allowance
        self._data = bytearray()
        self._whole: bytes | None = None
        self._held = 0
        self._done = asyncio.Event()
        self._refusal: RequestRefusedError | None = None

    @property
    def complete(self) -> bool:
        """Whether the client has sent all of it."""
        return self._done.is_set() and self._refusal is None

    async def wait(self, timeout_s: float) -> bytes:
        """Wait for all of it; a ``RequestRefusedError`` when it is too long or too slow."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._done.wait()
        except TimeoutError:
            raise RequestRefusedError(408, _TOO_SLOW) from None
        if self._refusal:
            raise self._refusal
        if self._whole is None:
            self._whole = bytes(self._data)
            self._data.clear()
        return self._whole

    def receive(self, data: bytes) -> None:
        """Take a piece; beyond a limit this and all that follows is dropped."""
        if self._done.is_set():
            return
        if self._held + len(data) > self._limit:
            self._refuse(413, _TOO_LONG)
        elif not self._allowance.take(len(data)):
            self._refuse(503, _TOO_BUSY)
        else:
            self._held += len(data)
            self._data += data

    def finish(self) -> None:
        """Note that the client has sent all of it."""
        self._done.set()

    def release(self) -> None:
        """Give the memory back."""
        self._allowance.give_back(self._held)
        self._held = 0
        self._data.clear()
        self._whole = b""

    def _refuse(self, status: int, text: str) -> None:
        self.release()
        self._refusal = RequestRefusedError(status, text)
        self._done.set()
