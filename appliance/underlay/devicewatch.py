"""Looks at the WireGuard device's counters while they can tell a path something."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from appliance.underlay.config import UnderlayConfig
from appliance.underlay.device import EndpointSink
from appliance.underlay.discovery import Discovery
from appliance.underlay.loopback import Loopback

# Ours. A direct path that carries traffic is watched closely, because only its silence tells that
# it died; a look costs 0.1 to 0.5 ms, so twice a second is 0.1 % of a core at most.
CLOSELY_S: Final = 0.5
SLOWLY_S: Final = 3.0
# Ours: a device with so many peers that a look costs more takes at most this share of a core, but
# is looked at often enough to notice traffic before its path goes to rest (45 s).
MAX_SHARE: Final = 0.003
MAX_PAUSE_S: Final = 20.0
# From WireGuard: an older session cannot be in use any more.
SESSION_S: Final = 180.0


class DeviceWatch:
    """Reads the device now and then; no timer runs while every path is at rest."""

    def __init__(
        self,
        device: EndpointSink,
        discovery: Discovery,
        loopback: Loopback,
        call_later: Callable[[float, Callable[[], None]], asyncio.TimerHandle],
    ) -> None:
        """``call_later`` runs a callback such that its failure is not lost."""
        self._device = device
        self._discovery = discovery
        self._loopback = loopback
        self._call_later = call_later
        self._now = asyncio.get_running_loop().time
        self._handle: asyncio.TimerHandle | None = None
        self._cost_s = 0.0

    def arm(self, then: Callable[[], None]) -> bool:
        """Look again soon, if there is reason to, and call ``then``; return whether it will."""
        now = self._now()
        if not self._discovery.wants_counters(now):
            return self._handle is not None
        pause_s = pause_after(self._cost_s, closely=self._discovery.carries_direct_traffic(now))
        if self._handle is not None and self._handle.when() > now + pause_s:
            self.stop()  # a path became direct since
        if self._handle is None:
            self._handle = self._call_later(pause_s, lambda: self._look(then))
        return True

    def stop(self) -> None:
        """Look no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def take_over(self, config: UnderlayConfig) -> None:
        """Take over the endpoints that the device has from an earlier run of this program."""
        now, clock = self._now(), datetime.now(UTC).timestamp()
        for key, seen in self._device.observe().peers.items():
            if key not in config.peers or seen.endpoint is None:
                continue
            proxy = self._loopback.address_of(key)
            lively = seen.last_handshake is not None and clock - seen.last_handshake < SESSION_S
            if lively and not seen.endpoint.ip.is_loopback:
                self._discovery.adopt(key, seen.endpoint, now)
            elif seen.endpoint != proxy:
                self._device.set_endpoint(key, proxy)

    def _look(self, then: Callable[[], None]) -> None:
        self._handle = None
        before = time.thread_time()
        device = self._device.observe()
        self._discovery.note_counters(device.peers, self._loopback.addresses, self._now())
        self._cost_s = time.thread_time() - before
        then()


def pause_after(cost_s: float, *, closely: bool) -> float:
    """Return how long to wait after a look that took so much CPU time."""
    return max(CLOSELY_S if closely else SLOWLY_S, min(cost_s / MAX_SHARE, MAX_PAUSE_S))
