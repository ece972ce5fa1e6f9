from __future__ import annotations

import ipaddress
import json
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.gateway.config import GatewayConfig
from appliance.gateway.settings import FORWARD_V4, FORWARD_V6, Settings, plan_settings
from appliance.host import sysctl
from appliance.host.errors import HostError
from appliance.protocol.addresses import IPNetwork


def networks(*texts: str) -> frozenset[IPNetwork]:
    return frozenset(ipaddress.ip_network(text) for text in texts)


CONFIG = GatewayConfig("latchkey0", (), 41641, 0x80000)
ACCEPT_RA = "net/ipv6/conf/eth0/accept_ra"


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
        return Settings(self.record, self.root)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_node_that_serves_nobody_needs_nothing() -> None:
    assert plan_settings(CONFIG, ("eth0",)) == {}


def test_forwarding_is_switched_on_for_the_families_that_are_served() -> None:
    only_v4 = replace(CONFIG, advertised=networks("10.0.0.0/8"))
    assert plan_settings(only_v4, ("eth0",)) == {FORWARD_V4: "1"}
    only_v6 = replace(CONFIG, advertised=networks("fd00::/64"))
    assert list(plan_settings(only_v6, ("eth0",)).items()) == [
        (ACCEPT_RA, "2"),
        (FORWARD_V6, "1"),
    ], "first listen to the router, then forward"
    assert plan_settings(replace(CONFIG, serve_exit=True), ()) == {FORWARD_V4: "1", FORWARD_V6: "1"}


def test_using_an_exit_node_lets_marks_count_in_reverse_path_checks() -> None:
    assert plan_settings(replace(CONFIG, use_exit=True), ()) == {
        "net.ipv4.conf.all.src_valid_mark": "1",
        "net.ipv6.fwmark_reflect": "1",
    }


def test_what_was_changed_is_remembered_and_undone(machine: Machine) -> None:
    machine.settings().apply({FORWARD_V4: "1"})
    assert machine[FORWARD_V4] == "1"
    assert json.loads(machine.record.read_text())["changed"] == {FORWARD_V4: ["0", "1"]}
    assert machine.record.stat().st_mode & 0o777 == 0o600
    machine.settings().undo()
    assert machine[FORWARD_V4] == "0"
    assert not machine.record.exists()


def test_what_was_right_already_is_not_ours_to_undo(machine: Machine) -> None:
    machine[FORWARD_V4] = "1"
    machine.settings().apply({FORWARD_V4: "1"})
    assert not machine.record.exists()
    machine.settings().undo()
    assert machine[FORWARD_V4] == "1"


def test_the_first_value_is_kept_through_restarts(machine: Machine) -> None:
    machine[ACCEPT_RA] = "1"
    machine.settings().apply({ACCEPT_RA: "2"})
    machine[ACCEPT_RA] = "1"  # somebody else, for a moment
    machine.settings().apply({ACCEPT_RA: "2"})
    machine.settings().undo()
    assert machine[ACCEPT_RA] == "1"


def test_a_setting_that_somebody_changed_after_us_stays_theirs(machine: Machine) -> None:
    machine.settings().apply({ACCEPT_RA: "2"})
    machine[ACCEPT_RA] = "0"
    machine.settings().undo()
    assert machine[ACCEPT_RA] == "0"


def test_an_uplink_whose_router_somebody_else_reads_is_left_alone(machine: Machine) -> None:
    machine[ACCEPT_RA] = "0"
    machine.settings().apply({ACCEPT_RA: "2", FORWARD_V6: "1"})
    assert (machine[ACCEPT_RA], machine[FORWARD_V6]) == ("0", "1")


def test_a_setting_that_the_kernel_does_not_have_is_passed_over(machine: Machine) -> None:
    machine.settings().apply({"net.ipv6.fwmark_reflect": "1"})
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


def test_a_setting_that_cannot_be_made_says_so(machine: Machine) -> None:
    (machine.root / "net/ipv4/ip_forward").unlink()
    (machine.root / "net/ipv4/ip_forward").mkdir()
    with pytest.raises(HostError, match=r"net\.ipv4\.ip_forward cannot be read"):
        machine.settings().apply({FORWARD_V4: "1"})
