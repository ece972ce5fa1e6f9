import logging
from datetime import UTC, datetime, timedelta

import pytest

from appliance.health.catalogue import Severity, warn
from appliance.health.tracker import MAX_WARNINGS, HealthTracker

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
GONE = warn("exit-node-offline", name="home")
SMALL = warn("exit-home-no-ipv6")


def withdrawn(reason: str) -> object:
    return warn("route-withdrawn", "10.0.0.0/24", prefix="10.0.0.0/24", reason=reason)


def test_a_warning_keeps_the_time_when_it_came() -> None:
    tracker = HealthTracker()
    assert tracker.update([GONE], NOW)
    assert not tracker.update([GONE], LATER)
    assert [one.since for one in tracker.raised] == [NOW]


def test_the_log_hears_of_each_change_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tracker = HealthTracker()
    tracker.update([GONE], NOW)
    tracker.update([GONE], NOW)
    tracker.update([], LATER)
    tracker.update([], LATER)
    assert len(caplog.messages) == 2
    assert "is offline" in caplog.messages[0]
    assert caplog.messages[1].startswith("No longer: ")


def test_the_text_is_the_present_one() -> None:
    tracker = HealthTracker()
    tracker.update([withdrawn("the cable is out")], NOW)  # type: ignore[list-item]
    tracker.update([withdrawn("no address")], LATER)  # type: ignore[list-item]
    [raised] = tracker.raised
    assert "no address" in raised.warning.text
    assert raised.since == NOW


def test_the_gravest_comes_first() -> None:
    tracker = HealthTracker()
    tracker.update([SMALL, GONE], NOW)
    assert [one.warning.severity for one in tracker.raised] == [Severity.HIGH, Severity.LOW]


def test_strangers_cannot_fill_it() -> None:
    tracker = HealthTracker()
    many = [warn("same-numbers", str(n), router="x", prefix=str(n)) for n in range(500)]
    tracker.update(many, NOW)
    assert len(tracker.raised) == MAX_WARNINGS
