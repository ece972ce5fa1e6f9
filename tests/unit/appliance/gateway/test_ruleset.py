from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.gateway.config import GatewayConfig
from appliance.gateway.errors import GatewayError
from appliance.gateway.filter import parse_filter
from appliance.protocol.tailcfg import FilterRule, NetPortRange
from tests.support.rulesets import CLOSED, OPEN, chain, chains, hooks, networks, render_ruleset


def test_the_old_table_goes_in_the_step_in_which_the_new_one_comes() -> None:
    assert render_ruleset(OPEN).startswith(
        "table inet latchkey\ndelete table inet latchkey\ntable inet latchkey {\n"
    )


def test_without_a_filter_everything_of_the_tunnel_is_dropped() -> None:
    ruleset = render_ruleset(replace(CLOSED, advertised=networks("10.0.0.0/8"), serve_exit=True))
    assert chain(ruleset, "input")[0] == 'iifname "latchkey0" drop'
    assert chain(ruleset, "forward") == ['iifname "latchkey0" drop', 'oifname "latchkey0" drop']
    assert chains(ruleset) == {"input", "forward"}


def test_a_node_that_forwards_nothing_and_uses_no_exit_has_two_hooks() -> None:
    """Every packet of the host pays for each of them."""
    config = replace(OPEN, routes=networks("100.64.0.2/32", "fd7a:115c:a1e0::2/128"))
    ruleset = render_ruleset(config)
    assert hooks(ruleset) == {"input", "forward"}
    assert chain(ruleset, "forward")[:2] == [
        'iifname "latchkey0" counter drop',
        'oifname "latchkey0" counter drop',
    ]


def test_the_most_frequent_packets_are_decided_by_the_first_two_rules() -> None:
    ruleset = render_ruleset(OPEN)
    assert chain(ruleset, "input")[:2] == [
        'iifname "latchkey0" goto mesh_to_us',
        "udp dport 41641 accept",
    ]
    assert chain(ruleset, "mesh_to_us")[0].endswith("ct state established accept")
    router = render_ruleset(replace(OPEN, advertised=networks("10.0.0.0/8")))
    assert "ct state established" in chain(router, "mesh_onward")[1]
    assert "ct state established" in chain(router, "into_mesh")[1]


@pytest.mark.parametrize(
    ("config", "has"),
    [
        (OPEN, set()),
        (replace(OPEN, use_exit=True), {"prerouting", "output"}),
        (replace(OPEN, routes=networks("10.9.0.0/16")), {"prerouting", "output"}),
        (replace(OPEN, advertised=networks("10.0.0.0/8")), {"postrouting"}),
        (replace(OPEN, advertised=networks("10.0.0.0/8"), snat=False), set()),
        (replace(OPEN, serve_exit=True, snat=False), {"postrouting"}),
    ],
)
def test_a_hook_is_there_when_it_has_something_to_do(config: GatewayConfig, has: set[str]) -> None:
    assert hooks(render_ruleset(config)) - {"input", "forward"} == has


def test_an_empty_filter_admits_nobody() -> None:
    ruleset = render_ruleset(replace(CLOSED, filter=()))
    assert chain(ruleset, "admit4") == ["icmp type redirect drop", "counter drop"]


def test_equal_configs_give_equal_text() -> None:
    config = replace(OPEN, advertised=networks("10.0.0.0/8", "192.168.0.0/16", "fd00::/64"))
    again = replace(OPEN, advertised=networks("fd00::/64", "192.168.0.0/16", "10.0.0.0/8"))
    assert render_ruleset(config) == render_ruleset(again)


@pytest.mark.parametrize("name", ["", "a" * 16, "eth*", 'x"', "a b", "a;b", "tun\n", "tün"])
def test_a_name_that_is_no_interface_never_reaches_nft(name: str) -> None:
    with pytest.raises(GatewayError, match="cannot be an interface name"):
        render_ruleset(replace(OPEN, interface=name))


def test_text_of_a_rule_never_reaches_nft() -> None:
    hostile = "1.2.3.4 } accept; flush ruleset #"
    rules = (
        FilterRule(src_ips=(hostile, "100.64.0.2"), dst_ports=(NetPortRange(ip=hostile),)),
        FilterRule(src_ips=("100.64.0.2",), dst_ports=(NetPortRange(ip="10.0.0.1"),)),
    )
    config = replace(CLOSED, filter=rules)
    assert "flush" not in render_ruleset(config)
    assert parse_filter(rules).ignored == 2
