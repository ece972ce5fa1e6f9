"""Against the admin API of a real coordinator."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible.plugins.module_utils.admin import (
    KeyTerms,
    Outcome,
    delete_node,
    find,
    make_key,
    revoke_key,
    settle_node,
    settle_user,
)
from ansible.plugins.module_utils.roster import Wanted
from ansible.plugins.module_utils.unixapi import COORDINATOR, Api, ApiError, NotRunningError
from tests.support.adminbackend import served_realm

ALICE = KeyTerms("alice", tags=("tag:gateway",))


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with served_realm(tmp_path / "admin"):
        yield Api(COORDINATOR, str(tmp_path / "admin"))


@pytest.fixture
def absent(tmp_path: Path) -> Api:
    return Api(COORDINATOR, str(tmp_path / "none"))


def test_an_outcome_is_what_a_module_answers() -> None:
    done = Outcome(True, {"name": "a"}, {"name": "b"}, {"id": "7"}, ("Careful.",))
    assert done.as_result() == {
        "changed": True,
        "diff": {"before": {"name": "a"}, "after": {"name": "b"}},
        "warnings": ("Careful.",),
        "id": "7",
    }


def test_a_user_is_made_once(api) -> None:
    assert settle_user(api, "carol", "Carol", wanted=True, check=True).changed
    assert settle_user(api, "carol", "Carol", wanted=True, check=False).changed
    assert not settle_user(api, "carol", "", wanted=True, check=False).changed
    assert settle_user(api, "carol", "", wanted=False, check=False).changed
    assert not settle_user(api, "carol", "", wanted=False, check=False).changed


def test_a_key_is_made_for_a_node_that_is_not_there(api) -> None:
    settle_user(api, "alice", "", wanted=True, check=False)
    assert "key" not in make_key(api, ALICE, "home", check=True).result
    made = make_key(api, ALICE, "home", check=False)
    assert made.changed
    assert made.result["key"].startswith("lkauth-")
    assert made.result["key"] not in str(made.after) + str(made.before)


def test_a_key_is_revoked_once(api) -> None:
    settle_user(api, "alice", "", wanted=True, check=False)
    identifier = make_key(api, ALICE, "", check=False).result["id"]
    assert revoke_key(api, identifier, check=True).changed
    assert revoke_key(api, identifier, check=False).changed
    assert not revoke_key(api, identifier, check=False).changed
    assert not revoke_key(api, "unknown", check=False).changed


def test_a_key_for_nobody_is_refused_with_a_sentence(api) -> None:
    with pytest.raises(ApiError, match="There is no user 'zoe'"):
        make_key(api, KeyTerms("zoe"), "", check=False)
    assert make_key(api, KeyTerms("zoe"), "", check=True).warnings == (
        "There is no user 'zoe' yet.",
    )


def test_a_node_that_has_not_joined_cannot_be_edited_but_foretold(api) -> None:
    wanted = Wanted(routes=("192.168.1.0/24",))
    with pytest.raises(ApiError, match="knows no node 'home'"):
        settle_node(api, "home", wanted, check=False)
    done = settle_node(api, "home", wanted, check=True)
    assert done.changed
    assert done.after["approved"] == ["192.168.1.0/24"]


def test_a_node_that_is_not_there_need_not_be_deleted(api) -> None:
    assert not delete_node(api, "home", check=False).changed


def test_predictions_need_no_coordinator(absent) -> None:
    assert settle_user(absent, "alice", "", wanted=True, check=True).changed
    assert make_key(absent, ALICE, "home", check=True).changed
    assert settle_node(absent, "home", Wanted(name="home"), check=True).changed
    with pytest.raises(NotRunningError):
        settle_user(absent, "alice", "", wanted=True, check=False)


def test_a_node_is_found_as_the_coordinator_finds_it() -> None:
    nodes = [{"id": 7, "name": "home", "addresses": ["100.64.0.1", "fd7a::1"]}]
    for ref in ("7", "home", "HOME.mesh.internal", "100.64.0.1", "fd7a::1"):
        assert find(nodes, ref) is nodes[0]
    assert find(nodes, "attic") is None
