from tests.support.snapshots import LATER, advance, node, view_of


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
