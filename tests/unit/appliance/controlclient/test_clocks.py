"""Two clocks, one of which is set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from appliance.controlclient.clocks import ClockReading

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def test_the_difference_stays_while_both_clocks_go() -> None:
    reading = ClockReading(NOON, boot_s=100.0)
    assert reading.offset(NOON - timedelta(days=3), 100.0) == timedelta(days=3)
    later = NOON - timedelta(days=3) + timedelta(seconds=50)
    assert reading.offset(later, 150.0) == timedelta(days=3)


def test_the_difference_goes_when_our_clock_is_set_right() -> None:
    reading = ClockReading(NOON, boot_s=100.0)
    assert reading.offset(NOON + timedelta(seconds=50), 150.0) == timedelta(0)
