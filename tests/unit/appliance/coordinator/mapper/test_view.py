from ipaddress import ip_address

from appliance.coordinator.mapper.view import View, first_view, with_policy
from appliance.coordinator.policy.engine import AllowAll
from appliance.coordinator.policy.load import policy_of
from tests.support.snapshots import LATER, TAILNET, advance, node, router, snapshot, view_of


def test_only_what_changed_is_rendered_again() -> None:
    view = view_of(node(1), node(2))
    after, _ = advance(view, node(2, name="other"))
    assert after.peers[1] is view.peers[1]
    assert after.peers[2].name == "other.mesh.test."
    assert view.peers[2].name == "node2.mesh.test."


def test_a_rendering_that_comes_out_equal_stays_the_same() -> None:
    view = view_of(node(1))
    after, change = advance(view, node(1, preauth_key_id="x"))
    assert change.nodes == {1}
    assert after.peers[1] is view.peers[1]


def test_a_node_does_not_see_itself_or_what_is_gone() -> None:
    view = view_of(node(1), node(2))
    viewer = view.snapshot.nodes[1]
    assert not view.sees(viewer, 1)
    assert view.sees(viewer, 2)
    after, _ = advance(view, gone=(2,))
    assert not after.sees(viewer, 2)
    assert 2 not in after.peers


def test_an_expired_viewer_sees_nobody() -> None:
    view, _ = advance(view_of(node(1, key_expiry=LATER), node(2)), now=LATER)
    assert not view.sees(view.snapshot.nodes[1], 2)
    assert view.rules_for(view.snapshot.nodes[1]) == ()


ROUTES_OF_TWO = """{"acls": [
  {"action": "accept", "src": ["100.64.0.1"], "dst": ["192.168.1.0/24:80"]},
  {"action": "accept", "src": ["100.64.0.2"], "dst": ["100.64.0.9:22", "autogroup:internet:*"]},
  {"action": "accept", "src": ["10.1.0.0/16"], "dst": ["100.64.0.3:*"]},
]}"""
GATEWAY = router(
    9,
    "192.168.1.0/24",
    "10.1.0.0/16",
    "0.0.0.0/0",
    "::/0",
    published=frozenset({ip_address("192.168.1.20")}),
)


def routes_seen(view: View, viewer: int) -> list[str]:
    gateway = view.peer(view.snapshot.nodes[viewer], 9)
    return [str(prefix) for prefix in (gateway.allowed_ips or ())[2:]]


def test_a_viewer_sees_the_routes_that_the_policy_lets_it_use() -> None:
    state = snapshot(node(1), node(2), node(3), GATEWAY)
    view = first_view(state, TAILNET, policy_of(ROUTES_OF_TWO))
    assert routes_seen(view, 1) == ["192.168.1.20/32", "192.168.1.0/24"]
    assert routes_seen(view, 2) == ["0.0.0.0/0", "::/0"]
    assert routes_seen(view, 3) == ["10.1.0.0/16"], "hosts behind it may open connections"
    for viewer in (1, 2, 3):
        gateway = view.peer(state.nodes[viewer], 9)
        assert set(gateway.addresses or ()) <= set(gateway.allowed_ips or ())
        assert set(gateway.primary_routes or ()) <= set(gateway.allowed_ips or ())


def test_viewers_who_see_the_same_share_it() -> None:
    state = snapshot(node(1), node(2), node(4), node(5), GATEWAY)
    view = first_view(state, TAILNET, policy_of(ROUTES_OF_TWO))
    fourth, fifth = (view.peer(state.nodes[n], 9) for n in (4, 5))
    assert fourth is fifth
    everything = first_view(state, TAILNET, AllowAll())
    assert everything.peer(state.nodes[1], 9) is everything.peers[9]


def test_another_policy_keeps_what_is_rendered() -> None:
    state = snapshot(node(1), GATEWAY)
    view = first_view(state, TAILNET, AllowAll())
    shut = with_policy(view, policy_of('{"acls": []}'))
    assert shut.peers is view.peers
    assert view.sees(state.nodes[1], 9)
    assert not shut.sees(state.nodes[1], 9)


def test_what_the_policy_means_is_worked_out_again_only_when_a_place_changes() -> None:
    view = view_of(node(1), node(2))
    moved, _ = advance(view, node(1, endpoints=("192.0.2.9:9",), online=False))
    assert moved.reach is view.reach
    tagged, _ = advance(moved, node(1, user_id=None, tags=("tag:a",)))
    assert tagged.reach is not view.reach
