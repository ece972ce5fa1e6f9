from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from appliance.agent.plan.dataplane import plan_dataplane
from appliance.agent.plan.dns import plan_dns, plan_peerapi, plan_services
from appliance.agent.plan.inputs import Inputs
from appliance.dns.config import STUB_V4, STUB_V6, ExitNode, HostResolvers, Nobody, Resolvers
from appliance.protocol.addresses import AddrPort
from appliance.protocol.tailcfg import (
    DerpMap,
    DerpNode,
    DerpRegion,
    DnsConfig,
    FilterRule,
    Hostinfo,
    NetPortRange,
    PortRange,
    Resolver,
    Service,
)
from tests.support.netmaps import DEFAULTS, LAN, inputs, nets, node

ME = node(1, "me")
SERVICES = (
    Service(proto="peerapi4", port=1000),
    Service(proto="peerapi6", port=2000),
    Service(proto="peerapi-dns-proxy", port=1),
)
HOME = node(2, "home", *DEFAULTS, hostinfo=Hostinfo(services=SERVICES))
MUTE = node(2, "home", *DEFAULTS)
EXIT = node(1, "me", *DEFAULTS)


def with_dns(planned: Inputs, **fields: Any) -> Inputs:
    return replace(planned, netmap=replace(planned.netmap, dns=DnsConfig(**fields)))


def with_rules(planned: Inputs, *rules: FilterRule) -> Inputs:
    return replace(planned, netmap=replace(planned.netmap, filter_chunks={"base": rules}))


def address(text: str, port: int = 53) -> AddrPort:
    return AddrPort(ip_address(text), port)


def test_without_an_exit_node_names_are_none_of_our_business() -> None:
    planned = with_dns(inputs(ME, HOME), resolvers=(Resolver(addr="9.9.9.9"),))
    assert plan_dns(planned).stub == ()
    assert ip_address(STUB_V4) not in {one.ip for one in _addresses(planned)}


def test_behind_an_exit_node_it_is_asked_at_its_peerapi() -> None:
    config = plan_dns(inputs(ME, HOME, exit_node="home"))
    assert config.stub == (STUB_V4,)
    assert config.point_host
    assert config.upstream == ExitNode("home", (address("100.64.0.2", 1000),))


def test_the_stub_has_the_families_that_we_have() -> None:
    both = nets("100.64.0.1/32", "fd7a:115c:a1e0::1/128")
    planned = inputs(node(1, "me", addresses=both), HOME, exit_node="home")
    assert plan_dns(planned).stub == (STUB_V4, STUB_V6)
    assert {STUB_V4, STUB_V6} < {one.ip for one in _addresses(planned)}


def test_a_reference_client_answers_dns_even_if_it_does_not_say_so() -> None:
    silent = Hostinfo(services=SERVICES[:1])
    old, new = (node(2, "home", *DEFAULTS, hostinfo=silent, cap=cap) for cap in (25, 26))
    assert isinstance(plan_dns(inputs(ME, new, exit_node="home")).upstream, ExitNode)
    assert isinstance(plan_dns(inputs(ME, old, exit_node="home")).upstream, HostResolvers)


def test_resolvers_of_the_coordinator_are_next_and_only_by_address() -> None:
    named = (Resolver(addr="https://dns.example/"), Resolver(addr="9.9.9.9"))
    fallback = (Resolver(addr="[2620:fe::fe]:5353"),)
    planned = inputs(ME, MUTE, exit_node="home")
    both = with_dns(planned, resolvers=named, fallback_resolvers=fallback)
    assert plan_dns(both).upstream == Resolvers((address("9.9.9.9"),))
    last = with_dns(planned, fallback_resolvers=fallback)
    assert plan_dns(last).upstream == Resolvers((address("2620:fe::fe", 5353),))


def test_resolvers_that_are_for_exit_nodes_too_come_before_the_exit_node() -> None:
    kept = Resolver(addr="100.64.0.9", use_with_exit_node=True)
    planned = with_dns(inputs(ME, HOME, exit_node="home"), resolvers=(kept,))
    assert plan_dns(planned).upstream == Resolvers((address("100.64.0.9"),))


def test_the_hosts_own_resolvers_are_the_last_resort_but_for_those_of_its_lan() -> None:
    planned = inputs(ME, MUTE, lan=(LAN,), exit_node="home")
    assert plan_dns(planned).upstream == HostResolvers(frozenset({LAN}))


def test_an_exit_node_that_is_not_there_leaves_nobody_to_ask() -> None:
    upstream = plan_dns(inputs(ME, exit_node="home")).upstream
    assert isinstance(upstream, Nobody)
    assert "'home' is not there" in upstream.reason


def test_coordinator_and_relays_are_found_past_the_tunnel_and_addresses_need_no_name() -> None:
    relay = DerpNode(host_name="Relay.example.org.")
    literal = DerpNode(host_name="192.0.2.1")
    regions = {900: DerpRegion(nodes=(relay, literal)), 901: None}
    planned = inputs(ME, HOME, exit_node="home", control_url="https://mesh.example.org:8443")
    planned = replace(planned, netmap=replace(planned.netmap, derp_map=DerpMap(regions=regions)))
    assert plan_dns(planned).direct_names == {"mesh.example.org", "relay.example.org"}


def test_our_own_addresses_and_containers_may_ask_and_the_lan_may_not() -> None:
    bridge = nets("172.17.0.0/16")
    clients = plan_dns(inputs(ME, HOME, lan=(LAN,), internal=bridge, exit_node="home")).clients
    assert clients == {*bridge, *nets("100.64.0.1/32", "100.100.100.100/32")}


def test_the_resolver_is_left_alone_on_demand() -> None:
    config = plan_dns(inputs(ME, HOME, exit_node="home", accept_dns=False))
    assert config.stub
    assert not config.point_host


def rule(src: str, dst: str, first: int = 0, last: int = 65535, **more: Any) -> FilterRule:
    ports = PortRange(first=first, last=last)
    return FilterRule(src_ips=(src,), dst_ports=(NetPortRange(ip=dst, ports=ports),), **more)


@pytest.mark.parametrize(
    ("one", "allowed"),
    [
        (rule("*", "*"), True),
        (rule("100.64.0.2", "0.0.0.0/0"), True),
        (rule("100.64.0.2", "0.0.0.0-9.255.255.255", 53, 53), True),
        (rule("100.64.0.0/24", "*", ip_proto=(6,)), True),
        (rule("100.64.0.3", "*"), False),
        (rule("*", "192.168.1.0/24"), False),
        (rule("*", "*", 80, 443), False),
        (rule("*", "*", ip_proto=(1,)), False),
        (rule("nonsense", "*"), False),
        (rule("*", "nonsense"), False),
        (FilterRule(src_ips=("*",)), False),
        (FilterRule(), False),
    ],
)
def test_who_may_reach_the_internet_may_ask_us_for_names(one: FilterRule, allowed: bool) -> None:
    planned = with_rules(inputs(EXIT, node(2, "phone"), advertise_exit_node=True), one)
    config = plan_peerapi(planned)
    assert (ip_address("100.64.0.2") in config.dns_clients) is allowed
    assert config.addresses == (ip_address("100.64.0.1"),)


def test_each_family_has_its_own_permission() -> None:
    phone = node(2, "phone", addresses=nets("100.64.0.2/32", "fd7a:115c:a1e0::2/128"))
    four = rule("*", "0.0.0.0/0")
    planned = with_rules(inputs(EXIT, phone, advertise_exit_node=True), four)
    assert plan_peerapi(planned).dns_clients == {ip_address("100.64.0.2")}
    planned = with_rules(planned, rule("fd7a:115c:a1e0::2", "2000::/3"))
    assert plan_peerapi(planned).dns_clients == {ip_address("fd7a:115c:a1e0::2")}


def test_only_an_approved_exit_node_serves_and_shields_close_it() -> None:
    everybody = rule("*", "*")
    for me, prefs in (
        (ME, {"advertise_exit_node": True}),
        (EXIT, {}),
        (EXIT, {"advertise_exit_node": True, "shields_up": True}),
    ):
        planned = with_rules(inputs(me, node(2, "phone"), **prefs), everybody)
        assert plan_peerapi(planned).addresses == ()


def test_names_that_the_coordinator_hides_are_refused() -> None:
    planned = inputs(EXIT, advertise_exit_node=True)
    hidden = with_dns(planned, exit_node_filtered_set=(".ts.net",))
    assert plan_peerapi(hidden).refused_names == (".ts.net",)


def test_the_port_is_announced_as_stock_clients_look_for_it() -> None:
    both = nets("100.64.0.1/32", "fd7a:115c:a1e0::1/128")
    services = {one.proto: one.port for one in plan_services(58436, both)}
    assert services == {"peerapi4": 58436, "peerapi6": 58436, "peerapi-dns-proxy": 1}
    assert plan_services(0, both) == ()
    assert [one.proto for one in plan_services(1, both[:1])] == ["peerapi4", "peerapi-dns-proxy"]


def _addresses(planned: Inputs) -> tuple[Any, ...]:
    return plan_dataplane(planned, lambda _: AddrPort(ip_address("127.0.0.1"), 1)).addresses
