"""Which settings a role needs, and what the profile says of them."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

from appliance.gateway.config import GatewayConfig
from appliance.gateway.profile import (
    FORWARD_V4,
    FORWARD_V6,
    Line,
    Seen,
    Setting,
    State,
    observe_profile,
    plan_profile,
)
from appliance.gateway.settings import Changed, Wanted
from appliance.protocol.addresses import IPNetwork

CONFIG = GatewayConfig("latchkey0", (), 41641, 0x80000)
ACCEPT_RA = "net/ipv6/conf/eth0/accept_ra"


def networks(*texts: str) -> frozenset[IPNetwork]:
    return frozenset(ipaddress.ip_network(text) for text in texts)


ROUTER4 = replace(CONFIG, advertised=networks("10.0.0.0/8"))
ROUTER6 = replace(CONFIG, advertised=networks("fd00::/64"))
EXIT = replace(CONFIG, serve_exit=True)
CLIENT = replace(CONFIG, use_exit=True)


def names(config: GatewayConfig, *uplinks: str) -> list[str]:
    return [one.name for one in plan_profile(config, uplinks)]


def show(config: GatewayConfig, present: dict[str, str], seen: Seen) -> dict[str, Setting]:
    wanted = plan_profile(config, ("eth0",))
    return {one.name: one for one in observe_profile(config, wanted, present.get, seen)}


def met(config: GatewayConfig) -> dict[str, str]:
    """A machine that has everything that the config needs."""
    return {one.name: one.value for one in plan_profile(config, ("eth0",))}


def test_a_node_that_serves_nobody_needs_no_kernel_setting() -> None:
    assert names(CONFIG) == []
    assert names(CONFIG, "eth0") == ["ethtool eth0 rx-gro-list"]


def test_forwarding_is_switched_on_for_the_families_that_are_served() -> None:
    assert FORWARD_V4 in names(ROUTER4, "eth0")
    assert FORWARD_V6 not in names(ROUTER4, "eth0")
    assert FORWARD_V4 not in names(ROUTER6, "eth0")
    assert {FORWARD_V4, FORWARD_V6} <= set(names(EXIT, "eth0"))


def test_first_listen_to_the_router_then_forward() -> None:
    order = names(ROUTER6, "eth0", "wlan0")
    assert order.index(FORWARD_V6) > order.index(ACCEPT_RA)
    assert order.index(FORWARD_V6) > order.index("net/ipv6/conf/wlan0/accept_ra")


def test_using_an_exit_node_lets_marks_count_in_reverse_path_checks() -> None:
    assert names(CLIENT) == ["net.ipv4.conf.all.src_valid_mark", "net.ipv6.fwmark_reflect"]


def reverse_path(config: GatewayConfig, *, strict: bool) -> Wanted:
    name = "net/ipv4/conf/eth0/rp_filter"
    return next(one for one in plan_profile(config, ("eth0",), strict=strict) if one.name == name)


def test_no_check_at_all_will_do_unless_all_interfaces_are_strict() -> None:
    assert reverse_path(ROUTER4, strict=False).is_met_by("0")
    assert not reverse_path(ROUTER4, strict=False).is_met_by("1")
    assert not reverse_path(ROUTER4, strict=True).is_met_by("0"), "the stricter of both counts"


def test_a_machine_that_has_everything_is_well() -> None:
    seen = Seen((Line("eth0", 1500),), tunnel_mtu=1280)
    found = show(EXIT, met(EXIT), seen)
    assert {one.state for one in found.values()} == {State.OK}
    assert not any(one.fix for one in found.values())


def test_what_we_set_is_told_from_what_was_right_already() -> None:
    seen = Seen(changed={FORWARD_V4: Changed("0", "1")})
    found = show(EXIT, met(EXIT), seen)
    assert found[FORWARD_V4].state is State.REPAIRED
    assert found[FORWARD_V6].state is State.OK


def test_what_is_wrong_comes_with_the_command_that_mends_it() -> None:
    found = show(EXIT, met(EXIT) | {ACCEPT_RA: "1", "ethtool eth0 rx-gro-list": "on"}, Seen())
    wrong = found[ACCEPT_RA.replace("/", ".")]
    assert (wrong.state, wrong.present) == (State.WRONG, "1")
    assert f"sysctl -w {ACCEPT_RA}=2" in wrong.fix
    assert "ethtool -K eth0 rx-gro-list off" in found["ethtool eth0 rx-gro-list"].fix


def test_a_refused_forwarding_says_what_no_longer_works() -> None:
    seen = Seen(refused={FORWARD_V4: "Read-only file system."})
    setting = show(EXIT, met(EXIT) | {FORWARD_V4: "0"}, seen)[FORWARD_V4]
    assert setting.state is State.REFUSED
    assert setting.essential
    assert setting.fix.startswith("Read-only file system. Nothing is forwarded until it is 1")


def test_what_the_machine_does_not_have_is_no_fault() -> None:
    present = met(EXIT)
    del present["net.netfilter.nf_conntrack_max"]
    setting = show(EXIT, present, Seen())["net.netfilter.nf_conntrack_max"]
    assert (setting.state, setting.present) == (State.OK, "not on this machine")


def test_a_line_that_cannot_carry_a_full_packet_is_named() -> None:
    seen = Seen((Line("eth0", 1500), Line("ppp0", 1300)), tunnel_mtu=1200, has_ruleset=False)
    found = show(EXIT, met(EXIT), seen)
    wrong = {name for name, one in found.items() if not one.is_fine}
    assert wrong == {"MTU of ppp0", "MTU of latchkey0", "MSS clamp"}
