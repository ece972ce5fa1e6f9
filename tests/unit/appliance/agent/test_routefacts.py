from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address

from appliance.agent.plan.inputs import Inputs, RouteMemory
from appliance.agent.routefacts import (
    EXIT,
    FactLog,
    Proof,
    RouteSight,
    all_routes,
    proofs_of_connections,
    proofs_of_flows,
    routes_meant,
)
from appliance.gateway.config import Flow, GatewayStatus
from appliance.host.tcptable import Connection
from appliance.localapi.types import RouteStatus
from tests.support.netmaps import DEFAULTS, LAN, NOW, inputs, nets, node

ROUTER = node(1, "me", LAN, primary_routes=(LAN,))
HOME = node(2, "home", LAN, *DEFAULTS)
GOOD = GatewayStatus(
    ruleset=True,
    rules=2,
    routes=frozenset({LAN, *DEFAULTS}),
    local_networks=frozenset(),
    forwarding_ipv4=True,
    forwarding_ipv6=True,
)
SEEN = RouteSight(gateway=GOOD)


def mine(sight: RouteSight = SEEN, **prefs: object) -> RouteStatus:
    wish = {"advertise_routes": ("auto",), **prefs}
    [route] = all_routes(inputs(ROUTER, lan=(LAN,), **wish), sight)
    return route


def client(sight: RouteSight = SEEN, peer: object = HOME, **more: object) -> RouteStatus:
    given = inputs(node(1, "me"), peer, **{"accept_routes": True, **more})  # type: ignore[arg-type]
    return all_routes(given, sight)[0]


def oks(route: RouteStatus) -> tuple[bool, ...]:
    return tuple(fact.ok for fact in route.facts.values())


def test_an_approved_route_of_a_machine_that_does_all_serves_and_waits_for_proof() -> None:
    route = mine()
    assert oks(route) == (True, True, True, False)
    assert "eth0" in route.advertised.evidence


def test_each_thing_that_serving_needs_is_named_when_it_is_missing() -> None:
    cases = {
        "looked at": RouteSight(),
        "packet filter": RouteSight(gateway=replace(GOOD, ruleset=False)),
        "ip_forward": RouteSight(gateway=replace(GOOD, forwarding_ipv4=False)),
    }
    for word, sight in cases.items():
        serving = mine(sight).serving
        assert not serving.ok
        assert word in serving.evidence


def test_a_router_that_another_stands_before_does_not_serve() -> None:
    secondary = node(1, "me", LAN)
    other = node(2, "other", LAN, primary_routes=(LAN,))
    [route, _] = all_routes(inputs(secondary, other, lan=(LAN,), advertise_routes=("auto",)), SEEN)
    assert oks(route) == (True, True, False, False)
    assert route.serving.evidence == "other carries it; this node stands by."


def test_a_withdrawn_route_has_no_fact_at_all() -> None:
    far = nets("10.9.0.0/24")[0]
    given = inputs(node(1, "me"), lan=(LAN,), advertise_routes=(str(far),))
    given = replace(given, memory=RouteMemory(held=frozenset({far})))
    [route] = all_routes(given, SEEN)
    assert oks(route) == (False, False, False, False)
    assert "approval is kept" in route.approved.evidence


def test_an_own_exit_says_that_its_home_has_no_ipv6() -> None:
    given = inputs(node(1, "me", *DEFAULTS), lan=(LAN,), advertise_exit_node=True)
    [route] = all_routes(given, SEEN)
    assert (route.prefix, oks(route)) == (EXIT, (True, True, True, False))
    assert "no IPv6" in route.serving.evidence


def test_a_peers_route_is_in_use_when_all_is_well() -> None:
    assert oks(client()) == (True, True, True, False)


def test_each_reason_not_to_use_a_peers_route_is_named() -> None:
    old = NOW - timedelta(days=1)
    cases = {
        "--accept-routes": client(accept_routes=False),
        "own LAN": client(lan=(LAN,)),
        "offline": client(peer=node(2, "home", LAN, online=False)),
        "expired": client(peer=node(2, "home", LAN, key_expiry=old)),
        "no route": client(RouteSight(gateway=replace(GOOD, routes=frozenset()))),
    }
    for word, route in cases.items():
        assert not route.serving.ok
        assert word in route.serving.evidence


def test_a_proof_counts_while_the_route_serves() -> None:
    proof = Proof(ok=True, at=NOW, text="It answered.")
    sight = replace(SEEN, proofs={("", str(LAN)): proof})
    assert mine(sight).proven.evidence == "It answered."
    assert not mine(replace(sight, gateway=None)).proven.ok


def flow(destination: str, *, answered: bool = True) -> Flow:
    return Flow(ip_address("100.64.0.2"), ip_address(destination), 6, 80, answered)


def serving() -> Inputs:
    return inputs(
        node(1, "me", LAN, *DEFAULTS),
        node(2, "home"),
        lan=(LAN,),
        advertise_routes=("auto",),
        advertise_exit_node=True,
    )


def test_an_answered_connection_of_a_peer_proves_the_route_it_took() -> None:
    proofs = proofs_of_flows(serving(), [flow("192.168.1.20"), flow("203.0.113.5")], NOW)
    assert set(proofs) == {("", str(LAN)), ("", EXIT)}
    assert proofs["", str(LAN)].text.startswith("home reached 192.168.1.20 (tcp 80)")


def test_what_was_not_answered_or_ended_here_proves_nothing() -> None:
    flows = [flow("192.168.1.20", answered=False), flow("100.64.0.1")]
    assert proofs_of_flows(serving(), flows, NOW) == {}


def test_an_own_connection_through_the_tunnel_proves_a_peers_route() -> None:
    given = inputs(node(1, "me"), HOME, accept_routes=True)
    here, there = ip_address("100.64.0.1"), ip_address("192.168.1.20")
    found = proofs_of_connections(given, [Connection(here, there, 443)], NOW)
    assert list(found) == [("n2", str(LAN))]
    by_cable = Connection(ip_address("192.168.1.5"), there, 443)
    assert proofs_of_connections(given, [by_cable], NOW) == {}


def test_a_probe_is_for_a_prefix_an_address_or_the_exit() -> None:
    given = inputs(node(1, "me"), HOME, accept_routes=True, exit_node="home")
    routes = all_routes(given, SEEN)
    assert routes_meant("", routes, given)[0] == (("n2", str(LAN)), ("n2", EXIT))
    assert routes_meant(str(LAN), routes, given) == ((("n2", str(LAN)),), ())
    address = ip_address("192.168.1.7")
    assert routes_meant("192.168.1.7", routes, given) == ((("n2", str(LAN)),), (address,))
    assert routes_meant("exit", routes, given)[0] == (("n2", EXIT),)
    assert routes_meant("10.0.0.1", routes, given)[0] == ()


def test_a_fact_keeps_its_time_until_it_turns() -> None:
    log, later = FactLog(), NOW + timedelta(minutes=1)
    log.dated([mine()], NOW)
    [same] = log.dated([mine()], later)
    assert same.serving.since == NOW
    [turned] = log.dated([mine(RouteSight())], later)
    assert (turned.serving.since, turned.approved.since) == (later, NOW)
