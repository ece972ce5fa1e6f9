"""What a viewer is told; the last test replays random histories against a stock client's rules."""

from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.coordinator.change import EVERYTHING, NOTHING, Change
from appliance.coordinator.mapper.session import MapSession
from appliance.coordinator.mapper.view import View
from appliance.coordinator.model import NodeRecord
from appliance.protocol.tailcfg import ZERO_TIME, Hostinfo, MapResponse, Node, PeerChange
from tests.support.snapshots import (
    BOB,
    LATER,
    NOW,
    TAILNET,
    advance,
    disco_key,
    node,
    router,
    view_of,
)

LAN = "192.168.1.0/24"


def started(view: View, viewer: int = 1) -> MapSession:
    session = MapSession(viewer)
    session.first(view, NOW)
    return session


def test_the_first_message_says_everything() -> None:
    first = MapSession(1).first(view_of(node(1), node(2), node(3, user_id=BOB.id)), NOW)
    assert first.node is not None
    assert first.node.id == 1
    assert [peer.id for peer in first.peers or ()] == [2, 3]
    assert {profile.login_name for profile in first.user_profiles or ()} == {"alice", "bob"}
    assert first.derp_map is TAILNET.derp_map
    assert first.dns_config is TAILNET.dns
    assert first.domain == "mesh.test"
    assert first.packet_filters is not None
    assert first.packet_filters["base"]
    assert first.ssh_policy == {"rules": []}
    assert first.debug is not None
    assert first.debug.disable_log_tail
    assert first.collect_services is False
    assert first.control_time == NOW


def test_nothing_new_says_nothing() -> None:
    view = view_of(node(1), node(2))
    session = started(view)
    assert session.next(view, NOTHING) == []
    assert session.next(view, EVERYTHING) == []
    assert session.next(view, Change(frozenset({1, 2, 99}), frozenset({1}))) == []


def test_a_new_peer_comes_whole_and_with_its_owner() -> None:
    view = view_of(node(1))
    session = started(view)
    [message] = session.next(*advance(view, node(2, user_id=BOB.id)))
    assert [peer.id for peer in message.peers_changed or ()] == [2]
    assert [profile.login_name for profile in message.user_profiles or ()] == ["bob"]
    assert message.node is None
    assert message.packet_filters is None


def test_a_known_owner_is_not_repeated() -> None:
    view = view_of(node(1))
    [message] = started(view).next(*advance(view, node(2)))
    assert message.user_profiles is None
    assert message.domain == ""


def test_new_endpoints_are_one_small_patch() -> None:
    view = view_of(node(1), node(2))
    [message] = started(view).next(*advance(view, node(2, endpoints=("192.0.2.9:1",))))
    assert message == MapResponse(
        peers_changed_patch=(PeerChange(node_id=2, endpoints=("192.0.2.9:1",)),)
    )


def test_home_relay_and_endpoints_of_one_node_come_in_two_messages() -> None:
    view = view_of(node(1), node(2))
    messages = started(view).next(
        *advance(view, node(2, home_derp=901, endpoints=("192.0.2.9:1",)))
    )
    assert messages == [
        MapResponse(peers_changed_patch=(PeerChange(node_id=2, derp_region=901),)),
        MapResponse(peers_changed_patch=(PeerChange(node_id=2, endpoints=("192.0.2.9:1",)),)),
    ]


def test_a_removed_peer_is_named_and_never_again() -> None:
    view = view_of(node(1), node(2))
    session = started(view)
    without, change = advance(view, gone=(2,))
    assert session.next(without, change) == [MapResponse(peers_removed=(2,))]
    assert session.next(without, change) == []


def test_a_peer_that_came_and_went_unseen_is_not_mentioned() -> None:
    view = view_of(node(1))
    session = started(view)
    with_peer, came = advance(view, node(2))
    without, went = advance(with_peer, gone=(2,))
    assert session.next(without, came | went) == []


def test_a_viewer_is_not_told_what_it_said_itself() -> None:
    view = view_of(node(1), node(2))
    said = node(1, endpoints=("192.0.2.9:1",), home_derp=901, disco_key=disco_key(7))
    assert started(view).next(*advance(view, said)) == []


def test_a_viewer_is_told_what_an_admin_changed_of_it() -> None:
    view = view_of(node(1), node(2))
    [message] = started(view).next(*advance(view, node(1, name="renamed")))
    assert message.node is not None
    assert message.node.name == "renamed.mesh.test."
    assert message.peers_changed is None


def test_an_approved_route_reaches_router_peers_and_their_filters() -> None:
    view = view_of(node(1), router(2, LAN, approved=False))
    peer, gateway = started(view), started(view, 2)
    after, change = advance(view, router(2, LAN))
    [to_peer], [to_gateway] = peer.next(after, change), gateway.next(after, change)
    assert to_peer.peers_changed is not None
    assert ip_network(LAN) in (to_peer.peers_changed[0].allowed_ips or ())
    assert to_gateway.node is not None
    assert ip_network(LAN) in (to_gateway.node.allowed_ips or ())
    assert to_gateway.packet_filters is not None
    [rule] = to_gateway.packet_filters["base"] or ()
    assert LAN in [target.ip for target in rule.dst_ports or ()]


def test_a_route_that_changes_hands_does_so_in_one_message() -> None:
    view = view_of(node(1), router(2, LAN), router(3, LAN))
    [message] = started(view).next(*advance(view, router(2, LAN, online=False)))
    changed = {peer.id: peer for peer in message.peers_changed or ()}
    assert ip_network(LAN) not in (changed[2].allowed_ips or ())
    assert ip_network(LAN) in (changed[3].allowed_ips or ())


def test_a_renamed_user_reaches_everyone() -> None:
    view = view_of(node(1), node(2, user_id=BOB.id))
    session = started(view)
    renamed = replace(
        view, snapshot=view.snapshot.with_user(replace(BOB, name="robert", display_name="R"))
    )
    [message] = session.next(renamed, EVERYTHING)
    assert [profile.login_name for profile in message.user_profiles or ()] == ["robert"]


def test_an_expired_viewer_knows_nobody_and_lets_nothing_in() -> None:
    view = view_of(node(1, key_expiry=LATER), node(2))
    session = started(view)
    [message] = session.next(*advance(view, now=LATER))
    assert message.peers_removed == (2,)
    assert message.packet_filters == {"base": ()}
    [back] = session.next(*advance(advance(view, now=LATER)[0], node(1, key_expiry=None)))
    assert [peer.id for peer in back.peers_changed or ()] == [2]
    assert back.node is not None
    assert back.node.key_expiry is None


def test_an_expired_peer_is_said_to_be() -> None:
    view = view_of(node(1), node(2, key_expiry=LATER))
    [message] = started(view).next(*advance(view, now=LATER))
    assert message.peers_changed is not None
    assert message.peers_changed[0].expired


def test_a_deleted_viewer_is_logged_out() -> None:
    session = started(view_of(node(1)))
    [message] = session.farewell(LATER)
    assert message.node is not None
    assert message.node.key_expiry == LATER
    assert MapSession(1).farewell(LATER) == []


@dataclass
class StockClient:
    """A client's netmap by the rules of 1.86 to 1.94, the strictest."""

    peers: dict[int, Node] = field(default_factory=dict)
    profiles: set[int] = field(default_factory=set)
    node: Node | None = None
    rules: object = None

    def receive(self, message: MapResponse) -> None:
        self.profiles |= {profile.id for profile in message.user_profiles or ()}
        self.node = message.node or self.node
        if message.packet_filters is not None:
            self.rules = message.packet_filters["base"]
        if message.peers:
            self.peers = {peer.id: peer for peer in message.peers}
        for node_id in message.peers_removed or ():
            self.peers.pop(node_id)
        for peer in message.peers_changed or ():
            assert peer.user in self.profiles
            self.peers[peer.id] = peer
        for patch in message.peers_changed_patch or ():
            assert patch.node_id in self.peers, "an unknown node voids the whole message"
            assert not (patch.derp_region and patch.endpoints is not None)
            self._patch(patch)

    def _patch(self, patch: PeerChange) -> None:
        old = self.peers[patch.node_id]
        changes = {
            name: value
            for name in ("key", "disco_key", "endpoints", "online", "last_seen")
            if (value := getattr(patch, name)) is not None
        }
        if patch.derp_region:
            changes |= {
                "home_derp": patch.derp_region,
                "derp": f"127.3.3.40:{patch.derp_region}",
            }
        if patch.key_expiry is not None:
            changes["key_expiry"] = None if patch.key_expiry == ZERO_TIME else patch.key_expiry
        self.peers[patch.node_id] = msgspec.structs.replace(old, **changes)


def comparable(peers: dict[int, Node]) -> dict[int, Node]:
    """Leave out when an online node was last seen: clients keep what they heard before."""
    return {
        n: msgspec.structs.replace(peer, last_seen=None if peer.online else peer.last_seen)
        for n, peer in peers.items()
    }


_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["a", "b"]),
        "user_id": st.sampled_from([1, 2]),
        "home_derp": st.sampled_from([900, 901]),
        "endpoints": st.sampled_from([(), ("192.0.2.1:1",), ("192.0.2.2:2",)]),
        "disco_key": st.sampled_from([disco_key(1), disco_key(2)]),
        "key_expiry": st.sampled_from([None, NOW, LATER]),
        "online": st.booleans(),
        "approved_routes": st.sampled_from([frozenset(), frozenset({ip_network(LAN)})]),
        "published": st.sampled_from([frozenset(), frozenset({ip_address("192.168.1.9")})]),
        "hostinfo": st.sampled_from([Hostinfo(), Hostinfo(routable_ips=(ip_network(LAN),))]),
    },
)
_STEP = st.tuples(st.integers(1, 4), st.none() | _CHANGES, st.booleans())


def _change(view: View, number: int, changes: dict | None) -> tuple[View, Change]:
    if changes is None:
        # The viewer itself stays; anyone else may be deleted.
        gone = (number,) if number != 1 and number in view.snapshot.nodes else ()
        return advance(view, gone=gone)
    present: NodeRecord = view.snapshot.nodes.get(number) or node(number)
    changed = replace(present, **{**changes, "name": f"{changes.get('name', 'n')}{number}"})
    return advance(view, changed)


@settings(max_examples=200)
@given(st.lists(_STEP, max_size=12))
def test_after_any_history_a_client_knows_what_a_new_one_would_be_told(steps: list) -> None:
    view = view_of(node(1), node(2))
    session, client = MapSession(1), StockClient()
    client.receive(session.first(view, NOW))
    waiting = NOTHING
    for number, changes, is_free in [*steps, (1, {}, True)]:
        view, change = _change(view, number, changes)
        waiting = waiting | change
        if is_free:
            for message in session.next(view, waiting):
                client.receive(message)
            waiting = NOTHING
    fresh = StockClient()
    fresh.receive(MapSession(1).first(view, NOW))
    assert comparable(client.peers) == comparable(fresh.peers)
    assert client.rules == fresh.rules
    assert client.node is not None
    assert fresh.node is not None
    assert (client.node.name, client.node.allowed_ips, client.node.key_expiry) == (
        fresh.node.name,
        fresh.node.allowed_ips,
        fresh.node.key_expiry,
    )
