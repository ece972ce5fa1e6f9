"""The templates of the page against what the agent really says."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from appliance.agent import routefacts
from appliance.agent.routefacts import Proof, RouteSight, all_routes
from appliance.gateway.config import GatewayStatus
from appliance.health.catalogue import CATALOGUE
from tests.support.netmaps import LAN, inputs, nets, node
from tests.support.webtexts import speaking
from webui.sentences import is_known, translate

# What the warnings of these codes say comes from elsewhere, and is shown as it is.
_ANYTHING = {"agent-failed", "coordinator-unreachable", "relay-unreachable", "coordinator-says"}
_OTHERS = {"profile-wrong", "dns-problem", "firewall-conflict", "clock-wrong"}


@pytest.fixture(autouse=True)
def speaking_german() -> Iterator[None]:
    with speaking("de"):
        yield


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_warning_is_known(code: str) -> None:
    entry = CATALOGUE[code]
    assert is_known(entry.title)
    if code in _ANYTHING | _OTHERS:
        return
    words = dict.fromkeys(["date", "name", "prefix", "reason", "node", "new", "old", "router"], "x")
    assert is_known(entry.text.format_map(words))
    assert not entry.fix or is_known(entry.fix.format_map(words))


def sights() -> list[RouteSight]:
    ready = GatewayStatus(
        ruleset=True,
        rules=1,
        routes=frozenset({LAN}),
        local_networks=frozenset(),
        forwarding_ipv4=True,
        forwarding_ipv6=True,
    )
    no_forwarding = replace(ready, forwarding_ipv4=False, routes=frozenset())
    bare = replace(ready, ruleset=False)
    return [RouteSight(), *(RouteSight(gateway=one) for one in (ready, no_forwarding, bare))]


def test_every_fact_of_a_route_is_known() -> None:
    peers = (
        node(2, "cabin", LAN, online=True),
        node(3, "away", *nets("10.9.0.0/24")),
        node(4, "exit", *nets("0.0.0.0/0", "::/0"), online=True),
    )
    wishes = [
        {"advertise_routes": ("auto", "10.77.0.0/24"), "advertise_exit_node": True},
        {"accept_routes": True, "exit_node": "exit"},
        {"accept_routes": False},
    ]
    unknown = set()
    for wish in wishes:
        for lan in ((LAN,), ()):
            for mine in ((), (LAN,)):
                found = inputs(node(1, "me", *mine), *peers, lan=lan, **wish)
                for sight in sights():
                    for route in all_routes(found, sight):
                        facts = route.facts.values()
                        unknown |= {f.evidence for f in facts if not is_known(f.evidence)}
    assert unknown == set()


def test_proofs_are_known() -> None:
    now = inputs(node(1, "me")).now
    at = routefacts.clock(now + timedelta(seconds=1))
    for text in (
        f"phone reached 192.168.1.20 (tcp 80), answered at {at}.",
        f"192.168.1.20 answered a probe in 21 ms at {at}.",
        f"Nobody answered: 192.168.1.1, 192.168.1.2 ({at}).",
    ):
        assert is_known(Proof(ok=True, at=now, text=text).text)


def test_a_german_visitor_reads_german() -> None:
    assert translate("cabin is offline.") == "cabin ist offline."
    assert translate("The route exit is advertised, but not approved.").startswith(
        "Die Route ins Internet "
    )


def test_of_two_templates_the_one_that_says_more_fits() -> None:
    text = translate(
        "eth0 is up, forwarding is on, the packet filter is in force, and the coordinator sends "
        "peers here."
    )
    assert text.startswith("eth0 ist verbunden, Weiterleitung und Paketfilter")


def test_what_is_not_known_stays() -> None:
    assert translate("The relay speaks in tongues.") == "The relay speaks in tongues."
    assert translate("%(x)s %s %d") == "%(x)s %s %d"
    assert translate("") == ""
    assert translate("x" * 5000) == "x" * 5000


def test_hostile_names_do_not_confuse_the_texts() -> None:
    text = "%(evil)s is offline."
    assert translate(text) == "%(evil)s ist offline."


def test_times_are_written_as_the_visitor_writes_them() -> None:
    text = translate("192.168.1.20 answered a probe in 21 ms at 2025-10-03 05:21:34 UTC.")
    assert text.replace("\N{NO-BREAK SPACE}", " ").endswith("um 05:21 UTC am 3. Oktober.")
