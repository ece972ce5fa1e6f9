"""The status that front ends see, from what the rooms know. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from appliance.agent.plan.inputs import Inputs
from appliance.agent.plan.routes import exit_node_of
from appliance.agent.state import BackendState
from appliance.dataplane.config import DeviceStatus
from appliance.dataplane.config import PeerStatus as DevicePeer
from appliance.health.tracker import Raised
from appliance.localapi.types import HealthItem, PeerStatus, RouteStatus, Status
from appliance.netmap.model import NetworkMap, is_expired, offers_exit
from appliance.protocol.tailcfg import Node, is_set
from appliance.underlay.config import Direct, Path, UnderlayStatus
from appliance.version import VERSION

ACTIVE_S = 150.0
"""WireGuard renews a session in use every 120 s, so an older handshake means an idle peer."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What the rooms below report at one moment."""

    state: BackendState
    have_node_key: bool
    auth_url: str = ""
    control_online: bool = False
    health: tuple[Raised, ...] = ()
    routes: tuple[RouteStatus, ...] = ()
    exit_ipv6: str = ""
    """Whether the exit node in use, or this one, has IPv6; empty: there is none."""
    dataplane: str = ""
    underlay: UnderlayStatus = field(default_factory=UnderlayStatus)
    device: DeviceStatus | None = None


def render_status(sight: Sight, inputs: Inputs | None) -> Status:
    """Join everything into one value; without inputs there is no netmap yet."""
    if inputs is None:
        return Status(
            version=VERSION,
            backend_state=sight.state.value,
            have_node_key=sight.have_node_key,
            auth_url=sight.auth_url,
            dataplane=sight.dataplane,
            health=tuple(one.warning.sentence for one in sight.health),
            warnings=tuple(map(_health_item, sight.health)),
        )
    netmap = inputs.netmap
    me = _self_status(netmap.self_node)
    return Status(
        version=VERSION,
        backend_state=sight.state.value,
        have_node_key=sight.have_node_key,
        auth_url=sight.auth_url,
        dataplane=sight.dataplane,
        tailscale_ips=me.tailscale_ips,
        self_node=msgspec.structs.replace(me, relay=_code(netmap, sight.underlay.home_relay)),
        routes=sight.routes,
        exit_node_ipv6=sight.exit_ipv6,
        control_online=sight.control_online,
        health=tuple(one.warning.sentence for one in sight.health),
        warnings=tuple(map(_health_item, sight.health)),
        magic_dns_suffix=netmap.self_node.name.rstrip(".").partition(".")[2],
        peers={
            peer.key.text(): _peer_status(peer, sight, inputs)
            for peer in sorted(netmap.peers.values(), key=lambda peer: peer.name)
        },
        users={
            str(user.id): {"LoginName": user.login_name, "DisplayName": user.display_name}
            for user in netmap.users.values()
        },
    )


def _health_item(raised: Raised) -> HealthItem:
    warning = raised.warning
    return HealthItem(
        code=warning.code,
        subject=warning.subject,
        title=warning.title,
        text=warning.text,
        fix=warning.fix,
        severity=warning.severity.value,
        since=raised.since,
    )


def _self_status(node: Node) -> PeerStatus:
    return PeerStatus(**_described(node), online=True, exit_node_option=offers_exit(node))


def _peer_status(peer: Node, sight: Sight, inputs: Inputs) -> PeerStatus:
    path = sight.underlay.paths.get(peer.key)
    device = sight.device.peers.get(peer.key) if sight.device else None
    chosen = exit_node_of(inputs.netmap, inputs.prefs.exit_node)
    return PeerStatus(
        **_described(peer),
        **_path_fields(path),
        **_device_fields(device),
        relay=_code(inputs.netmap, peer.home_derp),
        addrs=peer.endpoints or (),
        online=bool(peer.online),
        active=_is_active(device, inputs.now),
        exit_node=chosen is not None and chosen.id == peer.id,
        exit_node_option=offers_exit(peer),
        expired=is_expired(peer, inputs.now),
        last_seen=_time(peer.last_seen),
    )


def _described(node: Node) -> dict[str, Any]:
    hostinfo = node.hostinfo
    return {
        "id": node.stable_id,
        "public_key": node.key.text(),
        "host_name": hostinfo.hostname if hostinfo else "",
        "dns_name": node.name,
        "os": hostinfo.os if hostinfo else "",
        "user_id": node.user,
        "tailscale_ips": tuple(str(n.network_address) for n in node.addresses or ()),
        "allowed_ips": tuple(str(n) for n in node.allowed_ips or ()),
        "tags": node.tags or (),
        "primary_routes": tuple(str(n) for n in node.primary_routes or ()),
        "created": _time(node.created),
        "key_expiry": _time(node.key_expiry),
    }


def _path_fields(path: Path | None) -> dict[str, Any]:
    if isinstance(path, Direct):
        return {"cur_addr": str(path.address), "latency_s": path.latency_s}
    return {}


def _device_fields(device: DevicePeer | None) -> dict[str, Any]:
    if device is None:
        return {}
    handshake = device.last_handshake
    return {
        "rx_bytes": device.rx_bytes,
        "tx_bytes": device.tx_bytes,
        "last_handshake": datetime.fromtimestamp(handshake, UTC) if handshake else None,
    }


def _is_active(device: DevicePeer | None, now: datetime) -> bool:
    if device is None or not device.last_handshake:
        return False
    return now.timestamp() - device.last_handshake < ACTIVE_S


def _time(time: datetime | None) -> datetime | None:
    return time if is_set(time) else None


def _code(netmap: NetworkMap, region_id: int) -> str:
    regions: Mapping[int, object] = netmap.derp_map.regions or {}
    region = regions.get(region_id)
    return str(getattr(region, "region_code", "")) if region is not None else ""
