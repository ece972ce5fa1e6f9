from dataclasses import replace

from appliance.agent.plan.gateway import plan_gateway
from appliance.host.network import DefaultRoute, NetworkState
from appliance.protocol.tailcfg import FilterRule
from tests.support.netmaps import DEFAULTS, LAN, inputs, nets, node

ME = node(1, "me")
HOME = node(2, "home", LAN, *DEFAULTS)
RULE = FilterRule(src_ips=("*",))


def test_routes_lead_to_accepted_prefixes_and_defaults_are_a_flag() -> None:
    config = plan_gateway(inputs(ME, HOME, accept_routes=True, exit_node="home"))
    assert config.routes == frozenset(nets("100.64.0.2/32", "192.168.1.0/24"))
    assert config.use_exit


def test_traffic_is_held_while_the_exit_node_is_away() -> None:
    assert plan_gateway(inputs(ME, exit_node="home")).use_exit


def test_the_own_lan_comes_first() -> None:
    assert plan_gateway(inputs(ME, HOME, lan=(LAN,))).local_networks == {LAN}


def test_behind_an_exit_node_the_lan_is_left_only_by_permission() -> None:
    assert not plan_gateway(inputs(ME, HOME, lan=(LAN,), exit_node="home")).local_networks
    allowed = inputs(ME, HOME, lan=(LAN,), exit_node="home", exit_node_allow_lan_access=True)
    assert plan_gateway(allowed).local_networks == {LAN}


def test_a_router_keeps_the_lan_that_it_serves_even_behind_an_exit_node() -> None:
    router = node(1, "me", LAN)
    config = plan_gateway(
        inputs(router, HOME, lan=(LAN,), exit_node="home", advertise_routes=("auto",))
    )
    assert config.local_networks == {LAN}
    assert config.advertised == {LAN}


def test_shields_up_lets_nothing_in() -> None:
    plan = inputs(ME, HOME, shields_up=True)
    assert plan_gateway(plan).filter == ()


def test_containers_stay_reachable_behind_an_exit_node() -> None:
    bridge = nets("172.17.0.0/16")
    plan = inputs(ME, HOME, lan=(LAN,), internal=bridge, exit_node="home")
    assert plan_gateway(plan).local_networks == frozenset(bridge)


def test_without_snat_the_hosts_of_approved_subnets_may_enter_the_mesh() -> None:
    router = node(1, "me", LAN)
    plan = inputs(router, HOME, lan=(LAN,), advertise_routes=("auto",), snat_subnet_routes=False)
    assert plan_gateway(plan).entering == {LAN}
    behind_nat = inputs(router, HOME, lan=(LAN,), advertise_routes=("auto",))
    assert not plan_gateway(behind_nat).entering


def test_an_exit_without_an_ipv6_default_route_has_no_ipv6() -> None:
    assert not plan_gateway(inputs(ME, HOME)).exit_ipv6
    way = DefaultRoute(6, "eth0", None, 1024)
    around = replace(inputs(ME, HOME).around, network=NetworkState(default_routes=(way,)))
    assert plan_gateway(replace(inputs(ME, HOME), around=around)).exit_ipv6
