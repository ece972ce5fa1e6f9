from dataclasses import replace
from ipaddress import ip_address

from appliance.agent.plan.exitnode import Candidate, Choice, candidates, next_choice, suggest
from appliance.netmap.model import NetworkMap
from appliance.protocol.addresses import AddrPort
from appliance.protocol.tailcfg import NetInfo
from appliance.underlay.config import Direct, UnderlayStatus
from tests.support.netmaps import DEFAULTS, NOW, node

FAR = node(2, "far", *DEFAULTS, home_derp=1)
NEAR = node(3, "near", *DEFAULTS, home_derp=2)
AWAY = node(4, "away", *DEFAULTS, home_derp=2, online=False)
NETMAP = NetworkMap(node(1, "me"), {n.id: n for n in (FAR, NEAR, AWAY, node(5, "phone"))})
MEASURED = UnderlayStatus(net_info=NetInfo(derp_latency={"1-v4": 0.09, "1-v6": 0.08, "2-v4": 0.02}))


def names(found: tuple[Candidate, ...]) -> list[str]:
    return [one.node.name.partition(".")[0] for one in found]


def test_the_nearest_by_its_relay_comes_first_and_who_is_away_last() -> None:
    found = candidates(NETMAP, MEASURED, NOW)
    assert names(found) == ["near", "far", "away"]
    assert [one.latency_s for one in found] == [0.02, 0.08, 0.02]


def test_a_direct_path_counts_instead_of_the_relay() -> None:
    direct = Direct(AddrPort(ip_address("192.0.2.1"), 1), 0.005)
    found = candidates(NETMAP, replace(MEASURED, paths={FAR.key: direct}), NOW)
    assert names(found)[0] == "far"
    best = suggest(found)
    assert best is not None
    assert best.direct


def test_without_measurements_the_first_by_name_is_taken_until_there_are_some() -> None:
    first = next_choice(None, candidates(NETMAP, UnderlayStatus(), NOW))
    assert first == Choice("n2", measured=False)
    assert next_choice(first, candidates(NETMAP, MEASURED, NOW)) == Choice("n3", measured=True)


def test_what_is_in_use_stays_while_it_works() -> None:
    present = Choice("n2", measured=True)
    assert next_choice(present, candidates(NETMAP, MEASURED, NOW)) == present
    offline = NetworkMap(NETMAP.self_node, {2: node(2, "far", *DEFAULTS, online=False), 3: NEAR})
    assert next_choice(present, candidates(offline, MEASURED, NOW)) == Choice("n3", measured=True)


def test_nobody_to_choose_from_changes_nothing() -> None:
    assert next_choice(None, ()) is None
    present = Choice("n2", measured=True)
    assert next_choice(present, ()) == present, "traffic stays held back, not in the clear"
