"""A box that starts in 1970, NTP that nobody answers, and a coordinator on HTTPS.

The lab has neither time servers nor names. The coordinator's certificate begins long after the card
was made, so a box with the card's date cannot check it, and cannot join, until its clock is right.
The tests are one story and run in this order, by the file's name after those of the other box: at
this house's one plug there is one box at a time.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from tests.image.house import House, PlainCoordinator, start_box
from tests.netns.lab import Host, wait_until
from tests.netns.lab.pki import Authority, ServerFiles
from tests.support.cardmachine import UP_S, Card, CardMachine
from tests.support.mesh import LATCHKEY

pytestmark = pytest.mark.netns

POWER_ON: Final = "1970-01-01T00:00:00"
SLACK_S: Final = 120
"""A busy machine between a look at the box's clock and one at ours."""
SAVED_EVERY_S: Final = 60
WRITTEN_WITHIN_S: Final = 30
"""``commit=`` of the data partition: a power cut takes what was saved later."""


class SecureCoordinator(PlainCoordinator):
    """The coordinator on HTTPS, with a certificate of the lab's own authority."""

    def __init__(self, host: Host, files: ServerFiles) -> None:
        super().__init__(host)
        self.url = f"https://{host.ip}:8443"
        self._files = files

    def start(self) -> None:
        config = self._directory / "coordinator.toml"
        config.write_text(
            f'server_url = "{self.url}"\nlisten = ":8443"\nstate_dir = "{self._directory}"\n'
            f'admin_socket = "{self._socket}"\n'
            f'[tls]\ncert = "{self._files.certificate}"\nkey = "{self._files.key}"\n',
            encoding="utf-8",
        )
        command = [str(LATCHKEY), "coordinator", "--config", str(config)]
        program = self.host.start("coordinator", command)

        def healthy() -> bool:
            program.check_alive()
            return self.host.try_run(["curl", "-sfk", f"{self.url}/health"]).returncode == 0

        wait_until(healthy, 30, f"the coordinator answers\n{program.log}")
        self.admin("users", "create", "family")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def coordinator(house: House, authority: Authority) -> SecureCoordinator:
    """Started when it is first needed: its certificate is that young."""
    since = datetime.now(UTC) - timedelta(seconds=30)
    made = SecureCoordinator(house.stranger, authority.issue(house.stranger.ip, since=since))
    made.start()
    return made


@pytest.fixture(scope="module")
def clockless(
    card: Card,
    house: House,
    key: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[CardMachine]:
    """A box without a mesh, its clock at the beginning of time."""
    for program in house.wire.programs:
        program.kill()
    machine = CardMachine(card, house.wire, tmp_path_factory.mktemp("clockless"))
    public = key.with_suffix(".pub").read_text().strip()
    machine.put("latchkey.toml", f'hostname = "clockless"\nssh_keys = ["{public}"]\n')
    start_box(machine, house, key, clock=POWER_ON)
    yield machine
    machine.cut_power()


def seconds_behind(house: House, key: Path) -> float:
    there = float(house.ssh(key, "date +%s"))
    return datetime.now(UTC).timestamp() - there


def test_without_any_time_the_clock_begins_at_the_cards_date(
    clockless: CardMachine, house: House, key: Path
) -> None:
    made = int(house.ssh(key, "stat -c %Y /usr/lib/clock-epoch"))
    assert int(house.ssh(key, "date +%s")) >= made
    # Else the rest would prove nothing: take a card that is older than that.
    assert seconds_behind(house, key) > 2 * SLACK_S
    assert house.try_ssh(key, "test -e /run/systemd/timesync/synchronized").returncode != 0
    assert "latchkey-clock.timer" in house.ssh(key, "systemctl list-timers --all --plain")


def test_the_box_trusts_the_owners_authority(
    clockless: CardMachine, house: House, key: Path, authority: Authority
) -> None:
    pem = shlex.quote(authority.file.read_text())
    file = "/usr/local/share/ca-certificates/lab.crt"
    house.ssh(key, f"printf %s {pem} >{file} && update-ca-certificates", timeout_s=400)


def test_the_login_server_sets_the_clock_and_the_box_joins_by_itself(
    clockless: CardMachine, house: House, key: Path, coordinator: SecureCoordinator
) -> None:
    mesh = f'[mesh]\nlogin_server = "{coordinator.url}"\nauth_key = "{coordinator.new_key()}"\n'
    began = time.monotonic()
    house.ssh(
        key,
        "mount -o remount,rw /boot/firmware && "
        f"printf %s {shlex.quote(mesh)} >>/boot/firmware/latchkey.toml && "
        "mount -o remount,ro /boot/firmware && systemctl restart latchkey-welcome latchkey-clock",
    )
    wait_until(lambda: abs(seconds_behind(house, key)) < SLACK_S, UP_S, "the clock is right")
    journal = house.ssh(key, "journalctl -u latchkey-clock.service -o cat")
    assert f"by the word of {coordinator.url}, because NTP does not answer" in journal, journal
    wait_until(lambda: coordinator.node("clockless"), 240, "the box has joined")
    print(f"named, set and joined within {time.monotonic() - began:.0f} s")
    assert house.ssh(key, "systemctl --failed --no-legend --plain | cat") == ""


def test_an_answer_of_ntp_ends_it(clockless: CardMachine, house: House, key: Path) -> None:
    started = "systemctl show -P InactiveExitTimestampMonotonic latchkey-clock.service"
    before = house.ssh(key, f"touch /run/systemd/timesync/synchronized; {started}")
    house.ssh(key, "systemctl start latchkey-clock.service")
    assert house.ssh(key, started) == before
    assert house.ssh(key, "systemctl --failed --no-legend --plain | cat") == ""


def test_after_a_power_cut_the_clock_begins_where_it_was(
    clockless: CardMachine, house: House, key: Path
) -> None:
    oldest_s = SAVED_EVERY_S + WRITTEN_WITHIN_S + 10
    time.sleep(oldest_s)  # the last time saved is of the right clock
    last = int(house.ssh(key, "date +%s"))
    clockless.cut_power()
    clockless.start(cable=False, clock=POWER_ON, shell=True)
    assert int(clockless.in_shell("date +%s")) >= last - oldest_s
    assert clockless.in_shell("systemctl --failed --no-legend --plain | cat") == ""
