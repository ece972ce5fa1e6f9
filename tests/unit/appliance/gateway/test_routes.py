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


def test_marked_packets_pass_two_tables_and_then_none() -> None:
    rules = sorted(plan_rules(0x80000, BOTH), key=lambda rule: (rule.family, rule.priority))
    assert [(rule.priority, rule.table, rule.fwmark) for rule in rules] == [
        (5110, 254, 0x80000),
        (5130, 253, 0x80000),
        (5150, 0, 0x80000),
        (5170, TABLE, 0),
    ] * 2
    assert {rule.protocol for rule in rules} == {PROTOCOL}
    assert len(plan_rules(0x80000, (socket.AF_INET,))) == 4


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
