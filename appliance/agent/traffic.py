"""What went through the tunnel in the last hour, in steps of ten seconds."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from appliance.host.medium import Counters
from appliance.localapi.types import Traffic

STEP_S: Final = 10
STEPS: Final = 3600 // STEP_S
"""An hour: two times 360 numbers, about 25 kB."""


class TrafficLog:
    """Reads the tunnel's counters at every step and keeps the differences."""

    def __init__(self, read: Callable[[], Counters | None]) -> None:
        """``read`` returns None while there is no tunnel: then nothing went through it."""
        self._read = read
        self._before: Counters | None = None
        self._steps: deque[tuple[int, int]] = deque(maxlen=STEPS)

    def traffic(self) -> Traffic:
        """Return what is known, the oldest step first."""
        return Traffic(
            step_s=STEP_S,
            rx_bytes=tuple(rx for rx, _ in self._steps),
            tx_bytes=tuple(tx for _, tx in self._steps),
        )

    def take(self) -> None:
        """Note one step; a tunnel that is made anew counts from zero."""
        now, before = self._read(), self._before
        self._before = now
        if now is None:
            self._steps.append((0, 0))
            return
        if before is None or now.rx_bytes < before.rx_bytes or now.tx_bytes < before.tx_bytes:
            before = Counters(0, 0)
        self._steps.append((now.rx_bytes - before.rx_bytes, now.tx_bytes - before.tx_bytes))

    async def run(self) -> None:
        """Take a step every ten seconds until cancelled."""
        self._before = self._read()  # what an agent before us carried is not of this hour's steps
        while True:
            await asyncio.sleep(STEP_S)
            self.take()
