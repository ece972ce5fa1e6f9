import pytest

from appliance.agent.wishes import check_routes, checked_url, edited
from appliance.localapi.server import BackendError
from appliance.localapi.types import Prefs
from tests.support.netmaps import LAN, around

NETWORK = around((LAN,)).network
URL = "http://10.1.0.5:8080"


def test_wishes_that_fit_are_granted() -> None:
    assert edited(Prefs(), {"hostname": "box"}).hostname == "box"
    assert checked_url("https://mesh.example.org").host == "mesh.example.org"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"hostnam": "box"}, "prefs-refused"),
        ({"hostname": 7}, "prefs-refused"),
        ({"advertise_routes": ["192.168.1.5/24"]}, "route-malformed"),
    ],
)
def test_those_that_do_not_have_a_code_and_a_sentence(
    changes: dict[str, object], code: str
) -> None:
    with pytest.raises(BackendError) as caught:
        edited(Prefs(), changes)
    assert caught.value.code == code


def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(BackendError):
        checked_url("mesh")


async def test_a_subnet_with_the_coordinator_in_it_is_refused() -> None:
    with pytest.raises(BackendError) as caught:
        await check_routes(Prefs(control_url=URL, advertise_routes=("10.1.0.0/16",)), None, NETWORK)
    assert caught.value.code == "route-holds-coordinator"
    await check_routes(Prefs(control_url=URL, advertise_routes=(str(LAN),)), None, NETWORK)
    await check_routes(Prefs(advertise_routes=("10.1.0.0/16",)), None, NETWORK)
