"""The tunnel's throughput of the last hour as one inline SVG, without a script. Pure.

What came in is an area, what went out is a line over it: the two differ also without colours.
The picture stretches to its place; what is written stands beside it as text.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from appliance.localapi.types import Traffic

WIDTH: Final = 600
HEIGHT: Final = 120
COLUMNS: Final = 60
"""A point a minute: finer ones are noise at the size of a telephone."""
HOUR_S: Final = 3600
LEAST_TOP: Final = 10_000.0
"""Bits a second at the upper edge at least, so that a quiet hour looks quiet."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The same hour in numbers."""

    rx_bytes: int
    tx_bytes: int
    peak_bits_s: float
    """The busiest minute, of either direction."""
    top_bits_s: float
    """What the upper edge of the picture stands for."""
    seconds: int
    """How much of the hour is known."""


def summarise(traffic: Traffic) -> Summary:
    """Add the hour up."""
    peak = max((*_rates(traffic.rx_bytes, traffic), *_rates(traffic.tx_bytes, traffic)), default=0)
    return Summary(
        rx_bytes=sum(traffic.rx_bytes),
        tx_bytes=sum(traffic.tx_bytes),
        peak_bits_s=peak,
        top_bits_s=_round_up(max(peak, LEAST_TOP)),
        seconds=len(traffic.rx_bytes) * traffic.step_s,
    )


def render_chart(traffic: Traffic, title: str, description: str) -> Markup:
    """Draw the hour; the newest minute is at the right edge."""
    top = summarise(traffic).top_bits_s
    received = _points(_rates(traffic.rx_bytes, traffic), top)
    sent = _points(_rates(traffic.tx_bytes, traffic), top)
    lines = Markup().join(
        Markup('<line class="chart-line" x1="0" x2="{}" y1="{}" y2="{}"/>').format(WIDTH, y, y)
        for y in (HEIGHT * part // 4 for part in (1, 2, 3))
    )
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" '
        'aria-labelledby="chart-title chart-desc" focusable="false">'
        '<title id="chart-title">{}</title><desc id="chart-desc">{}</desc>{}'
        '<path class="chart-rx" d="{}"/><path class="chart-tx" d="{}"/></svg>'
    ).format(WIDTH, HEIGHT, title, description, lines, _area(received), _line(sent))


def _rates(counts: Sequence[int], traffic: Traffic) -> list[float]:
    """Return bits a second, a column each, the oldest first; the newest column is whole."""
    steps = max(1, HOUR_S // COLUMNS // traffic.step_s)
    first = len(counts) % steps
    groups = [counts[:first]] if first else []
    groups += [counts[at : at + steps] for at in range(first, len(counts), steps)]
    return [8 * sum(group) / (len(group) * traffic.step_s) for group in groups][-COLUMNS:]


def _points(rates: Sequence[float], top: float) -> list[tuple[float, float]]:
    start = COLUMNS - len(rates)
    width = WIDTH / (COLUMNS - 1)
    return [
        (round((start + n) * width, 1), round(HEIGHT * (1 - min(1.0, rate / top)), 1))
        for n, rate in enumerate(rates)
    ]


def _line(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{'L' if n else 'M'}{x:g},{y:g}" for n, (x, y) in enumerate(points))


def _area(points: list[tuple[float, float]]) -> str:
    if not points:
        return ""
    return f"{_line(points)} L{points[-1][0]:g},{HEIGHT} L{points[0][0]:g},{HEIGHT} Z"


def _round_up(value: float) -> float:
    """Return 1, 2 or 5 times a power of ten, no less than the value."""
    power = 1.0
    while power * 10 < value:
        power *= 10
    return next(power * step for step in (1, 2, 5, 10) if power * step >= value)
