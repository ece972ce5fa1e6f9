from appliance.agent.plan.hostinfo import plan_hostinfo
from appliance.netmap.prefs import Prefs
from appliance.protocol.tailcfg import Hostinfo, NetInfo
from tests.support.netmaps import DEFAULTS, LAN

MACHINE = Hostinfo(os="linux", hostname="pi")


def test_wishes_complete_the_machine() -> None:
    prefs = Prefs(hostname="home", advertise_routes=("auto",), advertise_exit_node=True)
    info = plan_hostinfo(MACHINE, prefs, (LAN,), NetInfo(preferred_derp=1))
    assert (info.os, info.hostname) == ("linux", "home")
    assert info.routable_ips == (LAN, *DEFAULTS)
    assert info.net_info == NetInfo(preferred_derp=1)


def test_nothing_is_advertised_without_a_wish() -> None:
    info = plan_hostinfo(MACHINE, Prefs(), (), None)
    assert info.routable_ips is None
    assert info.hostname == "pi"
