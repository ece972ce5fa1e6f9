"""When a login server's word sets the clock, and when it does not; the clock itself is a fake."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.firstboot.clock import (
    AGREES,
    TRY_LATER,
    Machine,
    keep_clock,
    named_login_server,
    plan_step,
)
from appliance.firstboot.errors import ClockRefusedError, LaterError
from appliance.firstboot.servertime import ServerTime
from appliance.localapi.client import LocalClient
from tests.netns.lab.pki import Authority
from tests.support.timeserver import telling

BUILT = datetime(2026, 3, 1, tzinfo=UTC)
TODAY = datetime(2026, 6, 15, 12, tzinfo=UTC)
SAID = ServerTime(
    "https://mesh.test",
    date=TODAY,
    not_before=datetime(2026, 6, 1, tzinfo=UTC),
    not_after=datetime(2026, 9, 1, tzinfo=UTC),
)


def said(date: datetime) -> ServerTime:
    return ServerTime(SAID.server, date, SAID.not_before, SAID.not_after)


def test_a_clock_that_is_behind_is_set_to_what_was_said() -> None:
    assert plan_step(SAID, now=BUILT, floor=BUILT) == TODAY


@pytest.mark.parametrize("seconds", [-86400 * 30, -6, -5, 0, 5])
def test_a_clock_that_agrees_or_is_ahead_stays(seconds: int) -> None:
    assert plan_step(SAID, now=TODAY - timedelta(seconds=seconds), floor=BUILT) is None


@pytest.mark.parametrize(
    "date", [datetime(2026, 5, 31, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)]
)
def test_a_date_outside_the_certificate_is_refused(date: datetime) -> None:
    with pytest.raises(
        ClockRefusedError, match="its certificate is for 1 June 2026 to 1 Sep"
    ) as no:
        plan_step(said(date), now=BUILT, floor=BUILT)
    assert f"{date:%B %Y}" in str(no.value)


def test_a_date_before_the_build_is_refused_whatever_the_clock_says() -> None:
    with pytest.raises(ClockRefusedError, match="was made, or last ran, on 16 June 2026"):
        plan_step(SAID, now=datetime(1970, 1, 1, tzinfo=UTC), floor=TODAY + timedelta(days=1))


@dataclass
class Box:
    """A box whose clock stands still."""

    folder: Path
    now: datetime = BUILT
    set_to: list[float] = field(default_factory=list)
    refuses: bool = False

    @property
    def mark(self) -> Path:
        return self.folder / "synchronized"

    def machine(self) -> Machine:
        epoch, saved = self.folder / "clock-epoch", self.folder / "clock"
        epoch.touch()
        os.utime(epoch, (BUILT.timestamp(), BUILT.timestamp()))
        return Machine(self.mark, (epoch, saved), lambda: self.now, self._set)

    def _set(self, value: float) -> None:
        if self.refuses:
            raise PermissionError(1, "Operation not permitted")
        self.set_to.append(value)
        self.now = datetime.fromtimestamp(value, UTC)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


def test_a_server_on_tls_sets_the_clock_and_it_is_said(
    box: Box, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "appliance.firstboot")
    files = authority.issue("localhost", since=TODAY - timedelta(days=1))
    with telling(TODAY, files) as url:
        assert keep_clock(lambda: url, box.machine(), authority.file) == 0
    assert box.set_to == [TODAY.timestamp()]
    assert caplog.messages == [
        "The clock was set from 2026-03-01 00:00:00 UTC to 2026-06-15 12:00:00 UTC by the word of "
        f"{url}, because NTP does not answer."
    ]


def test_a_server_whose_date_is_not_its_certificates_sets_nothing(
    box: Box, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    files = authority.issue("localhost", since=TODAY + timedelta(days=9))
    with telling(TODAY, files) as url:
        assert keep_clock(lambda: url, box.machine(), authority.file) == TRY_LATER
    assert box.set_to == []
    [sentence] = caplog.messages
    assert "the clock stays as it is" in sentence


def test_nothing_is_asked_once_ntp_has_answered(box: Box) -> None:
    box.mark.touch()

    def nobody() -> str:
        raise AssertionError("asked")

    assert keep_clock(nobody, box.machine()) == 0


def test_an_answer_of_ntp_meanwhile_is_better(box: Box, authority: Authority) -> None:
    files = authority.issue("localhost", since=TODAY - timedelta(days=1))
    with telling(TODAY, files) as url:

        def name() -> str:
            box.mark.touch()
            return url

        assert keep_clock(name, box.machine(), authority.file) == 0
    assert box.set_to == []


def test_the_last_time_saved_counts_as_the_build_does(box: Box) -> None:
    machine = box.machine()
    assert machine.floor() == BUILT
    (box.folder / "clock").touch()
    os.utime(box.folder / "clock", (TODAY.timestamp(), TODAY.timestamp()))
    assert machine.floor() == TODAY


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", "no login server is named"),
        ("http://127.0.0.1:1", "without TLS anybody"),
        ("mesh.test", "is not a coordinator's URL"),
        ("https://127.0.0.1:1", "Connection refused"),
    ],
)
def test_whoever_cannot_be_asked_is_said_and_asked_again_later(
    box: Box, url: str, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "appliance.firstboot")
    assert keep_clock(lambda: url, box.machine()) == TRY_LATER
    [message] = caplog.messages
    assert sentence in message


def test_a_clock_that_may_not_be_set_is_one_sentence(
    box: Box, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    box.refuses = True
    files = authority.issue("localhost", since=TODAY - timedelta(days=1))
    with telling(TODAY, files) as url:
        assert keep_clock(lambda: url, box.machine(), authority.file) == TRY_LATER
    assert caplog.messages == ["The clock cannot be set: Operation not permitted."]


def test_without_an_agent_it_is_tried_later(tmp_path: Path) -> None:
    with pytest.raises(LaterError, match="agent is not running"):
        named_login_server(LocalClient(tmp_path / "none.sock"))


def test_a_slow_line_is_no_difference() -> None:
    assert timedelta(seconds=2) <= AGREES <= timedelta(minutes=1)
