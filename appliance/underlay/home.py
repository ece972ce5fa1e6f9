"""Which region is our home relay: the nearest, unless the present one is nearly as near.

Source: tailscale net/netcheck/netcheck.go (addReportHistoryAndSetPreferredDERP), 2026-08. Pure.
"""

from collections import deque
from collections.abc import Mapping
from typing import Final

from appliance.protocol.tailcfg import DerpMap
from appliance.underlay.config import NO_REGION

# From the reference.
HISTORY_S: Final = 305.0
MIN_GAIN_S: Final = 0.010
MAX_SHARE: Final = 2 / 3  # of the present latency, that a new home may have
FRAME_FRESH_S: Final = 8.0
FRAME_STILL_S: Final = 120.0

# Ours: at one report every 20 s, what 305 s hold.
MAX_REPORTS: Final = 32


class HomeChoice:
    """Remembers the latencies of some minutes and chooses."""

    def __init__(self, random01: float) -> None:
        """``random01`` picks the region when nothing can be measured, for as long as this lives."""
        self._random01 = random01
        self._reports: deque[tuple[float, Mapping[int, float]]] = deque(maxlen=MAX_REPORTS)

    def forget(self) -> None:
        """Start anew: the network is another one."""
        self._reports.clear()

    def choose(
        self,
        latency_s: Mapping[int, float],
        derp_map: DerpMap,
        old: int,
        now: float,
        *,
        old_heard_at: float,
    ) -> int:
        """Add a report and return the region to use.

        ``old_heard_at`` is when the present home's relay last sent us a frame: a home that talks
        to us is usable whatever STUN says.
        """
        self._reports.append((now, latency_s))
        candidates = candidate_regions(derp_map, old)
        if not candidates:
            return NO_REGION
        old = old if old in candidates else NO_REGION
        best_s = self._best_recent(candidates, derp_map, now)
        if not best_s:
            return self._without_data(candidates, old)
        nearest = min(best_s, key=lambda region: (best_s[region], region))
        if old == NO_REGION or nearest == old:
            return nearest
        accessible = old in latency_s or now - old_heard_at <= FRAME_FRESH_S
        old_s = best_s.get(old)
        if not latency_s and now - old_heard_at <= FRAME_STILL_S:
            return old
        if accessible and (old_s is None or _nearly_as_near(old_s, best_s[nearest])):
            return old
        return nearest

    def _best_recent(
        self, candidates: tuple[int, ...], derp_map: DerpMap, now: float
    ) -> dict[int, float]:
        scores = (derp_map.home_params.region_score if derp_map.home_params else None) or {}
        best: dict[int, float] = {}
        for at, latencies in self._reports:
            if now - at > HISTORY_S:
                continue
            for region in candidates:
                if region in latencies:
                    score = scores.get(region, 0.0)
                    value = latencies[region] * (score if score > 0 else 1.0)
                    best[region] = min(value, best.get(region, value))
        return best

    def _without_data(self, candidates: tuple[int, ...], old: int) -> int:
        return old or candidates[int(self._random01 * len(candidates))]


def candidate_regions(derp_map: DerpMap, old: int) -> tuple[int, ...]:
    """Return the regions that may be our home, by number."""
    return tuple(
        number
        for number, region in sorted((derp_map.regions or {}).items())
        if region is not None
        and not region.no_measure_no_home
        and (not region.avoid or number == old)
        and any(not node.stun_only for node in region.nodes or ())
    )


def _nearly_as_near(old_s: float, best_s: float) -> bool:
    return old_s - best_s < MIN_GAIN_S or best_s > MAX_SHARE * old_s
