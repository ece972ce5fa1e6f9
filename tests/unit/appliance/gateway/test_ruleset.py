from __future__ import annotations

import ipaddress
import re
from dataclasses import replace

import pytest

from appliance.gateway import ruleset as under_test
from appliance.gateway.config import GatewayConfig
from appliance.gateway.errors import GatewayError
from appliance.gateway.filter import parse_filter
from appliance.gateway.ruleset import internet
from appliance.protocol.addresses import IPNetwork
from appliance.protocol.tailcfg import FilterRule, NetPortRange


def networks(*texts: str) -> frozenset[IPNetwork]:
    return frozenset(ipaddress.ip_network(text) for text in texts)


def render_ruleset(config: GatewayConfig) -> str:
    return under_test.render_ruleset(config, parse_filter(config.filter or ()).allows)


CLOSED = GatewayConfig(
    interface="latchkey0",
    addresses=(
        ipaddress.ip_interface("100.64.0.1/32"),
        ipaddress.ip_interface("fd7a:115c:a1e0::1"),
    ),
    listen_port=41641,
    fwmark=0x80000,
)
OPEN = replace(CLOSED, filter=(FilterRule(src_ips=("*",), dst_ports=(NetPortRange(ip="*"),)),))


def chain(ruleset: str, name: str) -> list[str]:
    """The rules of a chain, without the line that hooks it in."""
    [body] = re.findall(rf"chain {name} \{{\n(.*?)\n\t\}}", ruleset, re.DOTALL)
    return [line.strip() for line in body.split("\n") if "hook" not in line]


def test_the_old_table_goes_in_the_step_in_which_the_new_one_comes() -> None:
    assert render_ruleset(OPEN).startswith(
        "table inet latchkey\ndelete table inet latchkey\ntable inet latchkey {\n"
    )


def chains(ruleset: str) -> set[str]:
    return set(re.findall(r"chain (\w+) \{", ruleset))


def hooks(ruleset: str) -> set[str]:
    return set(re.findall(r"hook (\w+) ", ruleset))


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


def test_subnets_and_internet_are_places_of_their_own() -> None:
    config = replace(
        OPEN, advertised=networks("192.168.1.0/24", "9.9.9.0/24"), serve_exit=True, snat=False
    )
    ruleset = render_ruleset(config)
    [places] = [rule for rule in chain(ruleset, "mesh_onward") if rule.startswith("ip daddr vmap")]
    assert "192.168.1.0-192.168.1.255 : goto to_lan4" in places
    assert "9.9.9.0-9.9.9.255 : goto to_lan4" in places
    assert "1.0.0.0-9.9.8.255 : goto to_internet4" in places
    assert "0x20000" in chain(ruleset, "to_lan4")[1]
    assert "0x40000" in chain(ruleset, "to_internet4")[1]


def test_an_exit_node_without_ipv6_says_so() -> None:
    ruleset = render_ruleset(replace(OPEN, serve_exit=True, exit_ipv6=False))
    assert chain(ruleset, "to_internet6") == ["jump admit6", "reject with icmpv6 no-route"]
    assert "accept" in chain(ruleset, "to_internet4")[1]
    [refusal] = chain(ruleset, "no_ipv6_rules")
    assert refusal.endswith("meta l4proto 6 reject with tcp reset")
    assert "no_ipv6" not in render_ruleset(replace(OPEN, serve_exit=True))


def test_only_users_of_the_exit_reach_its_dns() -> None:
    public = NetPortRange(ip="0.0.0.0-255.255.255.255")
    rules = (
        FilterRule(src_ips=("100.64.0.2",), dst_ports=(public,)),
        FilterRule(src_ips=("100.64.0.3",), dst_ports=(NetPortRange(ip="9.9.9.9"),)),
    )
    config = replace(CLOSED, filter=rules, serve_exit=True, exit_dns_port=8053)
    [dns] = [rule for rule in chain(render_ruleset(config), "mesh_to_us") if "8053" in rule]
    assert "ip saddr 100.64.0.2 " in dns
    assert "8053" not in render_ruleset(replace(config, serve_exit=False))


def test_only_entering_networks_enter_and_only_where_routes_lead() -> None:
    config = replace(
        OPEN,
        advertised=networks("192.168.1.0/24"),
        routes=networks("10.9.0.0/16"),
        entering=networks("192.168.1.0/24"),
    )
    rules = chain(render_ruleset(config), "into_mesh")
    assert any(
        "ip saddr 192.168.1.0-192.168.1.255 ip daddr 10.9.0.0-10.9.255.255" in rule
        for rule in rules
    )
    assert rules[-1] == "counter drop"


def test_connections_that_end_here_and_were_cut_are_silent() -> None:
    allows = parse_filter(OPEN.filter or ()).allows
    assert "output" not in hooks(under_test.render_ruleset(OPEN, allows))
    ruleset = under_test.render_ruleset(OPEN, allows, cut=True)
    assert chain(ruleset, "output") == ["ct mark and 0x90000 == 0x10000 counter drop"]


@pytest.mark.parametrize(
    ("address", "is_internet"),
    [
        ("8.8.8.8", True),
        ("203.0.113.9", True),
        ("198.51.100.0", False),  # local
        ("198.51.101.0", True),
        ("10.1.2.3", False),
        ("192.168.77.1", False),
        ("172.31.255.255", False),
        ("172.32.0.0", True),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("100.128.0.1", True),
        ("127.0.0.1", False),
        ("224.0.0.251", False),
        ("255.255.255.255", False),
        ("0.0.0.0", False),
        ("2001:4860::8888", True),
        ("2001:db8:1::5", False),  # local
        ("2001:db8:2::5", True),
        ("64:ff9b::808:808", True),
        ("fd00::1", False),
        ("fd7a:115c:a1e0::1", False),
        ("fe80::1", False),
        ("ff02::1", False),
        ("::1", False),
    ],
)
def test_an_exit_node_gives_the_internet_and_nothing_near(address: str, is_internet: bool) -> None:
    local = networks("198.51.100.0/24", "2001:db8:1::/64")
    ip = ipaddress.ip_address(address)
    found = any(r.first <= int(ip) <= r.last for r in internet(local, ip.version))
    assert found is is_internet


def test_the_mesh_ranges_are_ours_alone_except_for_a_providers_neighbours() -> None:
    for name in ("input", "forward"):
        pretended = "ip saddr 100.64.0.0-100.127.255.255 counter drop"
        assert pretended in chain(render_ruleset(OPEN), name)
        shared = replace(OPEN, local_networks=networks("100.64.0.0/11"))
        pretended = "ip saddr 100.96.0.0-100.127.255.255 counter drop"
        assert pretended in chain(render_ruleset(shared), name)
        all_of_it = replace(OPEN, local_networks=networks("100.64.0.0/10"))
        rules = chain(render_ruleset(all_of_it), name)
        assert not [rule for rule in rules if "ip saddr" in rule]
    assert "ip daddr 100.64.0.1 counter drop" in chain(render_ruleset(OPEN), "input")


def test_the_tunnels_port_is_marked_before_routing_where_routes_could_mislead() -> None:
    config = replace(OPEN, listen_port=5000, fwmark=0x90000, use_exit=True)
    assert chain(render_ruleset(config), "prerouting_rules")[:2] == [
        'iifname { "lo", "latchkey0" } accept',
        "udp dport 5000 meta mark set meta mark and 0xff00ffff or 0x90000 accept",
    ]


def test_equal_configs_give_equal_text() -> None:
    config = replace(OPEN, advertised=networks("10.0.0.0/8", "192.168.0.0/16", "fd00::/64"))
    again = replace(OPEN, advertised=networks("fd00::/64", "192.168.0.0/16", "10.0.0.0/8"))
    assert render_ruleset(config) == render_ruleset(again)


def test_overlapping_subnets_become_one_range() -> None:
    config = replace(OPEN, advertised=networks("10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8"))
    places = "ip daddr vmap { 10.0.0.0-11.255.255.255 : goto to_lan4 }"
    assert places in chain(render_ruleset(config), "mesh_onward")


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
