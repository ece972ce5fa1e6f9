from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address

from appliance.agent.health import HealthFacts, plan_warnings
from appliance.agent.plan.inputs import Inputs, RouteMemory
from appliance.agent.routefacts import RouteSight, all_routes
from appliance.gateway.profile import Setting, State
from appliance.protocol.addresses import AddrPort
from appliance.underlay.config import Direct, Relayed
from tests.support.netmaps import DEFAULTS, LAN, NOW, inputs, nets, node

ME = node(1, "me")
NEW = nets("192.168.7.0/24")[0]


def codes(given: Inputs | None, **facts: object) -> list[str]:
    routes = all_routes(given, RouteSight()) if given is not None else ()
    found = plan_warnings(HealthFacts(routes=routes, **facts), given)  # type: ignore[arg-type]
    return sorted(warning.code for warning in found)


def test_a_healthy_node_has_none() -> None:
    assert codes(inputs(ME, lan=(LAN,))) == []


def test_failures_of_the_connection_are_said_once() -> None:
    assert codes(None, failure="x", control_problem="x") == ["agent-failed"]
    assert codes(None, control_problem="c", relay_problem="r") == [
        "coordinator-unreachable",
        "relay-unreachable",
    ]


def test_a_key_that_ends_soon_is_announced() -> None:
    soon = node(1, "me", key_expiry=NOW + timedelta(days=3))
    assert codes(inputs(soon)) == ["key-expires-soon"]
    later = node(1, "me", key_expiry=NOW + timedelta(days=60))
    assert codes(inputs(later)) == []


def test_the_exit_node_in_use_is_watched() -> None:
    home = node(2, "home", *DEFAULTS)
    assert codes(inputs(ME, exit_node="home")) == ["exit-node-missing"]
    assert codes(inputs(ME, node(2, "home", *DEFAULTS, online=False), exit_node="home")) == [
        "exit-node-offline"
    ]
    assert codes(inputs(ME, home, exit_node="home"), exit_ipv6="no") == ["exit-node-no-ipv6"]
    assert codes(inputs(ME, home, exit_node="home"), exit_ipv6="yes") == []


def test_an_exit_home_without_ipv6_says_so() -> None:
    given = inputs(node(1, "me", *DEFAULTS), lan=(LAN,), advertise_exit_node=True)
    assert codes(given) == ["exit-home-no-ipv6"]


def test_a_route_that_waits_is_named_with_the_command() -> None:
    given = inputs(ME, lan=(LAN,), advertise_routes=("auto",))
    [warning] = plan_warnings(HealthFacts(routes=all_routes(given, RouteSight())), given)
    assert warning.code == "route-not-approved"
    assert f"latchkey admin routes approve me {LAN}" in warning.fix


def test_nothing_to_advertise_is_said() -> None:
    assert codes(inputs(ME, advertise_routes=("auto",))) == ["no-networks"]


def test_a_lost_route_is_withdrawn_and_a_moved_lan_renumbered() -> None:
    served = RouteMemory(served=frozenset({LAN, nets("10.7.0.0/24")[0]}))
    moved = inputs(ME, lan=(NEW,), advertise_routes=("auto",))
    assert codes(replace(moved, memory=served)) == ["lan-renumbered", "route-withdrawn"]
    far = nets("10.9.0.0/24")[0]
    named = inputs(ME, lan=(LAN,), advertise_routes=(str(far),))
    held = RouteMemory(held=frozenset({far}))
    assert codes(replace(named, memory=held)) == ["route-withdrawn"]


def test_the_same_numbers_elsewhere_are_told_from_the_same_lan() -> None:
    home = node(2, "home", LAN)
    given = inputs(ME, home, lan=(LAN,), accept_routes=True)
    outside = Direct(AddrPort(ip_address("203.0.113.1"), 1), 0.01)
    inside = Direct(AddrPort(ip_address("192.168.1.10"), 1), 0.01)
    assert codes(given, paths={home.key: outside}) == ["same-numbers"]
    assert codes(given, paths={home.key: inside}) == []
    assert codes(given, paths={home.key: Relayed(1)}) == []


def test_an_essential_setting_that_is_wrong_is_a_warning() -> None:
    setting = Setting("net.x", "1", "0", State.REFUSED, "It passes.", "Set it.", essential=True)
    assert codes(inputs(ME), settings=(setting, replace(setting, essential=False))) == [
        "profile-wrong"
    ]
