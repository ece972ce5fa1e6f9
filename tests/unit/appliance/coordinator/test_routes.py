from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from appliance.coordinator import routes
from appliance.coordinator.errors import InvalidError
from appliance.coordinator.state import settle
from tests.support.snapshots import LATER, NOW, node, router, snapshot

LAN = "192.168.1.0/24"
EXIT = ("0.0.0.0/0", "::/0")


def nets(*texts: str) -> frozenset:
    return frozenset(ip_network(text) for text in texts)


def test_a_route_is_granted_when_advertised_and_approved() -> None:
    asked = router(1, LAN, "10.0.0.0/8", approved=False)
    assert routes.granted(asked) == frozenset()
    approved = replace(asked, approved_routes=nets(LAN, "172.16.0.0/12"))
    assert routes.granted(approved) == nets(LAN)


def test_half_of_an_exit_pair_is_not_advertised() -> None:
    assert routes.granted(router(1, "0.0.0.0/0", LAN)) == nets(LAN)
    assert routes.exit_routes(router(1, *EXIT)) == nets(*EXIT)


def test_the_lowest_online_router_carries_a_route() -> None:
    both = snapshot(router(1, LAN, online=False), router(2, LAN), router(3, LAN))
    assert both.primaries == {ip_network(LAN): 2}


def test_the_carrier_stays_when_a_lower_one_comes_online() -> None:
    first = snapshot(router(1, LAN, online=False), router(2, LAN))
    then = settle(first.with_nodes([router(1, LAN)]), NOW)
    assert then.primaries == {ip_network(LAN): 2}


def test_another_takes_over_when_the_carrier_goes_offline() -> None:
    first = snapshot(router(1, LAN), router(2, LAN))
    then = settle(first.with_nodes([router(1, LAN, online=False)]), NOW)
    assert first.primaries == {ip_network(LAN): 1}
    assert then.primaries == {ip_network(LAN): 2}


def test_with_nobody_online_the_carrier_stays() -> None:
    first = snapshot(router(1, LAN, online=False), router(2, LAN))
    then = settle(first.with_nodes([router(2, LAN, online=False)]), NOW)
    assert then.primaries is first.primaries


def test_an_expired_router_carries_nothing() -> None:
    first = snapshot(router(1, LAN, key_expiry=LATER), router(2, LAN))
    assert settle(first, LATER).primaries == {ip_network(LAN): 2}


def test_exit_routes_have_no_primary() -> None:
    assert snapshot(router(1, *EXIT), router(2, *EXIT)).primaries == {}


def test_overlapping_routes_of_different_lengths_both_stand() -> None:
    both = snapshot(router(1, "10.0.0.0/8"), router(2, "10.1.0.0/16"))
    assert both.primaries == {ip_network("10.0.0.0/8"): 1, ip_network("10.1.0.0/16"): 2}


def test_a_carrier_that_withdraws_its_route_loses_it() -> None:
    first = snapshot(router(1, LAN), router(2, LAN))
    then = settle(first.with_nodes([node(1, approved_routes=nets(LAN))]), NOW)
    assert then.primaries == {ip_network(LAN): 2}


def test_approvals_are_read_strictly() -> None:
    assert routes.parse_approval([LAN, " 10.0.0.5 "]) == nets(LAN, "10.0.0.5/32")


@pytest.mark.parametrize("text", ["exit", "0.0.0.0/0", "::/0"])
def test_an_exit_node_is_approved_as_a_pair(text: str) -> None:
    assert routes.parse_approval([text]) == nets(*EXIT)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("192.168.1.7/24", "Did you mean 192.168.1.0/24?"),
        ("fd00::1/64", "Did you mean fd00::/64?"),
        ("everything", "is not a route"),
        ("192.168.1.0/33", "is not a route"),
        ("100.64.0.0/16", "the tailnet's own addresses"),
        ("96.0.0.0/4", "the tailnet's own addresses"),
        ("fd7a:115c:a1e0::/64", "the tailnet's own addresses"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/24", "link-local"),
        ("224.0.0.0/4", "multicast"),
    ],
)
def test_malformed_routes_are_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InvalidError) as caught:
        routes.parse_approval([text])
    assert sentence in str(caught.value)
    assert caught.value.code == "route-malformed"


def test_a_route_that_holds_the_coordinator_is_refused() -> None:
    with pytest.raises(InvalidError, match=r"own address 192\.168\.1\.2") as caught:
        routes.parse_approval([LAN], [ip_address("192.168.1.2")])
    assert caught.value.code == "route-holds-coordinator"
    assert routes.parse_approval([LAN], [ip_address("203.0.113.5")]) == nets(LAN)


def test_a_published_host_shows_only_while_its_router_carries_the_route() -> None:
    printer = ip_address("192.168.1.20")
    publisher = router(1, LAN, published=frozenset({printer}))
    carrying = snapshot(publisher, router(2, LAN))
    assert routes.published(carrying, carrying.nodes[1]) == (printer,)
    taken_over = settle(carrying.with_nodes([replace(publisher, online=False)]), NOW)
    assert routes.published(taken_over, taken_over.nodes[1]) == ()


def test_only_addresses_inside_an_approved_subnet_can_be_published() -> None:
    gateway = router(1, LAN, *EXIT)
    assert routes.publishable(gateway, ip_address("192.168.1.20"))
    assert not routes.publishable(gateway, ip_address("192.168.2.20"))
    assert not routes.publishable(gateway, ip_address("fd00::1"))


def test_routes_are_shown_subnets_first_then_the_exit_pair() -> None:
    shown = routes.in_order(nets("::/0", "fd00::/64", LAN, "0.0.0.0/0", "10.0.0.0/8"))
    assert [str(p) for p in shown] == ["10.0.0.0/8", LAN, "fd00::/64", "0.0.0.0/0", "::/0"]


def test_a_route_that_holds_a_relay_is_refused() -> None:
    with pytest.raises(InvalidError, match=r"the relay's address 198\.51\.100\.7"):
        routes.parse_approval(["198.51.100.0/24"], (), [ip_address("198.51.100.7")])


def test_routers_of_the_same_addresses_are_remarked_on() -> None:
    state = snapshot(router(1, LAN, "10.0.0.0/8"), router(2, LAN, "10.1.0.0/16"))
    assert routes.remarks(state, state.nodes[1]) == (
        "10.1.0.0/16 of node2 lies inside 10.0.0.0/8 of node1: what is in both goes through node2.",
    )
    assert routes.remarks(state, state.nodes[2]) == (
        "node1 carries 192.168.1.0/24; node2 stands by for it.",
    )
    assert routes.remarks(snapshot(router(1, LAN, *EXIT), router(2, *EXIT)), router(1, LAN)) == ()


def test_what_is_served_can_be_used_now() -> None:
    both = snapshot(router(1, LAN, *EXIT), router(2, LAN, *EXIT))
    assert routes.served(both, both.nodes[1]) == nets(LAN, *EXIT)
    assert routes.served(both, both.nodes[2]) == nets(*EXIT)
    for off in (router(1, LAN, online=False), router(1, LAN, key_expiry=NOW)):
        state = snapshot(off)
        assert routes.served(state, state.nodes[1]) == nets()
    silent = replace(both, silent=frozenset({1}))
    assert routes.served(silent, silent.nodes[1]) == nets()


def test_in_its_own_lan_nodes_find_the_coordinator_without_a_route() -> None:
    own, lans = [ip_address("192.168.1.2")], nets(LAN)
    assert routes.parse_approval([LAN], own, own, lans) == nets(LAN)
    assert routes.parse_approval(["192.168.1.0/28"], own, (), lans) == nets("192.168.1.0/28")
    with pytest.raises(InvalidError, match="own address"):
        routes.parse_approval(["192.168.0.0/16"], own, (), lans)
