from __future__ import annotations

import ipaddress
import re
from dataclasses import replace

import pytest

from appliance.gateway import ruleset as under_test
from appliance.gateway.config import GatewayConfig
from appliance.gateway.errors import GatewayError
from appliance.gateway.filter import parse_filter
from appliance.gateway.ruleset import internet, render_removal
from appliance.protocol.addresses import IPNetwork
from appliance.protocol.tailcfg import FilterRule, NetPortRange, PortRange


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


def elements(ruleset: str, name: str) -> str:
    [body] = re.findall(rf"set {name} \{{\n(.*?)\n\t\}}", ruleset, re.DOTALL)
    found = re.search(r"elements = \{ (.*) \}", body)
    return found[1] if found else ""


def test_the_old_table_goes_in_the_step_in_which_the_new_one_comes() -> None:
    assert render_ruleset(OPEN).startswith(
        "table inet latchkey\ndelete table inet latchkey\ntable inet latchkey {\n"
    )
    assert render_removal() == "table inet latchkey\ndelete table inet latchkey\n"


def test_without_a_filter_everything_of_the_tunnel_is_dropped() -> None:
    ruleset = render_ruleset(replace(CLOSED, advertised=networks("10.0.0.0/8"), serve_exit=True))
    assert chain(ruleset, "input") == ['iifname "latchkey0" drop']
    assert chain(ruleset, "forward") == ['iifname "latchkey0" drop', 'oifname "latchkey0" drop']
    assert "masquerade" not in ruleset


def test_an_empty_filter_lets_in_answers_only() -> None:
    ruleset = render_ruleset(replace(CLOSED, filter=()))
    assert chain(ruleset, "admit") == [
        "ct state vmap { established : accept, related : accept, invalid : drop }",
        "icmp type redirect drop",
        "icmpv6 type { nd-router-advert, nd-redirect } drop",
        "counter drop",
    ]


def test_a_rule_becomes_a_jump_by_source_and_a_chain_of_destinations() -> None:
    rule = FilterRule(
        src_ips=("100.64.0.2", "100.64.0.8-100.64.0.9"),
        dst_ports=(
            NetPortRange(ip="192.168.1.10", ports=PortRange(first=80, last=90)),
            NetPortRange(ip="192.168.1.11"),
        ),
        ip_proto=(6, 47),
    )
    ruleset = render_ruleset(replace(CLOSED, filter=(rule,)))
    assert "ip saddr { 100.64.0.2, 100.64.0.8-100.64.0.9 } jump allow0" in chain(ruleset, "admit")
    assert chain(ruleset, "allow0") == [
        "ip daddr { 192.168.1.10-192.168.1.11 } meta l4proto 1 accept",
        "ip daddr { 192.168.1.11 } meta l4proto { 6 } accept",
        "ip daddr { 192.168.1.11 } meta l4proto { 47 } accept",
        "ip daddr { 192.168.1.10 } meta l4proto { 6 } th dport 80-90 accept",
    ]


def test_a_protocol_without_ports_needs_a_rule_for_all_ports() -> None:
    rule = FilterRule(
        src_ips=("*",),
        dst_ports=(NetPortRange(ip="192.168.1.10", ports=PortRange(first=1, last=65535)),),
        ip_proto=(47,),
    )
    ruleset = render_ruleset(replace(CLOSED, filter=(rule,)))
    assert chain(ruleset, "allow0") == ["ip daddr { 192.168.1.10 } meta l4proto 1 accept"]


def test_only_advertised_subnets_are_forwarded_to_and_translated() -> None:
    config = replace(OPEN, advertised=networks("192.168.1.0/24"))
    ruleset = render_ruleset(config)
    assert elements(ruleset, "advertised4") == "192.168.1.0-192.168.1.255"
    assert elements(ruleset, "advertised6") == ""
    marked = "meta mark set meta mark and 0xff00ffff or 0x40000 "
    assert chain(ruleset, "from_mesh_on") == [
        'oifname "latchkey0" drop',
        f"ip daddr @advertised4 {marked}goto admit",
        f"ip6 daddr @advertised6 {marked}goto admit",
        "counter drop",
    ]
    without_snat = render_ruleset(replace(config, snat=False))
    assert "ip daddr @advertised4 goto admit" in chain(without_snat, "from_mesh_on")


def test_exit_traffic_is_translated_even_without_snat_for_subnets() -> None:
    ruleset = render_ruleset(replace(OPEN, serve_exit=True, snat=False))
    assert (
        "ip daddr @internet4 meta mark set meta mark and 0xff00ffff or 0x40000 goto admit"
        in chain(ruleset, "from_mesh_on")
    )


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
    plain = chain(render_ruleset(OPEN), "prerouting")
    assert "ip saddr { 100.64.0.0-100.127.255.255 } drop" in plain
    assert "ip daddr @own4 drop" in plain
    shared = replace(OPEN, local_networks=networks("100.64.0.0/11"))
    assert "ip saddr { 100.96.0.0-100.127.255.255 } drop" in chain(
        render_ruleset(shared), "prerouting"
    )
    all_of_it = replace(OPEN, local_networks=networks("100.64.0.0/10"))
    assert not [
        rule for rule in chain(render_ruleset(all_of_it), "prerouting") if "ip saddr" in rule
    ]


def test_the_tunnels_port_is_marked_before_routing() -> None:
    rules = chain(render_ruleset(replace(OPEN, listen_port=5000, fwmark=0x90000)), "prerouting")
    assert rules[:2] == [
        'iifname { "lo", "latchkey0" } accept',
        "udp dport 5000 meta mark set meta mark and 0xff00ffff or 0x90000 accept",
    ]


def test_equal_configs_give_equal_text() -> None:
    config = replace(OPEN, advertised=networks("10.0.0.0/8", "192.168.0.0/16", "fd00::/64"))
    again = replace(OPEN, advertised=networks("fd00::/64", "192.168.0.0/16", "10.0.0.0/8"))
    assert render_ruleset(config) == render_ruleset(again)


def test_overlapping_subnets_become_one_range() -> None:
    config = replace(OPEN, advertised=networks("10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8"))
    assert elements(render_ruleset(config), "advertised4") == "10.0.0.0-11.255.255.255"


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
