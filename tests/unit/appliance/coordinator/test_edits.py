from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address, ip_network

import pytest

from appliance.coordinator import edits
from appliance.coordinator.edits import KeyTerms
from appliance.coordinator.errors import ConflictError, InvalidError, NotFoundError, RefusedError
from appliance.coordinator.model import PreAuthKey
from appliance.protocol.tailcfg import Hostinfo
from tests.support.snapshots import ALICE, BOB, LATER, NOW, node, router, snapshot

LAN = frozenset({ip_network("192.168.1.0/24")})
KEY = PreAuthKey(id="0123456789ab", secret_hash=b"h" * 32, user_id=ALICE.id, created=NOW)
TERMS = KeyTerms("alice", reusable=False, ephemeral=False, tags=(), lifetime_s=3600)


@pytest.mark.parametrize("ref", ["7", "node7", "NODE7", "node7.mesh.test", "100.64.0.7"])
def test_a_node_is_found_by_number_name_or_address(ref: str) -> None:
    assert edits.find_node(snapshot(node(7)), ref) == node(7)


def test_a_node_named_like_a_number_does_not_hide_the_number() -> None:
    state = snapshot(node(7), node(8, name="7"))
    assert edits.find_node(state, "7").id == 7


@pytest.mark.parametrize("ref", ["", "nobody", "99", "²"])
def test_what_is_not_there_is_not_found(ref: str) -> None:
    with pytest.raises(NotFoundError, match="There is no node"):
        edits.find_node(snapshot(node(7)), ref)
    with pytest.raises(NotFoundError, match="There is no user"):
        edits.find_user(snapshot(), ref)


def test_users_are_made_once() -> None:
    state, carol = edits.create_user("carol", "")(snapshot(), NOW)
    assert (carol.id, carol.display_name) == (3, "carol")
    with pytest.raises(ConflictError, match="already"):
        edits.create_user("carol", "C")(state, NOW)
    with pytest.raises(InvalidError):
        edits.create_user("no spaces", "")(state, NOW)


def test_a_renamed_user_keeps_their_nodes() -> None:
    state, renamed = edits.rename_user("alice", "alicia")(snapshot(node(1)), NOW)
    assert (renamed.id, renamed.display_name) == (ALICE.id, "Alice")
    with pytest.raises(ConflictError):
        edits.rename_user("bob", "alicia")(state, NOW)
    assert edits.rename_user("bob", "bob")(state, NOW)[1] == BOB


def test_a_user_with_nodes_is_not_deleted() -> None:
    with pytest.raises(ConflictError, match=r"still owns 1 nodes \(node1\)"):
        edits.delete_user("alice")(snapshot(node(1)), NOW)


def test_deleting_a_user_deletes_their_keys_and_no_one_elses() -> None:
    bobs = replace(KEY, id="bb", user_id=BOB.id)
    state, _ = edits.delete_user("alice")(snapshot(keys=(KEY, bobs)), NOW)
    assert list(state.users) == [BOB.id]
    assert list(state.keys) == ["bb"]


def test_a_deleted_users_number_is_not_given_out_again() -> None:
    state, _ = edits.delete_user("bob")(snapshot(), NOW)
    assert edits.create_user("carol", "")(state, NOW)[1].id == 3


def test_a_key_lives_as_long_as_was_asked() -> None:
    _, key = edits.create_key("id", b"h", TERMS)(snapshot(), NOW)
    assert key.expires == LATER
    _, forever = edits.create_key("id", b"h", replace(TERMS, lifetime_s=0))(snapshot(), NOW)
    assert forever.expires is None
    for wrong in (-1, 10**12):
        with pytest.raises(InvalidError):
            edits.create_key("id", b"h", replace(TERMS, lifetime_s=wrong))(snapshot(), NOW)


def test_a_keys_tags_are_checked_and_sorted() -> None:
    terms = replace(TERMS, tags=("tag:b", "tag:a", "tag:b"))
    assert edits.create_key("id", b"h", terms)(snapshot(), NOW)[1].tags == ("tag:a", "tag:b")
    with pytest.raises(InvalidError):
        edits.create_key("id", b"h", replace(TERMS, tags=("x",)))(snapshot(), NOW)


@pytest.mark.parametrize("ref", [KEY.id, f"lkauth-{KEY.id}-{'0' * 64}"])
def test_a_key_is_revoked_by_its_id_or_its_text(ref: str) -> None:
    state, revoked = edits.revoke_key(ref)(snapshot(keys=(KEY,)), NOW)
    assert revoked.revoked
    assert state.keys[KEY.id].revoked


def test_an_unknown_key_is_not_repeated_in_full() -> None:
    with pytest.raises(NotFoundError) as caught:
        edits.revoke_key(f"lkauth-999999999999-{'5' * 64}")(snapshot(), NOW)
    assert "5" * 64 not in str(caught.value)


def test_a_node_is_renamed_until_it_follows_its_host_name_again() -> None:
    state = snapshot(node(1), node(2))
    state, renamed = edits.rename_node(1, "Printer")(state, NOW)
    assert (renamed.name, renamed.name_fixed) == ("printer", True)
    with pytest.raises(ConflictError, match="already called"):
        edits.rename_node(1, "node2")(state, NOW)
    with pytest.raises(InvalidError):
        edits.rename_node(1, "a.b")(state, NOW)
    state, back = edits.rename_node(1, "")(state, NOW)
    assert (back.name, back.name_fixed) == ("node1", False)


def test_tags_take_a_node_over() -> None:
    _, tagged = edits.tag_node(1, ("tag:b", "tag:a"))(snapshot(node(1, key_expiry=LATER)), NOW)
    assert (tagged.user_id, tagged.tags, tagged.key_expiry) == (None, ("tag:a", "tag:b"), None)
    with pytest.raises(InvalidError):
        edits.tag_node(1, ())(snapshot(node(1)), NOW)


def test_tagging_does_not_revive_an_expired_node() -> None:
    _, tagged = edits.tag_node(1, ("tag:a",))(snapshot(node(1, key_expiry=NOW)), NOW)
    assert tagged.key_expiry == NOW


@pytest.mark.parametrize(
    ("in_s", "expiry"), [(0, NOW), (60, NOW + timedelta(minutes=1)), (None, None)]
)
def test_a_nodes_key_ends_when_an_admin_says(in_s: int | None, expiry: object) -> None:
    _, expired = edits.expire_node("1", in_s)(snapshot(node(1, key_expiry=LATER)), NOW)
    assert expired.key_expiry == expiry


def test_a_deleted_node_is_gone() -> None:
    state, gone = edits.delete_node("node1")(snapshot(node(1), node(2)), NOW)
    assert gone == node(1)
    assert list(state.nodes) == [2]
    assert state.node_by_key(node(1).node_key) is None


def test_routes_are_approved_beside_those_there_are() -> None:
    ten = frozenset({ip_network("10.0.0.0/8")})
    state = snapshot(router(1, "192.168.1.0/24"))
    state, approved = edits.approve_routes("1", ten)(state, NOW)
    assert approved.approved_routes == LAN | ten
    state, left = edits.revoke_routes("1", LAN)(state, NOW)
    assert left.approved_routes == ten
    with pytest.raises(NotFoundError, match=r"has no approval for 192\.168\.1\.0/24"):
        edits.revoke_routes("1", LAN)(state, NOW)


def test_hosts_are_published_only_inside_an_approved_route() -> None:
    printer = ip_address("192.168.1.20")
    with pytest.raises(InvalidError, match="is not inside a subnet route"):
        edits.publish("1", printer)(snapshot(node(1)), NOW)
    state = snapshot(router(1, "192.168.1.0/24"))
    state, shown = edits.publish("1", printer)(state, NOW)
    assert shown.published == {printer}
    _, hidden = edits.unpublish("1", printer)(state, NOW)
    assert hidden.published == frozenset()
    with pytest.raises(RefusedError, match="is not published"):
        edits.unpublish("1", ip_address("192.168.1.21"))(state, NOW)


def test_revoking_a_route_unpublishes_the_hosts_behind_it() -> None:
    state = snapshot(router(1, "192.168.1.0/24", "10.0.0.0/8"))
    for host in ("192.168.1.20", "10.0.0.1"):
        state, _ = edits.publish("1", ip_address(host))(state, NOW)
    _, left = edits.revoke_routes("1", LAN)(state, NOW)
    assert left.published == {ip_address("10.0.0.1")}


def test_a_nameless_host_gets_a_name_all_the_same() -> None:
    state = snapshot(node(1, hostinfo=Hostinfo()))
    assert edits.rename_node(1, "")(state, NOW)[1].name == "node"
