from datetime import UTC, datetime
from ipaddress import ip_address
from math import inf

import pytest

from appliance.agent.probes import (
    AGAIN_PROVEN_S,
    MAX_HOSTS,
    MAX_ROUTES,
    Schedule,
    hosts_to_ask,
    judge,
    judge_exit,
    relays_to_ask,
)
from appliance.host.probe import SILENCE, Answer, Outcome
from appliance.protocol.tailcfg import DerpMap, DerpNode, DerpRegion
from tests.support.netmaps import LAN, nets, node

NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEY = ("n2", str(LAN))
HOME = node(2, "home", LAN, endpoints=("192.168.1.1:41641", "203.0.113.7:41641"))
ONE, TWO = ip_address("192.168.1.2"), ip_address("192.168.1.254")
MESH = ip_address("100.64.0.2")


def test_a_new_route_is_due_at_once_and_a_proven_one_seldom() -> None:
    schedule = Schedule()
    assert schedule.due([KEY], 0.0) == (KEY,)
    schedule.probed(KEY, 1.0, ok=True)
    assert schedule.due([KEY], AGAIN_PROVEN_S) == ()
    assert schedule.due([KEY], 1.0 + AGAIN_PROVEN_S) == (KEY,)


def test_failures_make_the_pauses_longer() -> None:
    schedule, now, pauses = Schedule(), 0.0, []
    schedule.due([KEY], now)
    for _ in range(6):
        schedule.probed(KEY, now, ok=False)
        before = now
        while not schedule.due([KEY], now):
            now += 5.0
        pauses.append(now - before)
    assert pauses == [5.0, 15.0, 60.0, 300.0, 900.0, 900.0]


def test_half_an_answer_is_soon_asked_for_again_though_not_for_ever() -> None:
    schedule, now, pauses = Schedule(), 0.0, []
    schedule.due([KEY], now)
    for _ in range(10):
        schedule.probed(KEY, now, ok=True, half=True)
        pauses.append(schedule.rest_s(now))
        now += schedule.rest_s(now)
        assert schedule.due([KEY], now) == (KEY,)
    assert sum(pauses[:5]) < 60
    assert pauses[-3:] == [60.0, 300.0, 900.0]


def test_without_routes_nothing_is_ever_due() -> None:
    assert Schedule().rest_s(5.0) == inf


def test_a_route_that_stopped_serving_begins_anew() -> None:
    schedule = Schedule()
    schedule.due([KEY], 0.0)
    schedule.probed(KEY, 0.0, ok=True)
    assert schedule.due([], 1.0) == ()
    assert schedule.due([KEY], 2.0) == (KEY,)


def test_peers_cannot_name_routes_without_end() -> None:
    many = [("n2", f"10.{n}.0.0/16") for n in range(200)]
    assert len(Schedule().due(many, 0.0)) == MAX_ROUTES


def test_hosts_are_known_ones_then_the_usual_gateways_never_the_router() -> None:
    known = ip_address("192.168.1.77")
    assert hosts_to_ask(HOME, LAN, [known]) == (known, ONE, TWO)


def test_a_route_to_one_host_asks_that_host() -> None:
    [one] = nets("192.168.1.20/32")
    assert hosts_to_ask(HOME, one) == (ip_address("192.168.1.20"),)


def test_published_hosts_are_asked() -> None:
    published = node(2, "home", LAN, addresses=nets("100.64.0.2/32", "192.168.1.20/32"))
    assert hosts_to_ask(published, LAN)[0] == ip_address("192.168.1.20")


def test_an_answer_from_the_lan_is_proof() -> None:
    answers = {ONE: SILENCE, TWO: Answer(Outcome.ANSWERED, TWO, 0.012)}
    proof = judge(HOME, LAN, answers, NOW)
    assert proof.ok
    assert "192.168.1.254 answered a probe in 12 ms" in proof.text


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (Answer(Outcome.UNREACHABLE, MESH), "no way to 192.168.1.2"),
        (Answer(Outcome.ANSWERED, MESH), "only for itself"),
        (SILENCE, "Nobody answered"),
        (Answer(Outcome.NOT_SENT), "could not send"),
    ],
)
def test_what_the_router_says_for_itself_is_no_proof(answer: Answer, word: str) -> None:
    proof = judge(HOME, LAN, {ONE: answer}, NOW)
    assert not proof.ok
    assert word in proof.text


def test_a_router_deeper_in_the_lan_is_proof() -> None:
    assert judge(HOME, LAN, {ONE: Answer(Outcome.UNREACHABLE, TWO)}, NOW).ok


def test_relays_are_asked_at_public_addresses_that_need_no_name() -> None:
    nodes = (
        DerpNode(name="a", host_name="relay.example.org", ipv4="203.0.113.9", ipv6="2001:db8::9"),
        DerpNode(name="b", host_name="192.168.1.9", derp_port=8443),
        DerpNode(name="c", host_name="203.0.113.10", derp_port=8443),
    )
    derp_map = DerpMap(regions={1: DerpRegion(region_id=1, nodes=nodes)})
    assert relays_to_ask(derp_map, 4) == (
        (ip_address("203.0.113.9"), 443),
        (ip_address("203.0.113.10"), 8443),
    )
    assert relays_to_ask(derp_map, 6) == ((ip_address("2001:db8::9"), 443),)
    assert MAX_HOSTS >= 2


def test_an_exit_node_that_refuses_ipv6_itself_has_none() -> None:
    exit_node = node(2, "home", addresses=nets("100.64.0.2/32", "fd7a:115c:a1e0::2/128"))
    relay, nowhere = ip_address("203.0.113.9"), ip_address("2001:db8::1")
    itself = ip_address("fd7a:115c:a1e0::2")
    good = {relay: Answer(Outcome.ANSWERED, relay, 0.02)}
    proof, ipv6 = judge_exit(exit_node, {**good, nowhere: Answer(Outcome.UNREACHABLE, itself)}, NOW)
    assert (proof.ok, ipv6) == (True, "no")
    further = Answer(Outcome.UNREACHABLE, ip_address("2001:db8:1::1"))
    assert judge_exit(exit_node, {**good, nowhere: further}, NOW)[1] == "unknown"
    answered = Answer(Outcome.ANSWERED, nowhere)
    assert judge_exit(exit_node, {nowhere: answered}, NOW)[1] == "yes"
    assert not judge_exit(exit_node, {relay: SILENCE}, NOW)[0].ok


def test_a_connection_that_is_refused_proves_nothing_of_an_exit_node() -> None:
    exit_node = node(2, "home", addresses=nets("100.64.0.2/32"))
    relay = ip_address("2001:db8::9")
    proof, ipv6 = judge_exit(exit_node, {relay: Answer(Outcome.ANSWERED, relay, refused=True)}, NOW)
    assert (proof.ok, ipv6) == (False, "unknown")
