"""How the box itself is doing: processor, memory, disk, temperature, by psutil."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

KEPT_S: Final = 2.0
"""Two looks closer than this would measure little but each other."""

_SENSORS: Final = ("cpu_thermal", "coretemp", "k10temp", "soc_thermal", "cpu-thermal")
"""Processors' own; the first is a Raspberry Pi's."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One look."""

    cpu_percent: float
    """Since the look before."""
    memory_used: int
    memory_total: int
    disk_used: int
    disk_total: int
    temperature_c: float | None
    """None: there is no sensor."""

    @property
    def memory_percent(self) -> float:
        """How full the memory is."""
        return 100 * self.memory_used / max(1, self.memory_total)

    @property
    def disk_percent(self) -> float:
        """How full the disk with the box's own data is."""
        return 100 * self.disk_used / max(1, self.disk_total)


@dataclass(frozen=True, slots=True)
class Ticks:
    """Seconds of the processors since the boot."""

    busy: float
    all: float


def share(before: Ticks, after: Ticks) -> float:
    """Return the busy part between two moments, in percent."""
    passed = after.all - before.all
    return 100 * (after.busy - before.busy) / passed if passed > 0 else 0.0


def read_ticks() -> Ticks:
    """Read the processors' counters."""
    times = psutil.cpu_times()
    total = sum(times) - getattr(times, "guest", 0) - getattr(times, "guest_nice", 0)
    return Ticks(busy=total - times.idle - getattr(times, "iowait", 0), all=total)


def read_temperature() -> float | None:
    """Read the processor's temperature, if somebody measures it."""
    try:
        found = psutil.sensors_temperatures()
    except (AttributeError, OSError):
        return None
    names = [name for name in _SENSORS if found.get(name)] or [n for n in found if found[n]]
    return float(found[names[0]][0].current) if names else None


class MachineWatch:
    """Looks, and remembers the look before; each worker has its own."""

    def __init__(
        self, directory: Path, now: Callable[[], float], ticks: Callable[[], Ticks] = read_ticks
    ) -> None:
        self._directory = directory
        self._now = now
        self._ticks = ticks
        self._lock = threading.Lock()
        self._before = ticks()
        self._seen: tuple[float, Machine] | None = None

    def look(self) -> Machine:
        """Return how the box is doing, at most some seconds old."""
        with self._lock:
            now = self._now()
            if self._seen is None or not 0 <= now - self._seen[0] < KEPT_S:
                self._seen = (now, self._observe())
            return self._seen[1]

    def _observe(self) -> Machine:
        before, self._before = self._before, self._ticks()
        memory = psutil.virtual_memory()
        disk = psutil.disk_usage(str(self._directory))
        return Machine(
            cpu_percent=share(before, self._before),
            memory_used=memory.total - memory.available,
            memory_total=memory.total,
            disk_used=disk.used,
            disk_total=disk.used + disk.free,
            temperature_c=read_temperature(),
        )
