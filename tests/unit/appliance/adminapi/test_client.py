from pathlib import Path

import msgspec
import pytest

from appliance.adminapi.client import PREFIX, AdminClient
from appliance.adminapi.errors import (
    AdminApiError,
    CoordinatorNotRunningError,
    NotAllowedError,
)
from appliance.adminapi.types import (
    CreatePreAuthKey,
    CreateUser,
    EditNode,
    ExpireNode,
    PreAuthKeyInfo,
)
from tests.support.adminbackend import served_realm


def test_users_are_made_listed_renamed_and_deleted(tmp_path: Path) -> None:
    with served_realm(tmp_path / "s"):
        client = AdminClient(tmp_path / "s")
        assert client.create_user(CreateUser(name="bob", display_name="Bob")).id == 2
        assert client.rename_user("bob", "robert").name == "robert"
        assert [user.name for user in client.users().users] == ["alice", "robert"]
        client.delete_user("robert")
        assert [user.name for user in client.users().users] == ["alice"]


def test_a_keys_text_is_in_one_answer_only(tmp_path: Path) -> None:
    with served_realm(tmp_path / "s"):
        client = AdminClient(tmp_path / "s")
        made = client.create_preauth_key(CreatePreAuthKey(user="alice", tags=("tag:a",)))
        assert made.key.startswith(f"lkauth-{made.id}-")
        [listed] = client.preauth_keys().keys
        assert listed.key == ""
        assert listed.usable
        assert made.key not in repr(made)
        assert client.revoke_preauth_key(made.key).revoked
        assert not client.preauth_keys().keys[0].usable


def test_nodes_are_shown_and_changed_by_any_of_their_names(tmp_path: Path) -> None:
    with served_realm(tmp_path / "s") as served:
        client = AdminClient(tmp_path / "s")
        served.run(served.realm.joined(1))
        assert [node.name for node in client.nodes().nodes] == ["node1"]
        assert client.node("100.64.0.1") == client.node("1") == client.node("node1")
        assert client.edit_node("1", EditNode(name="box")).fqdn == "box.mesh.test"
        assert client.edit_node("box", EditNode(tags=("tag:a",))).tags == ("tag:a",)
        assert client.expire_node("box", ExpireNode(in_s=60)).key_expiry is not None
        assert client.approve_routes("box", ("10.0.0.0/8",)).routes[0].approved
        assert client.publish("box", "10.0.0.9").published == ("10.0.0.9",)
        assert client.unpublish("box", "10.0.0.9").published == ()
        assert client.routes().routes == client.node("box").routes
        assert client.revoke_routes("box", ("10.0.0.0/8",)).routes == ()
        assert client.status().nodes == 1
        client.delete_node("box")
        assert client.nodes().nodes == ()


def test_refusals_are_sentences_with_a_code(tmp_path: Path) -> None:
    with served_realm(tmp_path / "s"):
        client = AdminClient(tmp_path / "s")
        for call, code in (
            (lambda: client.node("nobody"), "not-found"),
            (lambda: client.node("../../etc/passwd"), "not-found"),
            (lambda: client.create_user(CreateUser(name="alice")), "conflict"),
            (lambda: client.create_user(CreateUser(name="a b")), "invalid"),
            (lambda: client.approve_routes("x", ("10.0.0.1/8",)), "route-malformed"),
            (lambda: client.reject_pending("x"), "not-found"),
        ):
            with pytest.raises(AdminApiError) as caught:
                call()
            assert caught.value.code == code
            assert str(caught.value).endswith((".", "?"))


def test_a_call_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with served_realm(tmp_path / "s"):
        client = AdminClient(tmp_path / "s")
        with pytest.raises(AdminApiError, match="no such call"):
            client._call("POST", "/status", PreAuthKeyInfo)


def test_a_stopped_coordinator_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(CoordinatorNotRunningError, match="systemctl start"):
        AdminClient(tmp_path / "none").status()


def test_somebody_without_the_right_is_told_so(tmp_path: Path) -> None:
    with (
        served_realm(tmp_path / "s", lambda _caller: False),
        pytest.raises(NotAllowedError, match="Use sudo"),
    ):
        AdminClient(tmp_path / "s").status()


def test_every_path_has_the_version_in_front() -> None:
    assert PREFIX.endswith("/v0")
    assert msgspec.json.encode(CreateUser(name="a")) == b'{"name":"a","display_name":""}'
