from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address

import pytest

from appliance.agent.doctor.reach import Evidence, Kind, Target, walk
from appliance.agent.routefacts import RouteSight, all_routes
from appliance.gateway.config import GatewayStatus
from appliance.host.probe import SILENCE, Answer, Outcome
from appliance.protocol.addresses import AddrPort, IPAddress
from appliance.protocol.tailcfg import FilterRule, NetPortRange, PortRange
from appliance.underlay.config import Direct, PingResult
from tests.support.netmaps import LAN, NOW, inputs, node

HOST, OTHER = ip_address("192.168.1.20"), ip_address("192.168.1.1")
INSIDE, MESH = ip_address("192.168.1.10"), ip_address("100.64.0.2")
HOME = node(2, "home", LAN, endpoints=("192.168.1.10:41641",))
PONG = PingResult(Direct(AddrPort(ip_address("203.0.113.1"), 1), 0.01), 0.01)
STATUS = GatewayStatus(
    ruleset=True,
    rules=1,
    routes=frozenset({LAN}),
    local_networks=frozenset(),
    forwarding_ipv4=True,
    forwarding_ipv6=True,
)


def heard(address: IPAddress) -> Answer:
    return Answer(Outcome.ANSWERED, address, 0.01)


GONE = Answer(Outcome.UNREACHABLE, MESH)


def to_lan(answers: Mapping[IPAddress, Answer], **prefs: object) -> Evidence:
    given = inputs(node(1, "me"), HOME, **{"accept_routes": True, **prefs})
    [route] = all_routes(given, RouteSight(gateway=STATUS))
    return Evidence(
        target=Target("printer", Kind.LAN, HOST, HOME, LAN),
        inputs=given,
        connected=True,
        control_online=True,
        ping=PONG,
        answers=answers,
        route=route,
        clock_offset=timedelta(0),
    )


def broken(seen: Evidence) -> str:
    return next((item.layer for item in walk(seen) if item.is_broken), "")


def test_all_layers_are_walked_in_order() -> None:
    layers = [item.layer for item in walk(to_lan({HOST: heard(HOST)}))]
    assert layers == ["name", "policy", "key", "online", "path", "route", "nat", "lan", "clock"]


ALL_SILENT = {HOST: SILENCE, OTHER: SILENCE, INSIDE: SILENCE}


@pytest.mark.parametrize(
    ("answers", "layer"),
    [
        ({HOST: heard(HOST)}, ""),
        ({HOST: GONE}, "lan"),
        ({HOST: SILENCE, OTHER: heard(OTHER)}, "lan"),
        ({HOST: SILENCE, OTHER: GONE}, "lan"),
        ({**ALL_SILENT, INSIDE: heard(INSIDE)}, "nat"),
        (ALL_SILENT, "policy"),
        ({**ALL_SILENT, MESH: heard(MESH)}, "policy"),
    ],
)
def test_what_answers_tells_the_layer(answers: Mapping[IPAddress, Answer], layer: str) -> None:
    assert broken(to_lan(answers)) == layer


def test_a_peer_that_is_offline_is_not_the_policys_fault() -> None:
    seen = to_lan(ALL_SILENT)
    away = node(2, "home", LAN, online=False)
    seen = replace(seen, ping=None, target=replace(seen.target, router=away))
    assert broken(seen) == "online"


def test_a_peer_that_is_online_and_silent_has_no_path() -> None:
    assert broken(replace(to_lan(ALL_SILENT), ping=None)) == "path"


def test_an_expired_key_comes_before_what_follows_from_it() -> None:
    seen = to_lan(ALL_SILENT)
    old = node(2, "home", LAN, key_expiry=NOW - timedelta(days=1))
    seen = replace(seen, ping=None, target=replace(seen.target, router=old))
    assert broken(seen) == "key"
    wrong_clock = replace(seen, clock_offset=timedelta(days=400), ping=PONG, route=None)
    assert broken(wrong_clock) == "clock"


def test_a_route_that_is_not_accepted_says_how_to() -> None:
    seen = to_lan(ALL_SILENT, accept_routes=False)
    item = next(item for item in walk(seen) if item.is_broken)
    assert item.layer == "route"
    assert "latchkey set --accept-routes" in item.fix


def test_a_node_that_is_not_connected_says_so_first() -> None:
    seen = replace(to_lan({}), connected=False, ping=None)
    assert broken(seen) == "online"


def test_a_peer_that_lets_nothing_in_is_policy() -> None:
    seen = to_lan({MESH: SILENCE})
    seen = replace(seen, target=Target("home", Kind.PEER, MESH, HOME), route=None)
    assert broken(seen) == "policy"
    assert broken(replace(seen, answers={MESH: heard(MESH)})) == ""


def test_what_nobody_knows_is_a_matter_of_names_alone() -> None:
    seen = replace(to_lan({}), target=Target("x", Kind.NOTHING))
    assert [item.layer for item in walk(seen)] == ["name", "clock"]
    assert broken(seen) == "name"


def at_router(answers: Mapping[IPAddress, Answer], *rules: FilterRule, **prefs: object) -> Evidence:
    me = node(1, "me", LAN, primary_routes=(LAN,))
    given = inputs(me, node(3, "phone"), lan=(LAN,), **{"advertise_routes": ("auto",), **prefs})
    given = replace(given, netmap=replace(given.netmap, filter_chunks={"base": rules}))
    [route] = all_routes(given, RouteSight(gateway=STATUS))
    return Evidence(
        target=Target("printer", Kind.OWN_LAN, HOST, prefix=LAN),
        inputs=given,
        connected=True,
        control_online=True,
        answers=answers,
        route=route,
        clock_offset=timedelta(0),
    )


RULE = FilterRule(
    src_ips=("100.64.0.3",),
    dst_ports=(NetPortRange(ip=str(HOST), ports=PortRange(first=80, last=80)),),
)


def test_the_router_asks_its_own_filter() -> None:
    items = walk(at_router({HOST: heard(HOST)}, RULE))
    policy = next(item for item in items if item.layer == "policy")
    assert policy.evidence == f"May reach {HOST}: phone (all 80)."
    assert broken(at_router({HOST: heard(HOST)})) == "policy"
    assert broken(at_router({HOST: heard(HOST)}, RULE, shields_up=True)) == "policy"


def test_the_router_sees_its_lan_itself() -> None:
    assert broken(at_router({HOST: SILENCE}, RULE)) == "lan"
    assert broken(at_router({HOST: heard(HOST)}, RULE)) == ""
