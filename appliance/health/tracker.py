"""Which warnings are on now and since when; tells the log when one comes or goes."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from appliance.health.catalogue import HealthWarning, Severity

_log = logging.getLogger(__name__)

MAX_WARNINGS: Final = 100
"""Prefixes and peers are named by others; more than this nobody reads."""

_ORDER: Final = {Severity.HIGH: 0, Severity.MEDIUM: 1, Severity.LOW: 2}


@dataclass(frozen=True, slots=True)
class Raised:
    """A warning that is on, and since when."""

    warning: HealthWarning
    since: datetime


class HealthTracker:
    """Driven by the whole set of warnings that hold; an equal set changes nothing."""

    def __init__(self) -> None:
        self._on: dict[HealthWarning, Raised] = {}

    @property
    def raised(self) -> tuple[Raised, ...]:
        """What is on, the gravest first, else in the order of coming."""
        return tuple(sorted(self._on.values(), key=lambda one: _ORDER[one.warning.severity]))

    def update(self, warnings: Iterable[HealthWarning], now: datetime) -> bool:
        """Raise what is new and withdraw what no longer holds; True when the set changed."""
        wanted = dict.fromkeys(list(warnings)[:MAX_WARNINGS])
        gone = [warning for warning in self._on if warning not in wanted]
        for warning in gone:
            _log.info("No longer: %s", self._on.pop(warning).warning.text)
        new = False
        for warning in wanted:
            before = self._on.get(warning)
            if before is None:
                new = True
                _log.warning("%s", warning.sentence)
            self._on[warning] = Raised(warning, now if before is None else before.since)
        return bool(gone) or new
