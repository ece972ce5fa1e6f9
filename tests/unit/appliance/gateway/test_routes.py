from __future__ import annotations

import ipaddress
import socket
from dataclasses import replace

from appliance.gateway.config import GatewayConfig
from appliance.gateway.routes import (
    DEFAULT_ROUTES,
    PROTOCOL,
    TABLE,
    plan_routes,
    plan_rules,
    tunnel_networks,
)
from appliance.host.rtmessages import RTN_THROW, RTN_UNICAST, RTN_UNREACHABLE
from appliance.protocol.addresses import IPNetwork

BOTH = (socket.AF_INET, socket.AF_INET6)


def networks(*texts: str) -> frozenset[IPNetwork]:
    return frozenset(ipaddress.ip_network(text) for text in texts)


CONFIG = GatewayConfig("latchkey0", (), 41641, 0x80000)


def priorities(config: GatewayConfig) -> list[int]:
    rules = plan_rules(config, (socket.AF_INET,))
    return sorted(rule.priority for rule in rules)


SUBNETS = replace(CONFIG, routes=networks("100.64.0.2/32", "10.9.0.0/16"))


def test_one_rule_a_family_sends_all_but_marked_packets_to_our_table() -> None:
    rules = plan_rules(CONFIG, BOTH)
    assert {rule.family for rule in rules} == set(BOTH)
    assert {(r.priority, r.table, r.fwmark, r.invert, r.protocol) for r in rules} == {
        (5170, TABLE, 0x80000, True, PROTOCOL)
    }
    assert priorities(
        replace(CONFIG, routes=networks("100.64.0.2/32", "fd7a:115c:a1e0::2/128"))
    ) == [5170]


def test_with_accepted_subnets_marked_packets_pass_two_tables_and_then_none() -> None:
    rules = sorted(plan_rules(SUBNETS, BOTH), key=lambda rule: (rule.family, rule.priority))
    assert [(rule.priority, rule.table) for rule in rules if rule.fwmark and not rule.invert] == [
        (5110, 254),
        (5130, 253),
        (5150, 0),
    ] * 2


def test_own_networks_win_over_accepted_subnets_but_not_over_mesh_addresses() -> None:
    rules = plan_rules(SUBNETS, BOTH)
    last = sorted(rules, key=lambda rule: rule.priority)[-6:]
    assert [(r.priority, r.table, r.suppress) for r in last[::2]] == [
        (5155, TABLE, None),
        (5160, 254, 8),
        (5170, TABLE, None),
    ]
    mesh = {str(rule.destination) for rule in rules if rule.priority == 5155}
    assert mesh == {"100.64.0.0/10", "fd7a:115c:a1e0::/48"}


def test_behind_an_exit_node_no_lan_draws_traffic_out_of_the_tunnel() -> None:
    assert priorities(replace(SUBNETS, use_exit=True)) == [5170]


def test_no_change_takes_the_rule_away_that_leads_into_the_tunnel() -> None:
    always = plan_rules(CONFIG, BOTH)
    for config in (SUBNETS, replace(CONFIG, use_exit=True), replace(SUBNETS, use_exit=True)):
        assert always <= plan_rules(config, BOTH)


def test_routes_lead_into_the_tunnel_once_there_is_one() -> None:
    config = replace(
        CONFIG, routes=networks("100.64.0.2/32", "fd7a::/64"), local_networks=networks("10.0.0.0/8")
    )
    without = plan_routes(config, None, BOTH)
    assert {(route.destination, route.kind) for route in without} == {
        (network, RTN_THROW) for network in config.local_networks
    }
    routes = plan_routes(config, 7, BOTH) - without
    assert {(r.destination, r.kind, r.link) for r in routes} == {
        (network, RTN_UNICAST, 7) for network in config.routes
    }


def test_the_own_lan_wins_over_an_accepted_route_to_the_same_network() -> None:
    config = replace(
        CONFIG,
        routes=networks("192.168.1.0/24", "192.168.1.128/25", "192.168.0.0/16", "192.168.2.0/24"),
        local_networks=networks("192.168.1.0/24"),
    )
    assert tunnel_networks(config) == networks("192.168.0.0/16", "192.168.2.0/24")


def test_mesh_addresses_win_over_a_provider_that_uses_the_same_range() -> None:
    config = replace(
        CONFIG, routes=networks("100.64.0.2/32"), local_networks=networks("100.64.0.0/10")
    )
    assert tunnel_networks(config) == config.routes


def test_both_default_routes_or_none() -> None:
    lone = replace(CONFIG, routes=networks("0.0.0.0/0"))
    assert tunnel_networks(lone) == frozenset()
    assert tunnel_networks(replace(lone, use_exit=True)) == DEFAULT_ROUTES


def test_a_default_route_never_stays_out_of_the_tunnel() -> None:
    config = replace(CONFIG, use_exit=True, local_networks=networks("0.0.0.0/0", "10.0.0.0/8"))
    thrown = [r.destination for r in plan_routes(config, 7, BOTH) if r.kind == RTN_THROW]
    assert thrown == [ipaddress.ip_network("10.0.0.0/8")]
    assert plan_routes(config, 7, BOTH) >= plan_routes(config, None, BOTH)


def test_without_its_tunnel_the_internet_behind_an_exit_node_is_a_dead_end() -> None:
    config = replace(CONFIG, use_exit=True)
    dead_ends = plan_routes(config, None, BOTH)
    assert {(r.destination, r.kind) for r in dead_ends} == {
        (network, RTN_UNREACHABLE) for network in DEFAULT_ROUTES
    }
    for route in plan_routes(config, 7, BOTH) - dead_ends:
        assert all(route.priority < dead_end.priority for dead_end in dead_ends)
    assert plan_routes(CONFIG, None, BOTH) == frozenset()


def test_without_ipv6_in_the_kernel_only_ipv4_is_planned() -> None:
    config = replace(CONFIG, use_exit=True, routes=networks("fd7a::/64"))
    routes = plan_routes(config, 7, (socket.AF_INET,))
    assert {str(route.destination) for route in routes} == {"0.0.0.0/0"}
