from datetime import timedelta

from appliance.agent.plan.routes import (
    accepted_routes,
    advertised,
    approved_routes,
    exit_node_of,
    serves_exit,
)
from tests.support.netmaps import DEFAULTS, LAN, NOW, inputs, nets, node

ME = node(1, "me")
HOME = node(2, "home", LAN, *DEFAULTS)
PHONE = node(3, "phone")


def test_a_peer_gets_its_own_addresses_without_asking() -> None:
    routes = accepted_routes(inputs(ME, HOME, PHONE))
    assert routes[PHONE.key] == frozenset(nets("100.64.0.3/32"))
    assert routes[HOME.key] == frozenset(nets("100.64.0.2/32"))


def test_subnets_are_accepted_when_the_owner_wants_them() -> None:
    routes = accepted_routes(inputs(ME, HOME, accept_routes=True))
    assert routes[HOME.key] == frozenset(nets("100.64.0.2/32", "192.168.1.0/24"))


def test_only_the_chosen_exit_node_gets_the_default_routes() -> None:
    other = node(4, "other", *DEFAULTS)
    routes = accepted_routes(inputs(ME, HOME, other, exit_node="other"))
    assert set(DEFAULTS) <= routes[other.key]
    assert not set(DEFAULTS) & routes[HOME.key]


def test_a_prefix_that_two_peers_offer_goes_to_one() -> None:
    twin = node(5, "twin", LAN)
    routes = accepted_routes(inputs(ME, twin, HOME, accept_routes=True))
    assert LAN in routes[HOME.key]
    assert LAN not in routes[twin.key]


def test_an_expired_peer_gets_nothing() -> None:
    old = node(6, "old", key_expiry=NOW - timedelta(days=1))
    assert old.key not in accepted_routes(inputs(ME, old))


def test_a_lan_host_that_the_coordinator_publishes_as_an_address_needs_no_consent() -> None:
    printer = nets("192.168.1.20/32")
    gateway = node(2, "home", *printer, addresses=nets("100.64.0.2/32") + printer)
    assert printer[0] in accepted_routes(inputs(ME, gateway))[gateway.key]


def test_an_exit_node_is_found_by_name_address_or_stable_id() -> None:
    netmap = inputs(ME, HOME).netmap
    assert [exit_node_of(netmap, wanted) for wanted in ("home", "100.64.0.2", "n2")] == [HOME] * 3
    assert exit_node_of(netmap, "nobody") is None
    assert exit_node_of(netmap, "") is None


def test_a_peer_that_offers_nothing_is_no_exit_node() -> None:
    assert exit_node_of(inputs(ME, PHONE).netmap, "phone") is None


def test_approved_routes_are_advertised_and_allowed() -> None:
    me = node(1, "me", LAN)
    assert approved_routes(inputs(me, lan=(LAN,), advertise_routes=("auto",))) == {LAN}
    assert approved_routes(inputs(me, lan=(LAN,))) == frozenset()
    assert approved_routes(inputs(ME, lan=(LAN,), advertise_routes=("auto",))) == frozenset()


def test_a_lan_inside_a_named_one_adds_nothing() -> None:
    outer = nets("192.168.0.0/16")
    lan = frozenset({LAN, *nets("10.0.0.0/24")})
    assert advertised(outer, auto=True, lan=lan) == outer + nets("10.0.0.0/24")


def test_an_exit_node_serves_once_it_is_approved() -> None:
    assert serves_exit(inputs(node(1, "me", *DEFAULTS), advertise_exit_node=True))
    assert not serves_exit(inputs(ME, advertise_exit_node=True))
    assert not serves_exit(inputs(node(1, "me", *DEFAULTS)))
