import os
import stat
from pathlib import Path

import pytest

from appliance.coordinator.adminsocket import Admins, open_admin_socket
from appliance.coordinator.errors import StartError
from appliance.exit_status import ExitStatus
from appliance.host.unixsocket import Caller


def caller(uid: int, gid: int = 9999) -> Caller:
    return Caller(pid=1, uid=uid, gid=gid)


def test_root_and_the_own_user_may_always_call() -> None:
    admins = Admins(own_uid=500)
    assert admins.may_call(caller(0))
    assert admins.may_call(caller(500))
    assert not admins.may_call(caller(501))


def test_members_of_the_group_may_call() -> None:
    admins = Admins(own_uid=500, group_id=77, members=frozenset({501}))
    assert admins.may_call(caller(501))
    assert admins.may_call(caller(502, gid=77))
    assert not admins.may_call(caller(502))


def test_without_a_group_only_the_owner_can_open_the_socket(tmp_path: Path) -> None:
    with open_admin_socket(tmp_path / "s", Admins(os.getuid())):
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


def test_a_group_can_open_its_socket(tmp_path: Path) -> None:
    with open_admin_socket(tmp_path / "s", Admins(os.getuid(), os.getgid())):
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660
        assert (tmp_path / "s").stat().st_gid == os.getgid()


def test_a_socket_in_use_is_not_taken_over(tmp_path: Path) -> None:
    with open_admin_socket(tmp_path / "s", Admins(0)):
        with pytest.raises(StartError) as caught:
            open_admin_socket(tmp_path / "s", Admins(0))
        assert caught.value.status is ExitStatus.ALREADY_RUNNING


def test_a_socket_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="cannot be made") as caught:
        open_admin_socket(tmp_path / "file" / "s", Admins(0))
    assert caught.value.status is ExitStatus.STATE_UNUSABLE


def test_a_group_that_is_not_there_is_said_so() -> None:
    with pytest.raises(StartError, match="There is no group"):
        Admins.of_group("no such group")
