from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

from appliance.agent.doctor.machine import (
    STATUS_OF_LAYER,
    check_clock,
    check_dhcp,
    check_health,
    check_settings,
    conclude,
)
from appliance.exit_status import ExitStatus
from appliance.gateway.profile import Setting, State
from appliance.health.catalogue import CATALOGUE, warn
from appliance.health.tracker import Raised
from appliance.localapi.types import CheckItem

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def test_every_setting_is_listed_with_state_and_fix() -> None:
    fine = Setting("a", "1", "1", State.REPAIRED, "It passes.")
    wrong = Setting("b", "1", "0", State.REFUSED, "It passes.", "Set it by hand.")
    items = list(check_settings([fine, wrong]))
    assert [(item.state, item.fix) for item in items] == [
        ("repaired", ""),
        ("refused", "Set it by hand."),
    ]
    assert "should be 1" in items[1].evidence


def test_the_whole_catalogue_is_listed() -> None:
    raised = Raised(warn("exit-node-offline", name="home"), NOW)
    low = Raised(warn("exit-home-no-ipv6"), NOW)
    items = list(check_health([raised, low]))
    assert len(items) == len(CATALOGUE)
    assert [item.state for item in items[:3]] == ["wrong", "note", "ok"]


def test_a_clock_is_right_wrong_or_cannot_be_judged() -> None:
    assert check_clock(None).state == "unknown"
    assert check_clock(timedelta(0)).state == "ok"
    assert "behind" in check_clock(timedelta(days=2)).evidence
    assert "ahead of" in check_clock(timedelta(days=-2)).evidence


def test_the_first_broken_layer_gives_the_verdict() -> None:
    items = [
        CheckItem(layer="name", name="name", state="ok"),
        CheckItem(layer="route", name="r", state="wrong", evidence="Not approved.", fix="Do it."),
        CheckItem(layer="lan", name="l", state="wrong"),
    ]
    report = conclude("x", items, good="fine")
    assert (report.broken, report.code) == ("route", "doctor-route")
    assert report.verdict == "Broken: route. Not approved. Do it. 1 more below it."
    assert conclude("x", items[:1], good="fine").verdict == "fine"


def test_every_layer_has_a_status_of_its_own() -> None:
    assert len(set(STATUS_OF_LAYER.values())) == len(STATUS_OF_LAYER)
    assert ExitStatus.OK not in STATUS_OF_LAYER.values()


def test_two_dhcp_servers_are_one_too_many() -> None:
    one, two = IPv4Address("192.168.1.1"), IPv4Address("192.168.1.9")
    items = check_dhcp(
        {"a": None, "b": frozenset(), "c": frozenset({one}), "d": frozenset({two, one})}
    )
    judged = {item.name: item for item in items}
    assert [item.state for item in judged.values()] == ["unknown", "ok", "ok", "wrong"]
    wrong = judged["DHCP at d"]
    assert wrong.evidence == "192.168.1.1 and 192.168.1.9 all hand out addresses at d."
    assert wrong.fix
