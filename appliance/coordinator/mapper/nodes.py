"""One node as its viewers and as it itself see it.

Stock clients need ``Hostinfo``, ``Online``, both forms of the home relay, and full names with a
trailing dot. Source: tailscale tailcfg/tailcfg.go (Node), 2026-08.
"""

from ipaddress import ip_network
from typing import Any, Final

import msgspec

from appliance.coordinator import routes
from appliance.coordinator.mapper.tailnet import Tailnet
from appliance.coordinator.model import TAGGED_DEVICES_ID, NodeRecord, Snapshot
from appliance.protocol.addresses import IPAddress, IPNetwork
from appliance.protocol.tailcfg import Hostinfo, Node, UserProfile

_PEER_SERVICES: Final = frozenset({"peerapi4", "peerapi6", "peerapi-dns-proxy"})

_SELF_CAPS: Final[dict[str, tuple[Any, ...] | None]] = {
    "https://tailscale.com/cap/file-sharing": (),
    "default-auto-update": (False,),
}

_TAGGED_DEVICES: Final = UserProfile(
    id=TAGGED_DEVICES_ID, login_name="tagged-devices", display_name="Tagged Devices"
)


def render_self(snapshot: Snapshot, node: NodeRecord, tailnet: Tailnet) -> Node:
    """Return the node as it may know itself: all its granted routes, also as a secondary."""
    addresses = _single(node.addresses)
    return Node(
        id=node.id,
        stable_id=node.stable_id,
        name=tailnet.fqdn(node.name),
        user=owner_id(node),
        key=node.node_key,
        key_expiry=node.key_expiry,
        machine=node.machine_key,
        disco_key=node.disco_key,
        addresses=addresses,
        allowed_ips=addresses + routes.in_order(routes.granted(node)),
        endpoints=node.endpoints,
        derp=_legacy_derp(node.home_derp),
        home_derp=node.home_derp,
        hostinfo=Hostinfo(hostname=node.hostinfo.hostname, routable_ips=node.hostinfo.routable_ips),
        created=node.created,
        cap=node.cap_version,
        tags=node.tags or None,
        primary_routes=routes.in_order(routes.carried(snapshot, node)) or None,
        online=True,
        machine_authorized=True,
        cap_map=_SELF_CAPS,
    )


def render_peer(snapshot: Snapshot, node: NodeRecord, tailnet: Tailnet) -> Node:
    """Return the node as every peer sees it; the routes it carries, never another's."""
    addresses = _single(node.addresses) + _single(routes.published(snapshot, node))
    carried = routes.in_order(routes.carried(snapshot, node))
    return Node(
        id=node.id,
        stable_id=node.stable_id,
        name=tailnet.fqdn(node.name),
        user=owner_id(node),
        key=node.node_key,
        key_expiry=node.key_expiry,
        disco_key=node.disco_key,
        addresses=addresses,
        allowed_ips=addresses + carried + routes.in_order(routes.exit_routes(node)),
        endpoints=node.endpoints,
        derp=_legacy_derp(node.home_derp),
        home_derp=node.home_derp,
        hostinfo=_peer_hostinfo(node.hostinfo),
        created=node.created,
        cap=node.cap_version,
        tags=node.tags or None,
        primary_routes=carried or None,
        last_seen=None if node.online else node.last_seen,
        online=node.online,
        machine_authorized=True,
        expired=node.id in snapshot.expired,
    )


def only_routes(node: Node, kept: tuple[IPNetwork, ...]) -> Node:
    """Return a rendering with fewer of its routes, and without the hosts behind the others."""
    primary = tuple(prefix for prefix in node.primary_routes or () if prefix in kept)
    gone = [prefix for prefix in node.primary_routes or () if prefix not in kept]
    shown = (a for a in node.addresses or () if not any(_lies_in(a, prefix) for prefix in gone))
    addresses = tuple(shown)
    return msgspec.structs.replace(
        node, addresses=addresses, allowed_ips=addresses + kept, primary_routes=primary or None
    )


def _lies_in(inner: IPNetwork, outer: IPNetwork) -> bool:
    return inner.version == outer.version and inner.network_address in outer


def owner_id(node: NodeRecord) -> int:
    """Return the user that a node belongs to in a netmap; never 0."""
    return TAGGED_DEVICES_ID if node.user_id is None else node.user_id


def render_profile(snapshot: Snapshot, user_id: int) -> UserProfile:
    """Return a user as other users see them."""
    if user_id == TAGGED_DEVICES_ID:
        return _TAGGED_DEVICES
    user = snapshot.users[user_id]
    return UserProfile(id=user.id, login_name=user.name, display_name=user.display_name)


def _single(addresses: tuple[IPAddress, ...]) -> tuple[IPNetwork, ...]:
    return tuple(ip_network(address) for address in addresses)


def _legacy_derp(region: int) -> str:
    return f"127.3.3.40:{region}" if region else ""


def _peer_hostinfo(info: Hostinfo) -> Hostinfo:
    services = tuple(s for s in info.services or () if s.proto in _PEER_SERVICES)
    return Hostinfo(
        os=info.os,
        os_version=info.os_version,
        hostname=info.hostname,
        services=services or None,
        ssh_host_keys=info.ssh_host_keys or None,
        shields_up=info.shields_up,
        app_connector=info.app_connector,
        location=info.location,
    )
