from dataclasses import replace
from ipaddress import ip_network

from appliance.coordinator.model import Snapshot
from appliance.coordinator.standby import replaceable
from appliance.coordinator.state import settle
from tests.support.snapshots import NOW, node, router, snapshot

LAN = "192.168.1.0/24"
PAIR = snapshot(router(1, LAN), router(2, LAN), node(3))


def watched(state: Snapshot) -> list[int]:
    return [router.id for router in replaceable(state)]


def test_the_carrier_is_watched_while_another_could_take_over() -> None:
    assert watched(PAIR) == [1]
    assert watched(settle(PAIR.with_nodes([router(2, LAN, online=False)]), NOW)) == []
    assert watched(snapshot(router(1, LAN), router(2, "10.0.0.0/8"))) == []
    assert watched(snapshot(router(1, LAN), router(2, LAN, approved=False))) == []
    exits = ("0.0.0.0/0", "::/0")
    assert watched(snapshot(router(1, *exits), router(2, *exits))) == []


def test_a_silent_router_loses_its_routes_and_is_still_asked() -> None:
    then = settle(replace(PAIR, silent=frozenset({1})), NOW)
    assert then.primaries == {ip_network(LAN): 2}
    assert watched(then) == [1, 2]


def test_a_router_that_answers_again_does_not_take_its_routes_back() -> None:
    moved = settle(replace(PAIR, silent=frozenset({1})), NOW)
    healed = settle(replace(moved, silent=frozenset()), NOW)
    assert healed.primaries == {ip_network(LAN): 2}


def test_when_all_are_silent_nothing_moves() -> None:
    assert settle(replace(PAIR, silent=frozenset({1, 2})), NOW).primaries == {ip_network(LAN): 1}
