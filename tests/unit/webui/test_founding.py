from pathlib import Path

import pytest

from appliance.adminapi.errors import AdminApiError
from appliance.adminapi.types import NodeInfo
from appliance.localapi.errors import LocalApiError
from appliance.localapi.types import CoordinatorSettings, Failure, Prefs
from tests.support.webui import SERVER_URL, FakeAdmin, FakeLocal
from webui.founding import Founder, ensure_user, one_at_a_time, own_node


class Box:
    """A founder whose clock moves only while it waits."""

    def __init__(self) -> None:
        self.admin = FakeAdmin()
        self.local = FakeLocal(self.admin)
        self.time = 0.0
        self.founder = Founder(self.local, self.admin, lambda: self.time, self.pause)

    def own(self) -> NodeInfo | None:
        return own_node(self.admin, self.local.status(), self.local.state)

    def pause(self, seconds: float) -> None:
        self.time += seconds


def test_the_box_becomes_the_first_node_of_its_own_mesh() -> None:
    box = Box()
    assert box.founder.found(SERVER_URL, 20.0)
    assert [user.name for user in box.admin.people] == ["owner"]
    assert box.local.state.control_url == SERVER_URL
    assert box.local.used_key == "lkauth-fake-01-secret"
    [key] = box.admin.keys
    assert not key.reusable
    own = box.own()
    assert own is not None
    assert own.name == "latchkey"


def test_doing_it_again_changes_nothing() -> None:
    box = Box()
    box.founder.found(SERVER_URL, 20.0)
    assert box.founder.found(SERVER_URL, 20.0)
    assert box.founder.go_on(20.0)
    assert len(box.admin.people) == 1
    assert len(box.admin.keys) == 1


def test_a_coordinator_that_starts_slowly_is_waited_for_and_found_later() -> None:
    box = Box()
    box.admin.starts = False
    assert not box.founder.found(SERVER_URL, 5.0)
    assert 5.0 <= box.time < 6.0
    assert box.admin.keys == []
    box.admin.running = True
    assert box.founder.go_on(5.0)


def test_a_coordinator_that_still_has_its_old_address_is_waited_for() -> None:
    box = Box()
    box.admin.starts = False
    box.admin.server_url = "http://10.0.0.1:8080"
    box.local.own_coordinator = CoordinatorSettings(configured=True, server_url=SERVER_URL)
    box.admin.running = True
    assert not box.founder.go_on(2.0)
    assert box.admin.keys == []


def test_broken_off_after_every_step_it_goes_on_from_there() -> None:
    for name in ("create_user", "create_preauth_key", "up"):
        box = Box()
        breaks(box, name)
        with pytest.raises((LocalApiError, AdminApiError)):
            box.founder.found(SERVER_URL, 5.0)
        del (box.local if name == "up" else box.admin).__dict__[name]
        assert box.founder.go_on(5.0), name
        assert len(box.admin.people) == 1


def breaks(box: Box, name: str) -> None:
    def fail(_request: object) -> None:
        if name == "up":
            raise LocalApiError("The agent broke off.")
        raise AdminApiError("The coordinator broke off.")

    setattr(box.local if name == "up" else box.admin, name, fail)


def test_a_key_that_the_agent_did_not_take_is_revoked() -> None:
    box = Box()
    breaks(box, "up")
    with pytest.raises(LocalApiError):
        box.founder.found(SERVER_URL, 5.0)
    assert ("revoke_preauth_key", "k1") in box.admin.calls


def test_a_login_that_fails_is_told() -> None:
    box = Box()
    box.local.failure = Failure(code="coordinator-unreachable", message="Nobody is there.")
    with pytest.raises(LocalApiError, match="Nobody is there") as caught:
        box.founder.found(SERVER_URL, 5.0)
    assert caught.value.code == "coordinator-unreachable"


def test_a_login_under_way_gets_no_second_key() -> None:
    box = Box()
    box.founder.found(SERVER_URL, 5.0)
    box.local.joined, box.local.backend_state = False, "Starting"
    assert not box.founder.go_on(3.0)
    assert len(box.admin.keys) == 1


def test_a_user_that_exists_is_used() -> None:
    box = Box()
    box.founder.found(SERVER_URL, 5.0)
    assert ensure_user(box.admin) == "owner"


def test_the_mesh_of_others_is_not_ours() -> None:
    box = Box()
    box.local.state = Prefs(control_url="https://mesh.example.org")
    box.local.join()
    assert box.own() is None
    box.admin.running = True
    assert box.own() is None


def test_only_one_request_founds_at_a_time(tmp_path: Path) -> None:
    with one_at_a_time(tmp_path) as first, one_at_a_time(tmp_path) as second:
        assert first
        assert not second
    with one_at_a_time(tmp_path) as third:
        assert third
