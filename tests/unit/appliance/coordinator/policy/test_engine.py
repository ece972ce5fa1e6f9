from ipaddress import ip_network

from appliance.coordinator.policy.engine import INTERNET, AllowAll
from appliance.protocol.tailcfg import ANY_PORT, FilterRule
from tests.support.snapshots import node, router, snapshot

LAN = "192.168.1.0/24"
TAILNET = ("100.64.0.0/10", "fd7a:115c:a1e0::/48")


def only_rule(*nodes: object) -> FilterRule:
    state = snapshot(*nodes)
    [rule] = AllowAll().reach(state).rules_for(state.nodes[1])
    return rule


def targets(rule: FilterRule) -> list[str]:
    assert all(target.ports == ANY_PORT for target in rule.dst_ports or ())
    return [target.ip for target in rule.dst_ports or ()]


def test_the_mesh_may_reach_a_node_by_its_own_addresses_only() -> None:
    rule = only_rule(node(1), node(2))
    assert rule.src_ips == TAILNET
    assert targets(rule) == ["100.64.0.1", "fd7a:115c:a1e0::1"]
    assert rule.ip_proto is None


def test_a_router_lets_its_granted_routes_be_reached() -> None:
    assert targets(only_rule(router(1, LAN)))[2:] == [LAN]
    assert targets(only_rule(router(1, LAN, approved=False)))[2:] == []


def test_a_secondary_router_is_ready_to_take_over() -> None:
    assert targets(only_rule(router(1, LAN, online=False), router(2, LAN)))[2:] == [LAN]


def test_an_exit_node_lets_the_internet_be_reached_but_no_private_network() -> None:
    assert targets(only_rule(router(1, "0.0.0.0/0", "::/0")))[2:] == list(INTERNET)


def test_hosts_behind_a_router_are_sources_too() -> None:
    assert only_rule(node(1), router(2, LAN)).src_ips == (*TAILNET, LAN)


def test_any_two_may_meet() -> None:
    state = snapshot(node(1), node(2))
    assert AllowAll().reach(state).may_meet(1, 2)
    assert AllowAll().reach(state).may_use(1, ip_network(LAN))
