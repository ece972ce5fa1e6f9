from __future__ import annotations

import ipaddress
from dataclasses import replace

from appliance.gateway.config import Flow, GatewayConfig
from appliance.gateway.filter import parse_filter
from appliance.gateway.marks import CT_ENTERED, CT_THROUGH, CT_TO_US
from appliance.gateway.revocation import Verdicts
from appliance.protocol.addresses import IPNetwork
from appliance.protocol.tailcfg import FilterRule, NetPortRange, PortRange


def networks(*texts: str) -> frozenset[IPNetwork]:
    return frozenset(ipaddress.ip_network(text) for text in texts)


def rule(source: str, destination: str, port: int, protocols: tuple[int, ...] = ()) -> FilterRule:
    ports = PortRange(first=port, last=port) if port else PortRange(first=0, last=65535)
    return FilterRule(
        src_ips=(source,),
        dst_ports=(NetPortRange(ip=destination, ports=ports),),
        ip_proto=protocols or None,
    )


CONFIG = GatewayConfig(
    interface="latchkey0",
    addresses=(ipaddress.ip_interface("100.64.0.1/32"),),
    listen_port=41641,
    fwmark=0x80000,
    routes=networks("100.64.0.2/32", "100.64.0.3/32", "10.9.0.0/16"),
    advertised=networks("192.168.1.0/24"),
    filter=(rule("100.64.0.2", "192.168.1.10", 80), rule("100.64.0.3", "*", 0, (17, 47))),
)


def allowed(
    kind: int,
    source: str,
    destination: str,
    protocol: int,
    port: int = 0,
    config: GatewayConfig = CONFIG,
) -> bool:
    ends = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    verdicts = Verdicts(config, parse_filter(config.filter or ()).allows)
    return verdicts.allows(kind, Flow(*ends, protocol, port, answered=True))


def test_what_a_rule_allows_goes_on() -> None:
    assert allowed(CT_THROUGH, "100.64.0.2", "192.168.1.10", 6, 80)
    assert not allowed(CT_THROUGH, "100.64.0.2", "192.168.1.10", 6, 81)
    assert not allowed(CT_THROUGH, "100.64.0.2", "192.168.1.11", 6, 80)
    assert not allowed(CT_THROUGH, "100.64.0.3", "192.168.1.10", 6, 80)
    assert allowed(CT_THROUGH, "100.64.0.3", "192.168.1.10", 17, 9)
    assert allowed(CT_THROUGH, "100.64.0.3", "192.168.1.10", 47)
    assert allowed(CT_THROUGH, "100.64.0.2", "192.168.1.10", 1), "ICMP where any port is open"


def test_what_is_not_ours_to_give_does_not() -> None:
    assert allowed(CT_TO_US, "100.64.0.3", "100.64.0.1", 17, 9)
    assert not allowed(CT_TO_US, "100.64.0.3", "100.64.0.7", 17, 9)
    assert not allowed(CT_THROUGH, "100.64.0.3", "9.9.9.9", 17, 53)
    served = replace(CONFIG, serve_exit=True)
    assert allowed(CT_THROUGH, "100.64.0.3", "9.9.9.9", 17, 53, served)


def test_a_peer_without_route_is_gone() -> None:
    left = replace(CONFIG, routes=networks("100.64.0.2/32"))
    assert not allowed(CT_THROUGH, "100.64.0.3", "192.168.1.10", 17, 9, left)
    assert allowed(CT_THROUGH, "100.64.0.3", "192.168.1.10", 17, 9, replace(left, use_exit=True)), (
        "the default route leads to him"
    )


def test_messages_between_nodes_need_no_rule() -> None:
    assert allowed(CT_TO_US, "100.64.0.2", "100.64.0.1", 99)
    assert not allowed(CT_THROUGH, "100.64.0.2", "192.168.1.10", 99)


def test_hosts_that_may_enter_need_no_rule_of_the_mesh() -> None:
    site = replace(CONFIG, entering=networks("192.168.1.0/24"))
    assert allowed(CT_ENTERED, "192.168.1.10", "10.9.1.1", 6, 22, site)
    assert not allowed(CT_ENTERED, "192.168.1.10", "10.8.1.1", 6, 22, site)
    assert not allowed(CT_ENTERED, "192.168.1.10", "10.9.1.1", 6, 22)


def test_dns_of_the_exit_is_for_its_users() -> None:
    config = replace(
        CONFIG,
        serve_exit=True,
        exit_dns_port=8053,
        filter=(rule("100.64.0.2", "0.0.0.0-255.255.255.255", 53),),
    )
    assert allowed(CT_TO_US, "100.64.0.2", "100.64.0.1", 6, 8053, config)
    assert not allowed(CT_TO_US, "100.64.0.3", "100.64.0.1", 6, 8053, config)
    assert not allowed(CT_TO_US, "100.64.0.2", "100.64.0.1", 6, 8054, config)
