from dataclasses import replace
from datetime import timedelta

import pytest

from appliance.agent.plan.inputs import RouteMemory, Surroundings
from appliance.agent.plan.routes import (
    accepted_routes,
    advertised,
    approved_routes,
    exit_node_of,
    lost_lans,
    next_memory,
    offers,
    serves_exit,
)
from appliance.netmap.prefs import Prefs
from tests.support.netmaps import DEFAULTS, LAN, NOW, around, inputs, nets, node

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
    wish = Prefs(advertise_routes=("192.168.0.0/16", "auto"))
    lans = around((LAN, *nets("10.0.0.0/24")))
    assert advertised(wish, lans, RouteMemory()) == nets("192.168.0.0/16", "10.0.0.0/24")


FAR = nets("10.9.0.0/24")[0]
NAMED = Prefs(advertise_routes=(str(FAR),))
AUTO = Prefs(advertise_routes=("auto",))


def test_a_subnet_behind_the_default_gateway_is_offered_if_it_never_was_closer() -> None:
    assert advertised(NAMED, around((LAN,)), RouteMemory()) == (FAR,)


def test_a_subnet_that_was_attached_is_withdrawn_while_it_is_not() -> None:
    memory = next_memory(RouteMemory(), NAMED, around((LAN, FAR)), frozenset())
    assert memory.held == {FAR}
    memory = next_memory(memory, NAMED, around((LAN,)), frozenset())
    [offer] = offers(NAMED, around((LAN,)), memory)
    assert "disconnected" in offer.lost
    assert advertised(NAMED, around((LAN,)), memory) == ()
    assert advertised(NAMED, around((LAN, FAR)), memory) == (FAR,), "it is back"


def test_without_any_way_a_subnet_is_withdrawn() -> None:
    [offer] = offers(NAMED, Surroundings(), RouteMemory())
    assert (offer.way, bool(offer.lost)) == (None, True)


def test_what_is_no_longer_named_is_forgotten() -> None:
    memory = next_memory(RouteMemory(held=frozenset({FAR})), Prefs(), around(), frozenset())
    assert memory == RouteMemory()


def test_a_renumbered_lan_is_lost_until_the_new_one_is_approved() -> None:
    new = nets("192.168.7.0/24")[0]
    memory = next_memory(RouteMemory(), AUTO, around((LAN,)), frozenset({LAN}))
    assert memory.served == {LAN}
    memory = next_memory(memory, AUTO, around((new,)), frozenset())
    assert lost_lans(AUTO, around((new,)), memory) == {LAN}
    assert advertised(AUTO, around((new,)), memory) == (new,)
    memory = next_memory(memory, AUTO, around((new,)), frozenset({new}))
    assert memory.served == {new}


def test_a_second_lan_that_is_lost_is_not_forgotten_for_the_sake_of_the_first() -> None:
    second = nets("192.168.7.0/24")[0]
    memory = RouteMemory(served=frozenset({LAN, second}))
    memory = next_memory(memory, AUTO, around((LAN,)), frozenset({LAN}))
    assert lost_lans(AUTO, around((LAN,)), memory) == {second}


@pytest.mark.parametrize("theirs", ["192.168.1.0/24", "192.168.1.128/25"])
def test_a_router_accepts_from_nobody_what_it_offers_itself(theirs: str) -> None:
    other = node(2, "other", *nets(theirs))
    mine = inputs(ME, other, lan=(LAN,), accept_routes=True, advertise_routes=("auto",))
    assert accepted_routes(mine)[other.key] == frozenset(nets("100.64.0.2/32"))


def test_a_router_that_lost_its_subnet_takes_it_from_another() -> None:
    other = node(2, "other", FAR)
    mine = inputs(ME, other, lan=(LAN,), accept_routes=True, advertise_routes=(str(FAR),))
    mine = replace(mine, memory=RouteMemory(held=frozenset({FAR})))
    assert FAR in accepted_routes(mine)[other.key]


def test_an_exit_node_serves_once_it_is_approved() -> None:
    assert serves_exit(inputs(node(1, "me", *DEFAULTS), advertise_exit_node=True))
    assert not serves_exit(inputs(ME, advertise_exit_node=True))
    assert not serves_exit(inputs(node(1, "me", *DEFAULTS)))
