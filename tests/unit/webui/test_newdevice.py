from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from appliance.adminapi.types import CreateUser
from appliance.localapi.errors import LocalApiError
from appliance.localapi.types import PeerStatus, Status
from tests.support.webtexts import speaking
from tests.support.webui import EPOCH, FakeAdmin, FakeLocal, node
from webui.newdevice import KEY_LIFETIME_S, describe, make_key, owner_of, stir, use_of
from webui.overview import look_up


@pytest.fixture(autouse=True)
def speaking_english() -> Iterator[None]:
    with speaking("en"):
        yield


@pytest.fixture
def admin() -> FakeAdmin:
    return FakeAdmin(running=True)


def status(**peer: Any) -> Status:
    device = PeerStatus(public_key=node(2, "phone").node_key, tailscale_ips=("100.64.0.2",), **peer)
    peers = {device.public_key: device}
    return Status(version="1", backend_state="Running", peers=peers)


def test_devices_belong_to_the_first_user_who_is_made_if_there_is_none(admin: FakeAdmin) -> None:
    assert owner_of(admin) == "owner"
    assert [user.name for user in admin.people] == ["owner"]
    admin.create_user(CreateUser(name="second"))
    assert owner_of(admin) == "owner"


def test_a_key_is_for_one_device_and_for_an_hour(admin: FakeAdmin) -> None:
    key = make_key(admin)
    assert key.key.startswith("lkauth-")
    request = dict(admin.calls)["create_preauth_key"]
    assert (request.reusable, request.ephemeral, request.lifetime_s) == (False, False, 3600)
    assert KEY_LIFETIME_S == 3600


def test_the_device_that_used_a_key_is_found(admin: FakeAdmin) -> None:
    key = make_key(admin)
    assert use_of(key.id, admin, look_up(admin)) == (False, None)
    admin.members.append(
        msgspec.structs.replace(node(9, "older"), created=EPOCH - timedelta(days=1))
    )
    came = admin.use_key()
    assert use_of(key.id, admin, look_up(admin)) == (True, came)
    assert use_of("other", admin, look_up(admin)) == (False, None)


def test_a_key_used_by_a_node_that_was_there_before_is_used_all_the_same(admin: FakeAdmin) -> None:
    key = make_key(admin)
    admin.use_key()
    admin.members = [
        msgspec.structs.replace(one, created=EPOCH - timedelta(days=1)) for one in admin.members
    ]
    assert use_of(key.id, admin, look_up(admin)) == (True, None)


def test_a_device_is_described_by_coordinator_and_box() -> None:
    joined = describe(node(2, "phone"), status(online=True, cur_addr="10.0.0.1:1"))
    assert joined.member is not None
    assert joined.member.path == "direct"
    assert describe(node(3, "other"), status()).member is None


@pytest.mark.parametrize(
    ("peer", "pings"),
    [
        ({"online": True}, ["100.64.0.2"]),
        ({"online": True, "active": True, "relay": "home"}, ["100.64.0.2"]),
        ({"online": True, "cur_addr": "10.0.0.1:1"}, []),
        ({}, []),
    ],
)
def test_only_who_is_there_and_not_direct_is_pinged(peer: dict[str, Any], pings: list[str]) -> None:
    local = FakeLocal(FakeAdmin())
    now = status(**peer)
    stir(describe(node(2, "phone"), now), local, now)
    assert [argument for name, argument in local.calls if name == "ping"] == pings


def test_a_ping_that_fails_is_no_news() -> None:
    local = FakeLocal(FakeAdmin(), broken=LocalApiError("Not connected.", "error"))
    now = status(online=True)
    stir(describe(node(2, "phone"), now), local, now)
