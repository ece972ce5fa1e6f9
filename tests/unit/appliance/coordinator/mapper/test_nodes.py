from ipaddress import ip_address

from appliance.coordinator.mapper.nodes import render_peer, render_profile, render_self
from appliance.coordinator.model import TAGGED_DEVICES_ID
from appliance.protocol.tailcfg import Hostinfo, Node, Service, encode
from tests.support.snapshots import LATER, TAILNET, node, router, snapshot

LAN = "192.168.1.0/24"
OWN = ["100.64.0.1/32", "fd7a:115c:a1e0::1/128"]


def texts(prefixes: tuple | None) -> list[str]:
    return [str(prefix) for prefix in prefixes or ()]


def peer(*nodes: object) -> Node:
    state = snapshot(*nodes)
    return render_peer(state, state.nodes[1], TAILNET)


def own(*nodes: object) -> Node:
    state = snapshot(*nodes)
    return render_self(state, state.nodes[1], TAILNET)


def test_a_peer_has_everything_that_stock_clients_insist_on() -> None:
    shown = peer(node(1))
    assert (shown.id, shown.stable_id, shown.name) == (1, "1", "node1.mesh.test.")
    assert (shown.home_derp, shown.derp) == (900, "127.3.3.40:900")
    assert shown.online is True
    assert shown.last_seen is None
    assert shown.hostinfo is not None
    assert shown.disco_key is not None
    assert shown.machine is None
    assert texts(shown.addresses) == texts(shown.allowed_ips) == OWN


def test_a_peer_that_has_said_nothing_still_has_a_hostinfo_on_the_wire() -> None:
    silent = peer(node(1, hostinfo=Hostinfo(), disco_key=None, home_derp=0, endpoints=()))
    assert b'"Hostinfo":{}' in encode(silent)
    assert b'"Endpoints":[]' in encode(silent)


def test_a_peers_description_is_cut_to_what_others_need() -> None:
    info = Hostinfo(
        hostname="box",
        os="linux",
        backend_log_id="secret",
        services=(Service(proto="peerapi4", port=1), Service(proto="tcp", port=22)),
        ssh_host_keys=("ssh-ed25519 AAAA",),
    )
    shown = peer(node(1, hostinfo=info)).hostinfo
    assert shown is not None
    assert shown.backend_log_id == ""
    assert shown.services == (Service(proto="peerapi4", port=1),)
    assert shown.ssh_host_keys == ("ssh-ed25519 AAAA",)


def test_an_offline_peer_says_when_it_was_seen() -> None:
    shown = peer(node(1, online=False, last_seen=LATER))
    assert (shown.online, shown.last_seen) == (False, LATER)


def test_a_router_is_shown_with_the_routes_it_carries() -> None:
    shown = peer(router(1, LAN, "0.0.0.0/0", "::/0"), router(2, LAN))
    assert texts(shown.allowed_ips) == [*OWN, LAN, "0.0.0.0/0", "::/0"]
    assert texts(shown.primary_routes) == [LAN]


def test_a_secondary_is_shown_without_the_route_but_knows_of_it_itself() -> None:
    nodes = (router(1, LAN, online=False), router(2, LAN))
    assert texts(peer(*nodes).allowed_ips) == OWN
    assert texts(own(*nodes).allowed_ips) == [*OWN, LAN]
    assert own(*nodes).primary_routes is None


def test_a_published_host_stands_among_a_routers_addresses_for_others_only() -> None:
    publisher = router(1, LAN, published=frozenset({ip_address("192.168.1.20")}))
    assert texts(peer(publisher).addresses) == [*OWN, "192.168.1.20/32"]
    assert texts(peer(publisher).allowed_ips) == [*OWN, "192.168.1.20/32", LAN]
    assert texts(own(publisher).addresses) == OWN
    assert texts(own(publisher).allowed_ips) == [*OWN, LAN]


def test_a_node_knows_itself_as_authorized() -> None:
    shown = own(node(1))
    assert shown.machine_authorized
    assert shown.machine is not None
    assert shown.cap_map


def test_a_tagged_node_belongs_to_the_tagged_devices() -> None:
    state = snapshot(node(1, user_id=None, tags=("tag:server",)))
    shown = render_peer(state, state.nodes[1], TAILNET)
    assert (shown.user, shown.tags) == (TAGGED_DEVICES_ID, ("tag:server",))
    assert render_profile(state, shown.user).login_name == "tagged-devices"


def test_an_expired_peer_is_marked() -> None:
    state = snapshot(node(1, key_expiry=LATER))
    assert not render_peer(state, state.nodes[1], TAILNET).expired
    expired = snapshot(node(1, key_expiry=state.nodes[1].created))
    assert render_peer(expired, expired.nodes[1], TAILNET).expired
