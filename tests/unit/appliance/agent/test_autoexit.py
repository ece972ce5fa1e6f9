from appliance.agent.autoexit import AutoExit
from appliance.netmap.model import NetworkMap
from appliance.netmap.prefs import AUTO_EXIT, Prefs
from appliance.underlay.config import UnderlayStatus
from tests.support.netmaps import DEFAULTS, NOW, node

ME = node(1, "me")
AUTO = Prefs(exit_node=AUTO_EXIT)


def resolved(auto: AutoExit, prefs: Prefs, *peers: object) -> str:
    netmap = NetworkMap(ME, {peer.id: peer for peer in peers})  # type: ignore[attr-defined]
    return auto.resolve(prefs, netmap, UnderlayStatus(), NOW).exit_node


def test_a_named_exit_node_stays_as_it_is() -> None:
    assert resolved(AutoExit(), Prefs(exit_node="home"), node(2, "home", *DEFAULTS)) == "home"


def test_auto_becomes_a_node_and_stays_with_it() -> None:
    auto = AutoExit()
    first, second = node(2, "b", *DEFAULTS), node(3, "a", *DEFAULTS)
    assert resolved(auto, AUTO, first) == "n2"
    assert resolved(auto, AUTO, first, second) == "n2"
    assert resolved(auto, AUTO, node(2, "b", *DEFAULTS, online=False), second) == "n3"


def test_with_nobody_there_it_leads_nowhere_instead_of_out_in_the_clear() -> None:
    auto = AutoExit()
    assert resolved(auto, AUTO) == AUTO_EXIT
    assert resolved(auto, AUTO, node(2, "b", *DEFAULTS)) == "n2"
    assert resolved(auto, AUTO) == "n2", "and it is still wanted when it has gone"


def test_a_wish_that_was_given_up_is_forgotten() -> None:
    auto = AutoExit()
    resolved(auto, AUTO, node(2, "b", *DEFAULTS))
    assert resolved(auto, Prefs()) == ""
    assert resolved(auto, AUTO, node(3, "c", *DEFAULTS)) == "n3"
