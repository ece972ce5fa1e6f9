from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.coordinator.mapper.delta import PeerDelta, peer_delta
from appliance.coordinator.mapper.nodes import render_peer
from appliance.protocol.tailcfg import ZERO_TIME, Node, PeerChange
from tests.support.snapshots import (
    LATER,
    NOW,
    TAILNET,
    disco_key,
    node,
    node_key,
    snapshot,
)


def rendered(**changes: object) -> Node:
    state = snapshot(node(1, **changes))
    return render_peer(state, state.nodes[1], TAILNET)


OLD = rendered()


def test_equal_renderings_need_nothing() -> None:
    assert peer_delta(OLD, rendered()) == PeerDelta()


@pytest.mark.parametrize(
    ("changes", "patch"),
    [
        ({"home_derp": 901}, {"derp_region": 901}),
        ({"endpoints": ("192.0.2.9:1",)}, {"endpoints": ("192.0.2.9:1",)}),
        ({"endpoints": ()}, {"endpoints": ()}),
        ({"disco_key": disco_key(9)}, {"disco_key": disco_key(9)}),
        ({"node_key": node_key(9)}, {"key": node_key(9)}),
        ({"key_expiry": LATER}, {"key_expiry": LATER}),
        ({"cap_version": 142}, {"cap": 142}),
        ({"online": False}, {"online": False, "last_seen": NOW}),
    ],
)
def test_what_a_patch_can_say_is_a_patch(changes: dict, patch: dict) -> None:
    assert peer_delta(OLD, rendered(**changes)) == PeerDelta(patch=PeerChange(node_id=1, **patch))


def test_an_expiry_that_is_lifted_is_the_zero_time() -> None:
    delta = peer_delta(rendered(key_expiry=LATER), OLD)
    assert delta.patch == PeerChange(node_id=1, key_expiry=ZERO_TIME)


def test_coming_online_forgets_nothing_else() -> None:
    offline = rendered(online=False, last_seen=NOW - timedelta(days=1))
    assert peer_delta(offline, OLD).patch == PeerChange(node_id=1, online=True)


def test_anything_else_needs_the_whole_node() -> None:
    for changes in ({"name": "other"}, {"tags": ("tag:a",)}, {"user_id": 2}):
        new = rendered(**changes)
        assert peer_delta(OLD, new) == PeerDelta(whole=new)


def test_home_relay_and_endpoints_go_into_two_messages() -> None:
    delta = peer_delta(OLD, rendered(home_derp=901, endpoints=("192.0.2.9:1",), online=False))
    assert delta.patch == PeerChange(node_id=1, derp_region=901, online=False, last_seen=NOW)
    assert delta.then_patch == PeerChange(node_id=1, endpoints=("192.0.2.9:1",))


def apply(old: Node, delta: PeerDelta) -> Node:
    """What a stock client makes of a delta (types/netmap/nodemut.go)."""
    if delta.whole:
        return delta.whole
    for patch in (delta.patch, delta.then_patch):
        if patch is None:
            continue
        changes = {
            name: value
            for name in ("key", "disco_key", "endpoints", "online", "last_seen")
            if (value := getattr(patch, name)) is not None
        }
        if patch.derp_region:
            region = patch.derp_region
            changes |= {"home_derp": region, "derp": f"127.3.3.40:{region}"}
        if patch.cap:
            changes["cap"] = patch.cap
        if patch.key_expiry is not None:
            expiry = patch.key_expiry
            changes["key_expiry"] = None if expiry == ZERO_TIME else expiry
        old = msgspec.structs.replace(old, **changes)
    return old


_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["a", "b"]),
        "home_derp": st.sampled_from([900, 901]),
        "endpoints": st.sampled_from([(), ("192.0.2.1:1",), ("192.0.2.2:2", "192.0.2.3:3")]),
        "disco_key": st.sampled_from([disco_key(1), disco_key(2)]),
        "node_key": st.sampled_from([node_key(1), node_key(2)]),
        "key_expiry": st.sampled_from([None, LATER]),
        "cap_version": st.sampled_from([131, 142]),
        "online": st.booleans(),
        "last_seen": st.sampled_from([NOW, LATER]),
        "tags": st.sampled_from([(), ("tag:a",)]),
    },
)


@given(_CHANGES, _CHANGES)
def test_a_delta_brings_the_viewer_to_the_new_rendering(before: dict, after: dict) -> None:
    old, new = rendered(**before), rendered(**after)
    applied = apply(old, peer_delta(old, new))
    if new.last_seen is None:
        applied = msgspec.structs.replace(applied, last_seen=None)
    assert applied == new
