"""Vectors: control/controlclient/map_test.go of the reference (control.md 13.5), 2026-08."""

from datetime import UTC, datetime
from typing import Any

import pytest

from appliance.netmap.model import NetworkMap
from appliance.netmap.session import apply_response, to_response
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import DiscoPublic, NodePublic
from appliance.protocol.tailcfg import (
    DerpMap,
    DerpRegion,
    FilterRule,
    MapResponse,
    Node,
    PeerChange,
    UserProfile,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SELF = Node(id=99, key=NodePublic(bytes([99]) * 32), name="me.example.ts.")


def node(number: int, name: str = "", **fields: Any) -> Node:
    return Node(id=number, name=name, key=NodePublic(bytes([number]) * 32), **fields)


def before(*peers: Node) -> NetworkMap:
    return NetworkMap(SELF, {peer.id: peer for peer in peers})


def peers_after(start: NetworkMap | None, **message: Any) -> dict[int, Node]:
    after = apply_response(start, MapResponse(**message), NOW)
    assert after is not None
    return dict(after.peers)


def test_full_peers() -> None:
    foo, bar = node(1, "foo"), node(2, "bar")
    assert peers_after(None, node=SELF, peers=(foo, bar)) == {1: foo, 2: bar}


def test_full_peers_ignores_deltas() -> None:
    foo, bar = node(1, "foo"), node(2, "bar")
    assert peers_after(None, node=SELF, peers=(foo, bar), peers_removed=(2,)) == {1: foo, 2: bar}


def test_add_and_update() -> None:
    start = before(node(1, "foo"), node(2, "bar"))
    changed = (node(0, "zero"), node(2, "bar2"), node(3, "three"))
    after = peers_after(start, peers_changed=changed)
    assert {peer.name for peer in after.values()} == {"zero", "foo", "bar2", "three"}


def test_remove() -> None:
    start = before(node(1, "foo"), node(2, "bar"))
    assert list(peers_after(start, peers_removed=(1, 3, 4))) == [2]


def test_add_and_remove() -> None:
    start = before(node(1, "foo"), node(2, "bar"))
    after = peers_after(start, peers_changed=(node(1, "foo2"),), peers_removed=(2,))
    assert [peer.name for peer in after.values()] == ["foo2"]


def test_unchanged() -> None:
    start = before(node(1), node(2))
    assert peers_after(start) == dict(start.peers)
    assert peers_after(start, peers=()) == dict(start.peers)


def test_online_change_ignores_the_unknown() -> None:
    after = peers_after(before(node(1), node(2)), online_change={1: True, 404: True})
    assert (after[1].online, after[2].online) == (True, None)


def test_peer_seen_at() -> None:
    start = before(node(1, last_seen=datetime(2020, 1, 1, tzinfo=UTC)), node(2))
    after = peers_after(start, peer_seen_change={1: False, 2: True})
    assert (after[1].last_seen, after[2].last_seen) == (None, NOW)


@pytest.mark.parametrize(
    ("patch", "field", "value"),
    [
        ({"derp_region": 4}, "home_derp", 4),
        ({"endpoints": ("1.2.3.4:56",)}, "endpoints", ("1.2.3.4:56",)),
        ({"endpoints": ()}, "endpoints", ()),
        ({"key": NodePublic(b"k" * 32)}, "key", NodePublic(b"k" * 32)),
        ({"disco_key": DiscoPublic(b"d" * 32)}, "disco_key", DiscoPublic(b"d" * 32)),
        ({"online": True}, "online", True),
        ({"last_seen": NOW}, "last_seen", NOW),
        ({"key_expiry": NOW}, "key_expiry", NOW),
        ({"cap": 7}, "cap", 7),
    ],
)
def test_a_patch_changes_only_its_field(patch: dict[str, Any], field: str, value: object) -> None:
    start = before(node(1, "foo", endpoints=("1.2.3.4:111",), home_derp=3, derp="127.3.3.40:3"))
    after = peers_after(start, peers_changed_patch=(PeerChange(node_id=1, **patch),))
    assert getattr(after[1], field) == value
    same = set(Node.__struct_fields__) - {field} - ({"derp"} if field == "home_derp" else set())
    assert all(getattr(after[1], name) == getattr(start.peers[1], name) for name in same)


def test_the_first_message_must_say_who_we_are() -> None:
    with pytest.raises(ProtocolError):
        apply_response(None, MapResponse(peers=(node(1),)), NOW)


def test_a_keep_alive_changes_nothing() -> None:
    start = before(node(1))
    assert apply_response(start, MapResponse(keep_alive=True, peers_removed=(1,)), NOW) is start


RULE = FilterRule(src_ips=("*",))
OTHER = FilterRule(src_ips=("100.64.0.1",))


@pytest.mark.parametrize(
    ("message", "rules"),
    [
        ({}, (RULE,)),
        ({"packet_filter": ()}, ()),
        ({"packet_filters": {"base": ()}}, ()),
        ({"packet_filters": {"more": (OTHER,)}}, (RULE, OTHER)),
        ({"packet_filters": {"base": None}}, ()),
        ({"packet_filters": {"*": None, "new": (OTHER,)}}, (OTHER,)),
        ({"packet_filters": {"*": (OTHER,)}}, (RULE,)),
    ],
)
def test_filter_chunks(message: dict[str, Any], rules: tuple[FilterRule, ...]) -> None:
    start = NetworkMap(SELF, filter_chunks={"base": (RULE,)})
    after = apply_response(start, MapResponse(**message), NOW)
    assert after is not None
    assert after.filter_rules == rules


def test_regions_stay_when_the_relay_map_names_none() -> None:
    start = NetworkMap(SELF, derp_map=DerpMap(regions={900: DerpRegion(region_id=900)}))
    after = apply_response(start, MapResponse(derp_map=DerpMap()), NOW)
    assert after is not None
    assert after.derp_map.regions == {900: DerpRegion(region_id=900)}


def test_a_map_survives_being_kept_on_disk() -> None:
    kept = NetworkMap(
        SELF,
        {1: node(1, "foo")},
        users={5: UserProfile(id=5, login_name="alice@example.org")},
        filter_chunks={"base": (RULE,)},
        domain="example.ts",
    )
    assert apply_response(None, to_response(kept), NOW) == kept
