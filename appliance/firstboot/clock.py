"""The clock of a box without one: moved forward by a login server's word while NTP is silent.

The rules, from the safest to the last resort: never before the build's date or the last time saved
(systemd at its start, checked here once more); NTP by names, then by addresses (timesyncd, which
never gives up); and where UDP 123 is blocked the HTTPS ``Date`` of the owner's own login server.
Nobody else is asked. Without TLS anybody on the way could answer, so plain HTTP is never asked.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from appliance.controlclient.config import ControlUrl
from appliance.controlclient.errors import ControlError
from appliance.exit_status import ExitStatus
from appliance.firstboot.errors import ClockRefusedError, FirstbootError, LaterError
from appliance.firstboot.servertime import ServerTime, ask
from appliance.localapi.client import LocalClient
from appliance.localapi.errors import LocalApiError

_log = logging.getLogger(__name__)

AGREES: Final = timedelta(seconds=5)
"""What whole seconds and a slow line come to; neither certificates nor WireGuard mind."""
TRY_LATER: Final = os.EX_TEMPFAIL
"""The exit status that latchkey-clock.service takes for "start me again"."""


def plan_step(said: ServerTime, now: datetime, floor: datetime) -> datetime | None:
    """Return what to set the clock to; None: it agrees, or is ahead, and stays.

    Only ever forward: WireGuard's peers drop a handshake whose time stamp is not newer than the
    last one that they saw, so a box that was set back could not begin a connection until its clock
    has passed the old time. A word that cannot be true is a ``ClockRefusedError``.
    """
    if said.date < floor:
        raise ClockRefusedError(
            f"{said.server} says that it is {_day(said.date)}, but this box was made, or last ran, "
            f"on {_day(floor)}: the clock stays as it is. Set that server's clock."
        )
    if not said.not_before <= said.date <= said.not_after:
        raise ClockRefusedError(
            f"{said.server} says that it is {_day(said.date)}, but its certificate is for "
            f"{_day(said.not_before)} to {_day(said.not_after)}: the clock stays as it is. Set "
            "that server's clock, or renew its certificate."
        )
    return said.date if said.date - now > AGREES else None


@dataclass(frozen=True, slots=True)
class Machine:
    """The box's clock and what it knows of time; tests have another one."""

    synchronised: Path = Path("/run/systemd/timesync/synchronized")
    """timesyncd makes it when NTP has answered."""
    floors: tuple[Path, ...] = (
        Path("/usr/lib/clock-epoch"),
        Path("/var/lib/systemd/timesync/clock"),
    )
    """The dates of these files: the build, and timesyncd's last time saved."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    set_clock: Callable[[float], None] = lambda value: time.clock_settime(
        time.CLOCK_REALTIME, value
    )

    def floor(self) -> datetime:
        """Return the time before which it cannot be."""
        times = [path.stat().st_mtime for path in self.floors if path.exists()]
        return datetime.fromtimestamp(max(times, default=0.0), UTC)


def keep_clock(
    login_server: Callable[[], str], machine: Machine, ca_file: Path | None = None
) -> int:
    """Ask once for the time and set the clock if need be, unless NTP has answered.

    Nothing of it waits for better days: the service is started again, more rarely each time, while
    this returns ``TRY_LATER``, so that a box without NTP keeps its memory.
    """
    if machine.synchronised.exists():
        return ExitStatus.OK
    try:
        _obey(asyncio.run(ask(_url(login_server()), ca_file)), machine)
    except LaterError as error:
        _log.info("%s", error)
    except FirstbootError as error:
        _log.warning("%s", error)
    else:
        return ExitStatus.OK
    return TRY_LATER


def _url(text: str) -> ControlUrl:
    if not text:
        raise LaterError("NTP does not answer, and no login server is named that could.")
    try:
        return ControlUrl.parse(text)
    except ControlError as error:
        raise ClockRefusedError(str(error)) from None


def _obey(said: ServerTime, machine: Machine) -> None:
    before = machine.now()
    step = plan_step(said, before, machine.floor())
    # What NTP said meanwhile is better.
    if step is None or machine.synchronised.exists():
        return
    try:
        machine.set_clock(step.timestamp())
    except OSError as error:
        raise ClockRefusedError(f"The clock cannot be set: {error.strerror}.") from None
    _log.info(
        "The clock was set from %s to %s by the word of %s, because NTP does not answer.",
        *(f"{moment:%Y-%m-%d %H:%M:%S} UTC" for moment in (before, step)),
        said.server,
    )


def named_login_server(client: LocalClient) -> str:
    """Return the coordinator that the owner named to the agent; empty: none yet."""
    try:
        return client.prefs().control_url
    except LocalApiError as error:
        raise LaterError(str(error)) from None


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}"
