from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.webtexts import speaking
from webui.units import (
    ago_text,
    bytes_text,
    moment_text,
    percent_text,
    rate_text,
    span_text,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def speaking_english() -> Iterator[None]:
    with speaking("en"):
        yield


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1200, "1.2 kB"), (29_160_000, "29.2 MB"), (3e14, "300 TB")],
)
def test_amounts_have_a_fitting_unit(count: float, text: str) -> None:
    assert bytes_text(count).replace("\N{NO-BREAK SPACE}", " ") == text


def test_rates_are_in_bits() -> None:
    assert rate_text(4_130_000).replace("\N{NO-BREAK SPACE}", " ") == "4.1 Mbit/s"


def test_times_are_words() -> None:
    assert ago_text(NOW - timedelta(seconds=3), NOW) == "just now"
    assert ago_text(NOW + timedelta(days=9), NOW) == "just now"
    assert ago_text(NOW - timedelta(minutes=5), NOW) == "5 minutes ago"
    assert span_text(3 * 86_400) == "3 days"
    assert percent_text(6.7) == "7 %"


def test_another_language_writes_them_its_own_way() -> None:
    with speaking("de"):
        assert bytes_text(1200).replace("\N{NO-BREAK SPACE}", " ") == "1,2 kB"
        assert ago_text(NOW - timedelta(minutes=5), NOW) == "vor 5 Minuten"


def test_a_time_of_today_needs_no_day() -> None:
    assert _plain(moment_text("2026-11-23 05:21:34 UTC", NOW)) == "05:21 UTC"
    assert _plain(moment_text("2026-11-22 23:05:00 UTC", NOW)) == "23:05 UTC on November 22"


def test_what_is_no_time_stays() -> None:
    assert moment_text("soon", NOW) == "soon"


def _plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")
