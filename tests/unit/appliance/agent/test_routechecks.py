from ipaddress import ip_address

import pytest

from appliance.agent.routechecks import refuse_routes
from appliance.exit_status import ExitStatus
from appliance.netmap.prefs import PrefsError
from tests.support.netmaps import LAN, around, nets

NETWORK = around((LAN,)).network  # the default gateway is 192.168.1.1
COORDINATOR = [ip_address("10.1.0.5")]
RELAYS = {"relay.example.org": frozenset({ip_address("10.2.0.5")})}


@pytest.mark.parametrize(
    ("route", "status"),
    [
        ("10.1.0.0/16", ExitStatus.ROUTE_HOLDS_COORDINATOR),
        ("10.2.0.0/16", ExitStatus.ROUTE_HOLDS_RELAY),
        ("192.168.0.0/16", ExitStatus.ROUTE_HOLDS_GATEWAY),
    ],
)
def test_each_bad_route_has_its_own_sentence(route: str, status: ExitStatus) -> None:
    with pytest.raises(PrefsError) as caught:
        refuse_routes(nets(route), COORDINATOR, RELAYS, NETWORK)
    assert caught.value.status is status
    assert "Advertise " in str(caught.value)


@pytest.mark.parametrize("route", ["192.168.1.0/24", "192.168.1.1/32", "10.3.0.0/16", "fd00::/64"])
def test_the_own_lan_and_what_is_elsewhere_may_be_offered(route: str) -> None:
    refuse_routes(nets(route), COORDINATOR, RELAYS, NETWORK)


def test_in_our_own_lan_every_machine_finds_the_coordinator_and_its_relay() -> None:
    at_home = [ip_address("192.168.1.2")]
    refuse_routes(nets("192.168.1.0/24"), at_home, {"box": frozenset(at_home)}, NETWORK)
    with pytest.raises(PrefsError):
        refuse_routes(nets("192.168.0.0/16"), at_home, {}, NETWORK)
