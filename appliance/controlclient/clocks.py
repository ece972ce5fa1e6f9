"""How far the coordinator's clock is ahead of ours, also after ours was set meanwhile."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class ClockReading:
    """What the coordinator's clock said at some second since this machine's boot."""

    said: datetime
    boot_s: float

    def offset(self, ours: datetime, boot_s: float) -> timedelta:
        """Return how far it is ahead now that our clock says ``ours``."""
        return self.said + timedelta(seconds=boot_s - self.boot_s) - ours


def since_boot() -> float:
    """Return the seconds since the boot, those asleep too: setting the clock changes nothing."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
