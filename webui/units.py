"""Numbers for people: bytes, rates, times, in the visitor's language."""

from datetime import UTC, datetime, timedelta
from typing import Final

from babel.dates import format_skeleton
from flask_babel import format_decimal, format_timedelta, get_locale
from flask_babel import gettext as _

_STEP: Final = 1000
_BYTES: Final = ("B", "kB", "MB", "GB", "TB")
_RATES: Final = ("bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s")

_AGENTS_TIME: Final = "%Y-%m-%d %H:%M:%S UTC"

JUST_NOW: Final = timedelta(seconds=45)


def bytes_text(count: float) -> str:
    """Write an amount: ``1.2 MB``."""
    return _scaled(count, _BYTES)


def rate_text(bits_s: float) -> str:
    """Write a rate: ``4.1 Mbit/s``."""
    return _scaled(bits_s, _RATES)


def percent_text(share: float) -> str:
    """Write a share of 100: ``7 %``."""
    return str(_("%(n)s %%", n=format_decimal(round(share))))


def ago_text(then: datetime, now: datetime | None = None) -> str:
    """Write how long ago something was."""
    age = (now or datetime.now(UTC)) - then
    if age < JUST_NOW:
        return str(_("just now"))
    return str(format_timedelta(-age, add_direction=True))


def moment_text(text: str, now: datetime | None = None) -> str:
    """Write a time of the agent's (``2026-11-23 05:21:34 UTC``) for people; the day when it counts.

    What is no such time stays as it is.
    """
    try:
        moment = datetime.strptime(text, _AGENTS_TIME).replace(tzinfo=UTC)
    except ValueError:
        return text
    clock = f"{moment:%H:%M}\N{NO-BREAK SPACE}UTC"
    if moment.date() == (now or datetime.now(UTC)).date():
        return clock
    day = format_skeleton("MMMMd", moment, locale=get_locale())
    return str(_("%(clock)s on %(day)s", clock=clock, day=day))


def span_text(seconds: float) -> str:
    """Write how long something lasts: ``3 days``."""
    return str(format_timedelta(timedelta(seconds=seconds), threshold=1.2))


def _scaled(value: float, units: tuple[str, ...]) -> str:
    step = 0
    while value >= _STEP and step < len(units) - 1:
        value, step = value / _STEP, step + 1
    pattern = "#,##0.#" if step and value < 100 else "#,##0"
    return f"{format_decimal(value, format=pattern)}\N{NO-BREAK SPACE}{units[step]}"


def now_utc() -> datetime:
    """Return the wall clock's time."""
    return datetime.now(UTC)
