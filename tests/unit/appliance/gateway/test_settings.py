from __future__ import annotations

import json
from pathlib import Path

import pytest

from appliance.gateway.knobs import Knobs
from appliance.gateway.profile import FORWARD_V4, FORWARD_V6
from appliance.gateway.settings import Settings, Wanted
from appliance.host import sysctl
from appliance.host.errors import HostError

ACCEPT_RA = "net/ipv6/conf/eth0/accept_ra"


def want(**settings: str) -> tuple[Wanted, ...]:
    """Settings by the last part of their names."""
    names = {"ip_forward": FORWARD_V4, "forwarding": FORWARD_V6, "accept_ra": ACCEPT_RA}
    return tuple(
        Wanted(names[name], value, "a reason", frozenset({"0"} if name == "accept_ra" else ()))
        for name, value in settings.items()
    )


class Machine:
    """A directory that plays /proc/sys."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "sys"
        self.record = directory / "record.json"
        self["kernel.random.boot_id"] = "this boot"
        for name, value in ((FORWARD_V4, "0"), (FORWARD_V6, "0"), (ACCEPT_RA, "1")):
            self[name] = value

    def __setitem__(self, name: str, value: str) -> None:
        path = self.root / (name if "/" in name else name.replace(".", "/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value + "\n")

    def __getitem__(self, name: str) -> str | None:
        return sysctl.read(name, self.root)

    def settings(self) -> Settings:
        """As a fresh agent makes it."""
        return Settings(self.record, Knobs(self.root))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_what_was_changed_is_remembered_and_undone(machine: Machine) -> None:
    machine.settings().apply(want(ip_forward="1"))
    assert machine[FORWARD_V4] == "1"
    assert json.loads(machine.record.read_text())["changed"] == {FORWARD_V4: ["0", "1"]}
    assert machine.record.stat().st_mode & 0o777 == 0o600
    machine.settings().undo()
    assert machine[FORWARD_V4] == "0"
    assert not machine.record.exists()


def test_what_was_right_already_is_not_ours_to_undo(machine: Machine) -> None:
    machine[FORWARD_V4] = "1"
    machine.settings().apply(want(ip_forward="1"))
    assert not machine.record.exists()
    machine.settings().undo()
    assert machine[FORWARD_V4] == "1"


def test_the_first_value_is_kept_through_restarts(machine: Machine) -> None:
    machine[ACCEPT_RA] = "1"
    machine.settings().apply(want(accept_ra="2"))
    machine[ACCEPT_RA] = "1"  # somebody else, for a moment
    machine.settings().apply(want(accept_ra="2"))
    machine.settings().undo()
    assert machine[ACCEPT_RA] == "1"


def test_a_setting_that_somebody_changed_after_us_stays_theirs(machine: Machine) -> None:
    machine.settings().apply(want(accept_ra="2"))
    machine[ACCEPT_RA] = "0"
    machine.settings().undo()
    assert machine[ACCEPT_RA] == "0"


def test_an_uplink_whose_router_somebody_else_reads_is_left_alone(machine: Machine) -> None:
    machine[ACCEPT_RA] = "0"
    machine.settings().apply(want(accept_ra="2", forwarding="1"))
    assert (machine[ACCEPT_RA], machine[FORWARD_V6]) == ("0", "1")


def test_a_setting_that_the_kernel_does_not_have_is_passed_over(machine: Machine) -> None:
    machine.settings().apply((Wanted("net.ipv6.fwmark_reflect", "1", "a reason"),))
    assert machine["net.ipv6.fwmark_reflect"] is None
    assert not machine.record.exists()


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"{",
        b"[]",
        b'{"boot_id": "this boot"}',
        b'{"boot_id": "this boot", "changed": {"a": ["1"]}}',
        b'{"boot_id": "this boot", "changed": [1]}',
        b'{"boot_id": "another", "changed": {"net.ipv4.ip_forward": ["1", "0"]}}',
        b"\xff\xfe",
    ],
)
def test_a_damaged_or_old_record_counts_for_nothing(machine: Machine, record: bytes) -> None:
    machine.record.write_bytes(record)
    machine.settings().undo()
    assert machine[FORWARD_V4] == "0"


def test_what_is_refused_is_said_and_the_rest_goes_on(machine: Machine) -> None:
    (machine.root / "net/ipv4/ip_forward").unlink()
    (machine.root / "net/ipv4/ip_forward").mkdir()
    settings = machine.settings()
    settings.apply(want(ip_forward="1", forwarding="1"))
    assert "net.ipv4.ip_forward cannot be read" in settings.refused[FORWARD_V4]
    assert machine[FORWARD_V6] == "1"
    assert list(settings.changed()) == [FORWARD_V6]


def test_a_setting_that_cannot_be_written_is_not_recorded_as_ours(machine: Machine) -> None:
    class ReadOnly(Knobs):
        def write(self, name: str, value: str) -> None:
            raise HostError(f"The kernel setting {name} cannot be set to {value}.")

    settings = Settings(machine.record, ReadOnly(machine.root))
    settings.apply(want(ip_forward="1"))
    assert settings.refused == {FORWARD_V4: f"The kernel setting {FORWARD_V4} cannot be set to 1."}
    assert not settings.changed()
    settings.undo()
    assert machine[FORWARD_V4] == "0"


def test_more_than_asked_for_will_do(machine: Machine) -> None:
    size = Wanted("net.netfilter.nf_conntrack_max", "65536", "a reason", at_least=True)
    machine[size.name] = "262144"
    machine.settings().apply((size,))
    assert machine[size.name] == "262144"
    machine[size.name] = "8192"
    machine.settings().apply((size,))
    assert machine[size.name] == "65536"


def test_what_somebody_else_needs_by_now_is_left_on_and_forgotten(machine: Machine) -> None:
    machine.settings().apply(want(accept_ra="2", ip_forward="1"))
    machine.settings().undo(keep=lambda name: name == FORWARD_V4)
    assert (machine[FORWARD_V4], machine[ACCEPT_RA]) == ("1", "1")
    assert not machine.record.exists()


def test_a_setting_that_somebody_takes_is_put_back_with_a_word(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    settings = machine.settings()
    settings.apply(want(ip_forward="1"))
    machine[FORWARD_V4] = "0"
    settings.apply(want(ip_forward="1"))
    assert machine[FORWARD_V4] == "1"
    assert "Somebody set net.ipv4.ip_forward to 0; it is 1 again" in caplog.text
